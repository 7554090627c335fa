"""The shim over both TFLite runtimes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from edgekit.errors import EdgekitError
from edgekit.lower.tflite import to_tflite
from edgekit.run import litert
from edgekit.run.litert import Interpreter
from tests.lower.tflite.cases import cases
from tests.lower.tflite.graphs import as_ir, quantized, steps
from tests.lower.tflite.test_layout import residual

ROOT = Path(__file__).resolve().parents[2]


def file_bytes(name: str | None = None, *, int8: bool = True) -> bytes:
    case = residual() if name is None else cases()[name]
    model = quantized(case) if int8 else case.model()
    return to_tflite(as_ir(model), nhwc=True, io_int8=False, metadata={}).data


def sample() -> dict[str, np.ndarray]:
    return {"x": np.ascontiguousarray(residual().samples(3)[0]["x"].transpose(0, 2, 3, 1))}


def test_runs_bytes_and_paths(tmp_path: Path) -> None:
    data = file_bytes()
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    first, second = Interpreter(data).run(sample()), Interpreter(str(path), threads=2).run(sample())
    assert np.array_equal(first["y"], second["y"])


def test_reference_kernels_are_close() -> None:
    data = file_bytes()
    fast, plain = (Interpreter(data, reference_kernels=flag).run(sample())["y"] for flag in (False, True))
    assert np.abs(fast - plain).max() <= 3.01 * steps(residual())["y"]


def test_says_what_it_executes() -> None:
    kernels = {kernel.outputs[0]: kernel for kernel in Interpreter(file_bytes()).ops()}
    assert kernels["e"].op == "DEPTHWISE_CONV_2D"
    assert kernels["e"].delegated
    assert kernels["e"].operand_dtypes == ("int8", "int8", "int32")
    assert kernels["e"].result_dtypes == ("int8",)
    softmax = Interpreter(file_bytes("softmax-2-1-12")).ops()
    assert [kernel.delegated for kernel in softmax if kernel.op == "SOFTMAX"] == [False]
    assert [kernel.delegated for kernel in softmax if kernel.op == "QUANTIZE"] == [True]


def test_names_its_runtime() -> None:
    interpreter = Interpreter(file_bytes())
    assert interpreter.runtime == "ai-edge-litert"
    assert litert.version() == f"ai-edge-litert {interpreter.version}"


def test_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    Interpreter(file_bytes())
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("data", [b"", b"not a model", b"\0" * 100])
def test_damaged_file(data: bytes) -> None:
    with pytest.raises(EdgekitError) as caught:
        Interpreter(data)
    assert caught.value.code == "EK908"


def test_missing_input() -> None:
    with pytest.raises(EdgekitError) as caught:
        Interpreter(file_bytes()).run({"other": sample()["x"]})
    assert caught.value.code == "EK909"


def test_wrong_shape_and_type() -> None:
    interpreter = Interpreter(file_bytes())
    for wrong in (np.zeros((1, 2, 2, 6), np.float32), np.zeros((1, 9, 8, 6), np.int8)):
        with pytest.raises(EdgekitError) as caught:
            interpreter.run({"x": wrong})
        assert caught.value.code == "EK909"


def test_no_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ai_edge_litert", "tflite_runtime"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EdgekitError) as caught:
        Interpreter(b"")
    assert caught.value.code == "EK910"


def test_old_runtime_beside_a_new_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    package = ModuleType("tflite_runtime")
    package.interpreter = ModuleType("interpreter")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tflite_runtime", package)
    with pytest.raises(EdgekitError, match="built for NumPy 1") as caught:
        Interpreter(b"")
    assert caught.value.code == "EK910"


RUN = """
import pathlib, sys
import numpy as np
from edgekit.run.litert import Interpreter, version
folder = pathlib.Path(sys.argv[1])
for path in sorted(folder.glob("*.tflite")):
    inputs = dict(np.load(path.with_suffix(".in.npz")))
    np.savez(path.with_suffix(".out.npz"), **Interpreter(str(path)).run(inputs))
print(version())
"""
# tflite-runtime 2.14 has no int8 delegate: its kernels requantize in fixed point, which moves a step where LiteRT
# rounds half to even; a chain of ops may add a step.
OLD_RUNTIME_STEPS = 2


@pytest.mark.slow
def test_old_runtime_takes_every_op(tmp_path: Path, old_runtime: Path) -> None:
    expected = {}
    for index, (name, case) in enumerate(cases().items()):
        for int8 in (False, True):
            path = tmp_path / f"{index}-{int8}.tflite"
            model = quantized(case) if int8 else case.model()
            file = to_tflite(as_ir(model), nhwc=True, io_int8=False, metadata={})
            path.write_bytes(file.data)
            values = case.samples(11)[0]
            inputs = {spec.name: spec.to_file(values[spec.name]) for spec in file.inputs}
            np.savez(path.with_suffix(".in.npz"), **inputs)
            expected[path] = (name, Interpreter(file.data).run(inputs), steps(case) if int8 else None)
    run = [old_runtime, "-c", RUN, tmp_path]
    done = subprocess.run(run, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "tflite-runtime 2.14.0"
    for path, (name, outputs, size) in expected.items():
        found = np.load(path.with_suffix(".out.npz"))
        for output, value in outputs.items():
            apart = np.abs(found[output].astype(np.float64) - value)
            limit = 1e-4 * max(1.0, np.abs(value).max()) if size is None else 1.01 * OLD_RUNTIME_STEPS * size[output]
            assert apart.max() <= limit, (name, output)
