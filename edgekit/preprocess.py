"""The preprocess contract: what is done to a raw sample before the model sees it, everywhere the same.

    images only:  resize (bilinear, antialiased) -> centre crop
    every array:  x -> (float32(x) * scale - mean) / std, per channel, in float32 -> axes in the model's order

Integers stay integers while none of scale, mean and std is given; float16 and float64 always become float32. Where
samples have several inputs, scale, mean, std and layout apply to those of rank 3 (images, without the batch) only.
Pillow's bilinear filter and torchvision's rounding of the resized side and of the crop's corner are used: that is what
most image models were trained behind.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from edgekit.errors import EdgekitError

Array = NDArray[Any]
LARGEST_SIDE = 16_384  # pixels; a resize beyond it is a slip of the pen that would take gigabytes


def _fraction(value: object) -> object:
    """'1/255' as a float."""
    if not isinstance(value, str):
        return value
    top, slash, bottom = value.strip().partition("/")
    try:
        return float(Fraction(top) / Fraction(bottom)) if slash else float(Fraction(top))
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ValueError(f"'{value}' is not a number or a fraction of two, such as 1/255") from None


def _channels(value: object) -> object:
    """'.485,.456,.406' or one number as a list."""
    if isinstance(value, str):
        return [_fraction(part) for part in value.split(",")]
    if isinstance(value, int | float):
        return [value]
    return [_fraction(part) for part in value] if isinstance(value, list | tuple) else value


def _pixels(value: object) -> object:
    """'224' or '240x320' as numbers."""
    if not isinstance(value, str):
        return value
    sizes = value.lower().split("x")
    if len(sizes) > 2 or not all(size.isascii() and size.isdecimal() for size in sizes):
        raise ValueError(f"'{value}' is neither N nor HxW in pixels")
    return int(sizes[0]) if len(sizes) == 1 else [int(size) for size in sizes]


def _is_size(value: int | tuple[int, int]) -> int | tuple[int, int]:
    sides = (value,) if isinstance(value, int) else value
    if not all(1 <= side <= LARGEST_SIDE for side in sides):
        raise ValueError(f"a side must be 1 to {LARGEST_SIDE} pixels")
    return value


def _is_finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


def _is_not_zero(value: float) -> float:
    if np.float32(_is_finite(value)) == 0:
        raise ValueError("must not be 0")
    return value


def _is_divisor(values: tuple[float, ...]) -> tuple[float, ...]:
    if not all(math.isfinite(value) and np.float32(value) > 0 for value in values):
        raise ValueError("every number must be finite and above 0")
    return _has_channels(values)


def _has_channels(values: tuple[float, ...]) -> tuple[float, ...]:
    if not values or not all(math.isfinite(value) for value in values):
        raise ValueError("needs one finite number, or one per channel")
    return values


Number = float | str  # as people write it, which the JSON Schema for editors must know
Numbers = Number | list[Number]
Size = Annotated[
    int | tuple[int, int],
    BeforeValidator(_pixels, json_schema_input_type=int | tuple[int, int] | str),
    AfterValidator(_is_size),
]
Layout = Literal["nhwc", "nchw"]


class Preprocess(BaseModel):
    """The contract's keys; one that is None does nothing.

    resize: the shorter side, or (height, width), in pixels; crop: the side of a centred square, or (height, width);
    mean, std: one number for all channels or one per channel; layout: where the channels of the *samples* stand,
    "nhwc" is brought to NCHW. Images are NHWC by nature and need no layout. model_layout: what the model takes; "nhwc"
    keeps images as they are.

    An image file that is grey stays one channel when mean or std is a single number, else it becomes RGB.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    resize: Size | None = None
    crop: Size | None = None
    scale: (
        Annotated[float, BeforeValidator(_fraction, json_schema_input_type=Number), AfterValidator(_is_not_zero)] | None
    ) = None
    mean: (
        Annotated[
            tuple[float, ...], BeforeValidator(_channels, json_schema_input_type=Numbers), AfterValidator(_has_channels)
        ]
        | None
    ) = None
    std: (
        Annotated[
            tuple[float, ...], BeforeValidator(_channels, json_schema_input_type=Numbers), AfterValidator(_is_divisor)
        ]
        | None
    ) = None
    layout: Layout | None = None
    model_layout: Layout = "nchw"

    @property
    def scales(self) -> bool:
        """Whether integers become real numbers."""
        return not (self.scale is None and self.mean is None and self.std is None)

    @property
    def keeps_grey(self) -> bool:
        return any(values is not None and len(values) == 1 for values in (self.mean, self.std))

    def to_metadata(self) -> dict[str, object]:
        """Everything a program on the device needs to do the same, JSON-able, every key there."""
        return {
            "order": ["resize", "crop", "scale", "mean", "std", "layout"],
            "resize": list(self.resize) if isinstance(self.resize, tuple) else self.resize,
            "resize_keeps_aspect": isinstance(self.resize, int),
            "resize_filter": "bilinear, antialiased",
            "crop": None if self.crop is None else list(_height_width(self.crop)),
            "crop_place": "centre",
            "channels": "RGB",
            "scale": self.scale,
            "mean": None if self.mean is None else list(self.mean),
            "std": None if self.std is None else list(self.std),
            "formula": "(x * scale - mean) / std in float32",
            "layout": self.layout,
            "model_layout": self.model_layout,
        }


