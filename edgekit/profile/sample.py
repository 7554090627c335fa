"""A sample to measure with where nobody gives one: noise of the shapes and types that a file takes."""

from __future__ import annotations

import numpy as np

from edgekit import affine
from edgekit.artifact import Arrays, Artifact, TensorSpec
from edgekit.errors import EdgekitError


def noise(artifact: Artifact, seed: int = 0) -> Arrays:
    """By the file's input names, in the file's layout and types; the same in every call. Raises EK736.

    Real numbers are from a standard normal distribution, whole ones that stand for themselves are 0 or 1: both are what
    any model takes. Latency hardly depends on values; the outputs say less about the model than those of a real sample.
    """
    random = np.random.default_rng(seed)
    arrays = {}
    for spec in artifact.inputs:
        shape = _shape(artifact, spec)
        if spec.qparams is not None:
            arrays[spec.name] = affine.quantize(random.standard_normal(shape, np.float32), spec.qparams)
        elif np.dtype(spec.dtype).kind == "f":
            arrays[spec.name] = random.standard_normal(shape, np.float32).astype(spec.dtype)
        else:
            arrays[spec.name] = random.integers(0, 2, shape).astype(spec.dtype)
    return arrays


def _shape(artifact: Artifact, spec: TensorSpec) -> tuple[int, ...]:
    first, *others = spec.shape or (1,)
    if any(dim is None for dim in others):
        raise EdgekitError(
            "EK736",
            f"cannot make up a sample for '{artifact.path.name}'",
            f"input '{spec.name}' leaves a size open: {'x'.join('?' if d is None else str(d) for d in spec.shape)}",
            "give one with --data PATH (.npz, .npy, a folder of images, or file.py:factory)",
        )
    shape = (first or 1, *(dim for dim in others if dim is not None))
    return shape if spec.shape else ()
