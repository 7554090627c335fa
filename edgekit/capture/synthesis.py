"""Inputs for a model that came without samples: noise that the model's batch norms take for its training data.

A batch norm remembers the mean and the deviation of each of its channels over the training data. Starting from smooth
noise of the size that fits them best, the inputs are moved down the gradient of

    mean over batch norms of   mean_c ((mean - mean_c) / deviation_c)^2 + mean_c (deviation / deviation_c - 1)^2

and of the cross entropy of a random class, without which the outputs, which no batch norm follows, would stay far from
the size that real samples give them.

Sources: Cai et al. 2020, "ZeroQ: A Novel Zero Shot Quantization Framework", section 3.1; Yin et al. 2020, "Dreaming to
Distill: Data-free Knowledge Transfer via DeepInversion", equations 1 and 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from edgekit.artifact import Arrays
from edgekit.capture.noise import noise
from edgekit.capture.shapes import Input
from edgekit.progress import Advance
from edgekit.run.one_thread import one_thread

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
AT_ONCE = 16  # samples whose statistics are compared: fewer say too little of a mean, more take longer
SIZES = [2.0**k for k in range(-4, 9)]  # of inputs: from normalized ones to the 0..255 of pixels
STEPS = 60
STEP_SIZE = 0.1  # of Adam, relative to the size of the inputs
CLASS_WEIGHT = 0.1  # of the cross entropy: enough for a clear answer, too little to bend the statistics


def synthesized(module: nn.Module, inputs: Sequence[Input], count: int, advance: Advance) -> Arrays:
    """count samples for every input, float32; plain noise where no batch norm says more. Raises EK413 for integers.

    advance: told of each of the count samples.
    """
    norms = [norm for norm in module.modules() if isinstance(norm, NORMS) and norm.running_var is not None]
    matches = bool(norms) and not isinstance(module, torch.jit.ScriptModule) and _takes_several(module, inputs)
    parts = []
    for seed, first in enumerate(range(0, count, AT_ONCE)):
        part = noise(inputs, AT_ONCE, seed)
        parts.append(_matched_where_possible(module, norms, part, seed) if matches else part)
        advance(min(AT_ONCE, count - first))
    return {name: np.concatenate([part[name] for part in parts])[:count] for name in parts[0]}


def _takes_several(module: nn.Module, inputs: Sequence[Input]) -> bool:
    """False for a model that fixes its batch: the statistics of one sample say too little."""
    try:
        with torch.no_grad():
            module(*(torch.from_numpy(x) for x in noise(inputs, 2, 0).values()))
    except Exception:  # whatever the user's code raises; what is wrong for one sample too, the capture says
        return False
    return True


def _matched_where_possible(module: nn.Module, norms: Sequence[Any], start: Arrays, seed: int) -> Arrays:
    with one_thread():  # sums in one order give one result, on any machine
        try:
            return _matched(module, norms, start, seed)
        except RuntimeError:  # autograd's, where a forward has no gradient: under no_grad, or detached
            return start


def _matched(module: nn.Module, norms: Sequence[Any], start: Arrays, seed: int) -> Arrays:
    generator = torch.Generator().manual_seed(seed)
    with _watched(norms) as distance:
        size = min(SIZES, key=lambda size: _loss_at(module, start, size, distance))
        fed = [torch.from_numpy(x * np.float32(size)).requires_grad_() for x in start.values()]
        classes = [torch.randint(len(y[0]), (len(y),), generator=generator) for y in _answers(module, fed)]
        optimizer = torch.optim.Adam(fed, lr=STEP_SIZE * size)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
        for _ in range(STEPS):
            distance()
            optimizer.zero_grad()
            vectors = _answers(module, fed)
            loss = distance()
            for y, wanted in zip(vectors, classes, strict=True):
                loss = loss + CLASS_WEIGHT * nn.functional.cross_entropy(y, wanted)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return {name: x.detach().numpy() for name, x in zip(start, fed, strict=True)}


def _loss_at(module: nn.Module, start: Arrays, size: float, distance: Callable[[], Tensor]) -> float:
    distance()
    with torch.no_grad():
        module(*(torch.from_numpy(x * np.float32(size)) for x in start.values()))
    return float(distance())


def _answers(module: nn.Module, fed: Sequence[Tensor]) -> list[Tensor]:
    """Outputs that may be scores of classes: (B, C) with C > 1. On copies, since a forward may work in place."""
    leaves = [
        leaf
        for leaf in pytree.tree_leaves(module(*(x.clone() for x in fed)))
        if isinstance(leaf, Tensor) and leaf.is_floating_point()
    ]
    return [leaf for leaf in leaves if leaf.ndim == 2 and leaf.shape[1] > 1]


@contextmanager
def _watched(norms: Sequence[Any]) -> Iterator[Callable[[], Tensor]]:
    """What gives, and forgets, the mean distance of all that the norms have seen since it was last asked."""
    seen: list[Tensor] = []

    def taken() -> Tensor:
        mean = torch.stack(seen).mean() if seen else torch.zeros(())
        seen.clear()
        return mean

    hooks = [norm.register_forward_pre_hook(lambda norm, args: seen.append(_distance(norm, args[0]))) for norm in norms]
    try:
        yield taken
    finally:
        for hook in hooks:
            hook.remove()


def _distance(norm: Any, x: Tensor) -> Tensor:
    """Of the statistics of x, (B, C, ...), from those that the norm remembers."""
    others = [axis for axis in range(x.ndim) if axis != 1]
    deviation = torch.sqrt(norm.running_var + norm.eps)
    mean: Tensor = ((x.mean(others) - norm.running_mean) / deviation) ** 2
    spread: Tensor = (torch.sqrt(x.var(others, unbiased=False) + norm.eps) / deviation - 1) ** 2
    return mean.mean() + spread.mean()
