"""Images that are a little different every time that they are seen, so that many epochs teach none of them by heart.

    flip     left and right are exchanged in every other one
    shift    each is moved by up to an eighth of its height and width, its edge going on into what comes in

What happens to an image follows from the seed, the epoch and its place in it, and from nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError
from edgekit.samples import Batch, Samples

Change = Literal["flip", "shift"]
SHIFT = 1 / 8  # of height and width; Krizhevsky 2009 and He et al. 2015, arXiv:1512.03385, section 4.2: 4 of 32 pixels
IMAGE_AXES = 4


def augmented(batch: Batch, changes: Sequence[Change], seed: Sequence[int], axes: tuple[int, int]) -> Batch:
    """axes: height and width of (N, ...) images, as `image_axes` has them; all inputs of a sample are changed alike."""
    if not changes:
        return batch
    rng = np.random.default_rng(seed)
    turned = rng.random(len(batch.ids)) < 0.5
    moved = rng.uniform(-SHIFT, SHIFT, (2, len(batch.ids)))

    def changed(x: NDArray[Any]) -> NDArray[Any]:
        if x.ndim != IMAGE_AXES:
            return x
        if "flip" in changes:
            x = np.where(turned.reshape(-1, 1, 1, 1), np.flip(x, axes[1]), x)
        if "shift" in changes:
            for axis, shares in zip(axes, moved, strict=True):
                x = _shifted(x, axis, np.rint(shares * x.shape[axis]).astype(np.int64))
        return x

    return replace(batch, inputs={name: changed(x) for name, x in batch.inputs.items()})


def image_axes(samples: Samples) -> tuple[int, int]:
    return (2, 3) if samples.preprocess.model_layout == "nchw" else (1, 2)


def check_augmentable(samples: Samples, changes: Sequence[Change]) -> None:
    """Raises EK925 where changed inputs would not fit what the samples say of them, or are no images."""
    if not changes:
        return
    if samples.labels is None and samples.has_targets:
        raise _refused(samples, "they have targets, which would have to be changed alike")
    if not any(len(shape) == IMAGE_AXES - 1 for shape, _ in samples.signature.values()):
        raise _refused(samples, "they are no images")


def _shifted(x: NDArray[Any], axis: int, by: NDArray[np.int64]) -> NDArray[Any]:
    """by: (N,) places."""
    places = np.clip(np.arange(x.shape[axis]) - by[:, None], 0, x.shape[axis] - 1)
    along = [-1 if i == axis else len(x) if i == 0 else 1 for i in range(x.ndim)]
    found: NDArray[Any] = np.take_along_axis(x, places.reshape(along), axis)
    return found


def _refused(samples: Samples, why: str) -> EdgekitError:
    return EdgekitError("EK925", f"cannot flip or shift the samples of '{samples.where}'", why, "leave --augment out")
