from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edgekit import units
from edgekit.quantize.doubts import Doubt, Examination
from edgekit.quantize.evidence import Spread
from edgekit.report import summary
from edgekit.report.terminal import to_text
from edgekit.run.trained import Judged, Training
from edgekit.verify.result import Interval
from tests.reports import MEMORY, PRUNED, REPORT, SLOW, VERIFICATION, file, latency


def test_the_result_in_a_sentence() -> None:
    assert summary.headline(REPORT) == (
        "the INT8 files are 3.4x to 3.5x smaller, 2.1x to 2.6x as fast as float here; "
        "top-1 is 0.06 points worse (95 %: at worst 0.17 points)"
    )


def test_slower_is_said_plainly() -> None:
    assert "slower than float here (0.80x)" in summary.headline(SLOW)
    assert summary.warnings(SLOW) == ("INT8 ONNX is slower than float32 ONNX on this machine: 0.80 times its speed",)
    assert summary.latency_doubts(SLOW.latencies) == "INT8 ONNX: clock frequency not fixed"
    noisy = (replace(SLOW.latencies[1], doubts=("a", "b", "c")), SLOW.latencies[0])
    assert summary.latency_doubts(noisy) == "INT8 ONNX: a (and 2 more)"


def test_nothing_quantized_has_no_headline() -> None:
    assert summary.headline(replace(REPORT, files=(file("float32 ONNX", 10),))) == ""


def test_a_lone_file_without_measurements() -> None:
    report = replace(REPORT, files=(file("INT8 ONNX", 10),), verification=None, latencies=())
    assert summary.headline(report) == ""


def test_no_drop_is_said_too() -> None:
    better = replace(VERIFICATION.scores[1], drop=-0.001, drop_interval=Interval(-0.08, 0.0876))
    for score, words in (
        (better, "top-1 is 0.10 points better (95 %: at worst 8.76 points)"),
        (replace(better, drop=0.0), "top-1 is as before (95 %: at worst 8.76 points)"),
        (replace(better, drop_interval=Interval(-0.08, -0.01)), "(95 %: at worst 0.00 points)"),
        (replace(better, drop=0.002, drop_interval=None), "top-1 is 0.20 points worse"),
    ):
        verification = replace(VERIFICATION, scores=(score,))
        assert summary.headline(replace(REPORT, verification=verification)).endswith(words)


def test_distances_of_every_output() -> None:
    reference, *files = VERIFICATION.scores
    near = [replace(score, sqnr_db={"logits": 31.24}) for score in files]
    both = [replace(score, sqnr_db={"logits": 31.24, "box": 52.0}) for score in files[:1]]
    words = summary.distances_in_words
    assert words(VERIFICATION) == ""
    assert words(replace(VERIFICATION, scores=(reference, *near))) == (
        "INT8 ONNX 31.2 dB, INT8 TFLite 31.2 dB against torch"
    )
    assert words(replace(VERIFICATION, scores=(reference, *near), metric="sqnr")) == ""
    assert words(replace(VERIFICATION, scores=(reference, *both), metric="sqnr")) == (
        "INT8 ONNX: logits 31.2 dB, box 52.0 dB against torch"
    )


def test_a_file_that_grew_is_not_called_smaller() -> None:
    files = (file("float32 ONNX", 100), file("INT8 ONNX", 390), file("INT8 TFLite", 50))
    grown = replace(REPORT, files=files, latencies=(), verification=None)
    assert summary.headline(grown) == "the INT8 files are 0.50x to 3.90x the size of the float one"
    assert summary.warnings(grown)[0] == "INT8 ONNX is larger than the float file: 3.9 times its size"


def test_speed_is_against_float_in_the_same_runtime() -> None:
    ups = summary.speed_ups((latency("float32 ONNX", 2), latency("INT8 ONNX", 1), latency("INT8 TFLite", 1)))
    assert ups == {"INT8 ONNX": 2}


def test_what_must_not_be_missed() -> None:
    assert REPORT.data is not None
    assert REPORT.quantization is not None
    report = replace(
        REPORT,
        quantization=replace(REPORT.quantization, calibrated=False),
        data=replace(REPORT.data, overlap=3),
        model=replace(REPORT.model, trusted_pickle=True),
        notes=("a note",),
        verification=replace(VERIFICATION, notes=("a note", "another")),
    )
    said = summary.warnings(report)
    assert [words.split()[0] for words in said] == ["uncalibrated:", "3", "the", "a", "another"]


@pytest.mark.parametrize(("unit", "words"), [("share", "0.50 points"), ("dB", "0.01 dB"), ("", "0.005")])
def test_a_drop_in_the_metrics_unit(unit: str, words: str) -> None:
    assert summary.drop_in_words(replace(VERIFICATION, unit=unit), 0.005) == words


