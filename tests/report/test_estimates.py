"""An estimate in words says that it is one, how far it may be off, and what it is known from."""

from __future__ import annotations

import json
from dataclasses import replace

from edgekit.profile.estimate import Baseline, Estimate, Part
from edgekit.profile.placement import Fallen, Placement
from edgekit.profile.room import Fit, Need, RamEstimate
from edgekit.report.estimates import estimates_in_words, fit_in_words, placement_in_words, ram_in_words
from edgekit.report.json import to_json

ESTIMATE = Estimate(
    path="net.int8.tflite",
    device="raspberry-pi-4",
    runtime="tflite",
    version="2.7.1",
    threads=4,
    precision="int8",
    macs=300_000_000,
    seconds=0.0238,
    low_s=0.0213,
    high_s=0.0266,
    energy_j=0.1516,
    energy_low_j=0.136,
    energy_high_j=0.169,
    evidence="A",
    basis="37 runs of MobileNet V1, MobileNet V2",
    baselines=(Baseline(name="MACs alone", seconds=0.019), Baseline(name="rk3588 times 3", seconds=0.025)),
    kernels=(Part(name="conv_2d_1", seconds=0.0238),),
    ops=tuple(Part(name=f"OP_{index}", seconds=0.004 - 0.0001 * index) for index in range(7)),
)


def test_one_screenful() -> None:
    text = estimates_in_words([ESTIMATE])
    assert "latency     23.8 ms  21.3..26.6  estimated, 90 % interval" in text
    assert "energy      152 mJ  136..169  estimated, of the whole board" in text
    assert "evidence    A: fitted to this device and runtime" in text
    assert "beside it   19.0 ms by MACs alone, 25.0 ms by rk3588 times 3" in text
    assert "others 27 %" in text
    assert max(map(len, text.splitlines())) <= 96
    assert "measured" not in text


def test_a_guess_says_so() -> None:
    guess = replace(ESTIMATE, evidence="D", energy_j=None, version="", doubts=("a guess from specifications",))
    text = estimates_in_words([guess])
    assert "D: a guess" in text
    assert "energy" not in text
    assert "doubt       a guess from specifications" in text


def test_small_energies_and_several_runtimes() -> None:
    text = estimates_in_words([replace(ESTIMATE, energy_j=5e-6), replace(ESTIMATE, ops=())])
    assert "5.00 uJ" in text
    assert text.count("runtime") >= 2


PLACEMENT = Placement(accelerator="the NPU", kernels=20, macs=300_000_000, refused=False, fallen=())


def left(op: str, macs: int, reason: str) -> Fallen:
    return Fallen(kernel=op.lower(), op=op, macs=macs, reason=reason)


def test_how_much_an_accelerator_takes() -> None:
    assert placement_in_words(PLACEMENT) == "placement   the NPU takes 100 % of 300 M MACs"
    one = replace(PLACEMENT, fallen=(left("CONV_2D", 12_000_000, "the NPU has no CONV_2D"),))
    assert placement_in_words(one) == (
        "placement   the NPU takes 96 % of 300 M MACs; 1 of 20 ops falls back to the CPU: the NPU has no\n"
        "            CONV_2D"
    )
    idle = replace(one, macs=0, fallen=(left("TANH", 0, "the NPU has no TANH"),))
    assert placement_in_words(idle).startswith("placement   the NPU takes 95 % of 20 ops; 1 of")


def test_why_it_does_not_take_the_rest() -> None:
    """Most MACs first; what is left over is counted."""
    fallen = [left("TANH", 0, "no TANH"), left("CONV_2D", 5, "too large"), left("CONV_2D", 5, "too large")]
    fallen += [left(f"OP_{index}", 0, f"no OP_{index}") for index in range(4)]
    words = " ".join(placement_in_words(replace(PLACEMENT, fallen=tuple(fallen))).split())
    assert words.endswith("7 of 20 ops fall back to the CPU: too large (2 ops); no TANH; no OP_0; no OP_1; 2 more ops")


def test_a_refused_file() -> None:
    refused = replace(PLACEMENT, refused=True, fallen=(left("HardSwish", 0, "TensorRT has no HardSwish"),))
    assert placement_in_words(refused) == "placement   the NPU refuses the file: TensorRT has no HardSwish"


def test_as_json() -> None:
    document = json.loads(to_json({"estimates": [ESTIMATE]}))
    assert document["estimates"][0]["seconds"] == 0.0238
    assert document["estimates"][0]["baselines"][0]["name"] == "MACs alone"


def test_whether_it_fits() -> None:
    needs = (
        Need(resource="RAM", computed_bytes=1024, high_bytes=2048, available_bytes=4096, verdict="pass"),
        Need(resource="flash", computed_bytes=8192, high_bytes=8192, available_bytes=4096, verdict="fail"),
    )
    words = fit_in_words(Fit(verdict="fail", needs=needs, doubts=("TFLite Micro has no kernel for GELU",)))
    assert words.splitlines() == [
        "fits        fail: TFLite Micro has no kernel for GELU",
        "RAM         1.00 KiB computed, up to 2.00 KiB estimated with the runtime, of 4.00 KiB: pass",
        "flash       8.00 KiB, of 4.00 KiB: fail",
    ]


def test_ram_in_a_runtime() -> None:
    ram = RamEstimate(
        runtime="stm32cube-ai",
        version="10.0.0",
        computed_bytes=200 * 1024,
        ram_bytes=250 * 1024,
        low_bytes=150 * 1024,
        high_bytes=400 * 1024,
        error=0.094,
        source="fitted: in this test",
    )
    assert " ".join(ram_in_words(ram).split()) == (
        "RAM 250 KiB 150 KiB..400 KiB estimated for stm32cube-ai 10.0.0, 90 % interval (median error 9.4 % on models"
        " that were left out)"
    )
