"""The kernels that a runtime really runs for a file: what each multiplies, and how much it reads and writes.

One op of a TFLite file is one kernel, since the file has its activations fused already (`kernels_tflite.py`). An ONNX
graph is read as ONNX Runtime fuses it (`kernels_onnx.py`). Ops that only give a shape another name are none.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgekit.errors import EdgekitError

Kind = Literal[
    "conv",
    "depthwise",
    "transpose-conv",
    "dense",
    "matmul",
    "recurrent",
    "elementwise",
    "curve",
    "pool",
    "reduce",
    "softmax",
    "resize",
    "move",
    "convert",
    "lookup",
    "other",
]
"""curve: an activation that is no clamp (sigmoid, hard swish, tanh ...); move: values change their place, not their
size (concat, pad, transpose ...); convert: to another precision; other: nothing is known of it."""

Precision = Literal["int8", "int16x8", "float32", "float16", "int8-dynamic"]
"""What a kernel computes in. int8-dynamic: int8 weights, activations rounded in each run."""


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """One kernel for one sample.

    macs: multiply-accumulates; inputs, outputs, weights: elements; taps: kernel height and width; groups: of a
    convolution, its channels where it is depthwise; depth: input channels of one group; per_channel: its weights
    are integers with a scale per channel; floats: a conversion with real numbers on one side.
    """

    name: str
    op: str
    kind: Kind
    precision: Precision
    macs: int = 0
    inputs: int = 0
    outputs: int = 0
    weights: int = 0
    taps: tuple[int, int] = (1, 1)
    stride: int = 1
    groups: int = 1
    depth: int = 1
    per_channel: bool = False
    floats: bool = False


def kernels_of(path: Path) -> tuple[Kernel, ...]:
    """The kernels of a TFLite or ONNX file, which is known by its first bytes. Raises EK710 where it is neither."""
    if not path.is_file():
        raise EdgekitError("EK101", f"no file at '{path}'", "the path does not exist or is not a file", "check it")
    if is_tflite(path):
        from edgekit.profile.kernels_tflite import kernels_of_tflite

        return kernels_of_tflite(path)
    from edgekit.profile.kernels_onnx import kernels_of_onnx

    return kernels_of_onnx(path)


def is_tflite(path: Path) -> bool:
    """By the identifier that flatbuffers carry behind their first offset."""
    with path.open("rb") as file:
        return file.read(8)[4:] == b"TFL3"
