"""Ops that leave INT8 after everything was chosen."""

from dataclasses import replace

import numpy as np
import pytest

from edgekit import affine
from edgekit.graph import facts
from edgekit.graph.check import checked
from edgekit.quantize.scheme import SCHEMES
from edgekit.quantize.weights import IntegerWeight
from edgekit.quantize.wider import inherited_scales, only, widened
from tests.models import graph, node, run, weights
from tests.quantize.steps import finished, observed, sqnr_db

PLANE = {"x": (1, 4, 8, 8)}
W, V, U = (weights(4, 4, 3, 3, seed=seed) for seed in range(3))


def conv(x, y, w="w"):
    return node("Conv", [x, w], [y], pads=[1] * 4)


CHAIN = [
    conv("x", "a"),
    node("Relu", ["a"], ["r"]),
    conv("r", "b", "v"),
    node("Relu", ["b"], ["q"]),
    conv("q", "y", "u"),
]
STEP = observed(graph(PLANE, CHAIN, {"w": W, "v": V, "u": U}))
DONE = finished(STEP)


def errors(quantized):
    return [np.square(run(quantized, row)["y"] - run(STEP.model, row)["y"]).sum() for row in STEP.rows]


@pytest.mark.parametrize("precision", ["int16", "float32"])
def test_ops_leave_int8(precision):
    found = widened(DONE, {"node_a": precision, "node_b": precision}, {"node_b": "it is the worst"})
    assert found.plan.int8_nodes == {"node_y"}
    assert all(found.scales[name] == qparams for name, qparams in DONE.scales.items() if name in found.scales)
    assert np.mean(errors(checked(found.graph))) < 0.9 * np.mean(errors(DONE.graph))
    if precision == "int16":
        assert found.plan.int16_nodes == {"node_a", "node_r", "node_b", "node_q"}
        carries = "it carries on int16 values"
        assert found.int16_because == {"node_b": "it is the worst"} | dict.fromkeys(
            ("node_a", "node_r", "node_q"), carries
        )
    else:
        assert found.plan.kept_float["node_b"] == "it is the worst"


def test_a_value_in_16_bits_covers_what_it_held():
    found = widened(DONE, {"node_a": "int16"}, {})
    (name,) = [group.name for group in found.plan.groups if group.dtype == affine.INT16 and "r" in group.values]
    largest = max(abs(end) for end in DONE.extremes["r"])
    assert float(found.scales[name].scale) == pytest.approx(largest / 32767)


def test_without_integers_the_graph_is_the_one_that_came():
    everything = [made.name for made in STEP.model.graph]
    found = widened(DONE, dict.fromkeys(everything, "float32"), {})
    assert found.graph is STEP.model
    assert found.plan.integer_nodes == frozenset()


def test_a_group_that_comes_apart_keeps_its_scale():
    nodes = [conv("x", "a"), conv("x", "b", "v"), node("Concat", ["a", "b"], ["c"], axis=1), node("Conv", ["c", "k"])]
    step = observed(graph(PLANE, nodes, {"w": W, "v": V * 9, "k": weights(4, 8, 1, 1)}))
    done = finished(step)
    assert len({done.plan.group_of[value].name for value in "abc"}) == 1
    found = widened(done, {"node_a": "float32", "node_c": "float32"}, {})
    assert found.scales[found.plan.group_of["b"].name] == done.scales[done.plan.group_of["b"].name]
    wide = widened(done, {"node_y": "int16"}, {})
    for row in step.rows[:2]:
        for quantized in (found, wide):
            assert sqnr_db(run(step.model, row)["y"], run(quantized.graph, row)["y"]) > 25


def test_moved_values_without_statistics_take_those_of_what_they_were_made_of():
    nodes = [conv("x", "a"), conv("x", "b", "v"), node("Concat", ["a", "b"], ["c"], axis=1), node("Sigmoid", ["c"])]
    done = finished(observed(graph(PLANE, nodes, {"w": W, "v": V})))
    assert "c" not in done.extremes
    found = widened(done, {"node_a": "float32", "node_b": "float32", "node_y": "int16"}, {})
    (name,) = [group.name for group in found.plan.groups if "c" in group.values]
    largest = max(abs(end) for value in "ab" for end in done.extremes[value])
    assert float(found.scales[name].scale) == pytest.approx(largest / 32767)


def test_rounded_weights_stay_as_they_are():
    """However they were rounded: what learned it cannot be asked again."""
    flipped = {name: IntegerWeight(-held.q, held.qparams) for name, held in DONE.weights.items()}
    found = widened(replace(DONE, weights=flipped), {"node_y": "float32", "node_a": "int16"}, {})
    convs = {made.name: made for made in found.graph.graph if made.op_type == "Conv"}
    for name in ("node_a", "node_b"):
        assert np.array_equal(facts.constant(convs[name].inputs[1].producer().inputs[0]), flipped[name].q)
    assert np.array_equal(facts.constant(convs["node_y"].inputs[1]), U)


def test_weights_make_room_for_a_bias_on_finer_inputs():
    """A bias in steps of a 16-bit input may not fit int32: then the weights' scale is widened."""
    large = np.array([1e5, 1, 1, 1], np.float32)
    nodes = [node("Conv", ["x", "w", "b"], ["a"], pads=[1] * 4), conv("a", "y", "v")]
    done = finished(observed(graph(PLANE, nodes, {"w": W * 1e-3, "v": V, "b": large})))
    found = widened(done, {"node_a": "int16"}, {})
    made = next(node for node in found.graph.graph if node.name == "node_a")
    bias = made.inputs[2].producer()
    real = facts.constant(bias.inputs[0]) * facts.constant(bias.inputs[1]).astype(np.float64)
    np.testing.assert_allclose(real, large, rtol=1e-4)


def test_a_few_alone():
    plan, scales = only(DONE.plan, DONE.scales, STEP.model, ["node_b", "node_q"])
    assert plan.int8_nodes == {"node_b", "node_q"}
    assert [group.values for group in plan.groups] == [("r",), ("b", "q")]
    assert scales == {"r": DONE.scales["a"], "b": DONE.scales["b"]}
    alone = errors(checked(DONE.written(plan, scales)))
    assert 0 < np.mean(alone) < np.mean(errors(DONE.graph))


def test_a_few_alone_keep_the_scheme():
    scheme = SCHEMES["per-tensor"]
    plan, _ = only(replace(DONE.plan, scheme=scheme), DONE.scales, STEP.model, ["node_b"])
    assert plan.scheme == scheme


def test_nothing_alone_is_nothing():
    plan, scales = only(DONE.plan, DONE.scales, STEP.model, [])
    assert (plan.groups, scales) == ((), {})


def test_the_same_plan_has_the_same_scales():
    assert inherited_scales(DONE, DONE.plan) == DONE.scales
