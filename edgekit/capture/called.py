"""An nn.Module as it is called: by its inputs' names, on arrays. What it takes to trace one is in from_torch."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils import _pytree as pytree

from edgekit.artifact import Arrays
from edgekit.capture.captured import Run
from edgekit.capture.shapes import Input
from edgekit.run.one_thread import one_thread

TRIED = 2  # samples: with one, a view may pass that fails on more


def parameters(module: nn.Module) -> tuple[list[str], int]:
    """The names of forward's inputs in order, and how many of them have no default; no names where it takes `*args`."""
    if isinstance(module, torch.jit.ScriptModule):
        arguments = getattr(module.forward, "schema").arguments[1:]  # noqa: B009 - torch does not declare it
        return [a.name for a in arguments], sum(not a.has_default_value() for a in arguments)
    kinds = inspect.signature(module.forward).parameters.values()
    named = [p for p in kinds if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if any(p.kind == p.VAR_POSITIONAL for p in kinds) and not named:
        return [], 0
    return [p.name for p in named], sum(p.default is p.empty for p in named)


class Spread(nn.Module):
    """A module that takes its inputs in a row, put into the places (keywords, nested tuples) that `spec` describes."""

    def __init__(self, module: nn.Module, spec: pytree.TreeSpec) -> None:
        super().__init__()
        self.module, self.spec = module, spec

    def forward(self, *inputs: torch.Tensor) -> Any:
        args, kwargs = pytree.tree_unflatten(inputs, self.spec)
        return self.module(*args, **kwargs)


def taking(module: nn.Module, inputs: Sequence[Input], names: Sequence[str]) -> nn.Module:
    """The module, called by keyword where the inputs skip one of forward's parameters."""
    fed = [i.name for i in inputs]
    if not names or fed == list(names[: len(fed)]):
        return module
    return Spread(module, pytree.tree_structure(((), dict.fromkeys(fed, 0))))


def runs(module: nn.Module, inputs: Sequence[Input]) -> Run:
    """The module as a function of arrays by input name, which gives its tensors in order.

    It runs on one thread: files are verified beside it, and OpenMP threads that wait for a taken core burn the others.
    Images are kept channels last, which halves the time of depthwise convolutions; the numbers stay, to rounding.
    """
    prepared: list[nn.Module] = []  # at the first run: exporting and folding read the weights as they came

    def run(arrays: Arrays) -> list[NDArray[Any]]:
        fed = [
            torch.from_numpy(arrays[i.name].astype(i.dtype, order="C")) for i in inputs
        ]  # copied: it may write there
        with one_thread(), torch.inference_mode():
            if not prepared:
                prepared.append(_fastest(module, fed))
            leaves = pytree.tree_leaves(prepared[0](*fed))
        return [leaf.numpy() for leaf in leaves if isinstance(leaf, torch.Tensor)]

    return run


def one_by_one(run: Run) -> Run:
    """For a model whose batch is fixed at 1: more at once it would refuse, or take for one sample.

    An output without a batch axis gets one, as in the files.
    """

    def run_each(arrays: Arrays) -> list[NDArray[Any]]:
        count = len(next(iter(arrays.values())))
        rows = [run({name: x[i : i + 1] for name, x in arrays.items()}) for i in range(count)]
        return [_joined(parts) for parts in zip(*rows, strict=True)]

    return run_each


def _joined(answers: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(answers) if all(y.shape[:1] == (1,) for y in answers) else np.stack(answers)


def _fastest(module: nn.Module, fed: Sequence[torch.Tensor]) -> nn.Module:
    """The copy with channels last where it runs; a `view` after a convolution, say, wants the model's own layout."""
    copied = _channels_last(module)
    if copied is module:
        return module
    try:
        copied(*(x[:TRIED].clone() for x in fed))
    except Exception:  # whatever the user's code raises; if it is not the layout's fault, the module raises it again
        return module
    return copied


def _channels_last(module: nn.Module) -> nn.Module:
    """A copy whose convolutions take images channels last; what cannot be copied stays as it is.

    A copy, since the module may be the user's own.
    """
    if isinstance(module, torch.jit.ScriptModule) or not any(p.ndim == 4 for p in module.parameters()):
        return module
    try:
        copied = copy.deepcopy(module)
    except Exception:  # whatever its attributes raise; torch's own for computed ones, as of weight_norm
        return module
    for tensor in (*copied.parameters(), *copied.buffers()):
        if tensor.ndim == 4:  # torch's own `to` wants it of tensors with five axes too, which have no such layout
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
    return copied
