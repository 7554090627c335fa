"""What ops lose alone, in a real runtime."""

from itertools import pairwise

import numpy as np
import pytest

from edgekit.progress import SILENT
from edgekit.quantize.sensitivity import CEILING_DB, in_db, sensitivities
from edgekit.run.crew import crew
from tests.models import graph, node, weights
from tests.quantize.steps import finished, observed

PLANE = {"x": (1, 4, 8, 8)}


@pytest.fixture(scope="module")
def workers():
    with crew() as found:
        yield found


def conv(x, y, w):
    return node("Conv", [x, w], [y], pads=[1] * 4)


def test_the_hard_op_is_the_most_sensitive(workers):
    """A channel far from the others, which nobody reads: one scale leaves little of them."""
    w, v, u = (weights(4, 4, 3, 3, seed=seed) for seed in range(3))
    u[:, 0] = 0
    far = np.array([1000, 0, 0, 0], np.float32)
    nodes = [
        conv("x", "a", "w"),
        node("Conv", ["a", "v", "far"], ["b"], pads=[1] * 4),
        conv("b", "c", "u"),
        conv("c", "y", "w2"),
    ]
    step = observed(graph(PLANE, nodes, {"w": w, "v": v, "far": far, "u": u, "w2": w[::-1].copy()}))
    found = sensitivities(finished(step), workers, SILENT, int16=True)
    assert {found[0].cluster.name, found[1].cluster.name} == {"node_b", "node_c"}
    assert all(first.error >= second.error for first, second in pairwise(found))
    assert found[0].error > 10 * found[2].error
    assert found[0].int16_error < found[0].error / 100
    assert all(each.int16_error < each.error for each in found)


def test_coarse_weights_are_coarse_in_int16_too(workers):
    weight = weights(4, 4, 3, 3)
    weight[:, 0, 0, 0] = 300
    step = observed(graph({"x": (1, 4, 8, 8)}, [conv("x", "a", "w"), conv("a", "y", "v")],
                          {"w": weight, "v": weights(4, 4, 3, 3, seed=1)}))  # fmt: skip
    found = {each.cluster.name: each for each in sensitivities(finished(step), workers, SILENT, int16=True)}
    assert found["node_a"].int16_error > 0.2 * found["node_a"].error
    assert found["node_y"].int16_error < 0.9 * found["node_y"].error


def test_int16_is_measured_where_asked_and_where_there_is_int8(workers):
    model = graph(PLANE, [conv("x", "y", "w")], {"w": weights(4, 4, 3, 3)})
    (narrow,) = sensitivities(finished(observed(model)), workers, SILENT)
    assert narrow.int16_error is None
    (wide,) = sensitivities(finished(observed(model, int16=["node_y"])), workers, SILENT, int16=True)
    assert wide.int16_error is None
    assert wide.error < narrow.error


def test_int16_is_not_measured_where_the_graph_cannot_hold_it(workers):
    nodes = [conv("x", "a", "w"), node("GroupNormalization", ["a", "s", "b"], num_groups=2)]
    model = graph({**PLANE, "s": (2,)}, nodes, {"w": weights(4, 4, 3, 3), "b": weights(2)})
    (found,) = sensitivities(finished(observed(model)), workers, SILENT, int16=True)
    assert found.int16_error is None


def test_nothing_in_integers_has_no_sensitivity():
    step = observed(graph(PLANE, [node("Erf", ["x"])]))
    assert sensitivities(finished(step), (), SILENT) == ()


def test_decibels():
    assert in_db(1e-3) == pytest.approx(30)
    assert in_db(0.0) == in_db(1e-300) == CEILING_DB
