"""Logistic regression on the breast-cancer data of Wisconsin: scores s = W x + b, and the cross-entropy

    L(W, b) = -1/N sum_n log softmax(W x_n + b)[y_n] + DECAY/2 |W|^2

is minimized over all samples at once by L-BFGS. It is convex, so that there is one answer, whatever it starts from.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer
from torch import nn
from torch.nn import functional

SEED = 0
TEST = 285  # samples that nothing is learned from: half
DECAY = 1e-2
STEPS = 100  # of L-BFGS at most; it is there after some thirty

Samples = tuple[NDArray[np.float32], NDArray[np.int64]]


def logistic_regression() -> nn.Module:
    """The trained model: (N, 30) measurements in standard deviations -> (N, 2) scores: malignant, benign."""
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
    cells = load_breast_cancer()
    order = np.random.default_rng(SEED).permutation(len(cells.target))
    test, train = order[:TEST], order[TEST:]
    mean, deviation = cells.data[train].mean(0), cells.data[train].std(0)
    x, y = ((cells.data - mean) / deviation).astype(np.float32), cells.target.astype(np.int64)
    return (x[train], y[train]), (x[test], y[test])


def _trained() -> nn.Module:
    x, y = map(torch.from_numpy, _samples()[0])
    model = nn.Linear(x.shape[1], 2)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    newton = torch.optim.LBFGS(model.parameters(), max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        newton.zero_grad()
        found = functional.cross_entropy(model(x), y) + DECAY / 2 * model.weight.square().sum()
        found.backward()
        return found

    newton.step(loss)
    return model.eval()
