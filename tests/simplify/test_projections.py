from itertools import pairwise

import numpy as np
import pytest

from edgekit.simplify.batch import settle_shapes
from edgekit.simplify.projections import split_projections
from tests.models import graph, node, ops, weights
from tests.simplify.keeps import kept

TOKENS = {"x": (1, 6, 8)}
CONSTANTS = {
    "w": weights(8, 24),
    "b": weights(24),
    "heads": np.array([-1, 6, 3, 2, 4]),  # three of two heads of four
    "mixed": np.array([-1, 6, 2, 12]),  # two heads of three times four
    **{f"n{i}": np.array([i]) for i in (0, 1, 2, 3, 4, 8, 16, 24)},
    **{f"i{i}": np.array(i) for i in range(3)},
    "sizes": np.array([4, 4, 4]),
}
LAYER = [node("MatMul", ["x", "w"], ["m"]), node("Add", ["m", "b"], ["a"])]


def joined(parts):
    return node("Concat", parts, axis=1)


def sliced(value, starts, axis):
    bounds = pairwise(starts)
    return [node("Slice", [value, f"n{a}", f"n{b}", f"n{axis}"], [f"p{i}"]) for i, (a, b) in enumerate(bounds)]


FORMS = {
    "slices": [*sliced("a", [0, 8, 16, 24], 2), joined(["p0", "p1", "p2"])],
    "slices that leave some out": [*sliced("a", [0, 8, 16], 2), joined(["p0", "p1"])],
    "the axis of three in front": [
        node("Reshape", ["a", "heads"], ["r"]),
        node("Transpose", ["r"], ["t"], perm=[2, 0, 3, 1, 4]),
        *sliced("t", [0, 1, 2, 3], 0),
        joined(["p0", "p1", "p2"]),
    ],
    "picked by number": [
        node("Reshape", ["a", "heads"], ["r"]),
        node("Transpose", ["r"], ["t"], perm=[2, 0, 3, 1, 4]),
        *(node("Gather", ["t", f"i{i}"], [f"p{i}"], axis=0) for i in range(3)),
        joined(["p0", "p1", "p2"]),
    ],
    "split within each head": [
        node("Reshape", ["a", "mixed"], ["r"]),
        node("Transpose", ["r"], ["t"], perm=[0, 2, 1, 3]),
        node("Split", ["t", "sizes"], ["p0", "p1", "p2"], axis=-1),
        joined(["p0", "p1", "p2"]),
    ],
}


@pytest.mark.parametrize("nodes", FORMS.values(), ids=FORMS)
def test_each_part_has_a_product_of_its_own(nodes):
    before = settle_shapes(graph(TOKENS, [*LAYER, *nodes], CONSTANTS))
    after = ops(kept(before, split_projections(before)))
    assert after.count("MatMul") == sum(
        len(n.output) if n.op_type == "Split" else n.op_type != "Concat"
        for n in nodes
        if n.op_type in ("Slice", "Gather", "Split")
    )
    assert not {"Slice", "Gather", "Split"}.intersection(after)


LEFT = {
    "parts that overlap": [
        node("Slice", ["a", "n0", "n16", "n2"], ["p0"]),
        node("Slice", ["a", "n8", "n24", "n2"], ["p1"]),
        joined(["p0", "p1"]),
    ],
    "a value that is also read whole": [
        *sliced("a", [0, 8, 16], 2),
        node("Add", ["a", "a"], ["c"]),
        node("Concat", ["p0", "p1", "c"], axis=2),
    ],
    "tokens": [*sliced("a", [0, 1, 4], 1), joined(["p0", "p1"])],
}


@pytest.mark.parametrize("nodes", LEFT.values(), ids=LEFT)
def test_what_is_left_alone(nodes):
    before = settle_shapes(graph(TOKENS, [*LAYER, *nodes], CONSTANTS))
    assert ops(kept(before, split_projections(before))) == ops(before)
