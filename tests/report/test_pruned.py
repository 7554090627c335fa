from __future__ import annotations

from dataclasses import replace

from edgekit.report import pruned, summary
from edgekit.report.facts import EstimatedLatency, PruningRound
from edgekit.run.teach import Judged, Training
from tests.reports import PRUNED, REPORT


def test_what_pruning_came_to() -> None:
    left, where = pruned.pruning_lines(PRUNED)
    assert left == (
        "40.6 M -> 20.3 M MACs (50.0 %), 270 k -> 67.4 k parameters (25.0 %); asked for 70.0 % of the latency, 72.0 %"
        " reached, found by measuring 2 smaller models"
    )
    assert where == (
        "12 of 48 channels cut, from 1 of 2 groups, in multiples of 4 or less (score: norms); 8 layers must keep"
        " channels: reason 0; reason 1; reason 2; 1 other reason in report.json"
    )
    assert pruned.pruning_lines(REPORT) == ("", "")


def test_rounds_are_told_one_by_one() -> None:
    assert pruned.round_lines(PRUNED) == pruned.round_lines(REPORT) == {}
    training = Training(
        where="train.npz",
        epochs=1,
        batch=64,
        lr=0.01,
        optimizer="adamw",
        distilled=0.5,
        labels=True,
        samples=900,
        held_out=100,
        steps=14,
        losses=(0.3,),
        before=Judged(loss=0.9, top1=0.5),
        after=Judged(loss=0.25, top1=0.8),
        kept=True,
    )
    rounds = (
        PruningRound(left=0.75, training=training),
        PruningRound(left=0.5, training=replace(training, epochs=3, kept=False)),
    )
    report = replace(PRUNED, pruning=replace(PRUNED.pruning, rounds=rounds))
    assert pruned.round_lines(report)["rounds"] == (
        "1: 75.0 % of the MACs, 1 epoch, loss 0.9 -> 0.25; 2: 50.0 % of the MACs, 3 epochs, loss 0.9 -> 0.25 (not kept)"
    )
    assert "rounds       1: 75.0 % of the MACs" in str(report)


def test_an_estimated_latency_is_never_called_measured() -> None:
    made = EstimatedLatency(
        file="float32 TFLite",
        device="raspberry-pi-4",
        runtime="tflite",
        version="2.7.1",
        threads=4,
        precision="int8",
        evidence="A",
        unpruned_s=0.02,
        seconds=0.0144,
        low_s=0.012,
        high_s=0.017,
        doubts=("a doubt",),
    )
    trials = tuple(replace(trial, how="estimated") for trial in PRUNED.pruning.trials)
    report = replace(PRUNED, pruning=replace(PRUNED.pruning, trials=trials, estimates=(made,)))
    left, _ = pruned.pruning_lines(report)
    assert left.endswith(
        "asked for 70.0 % of the latency on raspberry-pi-4, 72.0 % reached by estimate, found by estimating 2 smaller"
        " models"
    )
    assert pruned.estimate_lines(report) == {
        "estimated": "for raspberry-pi-4, not measured: float32 TFLite in int8 20.0 ms -> 14.4 ms (12.0 ms to 17.0 ms,"
        " 90 %; tflite 2.7.1, 4 threads, evidence A); a doubt"
    }
    assert "estimated    for raspberry-pi-4" in str(report)
    assert summary.warnings(report)[1] == (
        "72.0 % of the latency on raspberry-pi-4 is left, estimated in the end; 70.0 % was asked for"
    )
    assert pruned.estimate_lines(PRUNED) == pruned.estimate_lines(REPORT) == {}
