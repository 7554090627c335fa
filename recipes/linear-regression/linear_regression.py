"""Linear regression on the diabetes data: y = w x + b, and the mean squared error

    L(w, b) = 1/N sum_n (w x_n + b - y_n)^2

is minimized over all samples at once by gradient descent, w <- w - RATE * dL/dw.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes
from torch import nn
from torch.nn import functional

SEED = 0
TEST = 221  # samples that nothing is learned from: half
RATE, STEPS = 0.1, 2000  # below 2 over the largest curvature, 8 with inputs in standard deviations, and to the end

Samples = tuple[NDArray[np.float32], NDArray[np.float32]]


def linear_regression() -> nn.Module:
    """The trained model: (N, 10) measurements in standard deviations from the mean -> (N, 1), how far the disease went
    within a year, in standard deviations from zero."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the order of every sum is fixed
    try:
        return _trained()
    finally:
        torch.set_num_threads(threads)


def calibration() -> Iterator[Samples]:
    yield _samples()[0]


def evaluation() -> Iterator[Samples]:
    yield _samples()[1]


def _samples() -> tuple[Samples, Samples]:
    """To learn from, and to judge by; scaled by what there is to learn from alone."""
    patients = load_diabetes(scaled=False)
    order = np.random.default_rng(SEED).permutation(len(patients.target))
    test, train = order[:TEST], order[TEST:]

    mean, deviation = patients.data[train].mean(0), patients.data[train].std(0)
    x = ((patients.data - mean) / deviation).astype(np.float32)
    y = (patients.target[:, None] / patients.target[train].std()).astype(np.float32)
    return (x[train], y[train]), (x[test], y[test])


def _trained() -> nn.Module:
    x, y = map(torch.from_numpy, _samples()[0])
    model = nn.Linear(x.shape[1], 1)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    descent = torch.optim.SGD(model.parameters(), RATE)
    for _ in range(STEPS):
        loss = functional.mse_loss(model(x), y)
        descent.zero_grad()
        loss.backward()
        descent.step()
    return model.eval()
