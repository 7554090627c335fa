from dataclasses import replace

import numpy as np
import pytest

from edgekit.errors import EdgekitError
from edgekit.graph.check import checked
from edgekit.progress import SILENT
from edgekit.quantize.agree import agreeing_scales
from edgekit.quantize.insert import insert
from edgekit.quantize.result import Quantized
from edgekit.quantize.retrain import retrain
from edgekit.quantize.weights import WeightRule
from edgekit.quantize.wider import widened
from edgekit.run.teach import HELD_OUT_SHARE, Wanted
from edgekit.run.train import Course
from edgekit.samples import load_samples
from tests.models import graph, node, run
from tests.quantize.steps import finished, observed
from tests.quantize.test_qat import MODEL, X

LABELS = run(MODEL, {"x": X})["y"].argmax(1)
STEP = observed(MODEL)
RANGES = agreeing_scales(MODEL, STEP.plan, STEP.scales())
# A range that is four times too wide, so that there is something to learn.
SCALES = {**RANGES, "y": replace(RANGES["y"], scale=np.asarray(RANGES["y"].scale * np.float32(4)))}
GRAPH = checked(insert(MODEL, STEP.plan, SCALES, STEP.weights()))
QUANTIZED = Quantized(
    graph=GRAPH,
    base=MODEL,
    calibrated=None,
    plan=STEP.plan,
    scales=SCALES,
    methods={},
    weight_rule=WeightRule("minmax", "nearest"),
    equalized=False,
    biases_corrected=True,
    error_before=1.0,
    error_after=1.0,
    calibration_count=8,
    weights=STEP.weights(),
    means=STEP.means,
    extremes={name: (found.low, found.high) for name, found in STEP.statistics.items()},
    held_out=[],
)
BALANCED = replace(QUANTIZED, weight_rule=WeightRule("mse", "balanced"))


def wanted(path, lr=0.01, resume=False, distilled=0.5) -> Wanted:
    course = Course(epochs=4, batch=16, lr=lr)
    return Wanted(course=course, distilled=distilled, checkpoint=path / "net.training", resume=resume)


def retrained(how: Wanted, samples=(X, LABELS)):
    return retrain(QUANTIZED, load_samples(samples).renamed(["x"]), how, SILENT)


def test_what_is_better_on_samples_that_it_did_not_see_is_kept(tmp_path) -> None:
    found, training = retrained(wanted(tmp_path, lr=0.01), X)
    assert training.kept
    assert found.graph is not GRAPH
    assert found.scales["y"].scale < SCALES["y"].scale
    assert not found.biases_corrected
    again = found.written(found.plan, found.scales)
    np.testing.assert_array_equal(run(found.graph, {"x": X})["y"], run(again, {"x": X})["y"])
    assert training.after.loss < training.before.loss
    assert training.held_out == int(HELD_OUT_SHARE * len(X))
    assert (training.samples, training.epochs, training.batch) == (len(X) - training.held_out, 4, 16)
    assert (training.labels, training.distilled, training.before.top1) == (False, 1.0, None)
    assert len(training.losses) == 4


def test_how_it_was_rounded_before_is_forgotten(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(f"{__name__}.QUANTIZED", replace(BALANCED, rounding_learned=True))
    found, training = retrained(wanted(tmp_path), X)
    assert training.kept and not found.rounding_learned
    assert found.weight_rule == WeightRule("minmax", "nearest")


def test_16_bits_hold_what_the_learned_scales_hold(tmp_path) -> None:
    found, _ = retrained(wanted(tmp_path), X)
    wide = widened(found, {node.name: "int16" for node in found.base.graph}, {})
    for group in wide.plan.groups:
        for value in group.values:
            (low, high), (least, largest) = group_range(found, value), wide.scales[group.name].real_range
            assert 1.001 * least <= low and high <= 1.001 * largest


def group_range(quantized, value):
    return quantized.scales[quantized.plan.group_of[value].name].real_range


def test_what_is_worse_is_not_kept(tmp_path) -> None:
    found, training = retrained(wanted(tmp_path, lr=1.0))
    assert not training.kept
    assert found is QUANTIZED
    assert training.after.loss >= training.before.loss


def test_labels_are_learned_from_where_they_are(tmp_path) -> None:
    training = retrained(wanted(tmp_path, distilled=0.25))[1]
    assert (training.labels, training.distilled) == (True, 0.25)
    assert training.before.top1 is not None


def test_nothing_to_train(tmp_path) -> None:
    bare = finished(observed(graph({"x": (1, 4, 6, 6)}, [node("Relu", ["x"])])))
    with pytest.raises(EdgekitError, match="cannot train the integers") as refused:
        retrain(bare, load_samples(X).renamed(["x"]), wanted(tmp_path), SILENT)
    assert refused.value.code == "EK925"
    assert not [*tmp_path.iterdir()]


def test_too_few_samples(tmp_path) -> None:
    with pytest.raises(EdgekitError) as refused:
        retrained(wanted(tmp_path), (X[:19], LABELS[:19]))
    assert refused.value.code == "EK925"
    assert "20 are the least" in refused.value.why


def test_another_training_is_not_gone_on_with(tmp_path) -> None:
    retrained(wanted(tmp_path))
    training = retrained(wanted(tmp_path, resume=True))[1]
    assert training == retrained(wanted(tmp_path, resume=True))[1]
    for other in (replace(wanted(tmp_path, resume=True), distilled=0.25), wanted(tmp_path, lr=0.02, resume=True)):
        with pytest.raises(EdgekitError) as refused:
            retrained(other)
        assert refused.value.code == "EK923"
    with pytest.raises(EdgekitError) as refused:
        retrained(wanted(tmp_path, resume=True), (X, (LABELS + 1) % 5))
    assert refused.value.code == "EK923"


def test_a_training_for_other_targets_is_not_gone_on_with(tmp_path) -> None:
    targets = run(MODEL, {"x": X})["y"]
    training = retrained(wanted(tmp_path), {"inputs": X, "targets": targets})[1]
    assert retrained(wanted(tmp_path, resume=True), {"inputs": X, "targets": targets})[1] == training
    with pytest.raises(EdgekitError) as refused:
        retrained(wanted(tmp_path, resume=True), {"inputs": X, "targets": targets[::-1]})
    assert refused.value.code == "EK923"
