import numpy as np
import pytest

from edgekit.graph import facts
from edgekit.simplify import tidy
from edgekit.simplify.shapes import _factor, canonical_shapes
from tests.models import graph, node, ops, weights
from tests.simplify.keeps import kept

PLANE = {"x": (1, 4, 6, 8)}


def canonical(nodes, constants=None, inputs=PLANE):
    model = graph(inputs, nodes, constants)
    return kept(model, canonical_shapes(model))


def integers(*numbers):
    return np.array(numbers, np.int64)


@pytest.mark.parametrize(
    ("one", "constants", "shape"),
    [
        (node("Flatten", ["x"]), {}, (-1, 192)),
        (node("Unsqueeze", ["x", "a"]), {"a": integers(1)}, (-1, 1, 4, 6, 8)),
        (node("Reshape", ["x", "a"]), {"a": integers(0, 4, -1)}, (-1, 4, 48)),
        (node("Reshape", ["x", "a"]), {"a": integers(-1, 8)}, (-1, 8)),
    ],
    ids=["Flatten", "Unsqueeze", "Reshape", "into rows"],
)
def test_reshaping_has_one_form(one, constants, shape):
    (reshape,) = canonical([one], constants).graph
    assert reshape.op_type == "Reshape"
    assert tuple(facts.constant(reshape.inputs[1])) == shape


def test_a_squeeze():
    nodes = [node("ReduceMax", ["x", "a"], ["m"]), node("Squeeze", ["m", "a"])]
    assert ops(canonical(nodes, {"a": integers(2, 3)})) == ["ReduceMax", "Reshape"]


def test_a_computed_shape_becomes_a_constant():
    nodes = [node("Shape", ["z"], ["s"]), node("Reshape", ["x", "s"])]
    model = graph({"x": (1, 4, 6), "z": (1, 6, 4)}, nodes)
    reshape = next(made for made in kept(model, canonical_shapes(model)).graph if made.op_type == "Reshape")
    assert tuple(facts.constant(reshape.inputs[1])) == (-1, 6, 4)


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("axes", [(2, 3), (-1, -2), (-2, 3)], ids=str)
def test_a_mean_over_the_plane_is_a_pool(axes, keepdims):
    after = canonical([node("ReduceMean", ["x", "a"], keepdims=keepdims)], {"a": integers(*axes)})
    assert ops(after) == ["GlobalAveragePool", "Reshape"][: 2 - keepdims]


@pytest.mark.parametrize("axes", [(1, 2, 3), (2,), (1, 2)], ids=str)
def test_a_mean_over_other_axes_stays(axes):
    assert ops(canonical([node("ReduceMean", ["x", "a"])], {"a": integers(*axes)})) == ["ReduceMean"]


def test_a_pool_over_the_whole_plane():
    assert ops(canonical([node("AveragePool", ["x"], kernel_shape=[6, 8])])) == ["GlobalAveragePool"]


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_shape": [6, 8], "auto_pad": "SAME_UPPER"},
        {"kernel_shape": [6, 8], "pads": [1, 1, 1, 1]},
        {"kernel_shape": [3, 8]},
    ],
    ids=str,
)
def test_a_pool_over_less_or_more_stays(settings):
    assert ops(canonical([node("AveragePool", ["x"], **settings)])) == ["AveragePool"]


def test_slices_along_different_axes_become_one():
    nodes = [
        node("Slice", ["x", "s", "e", "a", "back"], ["r"]),
        node("Slice", ["r", "s1", "e1", "a1"], ["t"]),
        node("Slice", ["t", "s1", "e2", "a2", "two"]),
    ]
    constants = {
        **{"s": integers(-1), "e": integers(-100), "a": integers(-1), "back": integers(-2), "two": integers(2)},
        **{"s1": integers(1), "e1": integers(2**62), "a1": integers(1), "e2": integers(-1), "a2": integers(2)},
    }
    assert ops(canonical(nodes, constants)) == ["Slice"]


def test_slices_without_axes_and_steps():
    nodes = [node("Slice", ["x", "s", "e"], ["r"]), node("Slice", ["r", "s3", "e3", "a3"])]
    constants = {"s": integers(0, 1), "e": integers(100, 3), "s3": integers(2), "e3": integers(7), "a3": integers(3)}
    assert ops(canonical(nodes, constants)) == ["Slice"]


def test_slices_along_the_same_axis_stay():
    nodes = [node("Slice", ["x", "s", "e", "a"], ["r"]), node("Slice", ["r", "s", "e", "a"])]
    constants = {"s": integers(1), "e": integers(6), "a": integers(3)}
    assert ops(canonical(nodes, constants)) == ["Slice", "Slice"]


