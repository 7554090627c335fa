from __future__ import annotations

import math
from dataclasses import replace

import pytest

from edgekit.device import RuntimeRam, load_device
from edgekit.profile.memory import Memory, planned
from edgekit.profile.room import STM32H7, Runtime, Verdict, fit, flash, ram_in
from tests.profile.flows import flow, tensor

SMALL = Runtime(code_low_bytes=1000, code_high_bytes=2000, ram_bytes=500, source="made up")
FILE_BYTES = 4000


@pytest.fixture
def memory() -> Memory:
    return planned(flow([tensor("x", 1024), tensor("y", 1024)], [("RELU", (0,), (1,))]))


def test_flash_is_the_file_and_code(memory: Memory) -> None:
    found = flash(memory, FILE_BYTES, SMALL)
    assert (found.low_bytes, found.high_bytes) == (5000, 6000)
    assert found.kernels == ("RELU",)
    assert found.source == "made up"
    assert flash(memory, FILE_BYTES).low_bytes == FILE_BYTES + STM32H7.code_low_bytes


@pytest.mark.parametrize(("ram_bytes", "flash_bytes", "ram", "code"), [
    (10_000, 10_000, "pass", "pass"),
    (10_000, 5_999, "pass", "inconclusive"),
    (10_000, 3_999, "pass", "fail"),
    (2_047, 10_000, "fail", "pass"),
    (2_048, 10_000, "inconclusive", "pass"),
])  # fmt: skip
def test_verdicts(memory: Memory, ram_bytes: int, flash_bytes: int, ram: Verdict, code: Verdict) -> None:
    found = fit(memory, FILE_BYTES, ram_bytes=ram_bytes, flash_bytes=flash_bytes, runtime=SMALL)
    assert [need.verdict for need in found.needs] == [ram, code]
    assert found.verdict == max(ram, code, key=["pass", "inconclusive", "fail"].index)
    assert not found.doubts


def test_the_edge_of_a_pass(memory: Memory) -> None:
    """All that is estimated counts against it, to the byte."""
    high_bytes = memory.needed_bytes + SMALL.ram_bytes
    for ram_bytes, verdict in ((high_bytes, "pass"), (high_bytes - 1, "inconclusive")):
        found = fit(memory, FILE_BYTES, ram_bytes=ram_bytes, flash_bytes=10_000, runtime=SMALL)
        assert found.needs[0].verdict == verdict


@pytest.mark.parametrize(("change", "told"), [
    ({"without_kernel": ("POW",), "guessed": ("POW", "SVDF")}, ["no kernel for POW", "what SVDF asks for was guessed"]),
    ({"several_graphs": True}, ["branch or loop"]),
])  # fmt: skip
def test_what_was_guessed_takes_a_pass_away(memory: Memory, change: dict[str, object], told: list[str]) -> None:
    doubted = replace(memory, **change)  # type: ignore[arg-type]
    found = fit(doubted, FILE_BYTES, ram_bytes=10**6, flash_bytes=10**6, runtime=SMALL)
    assert found.verdict == "inconclusive"
    assert all(text in doubt for text, doubt in zip(told, found.doubts, strict=True))
    assert fit(doubted, FILE_BYTES, ram_bytes=100, flash_bytes=10**6, runtime=SMALL).verdict == "fail"


def test_ram_in_a_runtime() -> None:
    known = RuntimeRam(
        runtime="stm32cube-ai",
        version="10.0.0",
        share=1.25,
        constant_bytes=1000,
        families=("MobileNet V1",),
        runs=3,
        held_out_error=0.1,
        half_width=math.log(2),
        source="fitted: in this test",
    )
    found = ram_in(known, 4000)
    assert (found.computed_bytes, found.ram_bytes) == (4000, 6000)
    assert (found.low_bytes, found.high_bytes) == (3000, 12000)
    assert (found.runtime, found.version, found.error) == ("stm32cube-ai", "10.0.0", 0.1)


def test_what_cube_ai_takes_on_an_stm32h7() -> None:
    """Published: MobileNet V1 0.25 of 96x96 takes 59.0 to 60.5 KiB in 7.3.0; 36 KiB are its activations in place."""
    known = {ram.version: ram for ram in load_device("stm32h743").runtime_ram}
    assert ram_in(known["7.3.0"], 36 * 1024).ram_bytes == pytest.approx(60 * 1024, rel=0.05)
    assert all(ram.held_out_error <= 0.1 for ram in known.values())
