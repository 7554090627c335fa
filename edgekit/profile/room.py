"""Does a file fit into a microcontroller? RAM and flash that it needs, at least and at most, against what there is.

What is computed (the file's bytes, its activations as TFLM places them) bounds the need from below, and alone can fail
a file. What a runtime adds is an estimate, so it can only take a pass away: a need between the two is inconclusive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from edgekit.device import RuntimeRam
from edgekit.profile.memory import Memory

Verdict = Literal["pass", "fail", "inconclusive"]

KIB = 1024


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """What a runtime adds to a file, estimated. code_low_bytes, code_high_bytes: of flash, by which kernels are linked;
    ram_bytes: at most, beside the activations; source: whose numbers these are."""

    code_low_bytes: int
    code_high_bytes: int
    ram_bytes: int
    source: str


# About 30 KiB of RAM beside activations, and 108 to 191 KiB of code beside weights, of image classifiers and detectors.
STM32H7 = Runtime(
    code_low_bytes=108 * KIB,
    code_high_bytes=191 * KIB,
    ram_bytes=30 * KIB,
    source="published measurements of STM32Cube.AI on STM32H7 boards",
)


@dataclass(frozen=True, kw_only=True)
class Flash:
    """kernels: the set of ops whose kernels are linked; code_*_bytes: an estimate, whatever the set."""

    file_bytes: int
    code_low_bytes: int
    code_high_bytes: int
    kernels: tuple[str, ...]
    source: str

    @property
    def low_bytes(self) -> int:
        return self.file_bytes + self.code_low_bytes

    @property
    def high_bytes(self) -> int:
        return self.file_bytes + self.code_high_bytes


@dataclass(frozen=True, kw_only=True)
class Need:
    """computed_bytes: what is needed in any case; high_bytes: with everything that is estimated."""

    resource: Literal["RAM", "flash"]
    computed_bytes: int
    high_bytes: int
    available_bytes: int
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class Fit:
    """verdict: that of the worst need; doubts: why a pass was not given, in whole clauses."""

    verdict: Verdict
    needs: tuple[Need, ...]
    doubts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RamEstimate:
    """RAM of a whole program in one runtime, estimated. computed_bytes: its activations, where each may lie over those
    that it is made of; low_bytes, high_bytes: the 90 % interval; error: median, on families that were left out."""

    runtime: str
    version: str
    computed_bytes: int
    ram_bytes: int
    low_bytes: int
    high_bytes: int
    error: float
    source: str


def ram_in(known: RuntimeRam, activations_bytes: int) -> RamEstimate:
    """activations_bytes: as `in_place.peak_bytes` lays them out."""
    ram_bytes = known.share * activations_bytes + known.constant_bytes
    return RamEstimate(
        runtime=known.runtime,
        version=known.version,
        computed_bytes=activations_bytes,
        ram_bytes=round(ram_bytes),
        low_bytes=round(ram_bytes * math.exp(-known.half_width)),
        high_bytes=round(ram_bytes * math.exp(known.half_width)),
        error=known.held_out_error,
        source=known.source,
    )


def flash(memory: Memory, file_bytes: int, runtime: Runtime = STM32H7) -> Flash:
    """file_bytes: of the TFLite file, which stays in flash as it is."""
    return Flash(
        file_bytes=file_bytes,
        code_low_bytes=runtime.code_low_bytes,
        code_high_bytes=runtime.code_high_bytes,
        kernels=tuple(sorted({moment.op for moment in memory.timeline})),
        source=runtime.source,
    )


def fit(memory: Memory, file_bytes: int, *, ram_bytes: int, flash_bytes: int, runtime: Runtime = STM32H7) -> Fit:
    """ram_bytes, flash_bytes: what the microcontroller has for the model and its runtime."""
    taken = flash(memory, file_bytes, runtime)
    doubts = _doubts(memory)
    needs = (
        _need("RAM", memory.head_bytes, memory.needed_bytes + runtime.ram_bytes, ram_bytes, doubtful=bool(doubts)),
        _need("flash", file_bytes, taken.high_bytes, flash_bytes, doubtful=bool(doubts)),
    )
    worst = max((need.verdict for need in needs), key=("pass", "inconclusive", "fail").index)
    return Fit(verdict=worst, needs=needs, doubts=doubts)


def _need(
    resource: Literal["RAM", "flash"], computed_bytes: int, high_bytes: int, available_bytes: int, *, doubtful: bool
) -> Need:
    verdict: Verdict = "inconclusive"
    if computed_bytes > available_bytes:
        verdict = "fail"
    elif high_bytes <= available_bytes and not doubtful:
        verdict = "pass"
    return Need(
        resource=resource,
        computed_bytes=computed_bytes,
        high_bytes=high_bytes,
        available_bytes=available_bytes,
        verdict=verdict,
    )


def _doubts(memory: Memory) -> tuple[str, ...]:
    missing = ", ".join(memory.without_kernel)
    guessed = ", ".join(sorted({*memory.guessed} - {*memory.without_kernel}))
    findings = (
        (missing, f"TFLite Micro has no kernel for {missing}"),
        (guessed, f"what {guessed} asks for was guessed"),
        (memory.several_graphs, "ops that branch or loop have graphs of their own, which were not planned"),
    )
    return tuple(text for found, text in findings if found)
