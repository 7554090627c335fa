"""A table of devices that can carry a file, and why the others cannot."""

from __future__ import annotations

import math
from dataclasses import replace

from edgekit.profile.placement import Placement
from edgekit.profile.recommend import Candidate, Judgement, Limits, Span
from edgekit.report.candidates import candidates_in_words
from edgekit.report.json import to_json
from tests.report.test_estimates import ESTIMATE, left

PI = Candidate(
    device="raspberry-pi-4",
    title="Raspberry Pi 4",
    path="net.int8.tflite",
    estimate=ESTIMATE,
    fit=None,
    placement=None,
    ram=Span(middle=6_000_000, high=math.inf),
    available_bytes=1e9,
    power=Span(middle=6.39, high=7.5),
    price_usd=Span(middle=35, high=35),
    security=None,
    notes=("load 5.8 TFLite fp32",),
    refusal=None,
    judgements=(),
)
MICRO = replace(
    PI,
    device="stm32h743",
    estimate=replace(ESTIMATE, energy_j=None),
    ram=Span(middle=700_000, high=800_000),
    available_bytes=1_048_576,
    power=None,
    price_usd=None,
)
BAD = replace(PI, device="hailo-8", estimate=None, refusal="cannot be estimated: no peak")


def test_a_table_of_estimates() -> None:
    text = candidates_in_words([PI, MICRO, BAD], Limits(), "latency")
    lines = text.splitlines()
    assert lines[0] == "estimated, not measured; by latency; without limits"
    assert lines[3].split() == [
        "raspberry-pi-4",
        "23.8",
        "ms",
        "21.3..26.6",
        "A",
        "152",
        "mJ",
        ">5.72",
        "MiB",
        "6.39..7.50",
        "W",
        "35",
    ]
    assert lines[4].split() == [
        "stm32h743",
        "23.8",
        "ms",
        "21.3..26.6",
        "A",
        "?",
        "781",
        "KiB",
        "of",
        "1.00",
        "MiB",
        "?",
        "?",
    ]
    assert lines[5].startswith("ev: evidence, A fitted there")
    assert lines[7:] == ["not feasible", "  hailo-8: cannot be estimated: no peak"]
    assert all(len(line) <= 100 for line in lines)


def test_limits_are_repeated() -> None:
    limits = Limits(
        latency_s=0.05,
        energy_j=0.01,
        power_w=5.0,
        price_usd=100.0,
        ram_bytes=524288,
        security=("secure boot",),
        evidence="B",
    )
    text = candidates_in_words([BAD], limits, "price")
    asked = "latency 50.0 ms, energy 10.0 mJ, power 5.00 W, price 100 USD, RAM 512 KiB, 'secure boot', evidence B"
    assert f"estimated, not measured; by price; asked for: {asked}" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 96
    assert "no device keeps all of it" in text


def test_notes_stand_below_a_device() -> None:
    judged = (
        Judgement(limit="latency", verdict="perhaps", why="needs 23.8 ms, up to 26.6 ms, 25.0 ms allowed"),
        Judgement(limit="price", verdict="kept", why="price: needs 35 USD, 100 USD allowed"),
    )
    fallen = (left("TANH", 0, "no TANH"),)
    placement = Placement(accelerator="the NPU", kernels=20, macs=10, refused=False, fallen=fallen)
    one = replace(PI, security="secure boot", placement=placement, judgements=judged)
    lines = candidates_in_words([one, replace(PI, path="net.onnx")], Limits(), "latency").splitlines()
    assert lines[3].endswith("perhaps")
    assert lines[4:8] == [
        "    net.int8.tflite",
        "    security: secure boot",
        "    the NPU takes 100 % of the MACs; 1 op on the CPU beside it",
        "    perhaps: needs 23.8 ms, up to 26.6 ms, 25.0 ms allowed",
    ]
    assert lines[9] == "    net.onnx"


def test_what_facts_do_not_say_where_they_are_asked_for() -> None:
    assert "    facts: load 5.8 TFLite fp32" in candidates_in_words([PI], Limits(power_w=9.0), "latency").splitlines()
    assert "facts:" in candidates_in_words([PI], Limits(), "price")
    assert "facts:" not in candidates_in_words([PI], Limits(), "latency")


def test_files_of_two_models_are_doubted() -> None:
    other = replace(PI, estimate=replace(ESTIMATE, macs=40_000_000))
    assert "doubt: the files have 40.0 M to 300 M MACs" in candidates_in_words([PI, other], Limits(), "latency")
    alike = replace(PI, estimate=replace(ESTIMATE, macs=303_000_000))
    assert "doubt" not in candidates_in_words([PI, alike], Limits(), "latency")


def test_unknown_memory_and_json() -> None:
    text = candidates_in_words([replace(PI, ram=None), replace(MICRO, available_bytes=None)], Limits(), "ram")
    assert "  ?  " in text and "781 KiB " in text
    assert '"high": null' in to_json(vars(PI)), "JSON has no infinity"
