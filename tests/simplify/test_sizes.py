import numpy as np
import onnx_ir as ir
import pytest

from edgekit.graph import facts
from edgekit.simplify.shapes import canonical_shapes
from edgekit.simplify.sizes import sizes_of
from tests.models import graph, node
from tests.simplify.keeps import kept

# What torch writes behind a recurrent layer: y (T, B, D, H) becomes (T, B, D H).
MODEL = graph(
    {"x": (2, 3, 2, 4)},
    [
        node("Shape", ["x"], ["shape"]),
        *(node("Slice", ["shape", f"n{i}", f"n{i + 1}"], [f"size{i}"]) for i in range(4)),
        node("Mul", ["size2", "size3"], ["product"]),
        node("Reshape", ["product", "flat"], ["merged"]),
        node("Concat", ["size0", "size1", "merged"], ["target"], axis=0),
        node("Reshape", ["x", "target"], ["y"]),
    ],
    {**{f"n{i}": np.array([i]) for i in range(5)}, "flat": np.array([-1])},
)


def test_sizes_are_read_off_the_graph():
    target = next(n.inputs[1] for n in MODEL.graph if n.name == MODEL.graph[-1].name)
    first, *rest = sizes_of(target)
    assert isinstance(first, str) and rest == [3, 8]


def test_what_depends_on_data_is_not_known():
    model = graph({"x": (2, 4)}, [node("Cast", ["x"], ["y"], to=ir.DataType.INT64)])
    assert sizes_of(model.graph.outputs[0]) is None


def test_a_reshape_to_computed_sizes_gets_a_constant_shape():
    simple = kept(MODEL, canonical_shapes(MODEL))
    reshape = simple.graph[-1]
    assert facts.constant(reshape.inputs[1]).tolist() == [-1, 3, 8]


@pytest.mark.parametrize(("to", "known"), [("INT64", True), ("INT32", True), ("BOOL", False), ("INT8", False)])
def test_a_cast_keeps_sizes_where_it_holds_them(to, known):
    nodes = [
        node("Shape", ["x"], ["s"], start=1),
        node("Cast", ["s"], ["c"], to=ir.DataType[to]),
        node("Cast", ["c"], to=ir.DataType.INT64),
    ]
    model = graph({"x": (2, 3, 200)}, nodes)
    assert sizes_of(model.graph.outputs[0]) == ([3, 200] if known else None)


@pytest.mark.parametrize(("op", "by", "found"), [
    ("Add", 1, [4, 201]), ("Sub", 1, [2, 199]), ("Div", 2, [1, 100]), ("Div", 0, None), ("Div", -2, None),
])  # fmt: skip
def test_arithmetic_with_sizes(op, by, found):
    model = graph({"x": (2, 3, 200)}, [node("Shape", ["x"], ["s"], start=1), node(op, ["s", "n"])], {"n": np.array(by)})
    assert sizes_of(model.graph.outputs[0]) == found


@pytest.mark.parametrize("op", ["Add", "Sub", "Div"])
def test_an_open_batch_is_kept_out_of_sums(op):
    model = graph({"x": (2, 3)}, [node("Shape", ["x"], ["s"], end=1), node(op, ["s", "n"])], {"n": np.array([2])})
    assert sizes_of(model.graph.outputs[0]) is None
