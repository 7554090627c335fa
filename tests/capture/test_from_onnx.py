"""ONNX files of any exporter: read, fixed in size, or refused with a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxscript import version_converter

from edgekit.capture import Source, load, newer
from edgekit.errors import EdgekitError, Exit
from tests.capture.conftest import run_graph, take

Refused = Callable[..., EdgekitError]
Dims = tuple[int | str | None, ...]
WEIGHT = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)


def conv_model(
    shape: Dims = ("N", 3, "H", "W"),
    weight: np.ndarray = WEIGHT,
    opset: int = 17,
    dtype: int = TensorProto.FLOAT,
    more: Iterable[onnx.NodeProto] = (),
) -> onnx.ModelProto:
    """image -> Conv -> Relu -> features."""
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["y"], name="conv"),
        helper.make_node("Relu", ["y"], ["features"]),
    ]
    graph = helper.make_graph(
        [*nodes, *more],
        "net",
        [helper.make_tensor_value_info("image", dtype, shape)],
        [helper.make_tensor_value_info("features", dtype, [shape[0], 4, None, None])],
        [numpy_helper.from_array(weight, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    onnx.save(model, folder / "net.onnx")
    return folder / "net.onnx"


def external(folder: Path, location: str = "net.data", **entries: str) -> Path:
    """The model with its weight declared in another file; entries replace what is declared."""
    model = conv_model((1, 3, 8, 8))
    tensor = model.graph.initializer[0]
    data = tensor.raw_data
    (folder / "net.data").write_bytes(bytes(16) + data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "16", "length": str(len(data)), **entries}.items():
        tensor.external_data.add(key=key, value=value)
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    return folder / "net.onnx"


def shape_of(value: ir.Value) -> list[object]:
    assert value.shape is not None
    return [d if isinstance(d, int) else str(d) for d in value.shape]


def test_a_pool_of_which_the_file_says_what_runtimes_give_and_onnx_does_not(tmp_path: Path) -> None:
    """nn.MaxPool2d(2, 2, padding=1, ceil_mode=True): no window starts in the padding at the end."""
    pool = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2], pads=[1] * 4, ceil_mode=1)
    values = {"x": [1, 3, 9, 9], "y": [1, 3, 5, 5]}
    given, made = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in values.items())
    model = helper.make_model(
        helper.make_graph([pool], "net", [given], [made]), opset_imports=[helper.make_opsetid("", 20)]
    )
    graph = take(saved(model, tmp_path)).graph
    assert shape_of(graph.graph.outputs[0]) == [1, 3, 5, 5]


def test_open_sizes_are_fixed_and_the_batch_named(tmp_path: Path) -> None:
    file = saved(conv_model(), tmp_path)
    captured = take(file, signature={"inputs": ((3, 8, 10), "uint8")})
    graph = captured.graph.graph
    assert (captured.kind, captured.reference, captured.notes) == ("ONNX", None, ())
    assert shape_of(graph.inputs[0]) == ["batch", 3, 8, 10]
    assert shape_of(graph.outputs[0]) == ["batch", 4, 6, 8]
    assert [shape_of(node.outputs[0]) for node in graph] == [["batch", 4, 6, 8]] * 2
    assert captured.graph.opset_imports == {"": 20}
    image = np.random.default_rng(0).normal(size=(2, 3, 8, 10)).astype(np.float32)
    before = onnxruntime.InferenceSession(file).run(None, {"image": image})[0]
    np.testing.assert_allclose(run_graph(captured, {"image": image})["features"], before, rtol=1e-5, atol=1e-5)


def test_nameless_sizes(tmp_path: Path) -> None:
    captured = take(saved(conv_model((None, 3, None, None)), tmp_path), inputs={"image": (1, 3, 8, 10)})
    assert shape_of(captured.graph.graph.outputs[0]) == ["batch", 4, 6, 8]


def test_open_sizes_need_a_number(tmp_path: Path, refused: Refused) -> None:
    error = refused(saved(conv_model(), tmp_path))
    assert error.code == "EK201"
    assert "--input image=1x3x?x?" in error.fix


@pytest.mark.parametrize("opset", [9, 13, 16, 18, 21])
def test_opsets(tmp_path: Path, opset: int) -> None:
    captured = take(saved(conv_model((1, 3, 8, 8), opset=opset), tmp_path))
    assert captured.graph.opset_imports[""] == max(opset, 20)
    assert ("converted from opset 9 to 20" in captured.notes) == (opset == 9)
    assert "the batch is fixed at 1, as in the file" in captured.notes


def test_the_oldest_opset(tmp_path: Path) -> None:
    model = conv_model((1, 3, 8, 8), opset=6)
    model.ir_version = 3
    assert take(saved(model, tmp_path)).graph.opset_imports[""] == 20


def test_an_opset_that_is_not_read(tmp_path: Path, refused: Refused) -> None:
    error = refused(saved(conv_model((1, 3, 8, 8), opset=newer.KNOWN + 1), tmp_path))
    assert error.code == "EK210"


def test_opsets_newer_than_the_runtime(tmp_path: Path, refused: Refused) -> None:
    """Only types were added: the older op is the same. Where the meaning is new, there is no older op."""
    model = conv_model((1, 3, 8, 8), opset=28)
    assert take(saved(model, tmp_path)).graph.opset_imports[""] == newer.RUN
    deep = helper.make_node("SpaceToDepth", ["features"], ["z"], blocksize=2, mode="CRD")
    model = conv_model((1, 3, 8, 8), opset=28, more=[deep])
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("z", TensorProto.FLOAT, (1, 16, 3, 3)))
    error = refused(saved(model, tmp_path))
    assert (error.code, "SpaceToDepth" in error.why) == ("EK210", True)


def test_an_op_that_cannot_be_converted(tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    # The converter says so by leaving the model as it is.
    monkeypatch.setattr(version_converter, "convert_version", lambda *_, **__: None)
    error = refused(saved(conv_model((1, 3, 8, 8)), tmp_path))
    assert error.code == "EK210"
    assert "cannot be brought to opset 20" in error.what


def test_weights_listed_as_inputs(tmp_path: Path) -> None:
    model = conv_model((1, 3, 8, 8))
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, WEIGHT.shape))
    assert [v.name for v in take(saved(model, tmp_path)).graph.graph.inputs] == ["image"]


def test_local_functions_are_inlined(tmp_path: Path) -> None:
    model = conv_model((1, 3, 8, 8), more=[helper.make_node("Twice", ["features"], ["z"], domain="mine")])
    body = [helper.make_node("Add", ["x", "x"], ["y"])]
    model.functions.append(helper.make_function("mine", "Twice", ["x"], ["y"], body, [helper.make_opsetid("", 17)]))
    model.opset_import.append(helper.make_opsetid("mine", 1))
    model.graph.output[0].name = "z"
    captured = take(saved(model, tmp_path))
    assert [node.op_type for node in captured.graph.graph] == ["Conv", "Relu", "Add"]
    assert not captured.graph.functions


def test_custom_ops_are_named(tmp_path: Path, refused: Refused) -> None:
    model = conv_model((1, 3, 8, 8), more=[helper.make_node("FusedGelu", ["features"], ["z"], "gelu", domain="acme")])
    model.opset_import.append(helper.make_opsetid("acme", 1))
    error = refused(saved(model, tmp_path))
    assert (error.code, error.exit) == ("EK208", Exit.UNSUPPORTED)
    assert "FusedGelu of the domain 'acme' ('gelu')" in error.why


def test_quantized_already(tmp_path: Path, refused: Refused) -> None:
    model = conv_model((1, 3, 8, 8), more=[helper.make_node("QuantizeLinear", ["features", "s"], ["q"])])
    assert refused(saved(model, tmp_path)).code == "EK207"


def test_a_fixed_batch_takes_no_samples(tmp_path: Path) -> None:
    path = saved(conv_model((4, 3, 8, 8)), tmp_path)
    with pytest.raises(EdgekitError, match="fixed at 4") as error:
        load(Source(path=str(path), inputs={}), {"inputs": ((3, 8, 8), "float32")})
    assert error.value.code == "EK212"


def test_inputs_without_a_batch_stay_as_they_are(tmp_path: Path) -> None:
    model = conv_model((4, 3, 8, 8))
    model.graph.input.append(helper.make_tensor_value_info("rate", TensorProto.INT64, ()))
    captured = take(saved(model, tmp_path))
    assert [shape_of(value) for value in captured.graph.graph.inputs] == [[4, 3, 8, 8], []]
    assert any("no batch of 1" in note for note in captured.notes)


def test_inputs_that_are_no_batches(tmp_path: Path, refused: Refused) -> None:
    model = conv_model((1, 3, 8, 8))
    model.graph.input.append(helper.make_tensor_value_info("rate", TensorProto.INT64, ()))
    path = saved(model, tmp_path)
    with pytest.raises(EdgekitError, match="'rate' is a scalar"):
        load(Source(path=str(path), inputs={}), {"image": ((3, 8, 8), "float32"), "rate": ((), "int64")})
    model.graph.input[1].CopyFrom(helper.make_tensor_sequence_value_info("rate", TensorProto.FLOAT, None))
    assert "'rate' is no plain tensor" in refused(saved(model, tmp_path)).why


def test_other_float_types(tmp_path: Path, refused: Refused) -> None:
    half = conv_model((1, 3, 8, 8), WEIGHT.astype(np.float16), dtype=TensorProto.FLOAT16)
    error = refused(saved(half, tmp_path))
    assert (error.code, "'w' is float16" in error.why) == ("EK211", True)
    half.graph.initializer[0].CopyFrom(numpy_helper.from_array(WEIGHT.astype(np.float16), "unused"))
    half.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT16, WEIGHT.shape))
    assert "'image' is float16" in refused(saved(half, tmp_path)).why


def test_not_finite(tmp_path: Path, refused: Refused) -> None:
    for bad in (np.nan, np.inf):
        weight = WEIGHT.copy()
        weight[0, 0, 0, 0] = bad
        assert refused(saved(conv_model((1, 3, 8, 8), weight), tmp_path)).code == "EK110"
    masked = conv_model((1, 3, 8, 8), more=[helper.make_node("Max", ["features", "mask"], ["z"])])
    masked.graph.initializer.append(numpy_helper.from_array(np.full(1, -np.inf, np.float32), "mask"))
    masked.graph.output[0].name = "z"
    take(saved(masked, tmp_path))


def test_not_onnx_and_not_valid(tmp_path: Path, refused: Refused) -> None:
    file = saved(conv_model((1, 3, 8, 8)), tmp_path)
    file.write_bytes(file.read_bytes()[:200])
    assert refused(file).code == "EK103"
    file.write_bytes(onnx.ModelProto(ir_version=8).SerializeToString())
    assert refused(file).code == "EK103"
    unknown = conv_model((1, 3, 8, 8), more=[helper.make_node("NoSuchOp", ["features"], ["z"])])
    error = refused(saved(unknown, tmp_path))
    assert (error.code, "NoSuchOp" in error.why) == ("EK209", True)
    uneven = conv_model((1, 3, 8, 8), more=[helper.make_node("Add", ["features", "c"], ["z"])])
    uneven.graph.initializer.append(numpy_helper.from_array(np.zeros(7, np.float32), "c"))
    uneven.graph.output[0].name = "z"
    assert refused(saved(uneven, tmp_path)).code == "EK209"


def test_a_factory_is_not_needed(tmp_path: Path, refused: Refused) -> None:
    assert refused(saved(conv_model(), tmp_path), factory="networks.py:make").code == "EK111"


def test_external_data_beside_the_model(tmp_path: Path) -> None:
    captured = take(external(tmp_path))
    weight = captured.graph.graph.initializers["w"].const_value
    assert weight is not None
    np.testing.assert_array_equal(weight.numpy(), WEIGHT)
    (tmp_path / "net.data").unlink()
    np.testing.assert_array_equal(weight.numpy(), WEIGHT)


@pytest.mark.parametrize("location", ["../secret", "/etc/hostname", "link", "", "sub/../net.data"])
def test_external_data_elsewhere(tmp_path: Path, refused: Refused, location: str) -> None:
    (tmp_path / "secret").write_bytes(bytes(10_000))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    error = refused(external(folder, location))
    assert (error.code, error.exit) == ("EK112", Exit.REFUSED)


@pytest.mark.parametrize(
    "entries",
    [
        {"location": "missing.data"},
        {"offset": "17"},
        {"offset": "-1"},
        {"length": "100000"},
        {"length": "4"},
        {"length": "many"},
    ],
)
def test_external_data_that_does_not_fit(tmp_path: Path, refused: Refused, entries: dict[str, str]) -> None:
    assert refused(external(tmp_path, **entries)).code == "EK113"


def test_a_published_file(shared: Path) -> None:
    file = shared / "data" / "reference_models" / "slim320_nopost.onnx"
    captured = take(file)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of weights among the inputs
    image = np.random.default_rng(0).uniform(-1, 1, (1, 3, 240, 320)).astype(np.float32)
    before = onnxruntime.InferenceSession(file, options).run(["scores", "boxes"], {"input": image})
    for name, expected in zip(("scores", "boxes"), before, strict=True):
        np.testing.assert_allclose(run_graph(captured, {"input": image})[name], expected, rtol=1e-4, atol=1e-5)


def test_the_first_scan(tmp_path: Path, refused: Refused) -> None:
    """Its converter takes an axis off the model's inputs."""
    rows = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (2,)) for name in ("s", "r", "t", "o")]
    step = [helper.make_node("Add", ["s", "r"], ["t"]), helper.make_node("Identity", ["t"], ["o"])]
    scan = helper.make_node(
        "Scan", ["", "z", "x"], ["e", "y"], num_scan_inputs=1, body=helper.make_graph(step, "b", rows[:2], rows[2:])
    )
    shapes = {"z": (1, 2), "x": (1, 3, 2), "e": (1, 2), "y": (1, 3, 2)}
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    graph = helper.make_graph([scan], "g", values[:2], values[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 8)], ir_version=3)
    error = refused(saved(model, tmp_path))
    assert (error.code, "Scan" in error.why) == ("EK210", True)
