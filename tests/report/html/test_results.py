from __future__ import annotations

from dataclasses import replace

import pytest

from edgekit.quantize.doubts import Doubt, Examination
from edgekit.report.facts import Report
from edgekit.report.html.results import rows, verdicts
from edgekit.verify.result import Interval
from tests.reports import MODEL, REPORT, RICH, SLOW, VERIFICATION, file, score


def said(report: Report) -> dict[str, tuple[str, str]]:
    return {verdict.about: (verdict.tone, verdict.said) for verdict in verdicts(report)}


def test_a_row_for_each_file_beside_what_it_was_made_of() -> None:
    table = {row.label: row for row in rows(REPORT)}
    assert list(table) == ["torch", "float32 ONNX", "INT8 ONNX", "float32 TFLite", "INT8 TFLite"]
    assert table["torch"].smaller is None and table["torch"].size_bytes is None
    assert table["float32 ONNX"].smaller is None and not table["float32 ONNX"].made
    assert table["INT8 ONNX"].smaller == 1_102_822 / 324_118
    assert table["INT8 TFLite"].smaller == 1_102_822 / 312_600, "no float TFLite file was kept"
    assert table["INT8 TFLite"].up == pytest.approx(655 / 251)
    assert table["float32 TFLite"].file is None and table["float32 TFLite"].latency is not None


def test_a_pruned_model_is_held_against_the_unpruned_one() -> None:
    table = {row.label: row for row in rows(RICH)}
    assert table["unpruned TFLite"].size_bytes == 1_090_000
    assert table["INT8 TFLite"].smaller == 1_090_000 / 312_600
    assert table["unpruned ONNX"].smaller is None


def test_a_file_alone_is_smaller_than_nothing() -> None:
    assert [row.smaller for row in rows(replace(REPORT, files=(file("INT8 ONNX", 5),)))[1:2]] == [None]


def test_all_is_well() -> None:
    assert said(REPORT) == {
        "Budget": ("open", "none was set"),
        "Accuracy": ("open", "a loss is neither shown nor excluded"),
        "Speed": ("good", "faster"),
        "Two formats": ("good", "agree"),
        "Precision": ("good", "every MAC in INT8"),
    }


def test_a_budget() -> None:
    assert said(RICH)["Budget"] == ("good", "met")
    assert said(RICH)["Accuracy"] == ("good", "within the budget")
    assert RICH.budget is not None
    assert said(replace(RICH, budget=replace(RICH.budget, met=False)))["Budget"] == ("bad", "NOT met")


def test_a_loss_that_is_shown() -> None:
    worse = replace(score("INT8 ONNX", 0.8, 0.07), drop_interval=Interval(0.06, 0.08))
    found = replace(VERIFICATION, scores=(worse,))
    assert said(replace(REPORT, verification=found))["Accuracy"] == ("bad", "lower than before")
    found = replace(VERIFICATION, scores=(replace(worse, drop_interval=None),))
    assert said(replace(REPORT, verification=found))["Accuracy"] == ("doubt", "measured")


def test_a_gain() -> None:
    better = replace(VERIFICATION, scores=(replace(score("INT8 ONNX", 0.88, -0.002)),))
    assert said(replace(REPORT, verification=better))["Accuracy"] == ("good", "no loss was measured")


def test_a_distance_has_no_drop() -> None:
    found = replace(VERIFICATION, metric="sqnr", unit="dB", scores=(replace(VERIFICATION.scores[0], drop=None),))
    assert "Accuracy" not in said(replace(REPORT, verification=found))


def test_nothing_was_verified_or_measured() -> None:
    bare = replace(REPORT, verification=None, latencies=())
    assert said(bare) == {"Budget": ("open", "none was set"), "Accuracy": ("doubt", "not verified")}


def test_speed() -> None:
    assert said(SLOW)["Speed"] == ("bad", "slower")
    mixed = replace(SLOW, latencies=(*SLOW.latencies, *REPORT.latencies[2:]))
    assert said(mixed)["Speed"] == ("bad", "mixed")
    doubted = tuple(replace(latency, doubts=("busy",)) for latency in REPORT.latencies)
    assert said(replace(REPORT, latencies=doubted))["Speed"] == ("good", "faster, with doubts")


def test_formats_that_differ() -> None:
    (agreement,) = VERIFICATION.agreements
    apart = replace(VERIFICATION, agreements=(replace(agreement, top1=0.5, identical=0.1),))
    assert said(replace(REPORT, verification=apart))["Two formats"] == ("doubt", "differ")


def test_what_left_int8() -> None:
    ledgers = tuple(replace(ledger, int8_macs_share=0.75) for ledger in VERIFICATION.ledgers)
    found = said(replace(REPORT, verification=replace(VERIFICATION, ledgers=ledgers)))
    assert found["Precision"] == ("doubt", "not all in INT8")
    ledgers = tuple(replace(ledger, int8_macs_share=None) for ledger in ledgers)
    assert "Precision" not in said(replace(REPORT, verification=replace(VERIFICATION, ledgers=ledgers), model=MODEL))


def test_calibration() -> None:
    assert REPORT.quantization is not None
    made_up = replace(REPORT, quantization=replace(REPORT.quantization, calibrated=False))
    assert said(made_up)["Calibration"] == ("bad", "uncalibrated")
    doubt = Doubt(kind="few", about="samples", value=3, limit=8, why="3 samples are few", fix="give more")
    examined = Examination(
        given=3, copies=0, classes=None, inputs=(), fit=None, drowning=None, spread=None, doubts=(doubt,)
    )
    assert said(replace(REPORT, calibration=examined))["Calibration"] == ("doubt", "1 doubt")
