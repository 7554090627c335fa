"""A source of samples whose inputs are image files, decoded when they are asked for."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from edgekit.artifact import Arrays
from edgekit.errors import EdgekitError
from edgekit.preprocess import Preprocess, resized_and_cropped
from edgekit.samples.folder import Listing
from edgekit.samples.table import DIGEST_BYTES

INPUT = "inputs"
FORMATS = ("JPEG", "PNG", "BMP", "WEBP")  # no other decoder sees the bytes
GREY = ("1", "L", "LA")
DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


@dataclass(frozen=True, eq=False)
class Images:
    """One input, (H, W, C) uint8 after the image parts of the preprocess."""

    folder: Path
    listing: Listing
    preprocess: Preprocess

    images = True
    names = (INPUT,)
    target_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.listing.files)

    @property
    def where(self) -> str:
        return str(self.folder)

    @property
    def labels(self) -> NDArray[np.int64] | None:
        return self.listing.labels

    @property
    def class_names(self) -> tuple[str, ...] | None:
        return self.listing.class_names

    @property
    def ignored(self) -> tuple[str, ...]:
        return self.listing.ignored

    @property
    def notes(self) -> tuple[str, ...]:
        return self.listing.notes

    def title(self, index: int) -> str:
        return f"'{self.folder / self.listing.files[index]}'"

    def read(self, indices: Sequence[int], names: Sequence[str]) -> tuple[Arrays, Arrays]:
        """The images at `indices`, which have one shape (one index always has)."""
        pixels = np.stack([decoded(self.folder / self.listing.files[i], self.preprocess) for i in indices])
        return dict.fromkeys(names, pixels), {}

    def digests(self, indices: Sequence[int]) -> list[str]:
        """Hashes of the files' bytes."""
        return [self._digest(self.folder / self.listing.files[i]) for i in indices]

    def _digest(self, path: Path) -> str:
        """A glance at the header too: that a file is no image is better known before the work than in its middle."""
        with _opened(path), path.open("rb") as file:
            return hashlib.file_digest(file, _hash).hexdigest()


def _hash() -> Any:
    return hashlib.blake2b(digest_size=DIGEST_BYTES)


def decoded(path: Path, preprocess: Preprocess, file: IO[bytes] | None = None) -> NDArray[np.uint8]:
    """(H, W, 3) or, where grey is kept, (H, W, 1) uint8: upright, resized, cropped. file: instead of what is at the
    path, which then only names it."""
    with _opened(path, file) as opened:
        image = _in_colours(ImageOps.exif_transpose(opened), preprocess, path)
    image = resized_and_cropped(image, preprocess, str(path))
    pixels = np.asarray(image, np.uint8)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


@contextmanager
def _opened(path: Path, file: IO[bytes] | None = None) -> Iterator[Image.Image]:
    """The image, not yet decoded; whatever is wrong with it comes as an EdgekitError."""
    try:
        with Image.open(path if file is None else file, formats=FORMATS) as opened:
            _check_size(opened, path)
            yield opened
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as bomb:
        raise _too_large(path, str(bomb)) from bomb
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, UserWarning) as broken:
        raise unreadable(path, broken) from broken


def _check_size(image: Image.Image, path: Path) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        raise _too_large(path, f"it is {image.width}x{image.height}; at most {limit} pixels are decoded")


def _in_colours(image: Image.Image, preprocess: Preprocess, path: Path) -> Image.Image:
    if image.mode in DEEP:
        raise EdgekitError(
            "EK126",
            f"cannot use the image '{path}'",
            f"it has more than 8 bits per channel (mode {image.mode}), and how to reduce them is not known",
            "convert it to 8 bits, or save the pixels as an .npz",
        )
    if image.mode == "P":
        image = image.convert("RGBA")  # a palette may hold transparency, which Pillow keeps only so
    return image.convert("L" if preprocess.keeps_grey and image.mode in GREY else "RGB")


def _too_large(path: Path, why: str) -> EdgekitError:
    return EdgekitError("EK124", f"the image '{path}' is too large to decode", why, "scale it down, or leave it out")


def unreadable(path: Path, broken: BaseException) -> EdgekitError:
    why = str(broken).splitlines()[0] if str(broken) else type(broken).__name__
    if isinstance(broken, UnidentifiedImageError):
        why = f"it is no {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file"
    return EdgekitError("EK126", f"cannot read the image '{path}'", why, "replace the file, or leave it out")
