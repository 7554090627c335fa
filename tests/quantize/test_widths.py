"""Ops on int16 activations: what is kept in how many bits, and that both files compute it."""

import numpy as np
import pytest

from edgekit.errors import EdgekitError
from edgekit.graph import facts
from edgekit.lower.onnx import to_onnx
from edgekit.lower.tflite import to_tflite
from edgekit.lower.tflite.read import INT8_KERNELS, INT16_KERNELS
from edgekit.quantize.assign import RULES, Scale, assign
from edgekit.quantize.scheme import FIXED_INT16_SCALES
from edgekit.quantize.widths import NO_INT16_KERNEL, WITHOUT_KERNEL
from edgekit.run.litert import Interpreter
from tests.models import graph, node, run, weights
from tests.quantize.steps import observed

PLANE = {"x": (1, 4, 8, 8)}
W, B = weights(4, 4, 3, 3), weights(4, seed=1)
FINER_DB = 20  # what remains is the rounding of the weights and, in int8 ops, of activations: 40 dB and more
# One flipped step of int8 in the middle of the net, seen at its end.
AGREE_SHARE = 0.02


def plan(nodes, constants=None, int16=(), outputs=("y",), keep_float=()):
    return assign(graph(PLANE, nodes, constants, outputs), keep_float, int16)


def kept(found):
    """The values of each group, by the type in which they are kept."""
    return {dtype: [g.values for g in found.groups if g.dtype == dtype] for dtype in (np.int8, np.int16)}


def conv(x, y):
    return node("Conv", [x, "w"], [y], pads=[1] * 4)


def test_an_int16_op_makes_int16_values_and_takes_int8_ones():
    found = plan([conv("x", "a"), conv("a", "b"), conv("b", "y")], {"w": W}, int16=["node_b"])
    assert found.int16_nodes == {"node_b"}
    assert found.int8_nodes == {"node_a", "node_y"}
    assert kept(found) == {np.int8: [("x",), ("a",), ("b",), ("y",)], np.int16: [("b",)]}
    assert found.group_of["b"].dtype == np.int16


def test_the_same_value_is_read_in_two_widths():
    model = graph(PLANE, [conv("x", "a"), conv("a", "b"), node("Add", ["a", "b"])], {"w": W})
    found = assign(model, int16=["node_a", "node_y"])
    _, second, add = model.graph
    assert found.group_read(second, "a").dtype == np.int8
    assert found.group_read(add, "a").dtype == np.int16
    assert found.group_read(add, "b").dtype == np.int8, "an int16 op takes int8 values as they are"
    assert len({group.name for group in found.groups}) == len(found.groups)


def test_an_input_is_kept_in_16_bits_where_one_reader_wants_them():
    found = plan([conv("x", "a"), conv("x", "b"), node("Add", ["a", "b"])], {"w": W}, int16=["node_a"])
    assert found.group_of["x"].dtype == np.int16
    turn = {"perm": [0, 2, 3, 1]}
    turned = [node("Transpose", ["x"], ["t"], **turn), node("Transpose", ["r"], ["u"], **turn)]
    moved = plan([node("Relu", ["x"], ["r"]), *turned, node("Add", ["t", "u"])], int16=["node_y"])
    assert moved.group_of["x"].dtype == moved.group_of["t"].dtype == np.int16
    assert moved.group_of["u"].dtype == np.int8, "what an int8 op made gains nothing"


def test_moves_and_clamps_go_along():
    nodes = [conv("x", "a"), node("Relu", ["a"], ["r"]), node("MaxPool", ["r"], kernel_shape=[2, 2])]
    found = plan(nodes, {"w": W}, int16=["node_a"])
    assert found.int16_nodes == {"node_a", "node_r", "node_y"}
    assert plan(nodes, {"w": W}, int16=["node_r", "node_y"]).int16_nodes == frozenset()


def test_a_concatenation_carries_the_widest():
    nodes = [conv("x", "a"), conv("x", "b"), node("Concat", ["a", "b"], axis=1)]
    found = plan(nodes, {"w": W}, int16=["node_a"])
    assert found.int16_nodes == {"node_a", "node_y"}
    assert found.group_of["y"].values == ("a", "y")
    assert found.group_of["y"].observed == ("a", "y"), "what comes from the int8 one must count"


@pytest.mark.parametrize("op", ["Sigmoid", "Tanh", "HardSigmoid", "Softmax"])
def test_gates_have_a_fixed_scale(op):
    assert plan([node(op, ["x"])], int16=["node_y"]).group_of["y"].fixed == FIXED_INT16_SCALES[op]


def test_the_softmax_of_attention_is_fine_enough_in_int16():
    nodes = [node("Softmax", ["x"], ["s"], axis=3), node("MatMul", ["s", "x"])]
    assert "too coarse" in plan(nodes).kept_float["node_s"]
    assert plan(nodes, int16=["node_s"]).int16_nodes == {"node_s"}


def test_an_op_without_a_kernel_goes_to_float():
    found = plan([conv("x", "a"), node("HardSwish", ["a"])], {"w": W}, int16=["node_a", "node_y"])
    assert found.kept_float == {"node_y": NO_INT16_KERNEL}


def test_both_floors_know_the_same_kernels():
    computing = {op for op, rule in RULES.items() if rule is not Scale.SHARED}
    assert computing & (INT8_KERNELS - INT16_KERNELS) == WITHOUT_KERNEL