def test_a_calibration_is_doubted_in_words_with_the_way_out() -> None:
    doubt = Doubt(kind="copies", about="photos", value=0.5, limit=0.1, why="5 of 10 are copies", fix="give others")
    spread = Spread(median=0.03, worst=0.21, tensor="relu_1")
    found = Examination(
        given=10, copies=5, classes=None, inputs=(), fit=None, drowning=None, spread=spread, doubts=(doubt,)
    )
    report = replace(REPORT, calibration=found)
    assert summary.calibration_doubts(report) == ("calibration: 5 of 10 are copies: give others",)
    assert summary.scale_spread(report) == "other samples would move a range by 3.0 %, at most by 21.0 % (relu_1)"
    assert (summary.calibration_doubts(REPORT), summary.scale_spread(REPORT)) == ((), "")
    text = " ".join(str(report).split())
    assert "doubt calibration: 5 of 10 are copies: give others" in text
    assert "at most by 21.0 % (relu_1)" in text
    assert json.loads(report.to_json())["calibration"]["doubts"][0]["value"] == 0.5


def test_a_training_in_a_line() -> None:
    before, after = Judged(loss=0.2, top1=0.871), Judged(loss=0.15, top1=0.8825)
    training = Training(
        where="train.npz",
        epochs=3,
        batch=64,
        lr=0.001,
        optimizer="adamw",
        distilled=0.5,
        labels=True,
        samples=49000,
        held_out=1000,
        steps=2295,
        losses=(0.3, 0.2, 0.1),
        before=before,
        after=after,
        kept=True,
    )
    assert summary.training_line(training) == (
        "3 epochs on 49 000 samples of train.npz (labels and the float model); "
        "on 1 000 others: loss 0.2 -> 0.15, top-1 87.10 % -> 88.25 %"
    )
    unlabelled = replace(training, labels=False, distilled=1.0, kept=False, after=replace(after, top1=None))
    assert summary.training_line(unlabelled) == (
        "3 epochs on 49 000 samples of train.npz (the float model); on 1 000 others: loss 0.2 -> 0.15;"
        " not better, so not kept"
    )
    early = replace(training, epochs=9, best=2)
    assert summary.training_line(early).startswith("3 of 9 epochs, number 2 kept, on 49 000 samples")
    assert "(targets and the float model)" in summary.training_line(replace(training, labels=False))
    assert "training     3 epochs on" in str(replace(REPORT, training=training))


def test_a_pruned_model_is_held_against_the_unpruned_one() -> None:
    assert summary.headline(PRUNED).startswith(
        "the pruned files are 1.5x smaller, 0.8x to 2.0x as fast as the unpruned model here; top-1 is 3.00 points worse"
    )
    said = summary.warnings(PRUNED)
    assert said[0].startswith("nothing was fine-tuned")
    assert said[1] == "72.0 % of the latency is left, measured in the end; 70.0 % was asked for"
    assert said[2] == "float32 TFLite does not compute what float32 PyTorch does: they are 40 dB apart"
    assert said[3] == "float32 TFLite is slower than unpruned TFLite on this machine: 0.80 times its speed"
    assert summary.distances_in_words(PRUNED.verification) == (
        "float32 ONNX 120.0 dB, float32 TFLite 40.0 dB against float32 PyTorch"
    )


def test_sizes_and_steps_of_a_pruned_model_are_in_the_table() -> None:
    lines = [line for line in to_text(PRUNED, 140).splitlines() if line.startswith(("unpruned", "float32 "))]
    labels = [" ".join(line.split()[:2]) for line in lines]
    assert labels == ["float32 PyTorch", "unpruned ONNX", "float32 ONNX", "unpruned TFLite", "float32 TFLite"]
    assert "1.14 MiB" in lines[1]
    assert "2.00x" in lines[2]


def test_without_labels_a_pruned_model_is_so_far_from_what_it_was() -> None:
    scores = tuple(replace(score, drop=None, drop_interval=None, value=12.5) for score in PRUNED.verification.scores)
    away = replace(PRUNED.verification, metric="sqnr", unit="dB", scores=scores)
    assert summary.headline(replace(PRUNED, verification=away)).endswith("SQNR against the unpruned model is 12.50 dB")
    assert summary.distances_in_words(away).startswith("float32 ONNX 120.0 dB")


def test_memory_in_words() -> None:
    arena = units.size(MEMORY.needed_bytes)
    peak = "at most 6.00 KiB of activations, at op 1 of 1 (RELU)"
    assert summary.memory_in_words(MEMORY) == f"{peak}; TFLite Micro needs an arena of {arena}"
    for guessed in (replace(MEMORY, guessed=("SVDF",)), replace(MEMORY, several_graphs=True)):
        assert summary.memory_in_words(guessed).endswith(f"an arena of about {arena}")
    lacking = replace(MEMORY, guessed=("POW", "GELU"), without_kernel=("POW", "GELU"))
    assert summary.memory_in_words(lacking) == f"{peak}; TFLite Micro has no kernel for POW, GELU"
    empty = replace(MEMORY, peak_bytes=0, timeline=())
    assert summary.memory_in_words(empty).startswith("at most 0 B of activations; TFLite Micro needs")


def test_memory_over_time_is_in_the_document() -> None:
    onnx, tflite = (json.loads(REPORT.to_json())["files"][i] for i in (1, 2))
    assert onnx["memory"] is None
    assert tflite["memory"]["timeline"] == [{"op": "RELU", "output": "clipped", "alive_bytes": 6144}]
