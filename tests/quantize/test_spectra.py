import numpy as np
import pytest

from edgekit.quantize import spectra
from edgekit.quantize.assign import assign
from tests.models import graph, node, weights
from tests.quantize.steps import observed

AUDIO = {"x": (1, 1, 64)}
CONSTANTS = {
    "stft": weights(10, 1, 16),
    "mel": weights(4, 5, 1),
    "k": weights(3, 4, 3),
    "wide": weights(3, 5, 3),
    "w": weights(6, 64),
    "least": np.float32(1e-6),
    "two": np.float32(2),
    "half": np.float32(0.5),
    "front": np.array([0]),
    "middle": np.array([5]),
    "back": np.array([10]),
    "channels": np.array([1]),
}
FILTERED = [
    node("Conv", ["x", "stft"], ["s"], strides=[8]),
    node("Slice", ["s", "front", "middle", "channels"], ["re"]),
    node("Slice", ["s", "middle", "back", "channels"], ["im"]),
    node("Mul", ["re", "re"], ["re2"]),
    node("Mul", ["im", "im"], ["im2"]),
    node("Add", ["re2", "im2"], ["power"]),
]
MEL = [node("Conv", ["power", "mel"], ["m"]), node("Clip", ["m", "least"], ["c"]), node("Log", ["c"], ["l"])]


def kept(nodes, inputs=AUDIO):
    """The names of the ops in float, and the reasons."""
    used = {name for made in nodes for name in made.input}
    model = graph(inputs, nodes, {name: array for name, array in CONSTANTS.items() if name in used})
    plan = assign(model)
    return {name.removeprefix("node_") for name in plan.kept_float}, set(plan.kept_float.values()), plan, model


def test_a_magnitude_is_taken_in_float():
    names, reasons, plan, model = kept([*FILTERED, node("Sqrt", ["power"], ["l"]), node("Conv", ["l", "wide"])])
    assert names == {"s", "re", "im", "re2", "im2", "power", "l"}
    assert spectra.REASON in reasons and plan.int8_nodes == {"node_y"}
    assert [group.name for group in plan.groups] == ["l", "y"]  # nobody rounds the signal
    observed(model).quantized()


def test_a_log_mel_spectrum_is_taken_in_float():
    names, _, plan, _ = kept([*FILTERED, *MEL, node("Conv", ["l", "k"])])
    assert names == {"s", "re", "im", "re2", "im2", "power", "m", "c", "l"}
    assert plan.int8_nodes == {"node_y"}


def test_magnitudes_that_come_in_are_filtered_in_float():
    names, _, _, _ = kept([*MEL, node("Conv", ["l", "k"])], {"power": (1, 5, 12)})
    assert names == {"m", "c", "l"}


@pytest.mark.parametrize(("exponent", "root"), [("half", True), ("two", False)])
def test_a_power_below_one_is_a_root(exponent, root):
    names, _, _, _ = kept([node("Conv", ["x", "stft"], ["s"]), node("Pow", ["s", exponent])])
    assert names == ({"s", "y"} if root else {"y"})


FILTER = node("Conv", ["x", "stft"], ["s"])
OTHERS = {
    "an activation": [FILTER, node("Relu", ["s"], ["r"]), node("Log", ["r"])],
    "another reader": [FILTER, node("Sqrt", ["s"], ["r"]), node("Add", ["r", "s"])],
    "no root": [FILTER, node("Mul", ["s", "s"])],
    "rounded before": [node("Relu", ["x"], ["r"]), node("Conv", ["r", "stft"], ["s"]), node("Log", ["s"])],
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_filters_stay_in_int8(name):
    _, reasons, plan, _ = kept(OTHERS[name])
    assert spectra.REASON not in reasons
    assert {made.name for made in OTHERS[name] if made.op_type == "Conv"} <= plan.int8_nodes