def test_a_slice_that_others_read_stays():
    nodes = [
        node("Slice", ["x", "s", "e", "a"], ["r"]),
        node("Slice", ["r", "s", "e", "b"], ["t"]),
        node("ReduceMax", ["r", "all"], ["m"]),
        node("Add", ["t", "m"]),
    ]
    constants = {"s": integers(1), "e": integers(3), "a": integers(2), "b": integers(3), "all": integers(2, 3)}
    assert ops(canonical(nodes, constants)) == ["Slice", "Slice", "ReduceMax", "Add"]


def test_a_name_that_a_constant_would_take():
    nodes = [node("Conv", ["x", "w"], ["y_shape"]), node("Flatten", ["y_shape"])]
    model = graph(PLANE, nodes, {"w": weights(4, 4, 1, 1)})
    assert ops(kept(model, tidy(canonical_shapes(model)))) == ["Conv", "Reshape"]


@pytest.mark.parametrize(("size", "expected"), [((12, 16), (2.0, 2.0)), ((7, 20), (7 / 6, 2.5))], ids=str)
def test_a_resize_to_sizes_with_the_batch_in_them_gets_factors(size, expected):
    nodes = [
        node("Shape", ["x"], ["s"], start=0, end=2),
        node("Concat", ["s", "plane"], ["sizes"], axis=0),
        node("Resize", ["x", "", "", "sizes"], mode="linear"),
    ]
    model = tidy(graph(PLANE, nodes, {"plane": integers(*size)}))
    after = tidy(kept(model, canonical_shapes(model)))
    assert ops(after) == ["Resize"]
    np.testing.assert_allclose(facts.constant(after.graph[0].inputs[2]), (1, 1, *expected), rtol=1e-6)


@pytest.mark.parametrize("size", range(1, 40))
def test_no_reader_of_a_factor_loses_a_row(size):
    """ONNX multiplies in float64, ONNX Runtime in float32."""
    for result in range(1, 90):
        factor = _factor(size, result)
        assert factor == pytest.approx(result / size, rel=3e-7)
        assert np.floor(float(factor) * size) == np.floor(factor * np.float32(size)) == result


FLOOR = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}


@pytest.mark.parametrize(("plane", "by_factors"), [((7, 8), True), ((7, 20), True), ((14, 16), False)], ids=str)
def test_nearest_gets_factors_only_where_they_take_the_same_pixels(plane, by_factors):
    """The seventh of 14 rows is the third of 6, or the one before where 14 / 6 is rounded up."""
    nodes = [
        node("Shape", ["x"], ["s"], start=0, end=2),
        node("Concat", ["s", "plane"], ["sizes"], axis=0),
        node("Resize", ["x", "", "", "sizes"], **FLOOR),
    ]
    model = tidy(graph(PLANE, nodes, {"plane": integers(*plane)}))
    assert (ops(tidy(kept(model, canonical_shapes(model)))) == ["Resize"]) is by_factors


@pytest.mark.parametrize("settings", [{}, {"coordinate_transformation_mode": "tf_half_pixel_for_nn"}], ids=str)
def test_a_resize_by_one_goes(settings):
    factors = {"s": np.ones(4, np.float32)}
    nodes = [node("Relu", ["x"], ["r"]), node("Resize", ["r", "", "s"], nearest_mode="ceil", **settings)]
    assert ops(canonical(nodes, factors)) == (["Relu", "Resize"] if settings else ["Relu"])


CROP = {"coordinate_transformation_mode": "tf_crop_and_resize"}


@pytest.mark.parametrize(
    ("settings", "by_factors"), [(CROP, True), ({"keep_aspect_ratio_policy": "not_larger"}, False)]
)
def test_a_resize_keeps_its_region_and_its_policy(settings, by_factors):
    nodes = [
        node("Shape", ["x"], ["s"], start=0, end=2),
        node("Concat", ["s", "plane"], ["sizes"], axis=0),
        node("Resize", ["x", "region", "", "sizes"], mode="linear", **settings),
    ]
    region = np.array([0, 0, 0.2, 0.1, 1, 1, 0.9, 0.7], np.float32)
    model = tidy(graph(PLANE, nodes, {"plane": integers(12, 16), "region": region}))
    after = tidy(kept(model, canonical_shapes(model)))
    assert (ops(after) == ["Resize"]) is by_factors


def test_a_mean_of_another_type_stays():
    """What is written instead is float32."""
    nodes = [node("Cast", ["x"], ["i"], to=6), node("ReduceMean", ["i", "a"])]
    assert ops(canonical(nodes, {"a": integers(2, 3)})) == ["Cast", "ReduceMean"]
