"""A model file and its input and output signature.

A file may want another order of axes than the model (NHWC against NCHW) or integers instead of floats. Its signature
says so, and `to_file` and `from_file` translate, so that everybody else speaks the model's language.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit import affine

Arrays = dict[str, NDArray[Any]]
Format = Literal["onnx", "tflite"]
Precision = Literal["float32", "float16", "int8", "int16x8", "int8-dynamic"]
"""int16x8: int16 activations, int8 weights; int8-dynamic: int8 weights under float activations."""
INTEGERS: dict[Precision, str] = {"int8": "INT8", "int16x8": "INT16x8", "int8-dynamic": "dynamic"}
"""The precisions in which integers stand for real numbers, and how tables call them."""
REORDERED = ":reordered"
"""How a file's tensor is called that holds a value of the model in another order of channels: it is made by the model's
op, but its numbers stand elsewhere."""
METADATA_KEY = "edgekit"  # under which both formats carry the preprocess contract and the like, as JSON


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """One input or output of a file, under the model's name for it.

    shape: as in the file, None where dynamic; axes: axes[i] is the model's axis that stands at position i in the file,
    None where the order is the model's own; qparams: set where the file takes integers for a float of the model.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    axes: tuple[int, ...] | None = None
    qparams: affine.QParams | None = None

    def to_file(self, x: NDArray[Any]) -> NDArray[Any]:
        """The model's tensor as the file takes it."""
        if self.axes is not None:
            x = np.transpose(x, self.axes)
        if self.qparams is not None:
            x = affine.quantize(x, self.qparams)
        return np.asarray(x, dtype=self.dtype, order="C")  # ascontiguousarray would give a scalar an axis

    def from_file(self, x: NDArray[Any]) -> NDArray[Any]:
        """The file's tensor as the model would give it."""
        if self.qparams is not None:
            x = affine.dequantize(x, self.qparams)
        if self.axes is not None:
            x = np.transpose(x, np.argsort(self.axes))
        return x


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A file that a runtime can run. inputs and outputs are in the file's order; batch: samples that a run takes;
    unpruned: of the model before channels were cut, to hold others against."""

    path: Path
    format: Format
    precision: Precision
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batch: int = 1
    unpruned: bool = False

    @property
    def size_bytes(self) -> int:
        return self.path.stat().st_size

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def to_file(self, inputs: Arrays) -> Arrays:
        """Samples as the file takes them, at most as many as it takes: the last one again, where there are fewer."""
        return {spec.name: spec.to_file(self._filled(inputs[spec.name])) for spec in self.inputs}

    def _filled(self, x: NDArray[Any]) -> NDArray[Any]:
        missing = self.batch - len(x) if self.batch > 1 else 0
        return np.concatenate([x, np.repeat(x[-1:], missing, axis=0)]) if missing else x

    @property
    def label(self) -> str:
        """How tables name it: 'INT8 TFLite'."""
        kind = "unpruned" if self.unpruned else INTEGERS.get(self.precision, self.precision)
        return f"{kind} {FORMAT_NAMES[self.format]}"


FORMAT_NAMES = {"onnx": "ONNX", "tflite": "TFLite"}
