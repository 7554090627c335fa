"""A multilayer perceptron on handwritten digits, trained by SGD on mini-batches. It minimizes the cross-entropy

    L(W) = -1/N sum_n log softmax(f_W(x_n))[y_n]

by steps W <- W - rate * v, v <- momentum * v + dL/dW over 64 samples at a time. Two seconds on one core.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

SEED = 0
TEST = 700  # samples that nothing is learned from
HIDDEN = 64
EPOCHS, BATCH = 40, 64
RATE, MOMENTUM, DECAY = 0.1, 0.9, 1e-4

Samples = tuple[NDArray[np.float32], NDArray[np.int64]]


def mlp() -> nn.Module:
    """The trained model: (N, 64) grey values in 0..1 -> (N, 10) scores. The same weights in every call."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the order of every sum is fixed, and layers so small are not faster on more
    try:
        return _trained()
    finally:
        torch.set_num_threads(threads)


def calibration() -> Iterator[Samples]:
    yield _samples()[0]


def evaluation() -> Iterator[Samples]:
    yield _samples()[1]


def _samples() -> tuple[Samples, Samples]:
    """To learn from, and to judge by."""
    digits = load_digits()
    x, y = (digits.data / 16).astype(np.float32), digits.target.astype(np.int64)
    order = np.random.default_rng(SEED).permutation(len(y))
    test, train = order[:TEST], order[TEST:]
    return (x[train], y[train]), (x[test], y[test])


def _trained() -> nn.Module:
    random = torch.Generator().manual_seed(SEED)
    x, y = map(torch.from_numpy, _samples()[0])
    net = nn.Sequential(
        nn.Linear(x.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10)
    )
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=random)
            nn.init.zeros_(layer.bias)
    sgd = torch.optim.SGD(net.parameters(), RATE, MOMENTUM, weight_decay=DECAY)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, EPOCHS)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(y), generator=random).split(BATCH):
            loss = functional.cross_entropy(net(x[batch]), y[batch])
            sgd.zero_grad()
            loss.backward()
            sgd.step()
        rate.step()
    return net.eval()
