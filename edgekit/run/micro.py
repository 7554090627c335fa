"""TFLite Micro, the runtime of microcontrollers, on this machine: how much arena a file takes, and what it answers.

`tflite-micro` is a development wheel of the extra `micro`, for Linux on x86-64; it works with NumPy 2, so it can live
beside everything else. It runs TFLM's reference kernels. It is C++ that trusts the file and the size of the arena (too
small a one can end the process by a segmentation fault), so it only ever runs in a worker.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import re
import struct
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError
from edgekit.run.worker import Worker

LIBRARY = "tflite-micro"
ROOMY_BYTES = 64 * 2**20  # an arena in which any file for a microcontroller starts; untouched pages cost nothing

_PART = re.compile(r"Arena allocation (?P<part>total|head|tail) (?P<bytes>\d+) bytes")
_KIND = re.compile(
    r"'(?P<name>[^']+)' used (?P<used>\d+) bytes with alignment overhead"
    r" \(requested (?P<requested>\d+) bytes for (?P<count>\d+)"
)


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """One kind of what lasts, as TFLM calls it. used_bytes: with what alignment adds to requested_bytes."""

    name: str
    used_bytes: int
    requested_bytes: int
    count: int


@dataclass(frozen=True, kw_only=True)
class Arena:
    """What TFLM reports once it is ready to run. head_bytes: activations; tail_bytes: what lasts; total_bytes: both,
    without what it gave back before the first run; allocations: the kinds of what lasts that it counts."""

    runtime: str
    total_bytes: int
    head_bytes: int
    tail_bytes: int
    allocations: tuple[Allocation, ...]


class MicroRunner:
    """A TFLite file in TFLite Micro, in a process of its own. arena_bytes: what it may use."""

    def __init__(self, path: Path, arena_bytes: int = ROOMY_BYTES) -> None:
        require()
        self._worker = Worker(OpenFile, path, arena_bytes, what=f"running '{path.name}' in TFLite Micro")

    def arena(self) -> Arena:
        return cast(Arena, self._worker.call("arena"))

    def run(self, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """inputs, outputs: of exactly the file's shapes and types, in the file's order."""
        return cast("tuple[NDArray[Any], ...]", self._worker.call("run", tuple(inputs)))

    def close(self) -> None:
        self._worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.__exit__(kind, error, trace)


class OpenFile:
    """A file in TFLM: what lives in the worker."""

    def __init__(self, path: Path, arena_bytes: int) -> None:
        # Only where they are used: they are an extra.
        from tflite_micro.python.tflite_micro import runtime
        from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

        self._name, data = path.name, path.read_bytes()
        with _heard() as said:
            try:
                graph = schema.Model.GetRootAsModel(data, 0).Subgraphs(0)
                self._inputs, self._outputs = graph.InputsLength(), graph.OutputsLength()
                self._interpreter = runtime.Interpreter.from_bytes(data, arena_size=arena_bytes)
            except (RuntimeError, struct.error, IndexError, ValueError, TypeError, AttributeError) as error:
                failure = error
            else:
                return
        raise EdgekitError(
            "EK931",
            f"TFLite Micro cannot load '{path.name}' into an arena of {arena_bytes} bytes",
            " ".join(" ".join([*said, str(failure)]).split()),
            "`edgekit inspect` says which ops have no kernel there, and what arena the file needs",
        )

    def arena(self) -> Arena:
        with _heard() as said:
            self._interpreter.print_allocations()
        return _arena(said)

    def run(self, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        try:
            for number, x in zip(range(self._inputs), inputs, strict=True):
                self._interpreter.set_input(x, number)
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise EdgekitError(
                "EK932",
                f"TFLite Micro cannot run '{self._name}'",
                " ".join(str(error).split()),
                "give the inputs in the order, shapes and types that `edgekit inspect` shows",
            ) from None
        return tuple(np.array(self._interpreter.get_output(number)) for number in range(self._outputs))


def reported(path: Path, arena_bytes: int = ROOMY_BYTES) -> Arena:
    """The arena of a file, from TFLM itself."""
    with MicroRunner(path, arena_bytes) as runner:
        return runner.arena()


def require() -> None:
    """Raises EK991 where the extra is missing."""
    if importlib.util.find_spec("tflite_micro") is None:
        raise EdgekitError(
            "EK991",
            "TFLite Micro is not here",
            f"{LIBRARY} is not installed; it has wheels for Linux on x86-64",
            "pip install 'edgekit[micro]'",
        )


def _arena(said: Sequence[str]) -> Arena:
    """said: the lines of TFLM's report."""
    sizes = {found["part"]: int(found["bytes"]) for line in said if (found := _PART.search(line))}
    if missing := {"total", "head", "tail"} - sizes.keys():
        raise EdgekitError(
            "EK933",
            "cannot read what TFLite Micro reports of its arena",
            f"it does not name {', '.join(sorted(missing))}: {' '.join(said) or 'it says nothing'}",
            "pip install 'edgekit[micro]' for the version that edgekit knows",
        )
    return Arena(
        runtime=f"{LIBRARY} {importlib.metadata.version(LIBRARY)}",
        total_bytes=sizes["total"],
        head_bytes=sizes["head"],
        tail_bytes=sizes["tail"],
        allocations=tuple(
            Allocation(
                name=found["name"],
                used_bytes=int(found["used"]),
                requested_bytes=int(found["requested"]),
                count=int(found["count"]),
            )
            for line in said
            if (found := _KIND.search(line))
        ),
    )


@contextlib.contextmanager
def _heard() -> Iterator[list[str]]:
    """The lines that TFLM writes to stderr meanwhile, which is where it puts reports and reasons alike."""
    lines: list[str] = []
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            caught.seek(0)
            lines += [line for line in caught.read().decode("utf-8", "replace").splitlines() if line.strip()]
