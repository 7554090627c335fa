"""Where buffers go in one piece of memory, so that those that live at different times share it.

The plan is that of TFLite Micro's greedy planner, which works offline, before the first run: the largest buffer first,
and each at the lowest offset where it meets no buffer placed before it that is alive while it is. Of buffers of one
size the one that was asked for last comes first. Known as "greedy by size" from Pisarchyk and Lee, "Efficient Memory
Management for Deep Neural Net Inference", 2020; the order of equals is what `tflite-micro` reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.errors import EdgekitError

ALIGNMENT = 16  # bytes; TFLM's kernels may read activations with vector loads
MOST_LIVES = 2_000_000  # of all claims together, counted in ops: a second or two; nets of 1 500 ops stay below 20 000


@dataclass(frozen=True)
class Claim:
    """size_bytes: aligned already; first, last: the ops, both included, between which it is alive. Op 0 is what happens
    before the first one, which is number 1."""

    size_bytes: int
    first: int
    last: int


def aligned(size_bytes: int, alignment: int = ALIGNMENT) -> int:
    return -(-size_bytes // alignment) * alignment


def lives(claims: Sequence[Claim]) -> int:
    """How many ops all claims together live through, which is what placing them takes."""
    return sum(claim.last - claim.first + 1 for claim in claims)


def place(claims: Sequence[Claim]) -> tuple[int, ...]:
    """The offset of each claim in bytes. Raises EK761 where there are too many, living for too long."""
    if lives(claims) > MOST_LIVES:
        raise EdgekitError(
            "EK761",
            "cannot plan the memory of the file",
            f"its {len(claims)} tensors live through {lives(claims)} ops together, planned for are {MOST_LIVES}",
            "split the model, or measure its memory where it runs",
        )
    order = sorted(range(len(claims)), key=lambda i: (-claims[i].size_bytes, -i))
    placed: list[list[int]] = [[] for _ in range(1 + max((claim.last for claim in claims), default=0))]  # by op
    offsets = [0] * len(claims)
    for number in order:
        claim = claims[number]
        alive = range(claim.first, claim.last + 1)
        met = {other for op in alive for other in placed[op]}
        offset = 0
        for begin, end in sorted((offsets[other], offsets[other] + claims[other].size_bytes) for other in met):
            if begin - offset >= claim.size_bytes:
                break
            offset = max(offset, end)
        offsets[number] = offset
        for op in alive:
            placed[op].append(number)
    return tuple(offsets)


def height(claims: Sequence[Claim], offsets: Sequence[int]) -> int:
    """Bytes that the plan takes."""
    return max((offset + claim.size_bytes for claim, offset in zip(claims, offsets, strict=True)), default=0)
