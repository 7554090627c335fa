"""Samples that are a little different every time that they are seen, so that many epochs teach none of them by heart.

    flip     left and right are exchanged in every other image
    shift    each image is moved by up to an eighth of its height and width, its edge going on into what comes in
    noise    normal, 0.3 of what samples differ by at each place of the input (the deviation over the batch)

What happens to a sample follows from the seed, the epoch and its place in it, and from nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError
from edgekit.samples import Batch, Samples

Change = Literal["flip", "shift", "noise"]
SHIFT = 1 / 8  # of height and width; Krizhevsky 2009 and He et al. 2015, arXiv:1512.03385, section 4.2: 4 of 32 pixels
NOISE = 0.3
IMAGE_AXES = 4
COLOURS = (1, 3)  # channels of an image


def augmented(batch: Batch, changes: Sequence[Change], seed: Sequence[int], axes: tuple[int, int]) -> Batch:
    """axes: height and width of (N, ...) images, as `image_axes` has them; all images of a sample are moved alike."""
    if not changes:
        return batch
    rng = np.random.default_rng(seed)
    turned = rng.random(len(batch.ids)) < 0.5
    moved = rng.uniform(-SHIFT, SHIFT, (2, len(batch.ids)))

    def changed(x: NDArray[Any]) -> NDArray[Any]:
        if "flip" in changes and x.ndim == IMAGE_AXES:
            x = np.where(turned.reshape(-1, 1, 1, 1), np.flip(x, axes[1]), x)
        if "shift" in changes and x.ndim == IMAGE_AXES:
            for axis, shares in zip(axes, moved, strict=True):
                x = _shifted(x, axis, np.rint(shares * x.shape[axis]).astype(np.int64))
        if "noise" in changes and x.dtype.kind == "f":
            x = x + (NOISE * x.std(0) * rng.standard_normal(x.shape)).astype(x.dtype)
        return x

    return replace(batch, inputs={name: changed(x) for name, x in batch.inputs.items()})


def image_axes(samples: Samples) -> tuple[int, int]:
    """Height and width of a batch. Arrays come as the model takes them, whatever nobody said of its layout: channels
    that are few and last are last."""
    images = [shape for shape, _ in samples.signature.values() if len(shape) == IMAGE_AXES - 1]
    last = bool(images) and all(shape[2] in COLOURS and min(shape[:2]) > max(COLOURS) for shape in images)
    return (1, 2) if last or samples.preprocess.model_layout == "nhwc" else (2, 3)


def check_augmentable(samples: Samples, changes: Sequence[Change]) -> None:
    """Raises EK925 where changed inputs would not fit what the samples say of them, or are no images."""
    moves = [change for change in changes if change != "noise"]
    if moves and samples.labels is None and samples.has_targets:
        raise _refused(moves[0], samples, "they have targets, which would have to be changed alike")
    if moves and not any(len(shape) == IMAGE_AXES - 1 for shape, _ in samples.signature.values()):
        raise _refused(moves[0], samples, "they are no images")
    if "noise" in changes and not any(dtype.startswith("float") for _, dtype in samples.signature.values()):
        raise _refused("noise", samples, "they are integers")


def _shifted(x: NDArray[Any], axis: int, by: NDArray[np.int64]) -> NDArray[Any]:
    """by: (N,) places."""
    places = np.clip(np.arange(x.shape[axis]) - by[:, None], 0, x.shape[axis] - 1)
    along = [-1 if i == axis else len(x) if i == 0 else 1 for i in range(x.ndim)]
    found: NDArray[Any] = np.take_along_axis(x, places.reshape(along), axis)
    return found


def _refused(change: str, samples: Samples, why: str) -> EdgekitError:
    what = f"cannot change the samples of '{samples.where}' by '{change}'"
    return EdgekitError("EK925", what, why, f"leave --augment {change} out")
