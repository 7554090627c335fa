from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from edgekit.report.terminal import MOST_SENSITIVE, show, show_verification, to_text
from edgekit.verify.result import Ledger, LedgerRow
from tests.reports import LAYERED, MODEL, REPORT, SENSITIVE, SLOW, VERIFICATION

HOSTILE = "\x1b]0;owned\x07[bold red]conv[/]:smile:"


@pytest.mark.parametrize("width", [80, 100, 140])
def test_a_report_fits_on_a_screen(width: int) -> None:
    lines = to_text(REPORT, width).splitlines()
    assert len(lines) <= 30
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines), "a cell was cut"


def test_every_number_that_was_promised() -> None:
    text = to_text(REPORT, 140)
    for words in (
        "resnet20.pt",
        "270 k parameters",
        "40.6 M MACs",
        "calibrated on 256 samples of cifar10_calib.npz",
        "87.30 %  86.65..87.95",
        "0.05  -0.04..0.16",
        "345 us  335..373",
        "2.06x",
        "same top-1 for 99.98 % of 10 000 samples",
        "100 % of 40.6 M MACs ran in INT8 (ONNX Runtime 1.31.1); 1 op in float: Softmax (no int8 kernel; nets.py:41)",
        "no transpose; at most 6.00 KiB of activations, at op 1 of 1 (RELU)",
        "auto: mse for 31, minmax for 10 tensors",
        "resnet20.int8.tflite",
        "resnet20-edgekit/  resnet20.onnx",
        "report.json",
    ):
        assert words in text


def test_str_of_a_report_is_its_summary() -> None:
    assert str(REPORT) == to_text(REPORT)


def test_slower_and_layers_are_shown() -> None:
    assert "INT8 ONNX is slower than float32 ONNX" in to_text(SLOW, 140)
    assert "21.4 dB" in to_text(LAYERED)


def test_the_most_sensitive_ops_are_shown() -> None:
    lines = [line.split() for line in to_text(SENSITIVE, 140).splitlines() if line.startswith("conv")]
    assert len(lines) == MOST_SENSITIVE
    assert lines[0] == ["conv0", "Conv", "20.5", "dB", "31.2", "dB", "10.0", "%", "nets.py:12"]
    assert lines[1] == ["conv1", "Conv", "and", "1", "more", "21.5", "dB", "10.0", "%", "nets.py:12"]


def test_names_cannot_steer_the_terminal() -> None:
    row = LedgerRow(node=HOSTILE, op=HOSTILE, macs=10, precision="float32", reason=HOSTILE, source=HOSTILE)
    ledger = Ledger(label="INT8 ONNX", runtime=HOSTILE, rows=(row,), int8_macs_share=0.0)
    report = replace(
        REPORT,
        directory=HOSTILE,
        model=replace(MODEL, path=HOSTILE, kind=HOSTILE, inputs=(replace(MODEL.inputs[0], name=HOSTILE),) * 2),
        verification=replace(VERIFICATION, ledgers=(ledger,), notes=(HOSTILE,)),
    )
    text = to_text(report)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[bold red]conv[/]:smile:" in text.replace("\n", "")


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colours(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], coloured: bool) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", **variables}.items():
        monkeypatch.setenv(name, value)
    out = io.StringIO()
    show(SLOW, Console(file=out, force_terminal=True, width=100, markup=False))
    assert ("\x1b[33m" in out.getvalue() or "\x1b[1;31m" in out.getvalue()) is coloured


def test_many_float_ops_are_grouped() -> None:
    rows = tuple(
        LedgerRow(node=f"n{i}", op=op, macs=0, precision="float32", reason="no int8 kernel")
        for i, op in enumerate(["Softmax", "Softmax", "Erf", "Cos", "Sin", "Tan"])
    )
    ledger = Ledger(label="INT8 ONNX", runtime="ORT", rows=rows, int8_macs_share=None)
    text = to_text(replace(REPORT, verification=replace(VERIFICATION, ledgers=(ledger,))), 160)
    assert "0 of 6 ops ran in INT8 (ORT); 6 ops in float: 2 Softmax (no int8 kernel), Erf (no int8 kernel)" in text
    assert "others in report.json" in text


def test_a_report_without_numbers() -> None:
    bare = replace(REPORT, data=None, quantization=None, verification=None, latencies=())
    text = to_text(bare, 80)
    assert "resnet20.int8.onnx" in text
    assert "latency" not in text


def test_a_comparison() -> None:
    out = io.StringIO()
    verification = replace(LAYERED.verification or VERIFICATION, notes=("few samples",))
    show_verification(verification, Console(file=out, width=100, color_system=None))
    for words in ("torch", "INT8 TFLite", "agreement", "few samples", "21.4 dB"):
        assert words in out.getvalue()


def test_other_metrics() -> None:
    decibels = replace(VERIFICATION, metric="psnr", unit="dB", scores=(replace(VERIFICATION.scores[1], flips=None),))
    assert "drop, dB" in to_text(replace(REPORT, verification=decibels), 140)
    plain_numbers = replace(decibels, metric="mse", unit="")
    assert "MSE" in to_text(replace(REPORT, verification=plain_numbers), 140)


def test_what_transposes_write_is_said() -> None:
    files = [
        replace(file, transposes=2, transposed_bytes=3072) if file.transposes == 0 else file for file in REPORT.files
    ]
    assert "2 transposes that write 3.00 KiB" in to_text(replace(REPORT, files=tuple(files)), 140)
