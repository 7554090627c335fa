import json

import numpy as np
import onnx
import onnxruntime
import pytest

from edgekit import affine
from edgekit.artifact import METADATA_KEY
from edgekit.lower.onnx import to_onnx
from edgekit.run import ort
from tests.models import graph, node, run, weights
from tests.quantize.steps import observed

INT8, UINT8 = np.dtype(np.int8), np.dtype(np.uint8)
PLANE = {"x": (1, 4, 8, 8)}


def network():
    """A residual block with a gate, a classifier, and a second output."""
    nodes = [
        node("Conv", ["x", "w", "b"], ["a"], pads=[1] * 4),
        node("Relu", ["a"], ["r"]),
        node("Conv", ["r", "d", "b"], ["c"], pads=[1] * 4, group=4),
        node("Add", ["c", "x"], ["s"]),
        node("Sigmoid", ["s"], ["g"]),
        node("Mul", ["s", "g"], ["m"]),
        node("Add", ["m", "k"], ["n"]),
        node("GlobalAveragePool", ["n"], ["p"]),
        node("Reshape", ["p", "rows"], ["f"]),
        node("Gemm", ["f", "v", "u"], transB=1),
    ]
    constants = {"w": weights(4, 4, 3, 3), "d": weights(4, 1, 3, 3), "b": weights(4), "k": weights(4, 1, 1)}
    constants |= {"rows": np.array([-1, 4]), "v": weights(5, 4), "u": weights(5)}
    return observed(graph(PLANE, nodes, constants, ("y", "m")))


STEP = network()
QUANTIZED = STEP.quantized()


def lowered(model=QUANTIZED, activations=UINT8, nhwc=False, io_int8=False, metadata=None):
    return to_onnx(model, activations=activations, nhwc=nhwc, io_int8=io_int8, metadata=metadata or {})


def test_the_shift_to_uint8_is_exact():
    signed, unsigned = lowered(activations=INT8), lowered()
    for row in STEP.rows:
        expected, found = run(signed.data, row, fuse=False), run(unsigned.data, row, fuse=False)
        for name in expected:
            assert np.array_equal(found[name], expected[name])


def test_only_weights_and_biases_stay_signed():
    model = onnx.load_from_string(lowered().data)
    kinds = {onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).name for tensor in model.graph.initializer}
    assert kinds == {"float32", "uint8", "int8", "int32", "int64"}
    made = {tensor.name: tensor for tensor in model.graph.initializer}
    for one in model.graph.node:
        if one.op_type == "QuantizeLinear":
            assert made[one.input[2]].data_type == onnx.TensorProto.UINT8
    onnx.checker.check_model(model, full_check=True)


def test_everything_fuses():
    optimized = onnx.load_from_string(ort.optimized(lowered().data))
    found = [one.op_type for one in optimized.graph.node]
    assert not {"Conv", "Gemm", "Add", "Mul", "Sigmoid", "GlobalAveragePool", "FusedConv"} & set(found)
    assert found.count("QLinearConv") == 2
    assert found.count("QGemm") + found.count("QLinearMatMul") == 1


def test_channels_last():
    file = lowered(nhwc=True)
    assert [spec.shape for spec in file.inputs] == [(None, 8, 8, 4)]
    assert {spec.name: spec.axes for spec in (*file.inputs, *file.outputs)} == {
        "x": (0, 2, 3, 1),
        "y": None,
        "m": (0, 2, 3, 1),
    }
    row = STEP.rows[0]
    expected = run(lowered().data, row)
    found = run(file.data, {"x": file.inputs[0].to_file(row["x"])})
    for spec in file.outputs:
        assert np.array_equal(spec.from_file(found[spec.name]), expected[spec.name])


