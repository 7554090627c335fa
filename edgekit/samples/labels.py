"""Labels and names of classes, as users write them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError

MOST_CLASSES = 10_000_000  # far above any classifier; a label beyond it is an identifier, not a class


def as_labels(values: NDArray[Any], classes: tuple[str, ...] | None, where: str) -> NDArray[np.int64]:
    """(N,) int64 class indices. values: (N,) or (N, 1) whole numbers."""
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or values.dtype.kind not in "biuf" or not np.all(values == np.floor(values)):
        raise EdgekitError(
            "EK137",
            f"cannot use the labels of '{where}'",
            f"they are {values.dtype} of shape {values.shape}; one class index per sample is needed",
            "save labels.argmax(1) where they are one-hot, and `targets` where they are not classes",
        )
    most = len(classes) if classes is not None else MOST_CLASSES
    wrong = np.flatnonzero((values < 0) | (values >= most))
    if wrong.size:
        raise EdgekitError(
            "EK137",
            f"label {values[wrong[0]]} of sample {wrong[0]} of '{where}' is no class",
            f"classes are 0 to {most - 1}",
            "leave out samples without a class, and check `classes`",
        )
    return values.astype(np.int64)


def as_class_names(values: NDArray[Any], where: str) -> tuple[str, ...]:
    if values.ndim != 1 or values.dtype.kind != "U":
        raise EdgekitError(
            "EK137",
            f"cannot use the classes of '{where}'",
            f"they are {values.dtype} of shape {values.shape}; one text per class is needed",
            "save numpy.array(['cat', 'dog'])",
        )
    return tuple(str(name) for name in values)
