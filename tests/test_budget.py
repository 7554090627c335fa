"""What a budget asks, whether it can be judged, and whether it was kept."""

from dataclasses import replace

import numpy as np
import pytest

from edgekit import budget, pipeline
from edgekit.data import Data
from edgekit.errors import EdgekitError
from edgekit.graph import files
from edgekit.quantize.clusters import clusters
from edgekit.quantize.sensitivity import Sensitivity
from edgekit.recipe import load_recipe
from edgekit.report.summary import budget_in_words, precision_shares, warnings
from edgekit.samples import load_samples
from edgekit.verify import intervals
from edgekit.verify.metrics import METRICS
from tests.models import graph, node, run, weights
from tests.quantize.steps import finished, observed
from tests.quantize.test_mixed import chain
from tests.reports import REPORT, VERIFICATION

SAMPLES = load_samples({"x": np.zeros((2, 3), np.float32)})
DONE = finished(observed(chain(4), count=2))


@pytest.mark.parametrize(
    ("data", "metric", "calibrates", "words"),
    [
        (Data(calibration=SAMPLES, evaluation=None), None, True, "no samples to judge on"),
        (Data(calibration=SAMPLES, evaluation=SAMPLES), METRICS["sqnr"], True, "there is no drop"),
        (Data(calibration=None, evaluation=SAMPLES), METRICS["top1"], True, "no samples to calibrate on"),
        (Data(calibration=SAMPLES, evaluation=SAMPLES.take([0])), METRICS["psnr"], True, "one sample does not tell"),
    ],
    ids=["nothing to judge on", "no drop", "nothing to calibrate on", "one number"],
)
def test_what_cannot_be_judged(data, metric, calibrates, words):
    with pytest.raises(EdgekitError, match=words) as refused:
        budget.refuse_unjudgeable(data, metric, calibrates=calibrates)
    assert refused.value.code == "EK421"


def test_what_can_be_judged():
    budget.refuse_unjudgeable(Data(calibration=SAMPLES, evaluation=SAMPLES), METRICS["psnr"], calibrates=True)
    budget.refuse_unjudgeable(Data(calibration=None, evaluation=SAMPLES), METRICS["top1"], calibrates=False)


def test_too_few_samples_are_said_at_once():
    assert budget.beyond_the_samples(1.0, METRICS["top1"], 436) is None
    assert budget.beyond_the_samples(0.001, METRICS["mse"], 1) is None
    assert budget.beyond_the_samples(0.5, METRICS["top1"], 436) == (
        "436 samples cannot show a drop within 0.5 points: if no answer changed, it might still be 0.8734 points; it"
        " takes 765 samples at least"
    )


def judged(lost, won=0, count=10_000):
    """A verification of two files of which the second changes answers."""
    drop = (lost - won) / count
    _, onnx, tflite = VERIFICATION.scores
    same = replace(onnx, drop=0.0, drop_interval=intervals.tango(0, 0, count))
    worse = replace(tflite, drop=drop, drop_interval=intervals.tango(lost, won, count))
    return replace(VERIFICATION, count=count, scores=(VERIFICATION.scores[0], same, worse))


def within(max_drop, lost_by_op, count=10_000):
    """What is kept where each op in INT8 loses so many answers."""
    looks = []

    def judge(candidate):
        looks.append(candidate)
        lost = sum(lost_by_op.get(name, 0) for name in candidate.plan.int8_nodes)
        return judged(lost, count=count)

    found = [
        Sensitivity(cluster=cluster, error=1e-6 + lost_by_op.get(cluster.name, 0))
        for cluster in clusters(DONE.base, DONE.plan)
    ]
    kept = budget.within(DONE, max_drop, judge, lambda _: found, io_int8=False)
    assert len(kept.candidates) == len(looks)
    return kept


def test_int8_that_is_good_enough_is_looked_at_once():
    kept = within(0.5, {"node_v1": 10})
    assert kept.quantized is DONE and kept.ranked == ()
    (only,) = kept.candidates
    assert only.shares == {"int8": 1.0, "int16": 0.0, "float32": 0.0}
    assert only.drop == pytest.approx(0.1)


def test_only_the_op_that_loses_leaves_int8():
    kept = within(0.5, {"node_v2": 90, "node_y": 10})
    assert kept.quantized.plan.kept_float.keys() == {"node_v2"}
    assert "--max-drop 0.5" in kept.quantized.plan.kept_float["node_v2"]
    assert kept.candidates[0].upper > 0.5
    assert any(each.upper <= 0.5 and each.shares["float32"] == 0.25 for each in kept.candidates)


def test_a_candidate_without_one_of_the_files_is_none():
    """int16 may have no form in one of the formats: what INT8 has must stay."""

    def judge(candidate):
        found = judged(90 if "node_v2" in candidate.plan.int8_nodes else 0)
        return replace(found, scores=found.scores[:2]) if len(candidate.plan.kept_float) == 1 else found

    cluster, *_ = (each for each in clusters(DONE.base, DONE.plan) if each.name == "node_v2")
    other, *_ = (each for each in clusters(DONE.base, DONE.plan) if each.name == "node_y")
    ranked = [Sensitivity(cluster=cluster, error=0.1), Sensitivity(cluster=other, error=0.01)]
    kept = budget.within(DONE, 0.5, judge, lambda _: ranked, io_int8=False)
    assert kept.quantized.plan.kept_float.keys() == {"node_v2", "node_y"}


def test_with_too_few_samples_the_measured_drop_is_brought_within():
    kept = within(1.0, {"node_v2": 4, "node_y": 2}, count=300)
    assert kept.quantized.plan.kept_float.keys() == {"node_v2"}
    found = budget.facts(1.0, judged(2, count=300), kept.quantized, kept.candidates)
    assert not found.met
    assert found.drop == pytest.approx(2 / 3)
    assert found.least > 1.0