@pytest.mark.parametrize("activations", [INT8, UINT8], ids=str)
@pytest.mark.parametrize("nhwc", [False, True])
def test_integers_in_and_out(activations, nhwc):
    file = lowered(activations=activations, io_int8=True, nhwc=nhwc)
    row = STEP.rows[0]
    expected = run(lowered().data, row)
    found = run(file.data, {"x": file.inputs[0].to_file(row["x"])})
    for spec in file.outputs:
        assert found[spec.name].dtype == INT8 == spec.dtype
        assert np.array_equal(spec.from_file(found[spec.name]), expected[spec.name])
    io = json.loads({p.key: p.value for p in onnx.load_from_string(file.data).metadata_props}[METADATA_KEY])["io"]
    for spec in (*file.inputs, *file.outputs):
        said = io[spec.name]
        assert spec.qparams == affine.QParams(
            np.asarray(np.float32(said["scale"])), said["zero_point"], np.dtype(said["dtype"])
        )


def test_every_integer_crosses_the_border_whole():
    values = np.arange(-128, 128, dtype=np.int8).reshape(1, 4, 8, 8)
    nodes = [node("MaxPool", ["x"], kernel_shape=[1, 1])]
    file = lowered(observed(graph(PLANE, nodes, {})).quantized(), io_int8=True)
    assert file.inputs[0].qparams == file.outputs[0].qparams
    for fuse in (False, True):
        assert np.array_equal(run(file.data, {"x": values}, fuse=fuse)["y"], values)


def test_everything_fuses_between_integers():
    signed = {p: lowered(io_int8=p).data for p in (False, True)}
    found = {p: [n.op_type for n in onnx.load_from_string(ort.optimized(d)).graph.node] for p, d in signed.items()}
    kernels = {
        p: sorted(op for op in ops if op not in ("QuantizeLinear", "DequantizeLinear")) for p, ops in found.items()
    }
    assert kernels[True] == kernels[False]


def test_outputs_of_float_ops_stay_float():
    nodes = [node("Conv", ["x", "w"], ["a"]), node("Erf", ["x"], ["e"]), node("Erf", ["a"])]
    model = observed(graph(PLANE, nodes, {"w": weights(4, 4, 1, 1)}, ("y", "e"))).quantized()
    file = lowered(model, io_int8=True)
    assert [spec.dtype for spec in (*file.inputs, *file.outputs)] == ["int8", "float32", "float32"]
    run(file.data, {"x": file.inputs[0].to_file(STEP.rows[0]["x"])})


def test_a_float_graph_passes_through():
    file = lowered(STEP.model, io_int8=True)
    row = STEP.rows[0]
    assert np.array_equal(run(file.data, row, fuse=False)["y"], run(STEP.model, row, fuse=False)["y"])
    assert [spec.qparams for spec in file.inputs] == [None]


def test_metadata_travels():
    file = lowered(metadata={"labels": ["cat", "dog"]})
    props = onnxruntime.InferenceSession(file.data, providers=["CPUExecutionProvider"]).get_modelmeta()
    assert json.loads(props.custom_metadata_map[METADATA_KEY]) == {"io": {}, "labels": ["cat", "dog"]}
    assert props.producer_name == "edgekit"


def test_the_same_graph_gives_the_same_bytes():
    assert lowered().data == lowered().data


@pytest.mark.parametrize("one", [["w", "x"], ["x", "w"]], ids=str)
def test_a_constant_on_either_side_of_a_product(one):
    step = observed(graph({"x": (1, 6, 6)}, [node("MatMul", one)], {"w": weights(6, 6)}))
    model = step.quantized()
    for row in step.rows[:2]:
        signed, unsigned = (run(lowered(model, kind).data, row, fuse=False)["y"] for kind in (INT8, UINT8))
        assert np.array_equal(signed, unsigned)


def test_a_newer_opset_gets_its_ir_version():
    model = graph({"x": (1, 4)}, [node("Relu", ["x"])]).clone()
    assert onnx.load_from_string(lowered(model).data).ir_version == 10
    model.opset_imports[""] = 24
    assert onnx.load_from_string(lowered(model).data).ir_version == 12
