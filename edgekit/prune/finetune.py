"""Fine-tuning: a graph with channels cut out learns to do without them, from labels, targets and the unpruned graph.

Where it brings the cut graph nearer to what it is told, each convolution is trained with a norm behind it (renorm.py).
Few samples say too little by their outputs: there each layer is also told what the channels that it kept gave before,

    loss + LAYERS * mean over layers of E (y - y_before)^2 / mean var(y_before)

On DS-CNN, a third of its MACs cut and 250 clips to learn from, that leaves 3 points of the drop where there were 11.

Source: Romero et al. 2015, "FitNets", arXiv:1412.6550, for a student that learns from layers; here the channels are the
teacher's own, so that nothing stands between them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekit.progress import Progress
from edgekit.prune.refit import refit
from edgekit.prune.renorm import Moments, Norm, folded, moments, norm, normed
from edgekit.prune.sparsify import NO_MASKS, Masks
from edgekit.run.objective import Objective, answers_of, at_once, check_trainable, objective, remembering
from edgekit.run.one_thread import one_thread
from edgekit.run.teach import AT_ONCE, LEAST, Wanted, identity_of, judged, parted, teach
from edgekit.run.torch_view import Tensors, to_graph, to_torch
from edgekit.run.train import SHARDS, Learned
from edgekit.run.trained import Training
from edgekit.samples import Batch, Samples, choose, split

WATCHED = 2048  # samples that statistics are taken over
FEW = 2000  # samples: up to so many, layers are told too; with more it costs time and wins nothing
LAYERS = 10.0
TOLD = frozenset({"Conv", "ConvTranspose", "Gemm"})  # ops whose channels are axis 1

Survivors = Mapping[str, NDArray[np.bool_]]
"""Value -> which of the channels that it had are left."""
Batches = Callable[[], Iterator[Batch]]


@dataclass(frozen=True)
class Tuned:
    graph: ir.Model


@dataclass(frozen=True, eq=False)
class Layer:
    """kept: channels of the teacher's value that are left; variance: of these, the mean over channels."""

    kept: Tensor
    variance: float


NO_LAYERS: Mapping[str, Layer] = {}


class Tuner:
    """A float graph whose parameters are trained. norms: behind which values; layers: values that are told what they
    were before; masks: which elements of weights may be other than zero; watched: what statistics are taken over in the
    end."""

    def __init__(
        self,
        graph: ir.Model,
        told: Objective,
        norms: Mapping[str, Norm],
        watched: Batches,
        layers: Mapping[str, Layer] = NO_LAYERS,
        masks: Masks = NO_MASKS,
    ) -> None:
        self._graph, self._told, self._norms, self._watched, self._layers = graph, told, norms, watched, layers
        self._view = to_torch(graph)
        self._types = _types(graph)
        self._answers = answers_of(graph)
        idle = _idle(graph, norms)
        self._learned = {
            name: Learned(tensor, _size(tensor)) for name, tensor in self._view.named_parameters() if name not in idle
        }
        self._empty = {name: torch.from_numpy(~stays) for name, stays in masks.items() if name in self._learned}
        for name, one in norms.items():
            unit = _size(one.gain)
            self._learned |= {f"{name} gain": Learned(one.gain, unit), f"{name} shift": Learned(one.shift, unit)}

    @property
    def learned(self) -> Mapping[str, Learned]:
        return self._learned

    def loss(self, batch: Batch) -> Tensor:
        inputs = _inputs(batch, self._types)
        found = self._view(inputs, [*dict.fromkeys([*self._answers.values(), *self._layers])], self._norms)
        answers = {output: found[name] for output, name in self._answers.items()}
        loss = self._told.loss(answers, inputs, batch)
        return loss + LAYERS * self._missed(found, inputs) if self._layers else loss

    def _missed(self, found: Tensors, inputs: Tensors) -> Tensor:
        """By the layers, in the mean."""
        with torch.no_grad():
            before = self._told.teacher(inputs, list(self._layers))
        missed = [
            (found[name] - before[name].index_select(1, layer.kept)).square().mean() / layer.variance
            for name, layer in self._layers.items()
        ]
        return torch.stack(missed).mean()

    def settle(self, share: float) -> None:  # noqa: ARG002
        """Zeros, which the last step moved too."""
        with torch.no_grad():
            for name, empty in self._empty.items():
                self._learned[name].tensor.masked_fill_(empty, 0.0)

    def identity(self) -> str:
        return identity_of(self)

    def result(self) -> Tuned:
        graph = to_graph(self._view, self._graph)
        if not self._norms:
            return Tuned(graph)
        inputs = (_inputs(batch, self._types) for batch in self._watched())
        with one_thread():
            found = moments(self._view, inputs, list(self._norms), self._norms)
        return Tuned(folded(graph, self._norms, found))


