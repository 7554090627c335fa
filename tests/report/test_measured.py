from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from edgekit.profile.agree import Agreement
from edgekit.profile.measured import MeasuredThere, Measurement, Place, Power
from edgekit.profile.per_op import LeftOut, OpTime, PerOp
from edgekit.profile.steady import Soak
from edgekit.report.json import to_json
from edgekit.report.measured import BAR, OPS_SHOWN, in_words, measured_text, per_op_in_words, show_measured

IDENTICAL = Agreement(verdict="identical", sqnr_db=float("inf"), worst=0.0)
ONE = Measurement(
    file="mobilenet_v2.int8.tflite",
    label="INT8 TFLite",
    size_bytes=3_600_000,
    runtime="ai-edge-litert 2.3.0",
    numpy="2.4.6",
    threads=4,
    runs=200,
    median_s=0.0123,
    p05_s=0.0120,
    p25_s=0.0122,
    p75_s=0.0124,
    p95_s=0.0131,
    min_s=0.0119,
    max_s=0.02,
    load_s=0.1,
    first_s=0.03,
    peak_rss_bytes=60 * 2**20,
    base_rss_bytes=40 * 2**20,
    power=(
        Power(name="VDD_IN", source="/sys/class/hwmon/hwmon4", watts=6.1, idle_watts=4.0),
        Power(name="VDD_SOC", source="x", watts=None, idle_watts=None, unavailable="Permission denied"),
    ),
    energy_j=0.0123 * 6.1,
    outputs=IDENTICAL,
    doubts=("clock frequency not fixed (governor 'ondemand')",),
    times_s=(0.0123,),
)
PLACE = Place(
    on="ssh://pi@raspberrypi.local",
    system={"system": "Linux", "release": "6.6", "architecture": "aarch64", "python": "3.11.2"},
    before={"board": {"value": "Raspberry Pi 4 Model B"}, "cpu": {"value": "4x Arm Cortex-A72"}},
    after={
        "clock_hz": {"value": 1_500_000_000},
        "temperature_c": {"value": 61.8},
        "throttling": {"value": ()},
        "governor": {"unavailable": "no"},
    },
)
FOUND = MeasuredThere(place=PLACE, measurements=(ONE,), sample="noise", doubts=("hot: up to 85 C",))


@pytest.mark.parametrize("width", [80, 100, 140])
def test_it_fits(width: int) -> None:
    lines = measured_text(FOUND, width).splitlines()
    assert max(map(len, lines)) <= width
    assert "\u2026" not in "".join(lines), "a cell was cut"


def test_every_number_that_was_promised() -> None:
    text = measured_text(FOUND, 140)
    for words in (
        "ssh://pi@raspberrypi.local  Raspberry Pi 4 Model B, 4x Arm Cortex-A72",
        "clock 1.50 GHz, governor unavailable, temperature 61.8 C, throttling none",
        "12.3 ms  12.0..13.1",
        "ai-edge-litert 2.3.0, 4 threads",
        "20.0 MiB its own",
        "6.10 W",
        "75 mJ",
        "identical to this machine's, bit by bit",
        "VDD_IN 6.10 W, 4.00 W idle",
        "VDD_SOC: unavailable: Permission denied",
        "mobilenet_v2.int8.tflite: clock frequency not fixed",
        "hot: up to 85 C",
    ):
        assert words in text
    assert text.split("\n\n")[1].startswith("measured"), "the table says what its numbers are"


def per_op(count: int, **more: Any) -> PerOp:
    ops = tuple(
        OpTime(node=f"conv{i}", op="Conv", median_s=1e-3, scaled_s=2e-3, share=0.05, source="net.py:7")
        for i in range(count)
    )
    told: dict[str, Any] = {"by": "each kind of op alone", "kinds": 3, "sum_s": 0.02, "scale": 2.0, "left_out": ()}
    return PerOp(**{**told, "ops": ops, "doubts": (), **more})