def test_an_unknown_name_is_refused():
    with pytest.raises(EdgekitError, match="did you mean 'node_y'"):
        plan([conv("x", "y")], {"w": W}, int16=["nodey"])


NET = [
    node("Conv", ["x", "w", "b"], ["a"], pads=[1] * 4),
    node("Relu", ["a"], ["r"]),
    node("Conv", ["r", "w", "b"], ["c"], pads=[1] * 4),
    node("Add", ["c", "x"], ["s"]),
    node("Clip", ["s", "low", "high"], ["t"]),
    node("MaxPool", ["t"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
    node("Sigmoid", ["m"], ["g"]),
    node("Mul", ["m", "g"], ["h"]),
    node("HardSigmoid", ["h"], ["q"], alpha=1 / 6, beta=0.5),
    node("Concat", ["h", "q", "k"], ["u"], axis=1),
    node("DepthToSpace", ["u"], ["d"], blocksize=2, mode="CRD"),
    node("GlobalAveragePool", ["d"], ["p"]),
    node("Reshape", ["p", "shape"], ["f"]),
    node("Gemm", ["f", "v"], ["z"]),
    node("Softmax", ["z"], ["y"], axis=1),
]
CONSTANTS = {
    **{"w": W, "b": B, "v": weights(3, 5), "k": weights(1, 4, 4, 4), "shape": np.array([-1, 3])},
    **{"low": np.float32(-1.3), "high": np.float32(2.1)},
}
NAMES = [proto.name for proto in NET]


@pytest.mark.parametrize(
    "int16", [NAMES, NAMES[:7], NAMES[7:], NAMES[::2], NAMES[1::2], ["node_c"], ["node_h"]], ids=range(7)
)
def test_half_in_int8_and_half_in_int16(int16):
    step = observed(graph(PLANE, NET, CONSTANTS, ("y", "z")), int16=int16)
    model = step.quantized()
    file = to_onnx(model, activations=np.dtype(np.uint8), nhwc=False, io_int8=False, metadata={})
    lite = to_tflite(model, nhwc=False, io_int8=False, metadata={})
    interpreter = Interpreter(lite.data)
    for row in step.rows[:4]:
        real = run(step.model, row)
        fused, plain = run(file.data, row), run(file.data, row, fuse=False)
        found = interpreter.run({spec.name: spec.to_file(row[spec.name]) for spec in lite.inputs})
        for name in real:
            largest = np.abs(real[name]).max()
            for answer in (fused[name], plain[name], found[name]):
                assert np.abs(answer - real[name]).max() < 0.1 * largest
            assert np.abs(fused[name] - plain[name]).max() <= AGREE_SHARE * largest
            assert np.abs(fused[name] - found[name]).max() <= AGREE_SHARE * largest


def test_int16_throughout_loses_no_more_than_the_weights_do():
    step = observed(graph(PLANE, NET[:8], CONSTANTS, ("h",)), int16=NAMES[:8], count=16)
    errors = {}
    for label, model in (("int16", step.quantized()), ("int8", observed(step.model, 16).quantized())):
        errors[label] = sum(np.square(run(model, row)["h"] - run(step.model, row)["h"]).sum() for row in step.rows)
    assert errors["int16"] < 0.5 * errors["int8"]


def test_an_int8_value_is_widened_exactly():
    step = observed(graph(PLANE, [node("Relu", ["x"], ["r"]), node("LeakyRelu", ["r"])]), int16=["node_y"])
    lite = to_tflite(step.quantized(), nhwc=False, io_int8=False, metadata={})
    ops = Interpreter(lite.data).ops()
    widened = [op for op in ops if op.op == "QUANTIZE" and op.operand_dtypes == ("int8",)]
    assert [op.result_dtypes for op in widened] == [("int16",)]
    tensors = {t["name"]: t["quantization"] for t in Interpreter(lite.data)._interpreter.get_tensor_details()}
    (narrow, zero), (wide, none) = (tensors[op] for op in (widened[0].inputs[0], widened[0].outputs[0]))
    assert (np.float32(wide) * 128, none) == (np.float32(narrow), 0)
    assert zero != 0


def test_a_bias_that_32_bits_cannot_hold_widens_the_weights_scale():
    constants = {"w": weights(4, 4, 3, 3, scale=0.001), "b": np.full(4, 100, np.float32)}
    step = observed(graph(PLANE, [node("Conv", ["x", "w", "b"])], constants), int16=["node_y"])
    model = step.quantized()
    conv_node = next(made for made in model.graph if made.op_type == "Conv")
    bias = facts.constant(conv_node.inputs[2].producer().inputs[0])
    assert bias.dtype == np.int32
    assert np.abs(bias).max() <= 2**30
    lite = to_tflite(model, nhwc=False, io_int8=False, metadata={})
    for row in step.rows[:2]:
        real, fused = run(step.model, row)["y"], run(model, row)["y"]
        found = Interpreter(lite.data).run({spec.name: spec.to_file(row[spec.name]) for spec in lite.inputs})["y"]
        step_size = float(step.scales()["y:int16"].scale)
        assert np.abs(fused - real).max() < 3 * step_size
        assert np.abs(found - fused).max() <= 2.1 * step_size
