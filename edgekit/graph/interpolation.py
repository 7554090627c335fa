"""ONNX's Resize along one axis: where every output pixel looks, and with which weights.

    y = W x,  W (m, n):  taps around the coordinate c of each output pixel, the kernel k at their distances
    linear  k(d) = 1 - |d|                                      cubic  Keys' kernel with a, two pixels to either side
    antialias: k(s d), s = min(scale, 1), normalized            outside: the edge pixel, or no weight (exclude_outside)

Source: ONNX Resize-19, and its reference implementation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Attributes = Mapping[str, Any]
"""Of the Resize node, by name."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One resized axis. scale: as the model gives it, which need not be result / size; roi: of tf_crop_and_resize."""

    axis: int
    size: int
    result: int
    scale: float
    roi: tuple[float, float]

    def coordinates(self, mode: str) -> Array:
        """The source coordinate of each output pixel."""
        x, length = np.arange(self.result, dtype=np.float64), self.scale * self.size
        match mode:
            case "align_corners":
                return x * (self.size - 1) / (length - 1) if length != 1 else np.zeros(self.result)
            case "asymmetric":
                return x / self.scale
            case "pytorch_half_pixel" if self.result == 1:
                return np.zeros(1)
            case "half_pixel_symmetric":
                return self.size / 2 * (1 - self.result / length) + (x + 0.5) / self.scale - 0.5
            case "tf_crop_and_resize":
                start, end = self.roi
                if length == 1:
                    return np.full(self.result, (start + end) / 2 * (self.size - 1))
                return start * (self.size - 1) + x * (end - start) * (self.size - 1) / (length - 1)
            case _:
                return (x + 0.5) / self.scale - 0.5


def axes(
    attributes: Attributes,
    before: Sequence[int],
    after: Sequence[int],
    regions: Array | None,
    scales: Array | None,
    sizes: Array | None,
) -> list[Axis]:
    """The axes whose size changes, or that are looked at through a region.

    before, after: the shapes of input and output; regions, scales, sizes: the node's optional inputs 1 to 3.
    """
    regions, scales, sizes = (None if x is None or x.size == 0 else x for x in (regions, scales, sizes))
    given = [int(axis) % len(before) for axis in attributes.get("axes", range(len(before)))]
    policy = attributes.get("keep_aspect_ratio_policy", "stretch")
    ratios = {axis: after[axis] / before[axis] for axis in given}
    if scales is not None:
        ratios = {axis: float(scale) for axis, scale in zip(given, scales, strict=True)}
    elif policy != "stretch" and sizes is not None:
        wanted = [float(size) / before[axis] for axis, size in zip(given, sizes, strict=True)]
        ratios = dict.fromkeys(given, min(wanted) if policy == "not_larger" else max(wanted))
    cropped = attributes.get("coordinate_transformation_mode") == "tf_crop_and_resize" and regions is not None
    rois = dict.fromkeys(given, (0.0, 1.0))
    if cropped and regions is not None:
        rois = {axis: (float(regions[i]), float(regions[i + len(given)])) for i, axis in enumerate(given)}
    return [
        Axis(axis=axis, size=before[axis], result=after[axis], scale=ratios[axis], roi=rois[axis])
        for axis in given
        if before[axis] != after[axis] or ratios[axis] != 1 or rois[axis] != (0.0, 1.0)
    ]


def rounded(x: Array, mode: str) -> Array:
    """The pixel that `nearest` takes."""
    match mode:
        case "floor":
            return np.floor(x)
        case "ceil":
            return np.ceil(x)
        case "round_prefer_ceil":
            return np.floor(x + 0.5)
        case _:
            return np.ceil(x - 0.5)


def weights(attributes: Attributes, axis: Axis) -> Array:
    """W (m, n) of a linear or cubic resize; rows of pixels that are extrapolated are zero."""
    mode = attributes.get("coordinate_transformation_mode", "half_pixel")
    coordinates = axis.coordinates(mode)
    cubic = attributes.get("mode") == "cubic"
    reach = 2 if cubic else 1
    shrink = min(axis.scale, 1.0) if attributes.get("antialias", 0) else 1.0
    first = int(np.floor(-reach / shrink) + 1)
    base = np.ceil(coordinates) - 1
    places = base[:, np.newaxis] + np.arange(first, 2 - first)
    distances = np.abs(places - coordinates[:, np.newaxis]) * shrink
    taps = _cubic(distances, float(attributes.get("cubic_coeff_a", -0.75))) if cubic else _linear(distances)
    if attributes.get("exclude_outside", 0):
        taps = np.where((places < 0) | (places >= axis.size), 0, taps)
    taps = taps / taps.sum(axis=1, keepdims=True)
    matrix = np.zeros((axis.result, axis.size))
    rows = np.broadcast_to(np.arange(axis.result)[:, np.newaxis], places.shape)
    np.add.at(matrix, (rows, np.clip(places, 0, axis.size - 1).astype(np.int64)), taps)
    matrix[extrapolated(attributes, axis)] = 0
    return matrix.astype(np.float32)


def extrapolated(attributes: Attributes, axis: Axis) -> Array:
    """Which output pixels lie outside of the source and take a constant instead."""
    if attributes.get("coordinate_transformation_mode") != "tf_crop_and_resize":
        return np.zeros(axis.result, bool)
    coordinates = axis.coordinates("tf_crop_and_resize")
    outside: Array = (coordinates < 0) | (coordinates > axis.size - 1)
    return outside


def _linear(distances: Array) -> Array:
    taps: Array = np.clip(1 - distances, 0, 1)
    return taps


def _cubic(d: Array, a: float) -> Array:
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    taps: Array = np.where(d <= 1, near, np.where(d < 2, far, 0))
    return taps