def test_a_file_without_a_rival_cannot_be_judged():
    with pytest.raises(EdgekitError, match="the only file"):
        budget.facts(1.0, replace(VERIFICATION, scores=VERIFICATION.scores[:1]), None, ())


def test_in_words():
    kept = within(0.5, {"node_v2": 90, "node_y": 10})
    good = replace(REPORT, budget=budget.facts(0.5, judged(10), kept.quantized, kept.candidates))
    assert budget_in_words(good) == "the drop is 0.1 points and may be 0.184 (95 %); 0.5 allowed"
    assert precision_shares(good) == "75.0 % of the MACs in INT8, 25.0 % in float"
    assert f"{len(kept.candidates)} candidates were judged" in warnings(good)[0]
    assert "kept: the drop is 0.1 points" in str(good)
    few = replace(REPORT, budget=budget.facts(1.0, judged(1, count=300), kept.quantized, kept.candidates))
    assert budget_in_words(few).startswith("the drop is 0.333 points and may be 1.86 (95 %); 1 allowed; ")
    assert budget_in_words(few).endswith(" samples to show; 300 samples leave 1.26 even where no answer changes")
    assert "NOT kept" in str(few) and "the budget is not kept" in str(few)


# ---- the street --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hard(tmp_path_factory):
    """A classifier with a channel that nobody reads, and that leaves the others of its value hardly a step."""
    folder = tmp_path_factory.mktemp("hard")
    w, v, u = (weights(6, 6, 3, 3, seed=seed) for seed in range(3))
    u[:, 0] = 0
    nodes = [
        node("Conv", ["x", "w"], ["a"], pads=[1] * 4),
        node("Conv", ["a", "v", "far"], ["b"], pads=[1] * 4),
        node("Conv", ["b", "u"], ["c"], pads=[1] * 4),
        node("GlobalAveragePool", ["c"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "k"], ["scores"]),
    ]
    far = np.array([30000, 0, 0, 0, 0, 0], np.float32)
    constants = {"w": w, "v": v, "u": u, "far": far, "k": weights(6, 5)}
    model = graph({"x": (1, 6, 6, 6)}, nodes, constants, ("scores",))
    (folder / "hard.onnx").write_bytes(files.to_bytes(model))
    rng = np.random.default_rng(0)
    images = (rng.normal(0, 1, (800, 6, 1, 1)) + rng.normal(0, 0.5, (800, 6, 6, 6))).astype(np.float32)
    scores = np.sort(run(model, {"x": images})["scores"], axis=1)
    clear = np.argsort(scores[:, -2] - scores[:, -1])[:400]  # that 8 bits elsewhere cannot change
    labels = run(model, {"x": images[clear]})["scores"].argmax(axis=1)
    np.savez(folder / "samples.npz", inputs=images[clear], labels=labels)
    return folder


def quantized(folder, out, **sections):
    said = {"model": {"path": str(folder / "hard.onnx")}, "data": {"data": str(folder / "samples.npz")}}
    said["data"]["calibration_count"] = 32
    recipe = load_recipe(None, {**said, "output": {"directory": folder / out}, **sections})
    return pipeline.quantize(recipe)


def test_the_ops_around_the_hard_value_leave_int8_and_no_others(hard):
    report = quantized(hard, "kept", budget={"max_drop": 3.0})
    found = report.budget
    assert found.met and found.upper <= 3.0
    assert found.candidates[0].upper > 3.0, "all in INT8 is worse"
    left = {kept.node for kept in (*report.quantization.kept_float, *report.quantization.kept_int16)}
    assert left == {"node_b", "node_c", "node_p", "node_Reshape_0"}, "what has no products goes with what has"
    reasons = {kept.node: kept.reason for kept in (*report.quantization.kept_float, *report.quantization.kept_int16)}
    assert all(
        reasons[name].startswith("over budget in INT8: --max-drop 3; alone it leaves") for name in ("node_b", "node_c")
    )
    assert sum(found.shares.values()) == pytest.approx(1.0) and found.shares["int8"] < 0.5
    for ledger in report.verification.ledgers:
        rows = {row.node: row for row in ledger.rows}
        assert all("--max-drop 3" in rows[name].reason for name in ("node_b", "node_c"))
        assert rows["node_a"].precision == "int8"
    assert report.quantization.sensitivity[0].node in left


def test_a_budget_that_nothing_can_show(hard):
    report = quantized(hard, "few", budget={"max_drop": 0.5})
    assert not report.budget.met
    assert report.budget.least > 0.5 > report.budget.drop
    assert {file.path.rsplit("/", 1)[1] for file in report.files} == {"hard.onnx", "hard.int8.onnx", "hard.int8.tflite"}
    assert (hard / "few" / "hard.int8.tflite").exists()


@pytest.mark.slow
def test_integers_at_the_border_stay(hard):
    report = quantized(hard, "io", budget={"max_drop": 3.0}, quantize={"io": "int8"})
    assert report.budget.met
    assert all(value.dtype == "int8" for file in report.files if file.format == "tflite" for value in file.inputs)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float16", "int8-dynamic"])
def test_other_precisions_are_judged_as_they_are(hard, precision):
    report = quantized(hard, precision, budget={"max_drop": 3.0}, quantize={"precision": precision})
    assert report.budget.met == (report.budget.upper <= 3.0)
    assert report.budget.shares == {} and report.budget.candidates == ()


def test_no_samples_to_judge_on(hard):
    with pytest.raises(EdgekitError) as refused:
        quantized(hard, "none", budget={"max_drop": 1.0}, data={"calibration": str(hard / "samples.npz")})
    assert refused.value.code == "EK421"
