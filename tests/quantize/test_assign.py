import numpy as np
import onnx_ir as ir
import pytest

from edgekit.errors import EdgekitError
from edgekit.quantize import reasons
from edgekit.quantize.assign import assign
from edgekit.quantize.scheme import FIXED_SCALES
from tests.lower.tflite.graphs import Graph
from tests.models import graph, node, weights

PLANE = {"x": (1, 4, 6, 6)}
W = {"w": weights(4, 4, 1, 1)}


def plan(nodes, constants=None, inputs=PLANE, outputs=("y",), keep_float=()):
    return assign(graph(inputs, nodes, constants, outputs), keep_float)


def groups(*args, **kwargs):
    return {group.values: group.observed for group in plan(*args, **kwargs).groups}


def conv(x, y):
    return node("Conv", [x, "w"], [y])


def test_ops_that_compute_choose_their_own_scale():
    nodes = [conv("x", "a"), node("LeakyRelu", ["a"], ["b"]), node("Add", ["a", "b"])]
    assert groups(nodes, W) == {(v,): (v,) for v in "xaby"}


@pytest.mark.parametrize(
    "move",
    [
        node("Transpose", ["x"], perm=[0, 2, 3, 1]),
        node("MaxPool", ["x"], kernel_shape=[2, 2]),
        node("DepthToSpace", ["x"], blocksize=2),
        node("Pad", ["x", "p"]),
        node("Slice", ["x", "one", "two"]),
    ],
    ids=lambda move: move.op_type,
)
def test_ops_that_move_share_their_inputs_scale(move):
    constants = {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "one": np.array([1]), "two": np.array([2])}
    used = {name: constants[name] for name in move.input[1:]}
    assert groups([move], used) == {("x", "y"): ("x",)}


def test_both_halves_of_a_split_share():
    nodes = [node("Split", ["x"], ["a", "b"], axis=1, num_outputs=2), node("Mul", ["a", "b"])]
    assert groups(nodes) == {("x", "a", "b"): ("x",), ("y",): ("y",)}


def test_a_concatenation_shares_with_all():
    nodes = [conv("x", "a"), node("Relu", ["x"], ["b"]), node("Concat", ["a", "b"], axis=1)]
    assert groups(nodes, W) == {("x",): ("x",), ("a", "b", "y"): ("a", "b")}


@pytest.mark.parametrize("op", ["Sigmoid", "Tanh", "HardSigmoid"])
def test_gates_have_a_fixed_scale(op):
    found = plan([node(op, ["x"])]).group_of["y"]
    assert found.fixed == FIXED_SCALES[op]


def test_a_fixed_scale_goes_along_with_what_moves_it():
    found = plan([node("Sigmoid", ["x"], ["s"]), node("Transpose", ["s"], perm=[0, 2, 3, 1])])
    assert found.group_of["y"].fixed == FIXED_SCALES["Sigmoid"]


def test_a_fixed_scale_does_not_crush_its_neighbours():
    nodes = [
        conv("x", "a"),
        node("Sigmoid", ["x"], ["s"]),
        node("Concat", ["a", "s"], ["c"], axis=1),
        node("Relu", ["c"]),
    ]
    found = plan(nodes, W)
    assert found.group_of["s"].fixed == FIXED_SCALES["Sigmoid"]
    assert found.group_of["c"].values == ("a", "c")
    assert found.group_of["c"].observed == ("a", "c"), "what the sigmoid adds must count"


def test_constants_that_are_moved_along_count():
    nodes = [conv("x", "a"), node("Concat", ["a", "c"], axis=1)]
    assert groups(nodes, {**W, "c": weights(1, 4, 6, 6)})["a", "y"] == ("a", "y")


@pytest.mark.parametrize(
    ("moves", "rows"),
    [
        ([node("Gather", ["table", "i"], ["e"])], 10),
        ([node("Shape", ["x"], ["s"]), node("Expand", ["table", "s"], ["e"])], 1),
    ],
    ids=["Gather", "Expand"],
)
def test_what_is_moved_out_of_a_constant_alone_counts(moves, rows):
    """Nothing before it was observed: a table's rows beside the data would otherwise be cut to the data's range."""
    inputs = {"x": (1, 4), "i": (1,)}
    nodes = [*moves, node("Concat", ["e", "x"], axis=1)]
    case = Graph(inputs, nodes, {"table": weights(rows, 4)}, int64_inputs={"i": rows})
    found = {group.values: group.observed for group in assign(ir.from_proto(case.model())).groups}
    assert found == {("x", "e", "y"): ("x", "e")}


@pytest.mark.parametrize(("number", "counts"), [(0.0, False), (9.0, True), (-np.inf, False)])
def test_the_number_of_a_pad_counts(number, counts):
    constants = {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "c": np.float32(number)}
    assert groups([node("Pad", ["x", "p", "c"])], constants) == {("x", "y"): ("x", "y") if counts else ("x",)}


@pytest.mark.parametrize(("mode", "counts"), [("cubic", True), ("linear", False), ("nearest", False)])
def test_a_cubic_resize_goes_beyond_its_input(mode, counts):
    nodes = [node("Resize", ["x", "", "s"], mode=mode)]
    found = groups(nodes, {"s": np.array([1, 1, 2, 2], np.float32)})
    assert found == {("x", "y"): ("x", "y") if counts else ("x",)}


