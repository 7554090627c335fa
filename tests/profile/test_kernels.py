"""What a file's kernels are: the same net as TFLite and as ONNX, in integers and in float."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import EdgekitError
from edgekit.profile.kernels import Kernel, kernels_of
from tests.profile.nets import onnx_file, tflite_file


@pytest.fixture(params=[tflite_file, onnx_file], ids=["tflite", "onnx"])
def write(request: pytest.FixtureRequest):
    return request.param


def by_kind(kernels: tuple[Kernel, ...]) -> dict[str, Kernel]:
    return {f"{kernel.kind} {kernel.taps[0]}": kernel for kernel in kernels}


@pytest.mark.parametrize("integers", [True, False])
def test_kernels_with_their_work(tmp_path: Path, write, integers: bool) -> None:
    kernels = kernels_of(write(tmp_path, integers=integers))
    borders = 2 if integers else 0
    assert [kernel.kind for kernel in kernels if kernel.kind != "convert"] == [
        "conv",
        "depthwise",
        "conv",
        "elementwise",
        "curve",
        "reduce",
        "dense",
    ]
    assert len(kernels) == 7 + borders
    assert {kernel.precision for kernel in kernels} == {"int8" if integers else "float32"}
    found = by_kind(kernels)
    first, depthwise, dense = found["conv 3"], found["depthwise 5"], found["dense 1"]
    assert (first.macs, first.inputs, first.outputs, first.weights) == (64 * 8 * 27, 3 * 256, 8 * 64, 216)
    assert (first.stride, first.depth, first.groups) == (2, 3, 1)
    assert (depthwise.macs, depthwise.groups, depthwise.depth, depthwise.taps) == (8 * 64 * 25, 8, 1, (5, 5))
    assert (dense.macs, dense.weights, dense.depth) == (80, 80, 8)
    assert found["elementwise 1"].inputs == 2 * found["elementwise 1"].outputs
    assert first.per_channel == depthwise.per_channel == integers


def test_neither_format(tmp_path: Path) -> None:
    path = tmp_path / "model.txt"
    path.write_text("no model")
    with pytest.raises(EdgekitError, match="EK710"):
        kernels_of(path)
    with pytest.raises(EdgekitError, match="EK101"):
        kernels_of(tmp_path / "gone.tflite")
