"""What leaves an accelerator: ops, precisions, and weights with a scale per channel."""

from __future__ import annotations

from edgekit.device import Accelerator
from edgekit.profile.kernels import Kernel
from edgekit.profile.placement import fallen_from

KERNEL = Kernel(name="c", op="CONV_2D", kind="conv", precision="int8", macs=10, weights=4, per_channel=True)
TAKES = Accelerator(
    name="the NPU", ops=("CONV_2D",), precisions=("int8",), weights="per-channel", source="a sheet", status="spec"
)


def test_nothing_said_nothing_fallen() -> None:
    assert fallen_from(None, [KERNEL]) == ()
    assert fallen_from(TAKES, [KERNEL]) == ()


def test_each_reason() -> None:
    (op,) = fallen_from(TAKES.model_copy(update={"ops": ("ADD",)}), [KERNEL])
    assert (op.kernel, op.op, op.macs, op.reason) == ("c", "CONV_2D", 10, "the NPU has no CONV_2D")
    (precision,) = fallen_from(TAKES.model_copy(update={"precisions": ("float16",)}), [KERNEL])
    assert precision.reason == "the NPU does not compute in int8"
    (channel,) = fallen_from(TAKES.model_copy(update={"weights": "per-tensor"}), [KERNEL])
    assert "one per channel" in channel.reason
