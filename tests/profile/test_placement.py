"""What leaves an accelerator: ops, precisions, weights with a scale per channel, and windows beyond its limits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgekit.device import Accelerator, Limit, device_names, load_device
from edgekit.profile.kernels import Kernel
from edgekit.profile.placement import fallen_from, placed

KERNEL = Kernel(name="c", op="CONV_2D", kind="conv", precision="int8", macs=10, weights=4, per_channel=True)
TAKES = Accelerator(
    name="the NPU", ops=("CONV_2D",), precisions=("int8",), weights="per-channel", source="a sheet", status="spec"
)


def with_limit(**said: object) -> Accelerator:
    return TAKES.model_copy(update={"limits": (Limit(ops=("CONV_2D",), **said),)})  # type: ignore[arg-type]


def test_nothing_said_nothing_fallen() -> None:
    assert fallen_from(None, [KERNEL]) == ()
    assert fallen_from(TAKES, [KERNEL]) == ()
    assert placed(None, [KERNEL]) is None


def test_each_reason() -> None:
    (op,) = fallen_from(TAKES.model_copy(update={"ops": ("ADD",)}), [KERNEL])
    assert (op.kernel, op.op, op.macs, op.reason) == ("c", "CONV_2D", 10, "the NPU has no CONV_2D")
    (precision,) = fallen_from(TAKES.model_copy(update={"precisions": ("float16",)}), [KERNEL])
    assert precision.reason == "the NPU does not compute in int8"
    (channel,) = fallen_from(TAKES.model_copy(update={"weights": "per-tensor"}), [KERNEL])
    assert "one per channel" in channel.reason


def test_limits() -> None:
    large = replace(KERNEL, taps=(9, 3), stride=4)
    (taps,) = fallen_from(with_limit(taps=(8, 8)), [large])
    assert taps.reason == "the NPU takes kernels of CONV_2D up to 8x8, this one has 9x3"
    (stride,) = fallen_from(with_limit(stride=3), [large])
    assert stride.reason == "the NPU takes strides of CONV_2D up to 3, this one has 4"
    (precision,) = fallen_from(with_limit(precisions=("int16x8",)), [large])
    assert precision.reason == "the NPU does not compute CONV_2D in int8"
    assert fallen_from(with_limit(taps=(9, 3), stride=4, precisions=("int8",)), [large]) == ()
    assert fallen_from(with_limit(taps=(1, 1)), [replace(large, op="ADD")])[0].reason == "the NPU has no ADD"


def test_a_limit_of_depthwise_convolutions_by_their_kind() -> None:
    """In ONNX they are called Conv, as the others."""
    limited = TAKES.model_copy(update={"onnx_ops": ("Conv",), "limits": (Limit(ops=("depthwise",), taps=(8, 8)),)})
    conv = replace(KERNEL, op="Conv", taps=(11, 11))
    assert [one.kernel for one in fallen_from(limited, [conv, replace(conv, name="d", kind="depthwise")])] == ["d"]


def test_the_names_are_those_of_the_files_format() -> None:
    both = TAKES.model_copy(update={"onnx_ops": ("Conv",)})
    assert fallen_from(both, [replace(KERNEL, op="Conv")]) == ()
    assert placed(TAKES, [replace(KERNEL, op="Conv")]) is None, "nothing is said of ONNX files"
    (custom,) = fallen_from(TAKES, [replace(KERNEL, op="custom Nms")])
    assert custom.reason == "the NPU has no custom Nms"


def test_shares() -> None:
    two = [KERNEL, replace(KERNEL, name="t", op="TANH", kind="curve", macs=0, weights=0)]
    found = placed(TAKES, two)
    assert found is not None
    assert (found.kernels, found.macs, found.share, found.refused) == (2, 10, 1.0, False)
    idle = placed(TAKES, two[1:])
    assert idle is not None and idle.share == 0
    nothing = placed(TAKES, [])
    assert nothing is not None and nothing.share == 1


def test_real_numbers_stay_outside() -> None:
    """Vela leaves the QUANTIZE of a float input to the CPU, and takes one that gives integers another scale."""
    integers = TAKES.model_copy(update={"ops": ("CONV_2D", "QUANTIZE")})
    at_the_border = Kernel(name="q", op="QUANTIZE", kind="convert", precision="int8", floats=True)
    (fallen,) = fallen_from(integers, [at_the_border, replace(at_the_border, name="r", floats=False), KERNEL])
    assert (fallen.kernel, fallen.reason) == ("q", "the NPU holds no real numbers")
    both = TAKES.model_copy(update={"ops": ("CONV_2D", "QUANTIZE", "DEQUANTIZE")})
    assert fallen_from(both, [at_the_border]) == ()


def test_one_piece_only() -> None:
    """The Edge TPU's compiler leaves all behind the first op that it does not take to the CPU."""
    one_piece = TAKES.model_copy(update={"others": "cpu-from-there"})
    tanh = replace(KERNEL, name="t", op="TANH", kind="curve", macs=0, weights=0)
    found = fallen_from(one_piece, [KERNEL, tanh, replace(KERNEL, name="d")])
    assert [fallen.kernel for fallen in found] == ["t", "d"]
    assert found[1].reason == "it comes behind TANH 't', where the NPU ends"
    converts = replace(tanh, op="QUANTIZE", kind="convert")
    assert [fallen.kernel for fallen in fallen_from(one_piece, [converts, KERNEL])] == ["t"]


def test_a_compiler_that_refuses_whole_files() -> None:
    whole = TAKES.model_copy(update={"others": "refused"})
    assert not placed(whole, [KERNEL]).refused  # type: ignore[union-attr]
    assert placed(whole, [KERNEL, replace(KERNEL, op="TANH")]).refused  # type: ignore[union-attr]


@pytest.mark.parametrize("name", device_names())
def test_tables_of_devices_say_whose_they_are(name: str) -> None:
    accelerator = load_device(name).accelerator
    if accelerator is None:
        return
    assert accelerator.source and accelerator.status == "published"
    assert len(set(accelerator.ops)) == len(accelerator.ops)
    assert len(set(accelerator.onnx_ops)) == len(accelerator.onnx_ops)
    assert {"CONV_2D", "ADD"} <= set(accelerator.ops) or {"Conv", "Add"} <= set(accelerator.onnx_ops)
    known = {*accelerator.ops, *accelerator.onnx_ops, "depthwise"}
    assert all(set(limit.ops) <= known for limit in accelerator.limits)


def test_what_makers_say() -> None:
    devices = ("coral-usb", "ethos-u55-128", "ethos-u85", "imx8m-plus", "rk3588", "rb3-gen2", "jetson-nano", "stm32n6")
    npus = {name: load_device(name).accelerator for name in devices}
    assert {name for name, npu in npus.items() if npu is not None and npu.weights == "per-tensor"} == {"imx8m-plus"}
    edge_tpu, u55, u85 = npus["coral-usb"], npus["ethos-u55-128"], npus["ethos-u85"]
    assert edge_tpu is not None and u55 is not None and u85 is not None
    assert "HARD_SWISH" not in edge_tpu.ops and "HARD_SWISH" in u55.ops
    assert set(u55.ops) < set(u85.ops)
    strided = replace(KERNEL, op="DEPTHWISE_CONV_2D", kind="depthwise", stride=4)
    assert fallen_from(u55, [strided]) and not fallen_from(u85, [strided])
