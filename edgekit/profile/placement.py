"""Which kernels leave an accelerator for the CPU beside it, and why: asked before any latency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.device import Accelerator, Limit
from edgekit.profile.kernels import Kernel

TO_FLOATS = frozenset({"DEQUANTIZE", "DequantizeLinear"})
"""What takes none of these does not make integers of real numbers either, whatever its list says of QUANTIZE."""


@dataclass(frozen=True, kw_only=True)
class Fallen:
    """A kernel that the accelerator does not take."""

    kernel: str
    op: str
    macs: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Placement:
    """How much of a file an accelerator takes. kernels, macs: of the whole file; refused: its compiler makes nothing of
    a file with such ops; fallen: in the order they run."""

    accelerator: str
    kernels: int
    macs: int
    refused: bool
    fallen: tuple[Fallen, ...]

    @property
    def share(self) -> float:
        """Of the MACs that it takes; of the kernels, where nothing multiplies."""
        if not self.macs:
            return 1 - len(self.fallen) / self.kernels if self.kernels else 1.0
        return 1 - sum(fallen.macs for fallen in self.fallen) / self.macs


def placed(accelerator: Accelerator | None, kernels: Sequence[Kernel]) -> Placement | None:
    """None where nothing is said about an accelerator, or about files of that format."""
    if accelerator is None or (names := _names(accelerator, kernels)) is None:
        return None
    fallen: list[Fallen] = []
    behind: Kernel | None = None  # the first one that takes all behind it along
    for kernel in kernels:
        reason = _reason(accelerator, names, kernel)
        if reason is None and behind is not None:
            reason = f"it comes behind {behind.op} '{behind.name}', where {accelerator.name} ends"
        if reason is None:
            continue
        fallen.append(Fallen(kernel=kernel.name, op=kernel.op, macs=kernel.macs, reason=reason))
        # Values change their precision at the border anyway, so that a conversion by itself is no border.
        if behind is None and accelerator.others == "cpu-from-there" and kernel.kind != "convert":
            behind = kernel
    return Placement(
        accelerator=accelerator.name,
        kernels=len(kernels),
        macs=sum(kernel.macs for kernel in kernels),
        refused=accelerator.others == "refused" and bool(fallen),
        fallen=tuple(fallen),
    )


def fallen_from(accelerator: Accelerator | None, kernels: Sequence[Kernel]) -> tuple[Fallen, ...]:
    """In the order they run; none where nothing is said about an accelerator."""
    found = placed(accelerator, kernels)
    return () if found is None else found.fallen


def _names(accelerator: Accelerator, kernels: Sequence[Kernel]) -> frozenset[str] | None:
    """The ops that it takes, by the names of the kernels' format, which are all capitals in TFLite only."""
    named = [kernel.op for kernel in kernels if not kernel.op.startswith(("custom ", "op "))]
    ops = accelerator.ops if all(op == op.upper() for op in named) else accelerator.onnx_ops
    return frozenset(ops) if ops else None


def _reason(accelerator: Accelerator, names: frozenset[str], kernel: Kernel) -> str | None:
    if kernel.op not in names:
        return f"{accelerator.name} has no {kernel.op}"
    if kernel.floats and not names & TO_FLOATS:
        return f"{accelerator.name} holds no real numbers"
    if kernel.precision not in accelerator.precisions:
        return f"{accelerator.name} does not compute in {kernel.precision}"
    if kernel.weights and kernel.per_channel and accelerator.weights == "per-tensor":
        return f"{accelerator.name} takes one scale for all weights of an op, {kernel.op} has one per channel"
    for limit in accelerator.limits:
        if (kernel.op in limit.ops or kernel.kind in limit.ops) and (beyond := _beyond(limit, kernel)) is not None:
            return f"{accelerator.name} {beyond}"
    return None


def _beyond(limit: Limit, kernel: Kernel) -> str | None:
    """What the limit says against the kernel."""
    if limit.taps is not None and (kernel.taps[0] > limit.taps[0] or kernel.taps[1] > limit.taps[1]):
        largest, seen = (f"{height}x{width}" for height, width in (limit.taps, kernel.taps))
        return f"takes kernels of {kernel.op} up to {largest}, this one has {seen}"
    if limit.stride is not None and kernel.stride > limit.stride:
        return f"takes strides of {kernel.op} up to {limit.stride}, this one has {kernel.stride}"
    if limit.precisions is not None and kernel.precision not in limit.precisions:
        return f"does not compute {kernel.op} in {kernel.precision}"
    return None
