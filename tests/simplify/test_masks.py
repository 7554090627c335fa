import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto

from edgekit.simplify.masks import canonical_masks
from tests.models import graph, node, ops
from tests.simplify.keeps import kept

ROWS = {"x": (1, 4, 5)}


def canonical(nodes, constants=None):
    model = graph(ROWS, nodes, constants)
    return ops(kept(model, canonical_masks(model)))


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("offset", [None, -1, 2])
def test_a_triangle_is_a_choice_by_a_mask(upper, offset):
    names, constants = (["x"], {}) if offset is None else (["x", "k"], {"k": np.asarray(offset)})
    assert canonical([node("Trilu", names, upper=upper)], constants) == ["Where"]


def test_a_triangle_by_a_computed_offset_stays():
    nodes = [node("Shape", ["x"], ["s"]), node("ReduceMin", ["s"], ["k"], keepdims=0), node("Trilu", ["x", "k"])]
    assert canonical(nodes) == ["Shape", "ReduceMin", "Trilu"]


@pytest.mark.parametrize(("axis", "expected"), [(1, ["Gather"]), (None, ["Compress"])])
def test_to_compress_by_a_constant_is_to_gather(axis, expected):
    condition = {"c": np.asarray([True, False, True])}
    attributes = {} if axis is None else {"axis": axis}
    assert canonical([node("Compress", ["x", "c"], **attributes)], condition) == expected


def test_the_type_of_another_value():
    nodes = [node("Cast", ["x"], ["i"], to=TensorProto.INT32), node("CastLike", ["i", "x"])]
    assert canonical(nodes) == ["Cast", "Cast"]


def test_to_compress_a_line():
    model = graph(ROWS, [node("Compress", ["x", "c"])], {"c": np.asarray([True, False, True])})
    model.graph.inputs[0].shape = ir.Shape([1, 4, 5])
    assert ops(kept(model, canonical_masks(model), batch=1)) == ["Reshape", "Gather"]


def test_an_eye_is_a_constant():
    nodes = [node("Reshape", ["x", "s"], ["r"]), node("EyeLike", ["r"], ["e"], k=1), node("Add", ["x", "e"])]
    model = graph({"x": (4, 5)}, nodes, {"s": np.asarray([4, 5])})
    assert "EyeLike" not in ops(canonical_masks(model))


def test_a_triangle_of_truth_values():
    """ONNX Runtime does not choose from them."""
    assert canonical([node("Cast", ["x"], ["b"], to=TensorProto.BOOL), node("Trilu", ["b"])]) == ["Cast", "And"]
