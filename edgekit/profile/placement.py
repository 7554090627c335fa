"""Which kernels leave an accelerator for the CPU beside it, and why: asked before any latency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.device import Accelerator
from edgekit.profile.kernels import Kernel


@dataclass(frozen=True, kw_only=True)
class Fallen:
    """A kernel that the accelerator does not take."""

    kernel: str
    op: str
    macs: int
    reason: str


def fallen_from(accelerator: Accelerator | None, kernels: Sequence[Kernel]) -> tuple[Fallen, ...]:
    """In the order they run; none where nothing is said about an accelerator."""
    if accelerator is None:
        return ()
    reasons = [(kernel, _reason(accelerator, kernel)) for kernel in kernels]
    return tuple(
        Fallen(kernel=kernel.name, op=kernel.op, macs=kernel.macs, reason=reason)
        for kernel, reason in reasons
        if reason is not None
    )


def _reason(accelerator: Accelerator, kernel: Kernel) -> str | None:
    if kernel.op not in accelerator.ops:
        return f"{accelerator.name} has no {kernel.op}"
    if kernel.precision not in accelerator.precisions:
        return f"{accelerator.name} does not compute in {kernel.precision}"
    if kernel.weights and kernel.per_channel and accelerator.weights == "per-tensor":
        return f"{accelerator.name} takes one scale for all weights of an op, {kernel.op} has one per channel"
    return None