def finetune(
    cut: ir.Model,
    original: ir.Model,
    samples: Samples,
    wanted: Wanted,
    progress: Progress,
    survivors: Survivors | None = None,
    masks: Masks = NO_MASKS,
) -> tuple[ir.Model, Training]:
    """The better one of a graph as it is mended without training and its trained self, which starts from the cut: on
    few samples a refit leads training astray.

    original: before channels were cut, whose answers are learned from; samples: named as the graph's inputs; survivors:
    which channels of the original's values are left (`cut.survivors`), None to train without norms; masks: elements of
    the cut graph's weights that may be other than zero, all that are not named.
    """
    check_trainable(original)
    told = objective(to_torch(original), original, samples, wanted.distilled)
    if not wanted.course.augment:
        told = remembering(told, original, samples, progress)
    _, rest = parted(samples)
    watched = _watched(rest, wanted.course.fitting(len(rest)).batch // SHARDS)
    with progress.step("looking at what was cut"), one_thread():
        began = {} if survivors is None else _began(cut, original, watched, survivors)
        norms = _norms(cut, told, watched, began)
        layers = _layers(began, survivors) if survivors is not None and len(rest) <= FEW else {}
    begun = cut if survivors is None else mend(cut, original, choose(rest, WATCHED), survivors, progress, masks).graph
    tuned, training = teach(Tuner(cut, told, norms, watched, layers, masks), begun, told, samples, wanted, progress)
    return (tuned.graph if training.kept else begun), training


@dataclass(frozen=True, kw_only=True)
class Mended:
    """graph: the best one; how: "" where that is the cut one as it is."""

    graph: ir.Model
    how: str


def mend(
    cut: ir.Model,
    original: ir.Model,
    samples: Samples,
    survivors: Survivors,
    progress: Progress,
    masks: Masks = NO_MASKS,
) -> Mended:
    """Without training: layers are refitted to what they gave (refit.py), or only get back the mean and variance that
    their outputs had (renorm.py), whichever does best on samples that it was not taken from; neither where samples are
    too few to tell. masks: as for `finetune`; zeros do not outlive a refit, so there is none where there are some."""
    if len(set(samples.ids)) < LEAST:
        return Mended(graph=cut, how="")
    told = objective(to_torch(original), original, samples, 1.0)
    seen, held_out = split(samples, len(samples) // 2)
    watched = _watched(seen, at_once(original, AT_ONCE))
    with progress.step("looking at what was cut"), one_thread():
        norms = _norms(cut, told, watched, _began(cut, original, watched, survivors))
        normed = Tuner(cut, told, norms, watched).result().graph
    tried = {"": cut, "got back the mean and variance from before the cut": normed}
    if not masks:
        tried["were refitted to what they gave before the cut"] = refit(cut, original, seen, survivors, progress)
    with progress.step("judging what was mended"), one_thread():
        losses = {how: judged(graph, told, held_out).loss for how, graph in tried.items()}
    best = min(losses, key=lambda how: losses[how] if math.isfinite(losses[how]) else math.inf)
    return Mended(graph=tried[best], how=best)


def _watched(samples: Samples, rows: int) -> Batches:
    """Batches of equal size. rows: in each, or all that there are."""
    seen, rows = choose(samples, WATCHED), max(1, min(rows, len(set(samples.ids))))
    seen = seen.take(range(len(seen) // rows * rows))
    return lambda: seen.batches(rows)


def _began(cut: ir.Model, original: ir.Model, watched: Batches, survivors: Survivors) -> dict[str, Moments]:
    """Of the channels that are left of each layer, before the cut."""
    values = {node.outputs[0].name or "": node.outputs[0] for node in cut.graph if node.op_type in TOLD}
    names = [name for name, value in values.items() if name in survivors and not value.is_graph_output()]
    inputs = (_inputs(batch, _types(original)) for batch in watched())
    found = moments(to_torch(original), inputs, names)
    return {name: one.of(survivors[name]) for name, one in found.items()}


def _norms(cut: ir.Model, told: Objective, watched: Batches, began: Mapping[str, Moments]) -> Mapping[str, Norm]:
    """Where the statistics from before the cut bring the cut graph nearer to what it is told; else none."""
    norms = {name: norm(began[name]) for name in normed(cut) if name in began}
    plain, mended = (_loss(Tuner(cut, told, behind, watched), watched()) for behind in ({}, norms))
    return norms if mended < plain else {}


def _layers(began: Mapping[str, Moments], survivors: Survivors) -> Mapping[str, Layer]:
    """Those that say something."""
    variances = {name: float(one.variance.mean()) for name, one in began.items()}
    kept = {name: torch.from_numpy(np.flatnonzero(survivors[name])) for name in began}
    return {name: Layer(kept[name], variance) for name, variance in variances.items() if variance > 0}


def _loss(tuner: Tuner, batches: Iterator[Batch]) -> float:
    with torch.no_grad():
        return sum(float(tuner.loss(batch)) for batch in batches)


def _idle(graph: ir.Model, norms: Mapping[str, Norm]) -> set[str]:
    """Biases in front of norms, which take them away again."""
    found: set[str] = set()
    for name, value in graph.graph.initializers.items():
        uses = value.uses()
        if uses and all(use.idx == 2 and use.node.outputs[0].name in norms for use in uses):
            found.add(name)
    return found


def _inputs(batch: Batch, types: Mapping[str, np.dtype[Any]]) -> Tensors:
    return {name: torch.from_numpy(np.asarray(x, types[name])) for name, x in batch.inputs.items()}


def _types(graph: ir.Model) -> Mapping[str, np.dtype[Any]]:
    return {value.name or "": value.dtype.numpy() for value in graph.graph.inputs if value.dtype is not None}


def _size(tensor: Tensor) -> float:
    return float(tensor.detach().square().mean().sqrt()) or 1.0
