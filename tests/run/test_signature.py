import numpy as np
import onnx
import pytest

from edgekit.errors import EdgekitError
from edgekit.graph import files
from edgekit.lower import Wishes, lower
from edgekit.quantize.weights_only import quantize_weights
from edgekit.run.signature import is_lowered, is_tflite, opened
from tests.models import graph, node, weights
from tests.quantize.steps import observed

STEP = observed(
    graph(
        {"x": (1, 8, 6, 6)},
        [node("Conv", ["x", "w"], ["a"]), node("Relu", ["a"], ["r"]), node("GlobalAveragePool", ["r"])],
        {"w": weights(8, 8, 3, 3)},
        ("y", "r"),
    )
)


def written(tmp_path, format, precision="int8", nhwc=False, io_int8=False, activations="uint8"):
    models = {
        "int8": STEP.quantized,
        "int16x8": STEP.quantized,
        "int8-dynamic": lambda: quantize_weights(STEP.model).graph,
    }
    model = models[precision]() if precision in models else STEP.model
    metadata = {"layout": "nhwc" if nhwc else "keep"}
    wishes = Wishes(activations=activations, nhwc=nhwc, io_int8=io_int8, metadata=metadata)
    return lower(model, format, precision, tmp_path / f"model.{format}", wishes).artifact


@pytest.mark.parametrize("nhwc", [False, True])
@pytest.mark.parametrize("io_int8", [False, True])
@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_what_was_written_is_read_back(tmp_path, format, io_int8, nhwc):
    artifact = written(tmp_path, format, nhwc=nhwc, io_int8=io_int8)
    assert opened(artifact.path) == artifact


@pytest.mark.parametrize("precision", ["float32", "float16", "int16x8", "int8-dynamic"])
@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_other_precisions_too(tmp_path, format, precision):
    artifact = written(tmp_path, format, precision)
    assert opened(artifact.path) == artifact


def test_int8_activations_in_onnx(tmp_path):
    artifact = written(tmp_path, "onnx", io_int8=True, activations="int8")
    assert {spec.dtype for spec in artifact.inputs} == {"int8"}
    assert opened(artifact.path) == artifact


def test_a_foreign_file(tmp_path):
    """Another tool's ONNX: weights among the inputs, no metadata."""
    model = onnx.load_from_string(files.to_bytes(STEP.model))
    model.graph.input.append(onnx.helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [8, 8, 3, 3]))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    found = opened(path)
    assert [(spec.name, spec.shape, spec.qparams) for spec in found.inputs] == [("x", (None, 8, 6, 6), None)]
    assert found.precision == "float32"


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "missing", "metadata", "no signature"])
@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_damaged_files(tmp_path, format, damage):
    path = written(tmp_path, format).path
    data = path.read_bytes()
    match damage:
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(data[: len(data) // 3])
        case "text":
            path.write_bytes(b"this is no model at all")
        case "missing":
            path.unlink()
        case "metadata":
            path.write_bytes(data.replace(b'{"', b"[[", 1) if format == "tflite" else data.replace(b'{"io"', b'["io"'))
        case "no signature":
            path.write_bytes(data[:4] + b"TFL3" + b"\xff" * 64)
    with pytest.raises(EdgekitError) as refused:
        opened(path)
    assert refused.value.code == "EK103"


def test_files_are_told_by_their_first_bytes(tmp_path):
    tflite, model = written(tmp_path, "tflite").path, written(tmp_path, "onnx").path
    assert (is_tflite(tflite), is_tflite(model)) == (True, False)
    assert is_lowered(tflite)
    assert is_lowered(model)
    assert not is_lowered(tmp_path)
    assert not is_lowered(tmp_path / "missing")
    (tmp_path / "text.onnx").write_text("text")
    assert not is_lowered(tmp_path / "text.onnx")


def test_the_integers_of_a_tflite_file(tmp_path):
    spec = opened(written(tmp_path, "tflite", io_int8=True).path).inputs[0]
    assert spec.qparams is not None
    assert spec.qparams.scale == np.float32(STEP.scales()["x"].scale)
