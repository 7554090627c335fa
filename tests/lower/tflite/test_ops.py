"""One table of operators through both real runtimes: float to 1e-5, INT8 never more than one step apart, int16 two."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from edgekit.graph import files
from edgekit.lower.onnx import to_onnx
from edgekit.lower.tflite import TFLiteFile, to_tflite
from edgekit.quantize import weights_only
from edgekit.quantize.assign import RULES
from edgekit.run.litert import Interpreter
from tests.lower.tflite import function_cases, index_cases, window_cases
from tests.lower.tflite.cases import cases
from tests.lower.tflite.graphs import INT16, as_ir, quantized, run_onnx, steps

# LiteRT's int16 kernels multiply by factors of 16 bits and look tanh and exp up in tables of 512 steps.
INT16_STEPS = 2
DYNAMIC_DB = 35  # of 8 bits over a sample's own range; a scale that is another channel's leaves less than 12
CONVOLUTIONS = ("conv-", "convtranspose-", "conv1d-")  # their sizes are tried in INT8, by the same code

FLOAT_TOLERANCE = 1e-5  # relative to the largest output: sums in another order
TABLE = cases() | dict(function_cases.cases()) | dict(index_cases.cases()) | dict(window_cases.cases())
# Where ONNX Runtime's integer kernel computes something else than its own float kernel: QLinearAveragePool divides by
# the whole window also where a ceil_mode window hangs over the edge. There the QDQ graph is run as it is written.
UNFUSED = {"averagepool-k3-s2-p1-c1-i1", "averagepool-dilated-p0", "averagepool-dilated-p1"}  # it has no dilation


def run(file: TFLiteFile, sample: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    outputs = Interpreter(file.data).run({spec.name: spec.to_file(sample[spec.name]) for spec in file.inputs})
    return {spec.name: spec.from_file(outputs[spec.name]) for spec in file.outputs}


@pytest.mark.parametrize("name", TABLE)
def test_float(name: str) -> None:
    case = TABLE[name]
    model = case.model()
    file = to_tflite(as_ir(model), nhwc=len(name) % 2 == 0, io_int8=False, metadata={})
    sample = case.samples(11)[0]
    expected, found = run_onnx(model, sample), run(file, sample)
    for output in case.outputs:
        assert found[output].shape == expected[output].shape
        largest = max(1.0, float(np.abs(expected[output]).max()))
        np.testing.assert_allclose(found[output], expected[output], rtol=0, atol=FLOAT_TOLERANCE * largest)


@pytest.mark.parametrize("name", TABLE)
def test_int8(name: str) -> None:
    case = TABLE[name]
    file = to_tflite(as_ir(quantized(case)), nhwc=len(name) % 2 == 0, io_int8=False, metadata={})
    reference = quantized(case, np.dtype(np.uint8))
    size = steps(case)
    sample = case.samples(11)[0]
    expected, found = run_onnx(reference, sample, fuse=name not in UNFUSED), run(file, sample)
    for output in case.outputs:
        if output not in size:  # integers
            np.testing.assert_array_equal(found[output], expected[output])
            continue
        apart = np.rint(np.abs(found[output] - expected[output]) / size[output])
        assert found[output].shape == expected[output].shape
        assert apart.max() <= 1, f"{apart.max()} steps, {np.mean(apart > 0):.2%} of the elements differ"


def in_int16() -> list[str]:
    """Every op that quantization takes, and one size in seven of the convolutions."""
    names = [name for name, case in TABLE.items() if all(proto.op_type in RULES for proto in case.nodes)]
    many = [name for name in names if name.startswith(CONVOLUTIONS)]
    return [name for name in names if name not in many] + many[::7]


@pytest.mark.parametrize("name", in_int16())
def test_int16(name: str) -> None:
    case = TABLE[name]
    model = quantized(case, INT16)
    file = to_tflite(as_ir(model), nhwc=len(name) % 2 == 0, io_int8=False, metadata={})
    other = to_onnx(as_ir(model), activations=np.dtype(np.uint8), nhwc=False, io_int8=False, metadata={})
    size, sample = steps(case, INT16), case.samples(11)[0]
    expected, found = run_onnx(onnx.load_from_string(other.data), sample), run(file, sample)
    for output in case.outputs:
        if output not in size:
            np.testing.assert_array_equal(found[output], expected[output])
            continue
        apart = np.rint(np.abs(found[output] - expected[output]) / size[output])
        assert apart.max() <= INT16_STEPS, f"{apart.max()} steps, {np.mean(apart > 1):.2%} of the elements differ"


def of_weights() -> list[str]:
    names = [name for name in TABLE if name.startswith(("conv-k", "conv1d-"))]
    return [name for name in TABLE if name.startswith(("gemm", "matmul-constant", "flatten-gemm", "tokens"))] + names[
        ::9
    ]


@pytest.mark.parametrize("name", of_weights())
def test_int8_weights_under_float_activations(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hybrid kernels round activations to 8 bits; ONNX Runtime computes the same graph in float."""
    monkeypatch.setattr(weights_only, "SMALLEST", 1)
    case = TABLE[name]
    model = weights_only.quantize_weights(as_ir(case.model())).graph
    sample = case.samples(11)[0]
    expected = run_onnx(onnx.load_from_string(files.to_bytes(model)), sample)
    found = run(to_tflite(model, nhwc=len(name) % 2 == 0, io_int8=False, metadata={}), sample)
    for output in case.outputs:
        allowed = 10 ** (-DYNAMIC_DB / 10) * np.square(expected[output]).sum()
        assert np.square(found[output] - expected[output]).sum() < allowed