def test_a_pad_with_a_number_does_not_bind_a_gate():
    constants = {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "c": np.float32(9)}
    found = plan([node("Sigmoid", ["x"], ["s"]), node("Pad", ["s", "p", "c"])], constants)
    assert found.group_of["y"].fixed is None


@pytest.mark.parametrize("op", ["Conv", "Add", "GlobalAveragePool"])
@pytest.mark.parametrize("clamp", [node("Relu", ["a"]), node("Clip", ["a", "low"])], ids=lambda c: c.op_type)
def test_a_clamp_is_the_saturation_of_the_op_before_it(op, clamp):
    first = {"Conv": conv("x", "a"), "Add": node("Add", ["x", "x"], ["a"])}.get(op, node(op, ["x"], ["a"]))
    used = {**(W if op == "Conv" else {}), **({"low": np.float32(0)} if clamp.op_type == "Clip" else {})}
    found = plan([first, clamp], used)
    assert found.clamps == {"y": "a"}
    assert found.group_of["y"].values == ("a", "y")
    assert found.group_of["y"].observed == ("y",), "what the clamp cuts off must not widen the range"


def test_a_clamp_is_an_op_where_others_read_its_input():
    assert plan([conv("x", "a"), node("Relu", ["a"], ["r"]), node("Add", ["a", "r"])], W).clamps == {}
    assert plan([conv("x", "a"), node("Relu", ["a"])], W, outputs=("y", "a")).clamps == {}
    assert plan([node("Relu", ["x"])]).clamps == {}


@pytest.mark.parametrize(
    ("nodes", "constants", "reason"),
    [
        ([node("Erf", ["x"])], {}, "no INT8 form of Erf"),
        ([node("Conv", ["x", "x"])], {}, "its weights or bias are computed, not constant"),
        ([node("ReduceMax", ["x"], ["m"], keepdims=0), node("Clip", ["x", "", "m"])], {}, "its bounds are computed"),
        ([node("PRelu", ["x", "x"])], {}, "its slopes are computed, not constant"),
        ([node("Erf", ["x"], ["e"]), node("Flatten", ["e"])], {}, "no INT8 form of Flatten"),
        ([node("Erf", ["x"], ["e"]), node("Transpose", ["e"], perm=[0, 1, 3, 2])], {}, "only moves float values"),
        ([node("Cast", ["x"], ["i"], to=7), node("Cast", ["i"], ["f"], to=1), node("Relu", ["f"])], {}, "no INT8 form"),
        ([node("Shape", ["x"], ["s"]), node("Cast", ["s"], to=1)], {}, "no INT8 form of Cast"),
    ],
)
def test_every_float_op_has_its_reason(nodes, constants, reason):
    inputs = {"x": (1, 4, 4, 4)} if nodes[0].op_type == "Conv" else PLANE
    found = assign(graph(inputs, nodes, constants))
    assert any(why.startswith(reason) for why in found.kept_float.values())
    assert not found.int8_nodes & set(found.kept_float)


@pytest.mark.parametrize(("places", "floats"), [(16, []), (17, ["node_s"])])
@pytest.mark.parametrize("times_values", [False, True])
def test_a_softmax_over_many_places_that_is_summed_stays_float(places, floats, times_values):
    weighed = node("Mul", ["s", "x"], ["m"]) if times_values else node("Reshape", ["s", "shape"], ["m"])
    nodes = [node("Softmax", ["x"], ["s"], axis=-1), weighed, node("ReduceSum", ["m", "axes"], keepdims=0)]
    constants = {"axes": np.array([2])} | ({} if times_values else {"shape": np.array([1, 2, places])})
    assert list(assign(graph({"x": (1, 2, places)}, nodes, constants)).kept_float) == floats


def test_indices_are_no_values():
    nodes = [node("MaxPool", ["x"], ["y", "i"], kernel_shape=[2, 2])]
    assert groups(nodes, outputs=("y", "i")) == {("x", "y"): ("x",)}


def test_an_op_that_takes_integers():
    model = graph(PLANE, [node("Shape", ["x"], ["s"]), node("Relu", ["x"])])
    assert assign(model).kept_float == {}


def test_kept_float_on_request():
    found = plan([conv("x", "a"), node("Relu", ["a"])], W, keep_float=["node_a"])
    assert found.kept_float == {"node_a": "kept float on request", "node_y": reasons.CLAMPS_FLOATS}
    assert found.clamps == {}
    assert found.int8_nodes == frozenset()


def test_a_node_that_is_not_there_cannot_be_kept():
    with pytest.raises(EdgekitError, match="did you mean 'node_a'") as caught:
        plan([conv("x", "a"), node("Relu", ["a"])], W, keep_float=["nodea"])
    assert caught.value.code == "EK414"


def test_what_can_be_kept_is_named_where_no_name_is_near():
    nodes = [node("Relu", ["x"], [f"v{i}"]) for i in range(8)]
    with pytest.raises(EdgekitError) as caught:
        plan([*nodes, node("Relu", ["v0"])], [], keep_float=["features.7"])
    assert caught.value.fix.startswith("name one of its nodes: 'node_v0', 'node_v1', ")
    assert caught.value.fix.endswith(" and 3 more, which the float ONNX file shows")