def resized_and_cropped(image: Image.Image, preprocess: Preprocess, name: str) -> Image.Image:
    """The image parts of the contract. name: what the user calls the image."""
    if preprocess.resize is not None:
        height, width = _resized(image.height, image.width, preprocess.resize)
        if (height, width) != (image.height, image.width):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
    if preprocess.crop is None:
        return image
    height, width = _height_width(preprocess.crop)
    if height > image.height or width > image.width:
        raise EdgekitError(
            "EK132",
            f"cannot crop '{name}' to {height}x{width}",
            f"it is {image.height}x{image.width} pixels at that point",
            "give a --resize that is at least as large as --crop",
        )
    top, left = round((image.height - height) / 2), round((image.width - width) / 2)
    return image.crop((left, top, left + width, top + height))


def applied(x: Array, preprocess: Preprocess, *, channels_last: bool, name: str) -> Array:
    """The array parts of the contract on a batch of one input.

    x: (B, ...) numbers; channels_last: where its channels stand now; name: what the user calls the samples.
    """
    if preprocess.scales:
        x = _scaled(x, preprocess, channels_last, name)
    elif x.dtype.kind == "f":
        x = _as_float32(x)
    if channels_last and preprocess.model_layout == "nchw" and x.ndim == 4:
        x = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    return x


def _scaled(x: Array, preprocess: Preprocess, channels_last: bool, name: str) -> Array:
    x = _as_float32(x)
    if preprocess.scale is not None:
        x = x * np.float32(preprocess.scale)
    if preprocess.mean is not None:
        x = x - _along_channels(preprocess.mean, x, channels_last, "mean", name)
    if preprocess.std is not None:
        x = x / _along_channels(preprocess.std, x, channels_last, "std", name)
    return x


def _as_float32(x: Array) -> Array:
    with np.errstate(over="ignore"):  # a float64 too large becomes inf, which samples refuse by name
        return x.astype(np.float32)


def _along_channels(values: tuple[float, ...], x: Array, channels_last: bool, key: str, name: str) -> Array:
    """values, shaped to broadcast along the channel axis of x."""
    one = np.asarray(values, np.float32)
    if one.size == 1:
        return one.reshape(())
    axis = x.ndim - 1 if channels_last else min(1, x.ndim - 1)
    if x.ndim == 1 or x.shape[axis] != one.size:
        shape = "x".join(map(str, x.shape[1:])) or "scalar"
        last = not channels_last and x.shape[-1] == one.size
        raise EdgekitError(
            "EK132",
            f"--{key} does not fit the samples of '{name}'",
            f"it has {one.size} numbers; a sample is {shape} with its channels {'last' if channels_last else 'first'}",
            "say --samples-layout nhwc" if last else f"give --{key} one number, or one per channel",
        )
    return one.reshape([-1 if i == axis else 1 for i in range(x.ndim)])


def _resized(height: int, width: int, size: int | tuple[int, int]) -> tuple[int, int]:
    """The new height and width; an int is the shorter side (torchvision truncates the longer one)."""
    if not isinstance(size, int):
        return size
    if height <= width:
        return size, int(size * width / height)
    return int(size * height / width), size


def _height_width(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size
