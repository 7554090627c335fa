"""What tells which channels matter: the score that a recipe asks for, or the best that the samples allow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import onnx_ir as ir

from edgekit.data import Data, Given
from edgekit.errors import EdgekitError
from edgekit.recipe import Recipe, ScoreName
from edgekit.samples import Samples, choose

if TYPE_CHECKING:  # torch takes seconds to import
    from torch import Tensor

    from edgekit.prune import Score
    from edgekit.prune.groups import Channels
    from edgekit.prune.score import Loss, Scores
    from edgekit.run.torch_view import Tensors
    from edgekit.samples import Batch

SCORED_ON = 1000  # samples
AT_ONCE = 32  # of them, a batch whose loss is one number
NEEDS_SAMPLES = ("activations", "taylor")


def looks_at_data(recipe: Recipe, given: Given) -> bool:
    """Some of the samples go to scoring and to what mends without training, where there are none to train on."""
    return recipe.data.training is None and given.training is None


def score_of(recipe: Recipe, data: Data, graph: ir.Model) -> ScoreName:
    """What is best where nobody says: what a channel is worth to the loss, where there is one. graph: unpruned."""
    if recipe.prune.score is not None:
        return recipe.prune.score
    samples = _offered(data)
    return "taylor" if samples is not None and _tell_a_loss(samples, graph) else "norms"


def check_scoring(recipe: Recipe, data: Data) -> None:
    """Before any work is done: samples to score channels on, where that is asked for."""
    if recipe.prune.score in NEEDS_SAMPLES:
        to_score_on(recipe.prune.score, recipe, data)


def score(name: ScoreName, recipe: Recipe, data: Data) -> Score:
    # Not at the top: torch takes seconds to import.
    from edgekit.prune.score import activations, norm_factors, norms, taylor
    from edgekit.run.objective import answers_of

    match name:
        case "norms":
            return norms
        case "l1":
            return lambda graph, channels: norms(graph, channels, 1)
        case "factors":
            return norm_factors
        case "activations":
            samples = to_score_on(name, recipe, data)
            return lambda graph, channels: activations(graph, channels, (batch.inputs for batch in samples.batches(1)))
        case "taylor":
            samples = to_score_on(name, recipe, data)
            return lambda graph, channels: taylor(
                graph, channels, _with_loss(graph, samples), list(answers_of(graph).values())
            )


def once(score: Score) -> Score:
    """Of one graph, whatever the goal."""
    known: list[Scores] = []

    def scored(graph: ir.Model, channels: Channels) -> Scores:
        if not known:
            known.append(score(graph, channels))
        return known[0]

    return scored


def to_score_on(score: ScoreName, recipe: Recipe, data: Data) -> Samples:
    """Raises EK306 where there are none that the score could use."""
    samples = _offered(data)
    if samples is None:
        raise EdgekitError(
            "EK306",
            f"cannot score channels by {score}",
            "there are no samples to score them on",
            "give samples with --train or --calib, or leave --score out",
        )
    if score == "taylor" and samples.labels is None and not samples.has_targets:
        raise EdgekitError(
            "EK306",
            "cannot score channels by taylor",
            f"the samples of '{samples.where}' have neither labels nor targets, so there is no loss",
            "give samples that have, or take another --score",
        )
    return choose(samples, SCORED_ON, recipe.data.seed)


def _offered(data: Data) -> Samples | None:
    return data.training or (None if data.synthesized else data.calibration)


def _tell_a_loss(samples: Samples, graph: ir.Model) -> bool:
    """True where what the samples say is about what the graph answers, and gradients lead there."""
    from edgekit.run.objective import objective, without_gradients
    from edgekit.run.torch_view import to_torch

    if (samples.labels is None and not samples.has_targets) or without_gradients(graph) is not None:
        return False
    return objective(to_torch(graph), graph, samples, 0.0).distilled == 0


def _with_loss(graph: ir.Model, samples: Samples) -> Iterator[tuple[Tensors, Loss]]:
    """What the samples themselves teach: the unpruned model has nothing to learn from its own answers."""
    import numpy as np
    import torch

    from edgekit.run.objective import at_once, objective
    from edgekit.run.torch_view import to_torch

    told = objective(to_torch(graph), graph, samples, 0.0)
    if told.distilled > 0:  # which it has to be where there is nothing else
        raise EdgekitError(
            "EK306",
            "cannot score channels by taylor",
            f"no output of the model is scores of classes, which the labels of '{samples.where}' could speak of",
            "add --score norms",
        )
    types = {value.name or "": value.dtype.numpy() for value in graph.graph.inputs if value.dtype is not None}
    for batch in samples.batches(at_once(graph, AT_ONCE)):
        inputs = {name: torch.from_numpy(np.asarray(x, types[name])) for name, x in batch.inputs.items()}

        def loss(found: Tensors, inputs: Tensors = inputs, batch: Batch = batch) -> Tensor:
            return told.loss({output: found[name] for output, name in told.answered.items()}, inputs, batch)

        yield inputs, loss
