import sys
from dataclasses import replace

import numpy as np
import pytest

from edgekit.errors import EdgekitError
from edgekit.progress import SILENT
from edgekit.quantize import quantize
from edgekit.quantize.assign import assign
from edgekit.quantize.calibrate import calibrate
from edgekit.quantize.observe import Statistics
from edgekit.quantize.trial import Trials
from edgekit.samples import load_samples
from tests.models import graph, node, ops, weights

COUNT = 20
MODEL = graph(
    {"x": (1, 4, 6, 6)},
    [node("Conv", ["x", "w", "b"], ["a"], pads=[1] * 4), node("Relu", ["a"], ["r"]), node("Add", ["r", "x"])],
    {"w": weights(4, 4, 3, 3), "b": weights(4)},
)
PLAN = assign(MODEL)
X = np.random.default_rng(0).normal(0, 1, (COUNT, 4, 6, 6)).astype(np.float32)


class Here:
    """A worker without a process."""

    def become(self, make, *args, what):
        self.made, self.what = make(*args), what

    def call(self, method, *args):
        return getattr(self.made, method)(*args)


def calibrated(x=X, held_out=5, workers=2, model=MODEL):
    samples = load_samples({"x": x})
    return calibrate(model, assign(model), samples, held_out, [Here() for _ in range(workers)], SILENT)


def as_bytes(statistics: dict[str, Statistics]):
    return {name: (found.low, found.high, found.reach, found.counts.tobytes()) for name, found in statistics.items()}


def test_held_out_samples_count_in_all_and_not_in_fit():
    found = calibrated()
    assert len(found.held_out) == 5
    assert found.all["x"].counts.sum() == X.size
    assert found.fit["x"].counts.sum() == X.size * 15 // COUNT
    np.testing.assert_allclose(found.means["x"], X.mean(axis=(0, 2, 3)), atol=1e-6)
    apart = np.concatenate([sample["x"] for sample in found.held_out])
    others = X.sum(axis=(0, 2, 3)) / 36 - apart.sum(axis=(0, 2, 3)) / 36
    np.testing.assert_allclose(found.fit_means["x"], others / 15, atol=1e-6)


def test_copies_of_held_out_samples_are_held_out_too():
    found = calibrated(np.concatenate([X, X]))
    assert len(found.held_out) == 5
    assert found.all["x"].counts.sum() == 2 * X.size
    assert found.fit["x"].counts.sum() == 2 * X.size * 15 // COUNT


@pytest.mark.parametrize("workers", [1, 3])
def test_order_and_workers_change_nothing(workers):
    one, other = calibrated(), calibrated(X[::-1].copy(), workers=workers)
    assert as_bytes(one.fit) == as_bytes(other.fit)
    assert as_bytes(one.all) == as_bytes(other.all)
    assert all(np.array_equal(a["x"], b["x"]) for a, b in zip(one.held_out, other.held_out, strict=True))
    assert {name: mean.tolist() for name, mean in one.means.items()} == {
        name: mean.tolist() for name, mean in other.means.items()
    }


def test_few_samples_change_with_nothing_either():
    one, other = calibrated(X[:6], 2, 1), calibrated(X[5::-1].copy(), 2, 3)
    assert as_bytes(one.fit) == as_bytes(other.fit)
    assert one.few and not calibrated().few
    for found in (one.fit["r"], one.all["r"]):
        assert found.reach[0] == 0.0 and found.reach[1] > found.high
    assert calibrated().all["r"].reach == (0.0, calibrated().all["r"].high)


def test_memory_for_one_value_at_a_time(monkeypatch):
    whole = calibrated()
    room = sys.modules["edgekit.quantize.calibrate"]  # as an attribute of its package, the name is the function
    monkeypatch.setattr(room, "ACTIVATION_BYTES", 1)
    assert as_bytes(calibrated().all) == as_bytes(whole.all)


def test_one_sample_is_fitted_and_held_out():
    found = calibrated(X[:1], held_out=1)
    assert as_bytes(found.fit) == as_bytes(found.all)


