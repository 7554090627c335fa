import numpy as np
import onnx
import pytest

from edgekit.errors import EdgekitError
from edgekit.quantize.observe import Statistics, check_finite, check_not_all_zero, observable
from tests.models import graph, node
from tests.quantize.test_ranges import statistics

MODEL = graph({"x": (1, 4)}, [node("Neg", ["x"], ["a"]), node("Relu", ["a"])])


def test_values_become_outputs_once():
    names = [value.name for value in onnx.load_from_string(observable(MODEL, ["x", "a", "y"])).graph.output]
    assert names == ["y", "a"]
    assert len(MODEL.graph.outputs) == 1


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(bad):
    with pytest.raises(EdgekitError, match="1 of its 3 values") as refused:
        check_finite({"x": statistics([1.0, 2.0]), "a": statistics([1.0, 2.0, bad])})
    assert refused.value.code == "EK411"
    assert "'a'" in refused.value.what


def test_the_largest_numbers_pass():
    check_finite({"x": statistics([3.4e38, -3.4e38, 0.0, -0.0])})


def test_an_input_of_zeros_is_refused():
    with pytest.raises(EdgekitError, match="only zeros in 7 samples") as refused:
        check_not_all_zero(MODEL, {"x": statistics([0.0, -0.0])}, 7)
    assert refused.value.code == "EK412"


def test_zeros_inside_pass():
    check_not_all_zero(MODEL, {"x": statistics([0.0, 1.0]), "a": statistics([0.0])}, 7)


def test_parts_add_up():
    parts = [statistics([-1.0, 2.0]), statistics([0.5]), statistics([-3.0])]
    merged, whole = Statistics.merged(parts), statistics([-1.0, 2.0, 0.5, -3.0])
    assert (merged.low, merged.high) == (whole.low, whole.high)
    assert np.array_equal(merged.counts, whole.counts)
