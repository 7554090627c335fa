from __future__ import annotations

from dataclasses import replace

from edgekit.report.html.ops import op_rows
from tests.reports import REPORT, RICH, VERIFICATION


def test_an_op_has_all_that_was_found_out_about_it() -> None:
    first, second, third = op_rows(RICH)
    assert (first.number, first.node, first.op, first.source) == (1, "conv1", "Conv", "nets.py:12")
    assert first.facts is not None and first.facts.parameters == 448
    assert {label: row.precision for label, row in first.ran.items()} == {"INT8 ONNX": "int8", "INT8 TFLite": "int8"}
    assert first.sqnr_db == {"INT8 ONNX": 21.4}
    assert first.alone is not None and first.alone.sqnr_db == 21.5
    assert first.precisions == ["int8"]
    assert second.share == 640 / 40_551_000
    assert third.reasons == [("no int8 kernel", "INT8 ONNX")]


def test_without_a_list_of_ops_the_ledger_has_them() -> None:
    assert [op.node for op in op_rows(REPORT)] == ["conv1", "fc", "softmax"]
    assert all(op.facts is None for op in op_rows(REPORT))


def test_files_that_say_the_same_are_named_together() -> None:
    row = replace(VERIFICATION.ledgers[0].rows[2], reason="kept")
    ledgers = tuple(replace(ledger, rows=(row,)) for ledger in VERIFICATION.ledgers)
    (op,) = op_rows(replace(REPORT, verification=replace(VERIFICATION, ledgers=ledgers)))
    assert op.reasons == [("kept", "INT8 ONNX, INT8 TFLite")]
    assert op.share is None, "nothing multiplies"


def test_without_samples_there_are_the_ops() -> None:
    assert [op.node for op in op_rows(replace(RICH, verification=None))] == ["conv1", "fc", "softmax"]
    assert op_rows(replace(REPORT, verification=None, quantization=None)) == []
