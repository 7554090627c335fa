import numpy as np
import pytest

from edgekit.graph import facts
from edgekit.simplify.bands import scale_in_place
from tests.models import graph, node, ops, weights
from tests.simplify.keeps import kept

MAP = {"x": ("batch", 4, 10, 3)}
BANDS = {"cut": np.array([0, 20, 2, 3]), "whole": np.array([0, 4, 10, 3])}
NORM = {
    "gamma": weights(20, seed=1),
    "beta": weights(20, seed=2),
    "mean": weights(20, seed=3),
    "variance": np.abs(weights(20, seed=4)) + 0.5,
}
CUT = node("Reshape", ["x", "cut"], ["bands"])
NORMED = node("BatchNormalization", ["bands", "gamma", "beta", "mean", "variance"], ["n"])


def rewritten(nodes, constants, outputs=("y",)):
    made = graph(MAP, nodes, constants, outputs)
    return kept(made, scale_in_place(made))


def test_a_sub_spectral_norm_moves_nothing():
    made = rewritten([CUT, NORMED, node("Reshape", ["n", "whole"])], {**BANDS, **NORM})
    assert ops(made) == ["Mul", "Add"]
    assert facts.constant(next(iter(made.graph)).inputs[1]).shape == (1, 4, 10, 1)


def test_maps_in_a_row_are_one():
    scale, shift = weights(1, 20, 1, 1), weights(20, 1, 1, seed=1)
    nodes = [CUT, node("Mul", ["bands", "s"], ["m"]), node("Sub", ["t", "m"], ["n"]), node("Reshape", ["n", "whole"])]
    assert ops(rewritten(nodes, {**BANDS, "s": scale, "t": shift})) == ["Mul", "Add"]


def test_what_only_scales_adds_nothing():
    nodes = [CUT, node("Mul", ["bands", "s"], ["m"]), node("Reshape", ["m", "whole"])]
    assert ops(rewritten(nodes, {**BANDS, "s": weights(20, 1, 1)})) == ["Mul"]


@pytest.mark.parametrize(
    ("nodes", "constants", "outputs"),
    [
        ([node("Reshape", ["n", "other"])], {"other": np.array([0, 2, 20, 3])}, ("y",)),
        ([node("Relu", ["n"], ["r"]), node("Reshape", ["r", "whole"])], {"whole": BANDS["whole"]}, ("y",)),
        ([node("Reshape", ["n", "whole"])], {"whole": BANDS["whole"]}, ("n", "y")),
    ],
)
def test_what_does_not_come_back_stays(nodes, constants, outputs):
    made = rewritten([CUT, NORMED, *nodes], {"cut": BANDS["cut"], **NORM, **constants}, outputs)
    assert ops(made)[:2] == ["Reshape", "BatchNormalization"]