def test_bars_of_ops() -> None:
    text = measured_text(replace(FOUND, measurements=(replace(ONE, per_op=per_op(20)),)), 100)
    assert text.count(BAR * "\u2588") == OPS_SHOWN
    assert "5 more" in text
    assert "25.0 %" in text
    assert "net.py:7" in text
    assert "2.00 ms   5.0 %" in text, "scaled to the whole"
    words = " ".join(text.split())
    assert "20 ops of 3 kinds, by each kind of op alone: together 20.0 ms, scaled by 2.00 to the whole" in words
    assert "per op" in measured_text(replace(FOUND, measurements=(replace(ONE, per_op=per_op(0)),)), 100)


def test_ops_that_were_not_measured_are_named() -> None:
    left = tuple(LeftOut(node=f"y{i}", op="WHILE", why="it runs other graphs") for i in range(2))
    lines = per_op_in_words(per_op(1, kinds=None, left_out=left))
    assert lines[0].startswith("1 op, by")
    assert lines[1:] == ["not measured: 2 WHILE: it runs other graphs"]


def test_what_is_not_known_is_left_out() -> None:
    bare = replace(ONE, power=(), energy_j=None, outputs=None, doubts=(), base_rss_bytes=None)
    text = measured_text(replace(FOUND, measurements=(bare, replace(bare, peak_rss_bytes=None)), doubts=()), 100)
    assert "power" not in text
    assert "outputs" not in text
    assert "60.0 MiB" in text
    odd = replace(PLACE, after={"clock_hz": {"value": "fast"}, "throttling": {"value": 3}})
    assert "clock unavailable" in measured_text(replace(FOUND, place=odd), 100)
    powerless = replace(ONE, power=ONE.power[1:], energy_j=None)
    assert "-" in measured_text(replace(FOUND, measurements=(powerless,)), 140)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "12.3 ms at first, 15.4 ms (+25%) after 200 s of 600 s; 45 to 82 C; 1.80 to 1.20 GHz"),
        ({"steady": False}, "of 600 s, and perhaps not steady yet; 45"),
        ({"steady_after_s": 0.0, "first_c": None, "first_hz": None}, "12.3 ms from the beginning to the end of 600 s"),
    ],
)
def test_a_soak_in_words(changed: dict[str, float], words: str) -> None:
    soaked = Soak(
        soaked_s=600.0,
        first_s=0.0123,
        steady_s=0.015375,
        steady_after_s=200.0,
        steady=True,
        first_c=45.0,
        steady_c=82.0,
        first_hz=1.8e9,
        steady_hz=1.2e9,
    )
    assert words in " ".join(measured_text(replace(FOUND, soak=replace(soaked, **changed)), 200).split())


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        (Agreement(verdict="close", sqnr_db=101.23), "but for rounding (SQNR 101.2 dB)"),
        (Agreement(verdict="close", why="0.10% of the whole numbers differ"), "0.10% of the whole"),
        (Agreement(verdict="different", sqnr_db=-1.0, why="noise"), "DIFFERENT from this machine's: noise"),
        (Agreement(verdict="unknown", why="too large"), "not compared: too large"),
    ],
)
def test_outputs_in_words(outputs: Agreement, words: str) -> None:
    assert words in in_words(outputs)


def test_a_device_does_not_steer_the_terminal() -> None:
    evil = "\x1b]0;owned\x07[bold red]"
    place = replace(PLACE, before={"board": {"value": evil}, "cpu": {}})
    hostile = replace(ONE, runtime=evil, file=evil, doubts=(evil,), power=(replace(ONE.power[0], name=evil),))
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=True, markup=False, highlight=False, emoji=False)
    show_measured(replace(FOUND, place=place, measurements=(hostile,), doubts=(evil,)), console)
    assert "\x1b]" not in out.getvalue()
    assert "[bold red]" in out.getvalue()


def test_as_json() -> None:
    document = json.loads(to_json(FOUND))
    assert document["schema_version"] == 1
    assert document["measurements"][0]["kind"] == "measured"
    assert document["measurements"][0]["outputs"]["sqnr_db"] is None
    assert document["place"]["before"]["board"] == {"value": "Raspberry Pi 4 Model B"}
