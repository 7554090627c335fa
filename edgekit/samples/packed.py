"""A source of samples whose inputs are image files that lie one after another in one array."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.artifact import Arrays
from edgekit.preprocess import Preprocess
from edgekit.samples.images import INPUT, decoded
from edgekit.samples.rows import FileRows
from edgekit.samples.table import DIGEST_BYTES, stamp


@dataclass(frozen=True, eq=False)
class PackedImages:
    """One input, (H, W, C) uint8 after the image parts of the preprocess. data: rows of one byte; places: (N + 1,),
    where each image begins and the last one ends."""

    path: Path
    data: FileRows
    places: NDArray[np.int64]
    preprocess: Preprocess
    labels: NDArray[np.int64] | None
    class_names: tuple[str, ...] | None
    ignored: tuple[str, ...]

    images = True
    names = (INPUT,)
    target_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.places) - 1

    @property
    def where(self) -> str:
        return str(self.path)

    def title(self, index: int) -> str:
        return f"image {index} of '{self.path}'"

    def read(self, indices: Sequence[int], names: Sequence[str]) -> tuple[Arrays, Arrays]:
        """The images at `indices`, which have one shape (one index always has)."""
        return dict.fromkeys(names, np.stack([self._pixels(i) for i in indices])), {}

    def digests(self, indices: Sequence[int]) -> list[str]:
        """Hashes of the pixels, as an array of them would have: what stands elsewhere undressed is the same content."""
        return [self._digest(self._pixels(i)) for i in indices]

    def _pixels(self, index: int) -> NDArray[np.uint8]:
        file = io.BytesIO(self.data.span(int(self.places[index]), int(self.places[index + 1])).tobytes())
        return decoded(Path(f"{self.path}: image {index}"), self.preprocess, file)

    def _digest(self, pixels: NDArray[np.uint8]) -> str:
        one = hashlib.blake2b(stamp("", pixels.dtype, pixels.shape), digest_size=DIGEST_BYTES)
        one.update(np.ascontiguousarray(pixels).data)
        return one.hexdigest()
