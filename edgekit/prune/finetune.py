"""Fine-tuning: a graph with channels cut out learns to do without them, from labels, targets and the unpruned graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from edgekit.progress import Progress
from edgekit.run.objective import Objective, answers_of, objective, remembering
from edgekit.run.teach import Training, Wanted, identity_of, teach
from edgekit.run.torch_view import to_graph, to_torch
from edgekit.run.train import Learned
from edgekit.samples import Batch, Samples


@dataclass(frozen=True)
class Tuned:
    graph: ir.Model


class Tuner:
    """A float graph whose parameters are trained."""

    def __init__(self, graph: ir.Model, told: Objective) -> None:
        self._graph, self._told = graph, told
        self._view = to_torch(graph)
        self._types = {value.name or "": value.dtype.numpy() for value in graph.graph.inputs if value.dtype is not None}
        self._answers = answers_of(graph)
        self._learned = {name: Learned(tensor, _size(tensor)) for name, tensor in self._view.named_parameters()}

    @property
    def learned(self) -> Mapping[str, Learned]:
        return self._learned

    def loss(self, batch: Batch) -> Tensor:
        inputs = {name: torch.from_numpy(np.asarray(x, self._types[name])) for name, x in batch.inputs.items()}
        found = self._view(inputs, list(self._answers.values()))
        answers = {output: found[name] for output, name in self._answers.items()}
        return self._told.loss(answers, inputs, batch)

    def settle(self, share: float) -> None:
        pass

    def identity(self) -> str:
        return identity_of(self)

    def result(self) -> Tuned:
        return Tuned(to_graph(self._view, self._graph))


def finetune(
    cut: ir.Model, original: ir.Model, samples: Samples, wanted: Wanted, progress: Progress
) -> tuple[ir.Model, Training]:
    """The better one of a graph and its trained self. original: before channels were cut, whose answers are learned
    from; samples: named as the graph's inputs."""
    told = remembering(objective(to_torch(original), original, samples, wanted.distilled), original, samples, progress)
    tuned, training = teach(Tuner(cut, told), cut, told, samples, wanted, progress)
    return (tuned.graph if training.kept else cut), training


def _size(tensor: Tensor) -> float:
    return float(tensor.detach().square().mean().sqrt()) or 1.0
