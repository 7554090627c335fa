"""What a file holds, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.errors import EdgekitError

if TYPE_CHECKING:  # types only: most files are no TFLite files
    from edgekit.profile.memory import Memory


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A named array. shape: None where dynamic; scale, zero_point: integers n stand for scale (n - zero_point)."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    scale: float | None = None
    zero_point: int | None = None


@dataclass(frozen=True, kw_only=True)
class Contents:
    """kind: "ONNX", "TFLite", "state dict", ...; what does not apply to a kind is empty or None.

    ops: op -> how many; parameters: elements in constant tensors; macs: of one sample, None where shapes leave it open;
    memory: of a TFLite file while it runs, planned; tensors: what a file without a graph holds; details: what else is
    worth a line ("opset": "20").
    """

    kind: str
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    ops: dict[str, int] = field(default_factory=dict)
    parameters: int | None = None
    macs: int | None = None
    memory: Memory | None = None
    tensors: tuple[Tensor, ...] = ()
    details: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FileIdentity:
    """A file and what is in it."""

    path: str
    size_bytes: int
    sha256: str
    contents: Contents


def damaged(path: Path, why: str) -> EdgekitError:
    """The file says what it is and then does not hold together."""
    return EdgekitError("EK193", f"'{path}' is damaged", why, "copy or export the file again")


def unknown(path: Path, why: str) -> EdgekitError:
    fix = "give an ONNX, TFLite, PyTorch, safetensors, .npz or .npy file"
    return EdgekitError("EK192", f"cannot say what '{path}' is", why, fix)
