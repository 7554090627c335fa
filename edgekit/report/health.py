"""What is here and what works: versions, the build of torch, the extras, and each runtime running a tiny model."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from edgekit.errors import EdgekitError
from edgekit.report.facts import Machine
from edgekit.report.machine import this_machine, versions
from edgekit.run import litert, ort
from edgekit.run.worker import Worker

_SAMPLE = np.array([[-1.0, 0.0, 2.0]], np.float32)
_EXTRA = re.compile(r"""^(?P<library>[\w.-]+).*;.*extra\s*==\s*['"](?P<extra>[\w-]+)['"]""")
_REQUIRED = re.compile(r"^(?P<library>[\w.-]+)[^;]*$")
_BUILD = re.compile(r"^(?P<kind>cuda|hip)\b[^=]*=\s*['\"](?P<version>[\d.]+)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class RuntimeHealth:
    """One runtime and what came of running a model. problem: None where it gave the right answer."""

    name: str
    version: str | None
    took_s: float | None
    problem: str | None


@dataclass(frozen=True, kw_only=True)
class Health:
    """torch_build: "CPU", "CUDA 12.8", None without torch; missing: required libraries that are not installed;
    extras: extra -> libraries of it that are missing."""

    machine: Machine
    torch_build: str | None
    runtimes: tuple[RuntimeHealth, ...]
    missing: tuple[str, ...]
    extras: dict[str, tuple[str, ...]]

    @property
    def well(self) -> bool:
        """Nothing that edgekit needs is missing or broken."""
        return not self.missing and all(runtime.problem is None for runtime in self.runtimes)


def examine() -> Health:
    """Takes a second or two: each runtime starts in a process of its own."""
    onnx_file, tflite_file = _tiny_files()
    return Health(
        machine=this_machine(),
        torch_build=torch_build(),
        runtimes=(
            _tried("onnxruntime", ort.Session, onnx_file),
            _tried("ai-edge-litert", litert.Interpreter, tflite_file, instead="tflite-runtime"),
        ),
        missing=_absent(_required()),
        extras={extra: _absent(libraries) for extra, libraries in _extras().items()},
    )


def torch_build() -> str | None:
    """What torch was built for, read from its version file: importing it takes seconds."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    version = Path(spec.origin).with_name("version.py")
    found = _BUILD.search(version.read_text(encoding="utf-8")) if version.is_file() else None
    return f"{found['kind'].upper()} {found['version']}" if found else "CPU"


def _tried(name: str, make: Callable[..., object], model: bytes, instead: str | None = None) -> RuntimeHealth:
    """name, or `instead` where that is what is installed, runs `model`: y = relu(x)."""
    found = versions((name, instead) if instead else (name,))
    if not found:
        return RuntimeHealth(name=name, version=None, took_s=None, problem="not installed")
    used, version = next(iter(found.items()))
    start = time.perf_counter()
    problem = _problem(make, model, used)
    return RuntimeHealth(name=used, version=version, took_s=time.perf_counter() - start, problem=problem)


def _problem(make: Callable[..., object], model: bytes, name: str) -> str | None:
    try:
        with Worker(make, model, what=f"trying {name}") as worker:
            answer = worker.call("run", {"x": _SAMPLE})
    except EdgekitError as error:
        return f"{error.what}: {error.why}"
    right = np.array_equal(answer.get("y"), np.maximum(_SAMPLE, 0))
    return None if right else f"relu({_SAMPLE.tolist()}) came out as {answer}"


def _tiny_files() -> tuple[bytes, bytes]:
    """y = relu(x) in both formats."""
    from edgekit.lower.tflite import to_tflite

    shape, kind = ir.Shape(_SAMPLE.shape), ir.TensorType(ir.DataType.FLOAT)
    x, y = ir.Value(name="x", shape=shape, type=kind), ir.Value(name="y", shape=shape, type=kind)
    node = ir.Node("", "Relu", [x], outputs=[y], name="relu")
    graph = ir.Graph([x], [y], nodes=[node], opset_imports={"": 20}, name="tiny")
    model = ir.Model(graph, ir_version=10)
    return ir.to_proto(model).SerializeToString(), to_tflite(model, nhwc=False, io_int8=False, metadata={}).data


def _required() -> tuple[str, ...]:
    found = (_REQUIRED.match(line) for line in importlib.metadata.requires("edgekit") or ())
    return tuple(match["library"] for match in found if match)


def _extras() -> dict[str, tuple[str, ...]]:
    extras: dict[str, tuple[str, ...]] = {}
    for line in importlib.metadata.requires("edgekit") or ():
        if match := _EXTRA.match(line):
            extras[match["extra"]] = (*extras.get(match["extra"], ()), match["library"])
    return extras


def _absent(libraries: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(library for library in libraries if library not in versions(libraries))