def test_a_model_that_overflows_is_refused():
    nodes = [node("Exp", ["x"], ["e"]), node("Exp", ["e"], ["f"]), node("Add", ["f", "x"])]
    with pytest.raises(EdgekitError, match="NaN or infinite") as refused:
        calibrated(X + 4, model=graph({"x": (1, 4, 6, 6)}, nodes))
    assert refused.value.code == "EK411"


def test_nothing_but_zeros_is_refused():
    with pytest.raises(EdgekitError) as refused:
        calibrated(np.zeros_like(X))
    assert refused.value.code == "EK412"


def quantized(ranges="auto", keep_float=(), x=X):
    return quantize(MODEL, load_samples({"x": x}), [Here(), Here()], ranges, keep_float)


def test_the_door_keeps_what_helps():
    found = quantized()
    assert ops(found.graph).count("QuantizeLinear") == 3
    assert 0 < found.error_after <= found.error_before < 0.05
    assert set(found.methods) == {group.name for group in found.plan.groups}
    assert found.calibration_count == COUNT


def test_of_few_samples_ranges_reach_further():
    few, exact = quantized(x=X[:6]), quantized("minmax", x=X[:6])
    assert set(few.methods.values()) == {"reach"}
    assert all(few.scales[name].scale > exact.scales[name].scale for name in few.scales)


@pytest.mark.parametrize("ranges", ["minmax", "percentile", "mse", "entropy"])
def test_the_users_rule_is_used(ranges):
    assert set(quantized(ranges).methods.values()) == {ranges}


def test_keep_float_reaches_the_plan():
    assert quantized("minmax", ["node_y"]).plan.kept_float == {"node_y": "kept float on request"}


def test_a_trial_measures_under_the_given_scales():
    found = quantized("minmax")
    with Trials(MODEL, PLAN, [{"x": X[i : i + 1]} for i in range(3)], [Here(), Here()]) as trials:
        error = trials.of(found.graph, found.scales)
        assert error == trials.error(found.scales)
        coarse = replace(found.scales["x"], scale=np.asarray(found.scales["x"].scale * np.float32(8)))
        assert trials.error({**found.scales, "x": coarse}) > 4 * error
    assert 0 < error < 0.05


UNEVEN = graph(
    {"x": (1, 4, 6, 6)},
    [
        node("Conv", ["x", "w"], ["a"], pads=[1] * 4),
        node("Relu", ["a"], ["r"]),
        node("Conv", ["r", "v"], pads=[1] * 4),
    ],
    {
        "w": weights(4, 4, 3, 3) * np.float32([1, 8, 64, 512]).reshape(-1, 1, 1, 1),
        "v": weights(4, 4, 3, 3, seed=1) / np.float32([1, 8, 64, 512]).reshape(1, -1, 1, 1),
    },
)


def door(effort, samples=X):
    return quantize(UNEVEN, load_samples({"x": samples}), [Here(), Here()], effort=effort)


@pytest.mark.parametrize("effort", ["default", "high"])
def test_channels_are_equalized_where_that_is_worth_it(effort):
    assert door(effort).equalized


@pytest.mark.parametrize(("effort", "samples"), [("default", X), ("default", X[:6]), ("high", X[:6])])
def test_they_stay_where_it_is_not(effort, samples, monkeypatch):
    door_of_quantize = sys.modules["edgekit.quantize"]
    monkeypatch.setattr(door_of_quantize, "EQUALIZED", 0.0)
    monkeypatch.setattr(door_of_quantize, "EQUALIZED_BY_FEW", 0.0)
    assert not door(effort, samples).equalized


def test_high_effort_keeps_the_graph_with_the_least_error(monkeypatch):
    door_of_quantize = sys.modules["edgekit.quantize"]
    errors = []

    def learned(graph, *others):
        errors.append(0.5 if graph is UNEVEN else 0.6)
        return replace(others[2], error=errors[-1])  # what is known

    monkeypatch.setattr(door_of_quantize, "learned", learned)
    found = door("high")
    assert errors == [0.5, 0.6]
    assert not found.equalized and found.error_after == 0.5
