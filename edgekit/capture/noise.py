"""Smooth noise of deviation 1: the size of normalized inputs, with the spectrum of photographs.

Their amplitude falls with the frequency; here that is a sum of octaves, each of half the amplitude and twice as fine.
Source: Field 1987, "Relations between the statistics of natural images and the response properties of cortical cells".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgekit.artifact import Arrays
from edgekit.capture.shapes import Input
from edgekit.errors import EdgekitError


def noise(inputs: Sequence[Input], count: int, seed: int) -> Arrays:
    """count samples for every input, float32. Raises EK413 for integers, which could be indices of anything."""
    if wrong := [i for i in inputs if i.dtype != "float32"]:
        raise EdgekitError(
            "EK413",
            f"no samples to calibrate on, and input '{wrong[0].name}' cannot be made up",
            f"it takes {wrong[0].dtype}, whose meaning only samples tell",
            "give representative inputs with --data PATH (.npz, .npy, a folder of images, or file.py:factory)",
        )
    generator = np.random.default_rng(seed)
    return {i.name: _smooth(generator, count, i.shape) for i in inputs}


def _smooth(generator: np.random.Generator, count: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """(count, *shape); the first axis of a sample with several are channels, which share half of their noise."""
    if len(shape) != 3:
        return generator.normal(size=(count, *shape)).astype(np.float32)
    channels, height, width = shape
    total = np.zeros((count, *shape))
    cells, amplitude = 1, 1.0
    while cells <= max(height, width):
        rows, columns = min(cells, height), min(cells, width)
        shared = generator.normal(size=(count, 1, rows, columns))
        octave = shared + generator.normal(size=(count, channels, rows, columns))
        total += amplitude * octave[:, :, _nearest(height, rows)][:, :, :, _nearest(width, columns)]
        cells, amplitude = 2 * cells, amplitude / 2
    return np.asarray(total / total.std(), np.float32)


def _nearest(size: int, cells: int) -> NDArray[np.int64]:
    """Which cell each position lies in."""
    return np.arange(size) * cells // size
