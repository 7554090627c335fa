"""A float graph without the channels that a recipe's goal has no room for, fine-tuned where there are samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import onnx_ir as ir

from edgekit import goals
from edgekit.artifact import Format
from edgekit.capture import Loaded, Source, load
from edgekit.data import Data, Given
from edgekit.device import Device
from edgekit.errors import EdgekitError
from edgekit.graph.check import checked
from edgekit.judging import Cut, Run, running
from edgekit.lower import Lowered, lower
from edgekit.outputs import Outputs
from edgekit.profile import measure
from edgekit.recipe import EPOCHS, Goal, Recipe, ScoreName
from edgekit.report import compose
from edgekit.report.facts import PruningFacts, PruningTrial
from edgekit.run.checkpoint import check_checkpoint
from edgekit.samples import Samples, choose
from edgekit.simplify import unroll

if TYPE_CHECKING:  # torch takes seconds to import
    from torch import Tensor

    from edgekit.prune import Pruned, Score
    from edgekit.prune.groups import Channels
    from edgekit.prune.score import Loss, Scores
    from edgekit.run.teach import Training
    from edgekit.run.torch_view import Tensors
    from edgekit.samples import Batch

SCORED_ON = 1000  # samples
AT_ONCE = 32  # of them, a batch whose loss is one number
MARGIN = 0.02  # share of a latency to stay below it: measured again, it comes out so much slower or faster
NEEDS_SAMPLES = ("activations", "taylor")


@dataclass(frozen=True, kw_only=True)
class Thinned:
    """graph: pruned and fine-tuned; cut: what it is held against; facts: for the report."""

    graph: ir.Model
    cut: Cut
    facts: PruningFacts


def scores_on_data(recipe: Recipe, given: Given) -> bool:
    """Some of the samples go to scoring, since there are none to train on."""
    trains = recipe.data.training is not None or given.training is not None
    return recipe.prune.score in NEEDS_SAMPLES and not trains


def check_pruning(recipe: Recipe, device: Device | None, outputs: Outputs) -> None:
    """Before any work is done."""
    wanted = recipe.prune
    if wanted.latency is not None and device is not None:
        raise EdgekitError(
            "EK305",
            f"cannot prune to a latency on '{device.name}'",
            "its profile holds nothing to predict latency from, and this machine is another",
            "leave --device out to measure on this machine, or give --macs instead",
        )
    check_checkpoint(outputs.finetuning, recipe.output.resume)


def score_of(recipe: Recipe, data: Data) -> ScoreName:
    """What is best where nobody says: what a channel is worth to the loss, where there is one."""
    samples = data.training
    tells = samples is not None and (samples.labels is not None or samples.has_targets)
    return recipe.prune.score or ("taylor" if tells else "norms")


def check_scoring(recipe: Recipe, data: Data) -> None:
    """Before any work is done: samples to score channels on, where that is asked for."""
    if score_of(recipe, data) in NEEDS_SAMPLES:
        to_score_on(recipe, data)


def thinned(run: Run, graph: ir.Model) -> Thinned:
    """graph: simplified, in float."""
    goal = run.recipe.prune.goal
    assert goal is not None
    unpruned = _unpruned_files(run, graph)
    pruned, trials = _reached(run, graph, goal, unpruned)
    tuned, training = pruned.graph, None
    if run.data.training is not None:
        tuned, training = _finetuned(run, pruned, graph, run.data.training)
    program, notes = _program(run, tuned)
    return Thinned(
        graph=tuned,
        cut=Cut(unpruned=tuple(unpruned), program=program, notes=notes),
        facts=compose.pruning_facts(goal, score_of(run.recipe, run.data), pruned, tuned, unpruned, trials, training),
    )


# ---- how much --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Candidate:
    pruned: Pruned

    @property
    def left(self) -> float:
        return self.pruned.choice.share

    @property
    def cut_away(self) -> frozenset[int]:
        return self.pruned.choice.gone


def _reached(
    run: Run, graph: ir.Model, goal: tuple[Goal, float], unpruned: Sequence[Lowered]
) -> tuple[Pruned, Sequence[PruningTrial]]:
    from edgekit.prune import Goal as Aim  # not at the top: torch takes seconds to import
    from edgekit.prune import prune

    of, share = goal
    score = _once(_score(run))

    def cut(share: float) -> _Candidate:
        aim = Aim(of="macs" if of in ("macs", "latency") else "parameters", share=share)
        return _Candidate(prune(graph, aim, score))

    match of:
        case "macs" | "params":
            with run.progress.step("pruning"):
                return cut(share).pruned, ()
        case "size":
            with run.progress.step("pruning"):
                found = goals.reached(share, "size", cut, lambda one: _sizes(run, one.pruned.graph, unpruned))
        case "latency":
            with run.progress.step("pruning, and measuring what is left"):
                found = goals.reached(
                    share,
                    "latency",
                    cut,
                    lambda one: _latencies(run, one.pruned.graph, unpruned),
                    margin=MARGIN,
                )
    return found.candidate.pruned, found.trials


def _sizes(run: Run, graph: ir.Model, unpruned: Sequence[Lowered]) -> Mapping[str, float]:
    whole = {file.artifact.format: file.artifact.size_bytes for file in unpruned}
    files = _float_files(run, graph, "tried")
    return {file.artifact.label: file.artifact.size_bytes / whole[file.artifact.format] for file in files}


def _latencies(run: Run, graph: ir.Model, unpruned: Sequence[Lowered]) -> Mapping[str, float]:
    """Of the medians, in runs that take turns."""
    assert run.data.any is not None
    sample = next(run.data.any.take([0]).batches(1)).inputs
    files = _float_files(run, graph, "tried")
    with running([*unpruned, *files], run.recipe) as runners:
        latencies = {found.label: found.median_s for found in measure(runners, sample)}
    whole = {file.artifact.format: latencies[file.artifact.label] for file in unpruned}
    return {file.artifact.label: latencies[file.artifact.label] / whole[file.artifact.format] for file in files}


# ---- what matters ----------------------------------------------------------------------------------------------------


def _score(run: Run) -> Score:
    from edgekit.prune import score
    from edgekit.run.objective import answers_of

    match score_of(run.recipe, run.data):
        case "norms":
            return score.norms
        case "l1":
            return lambda graph, channels: score.norms(graph, channels, 1)
        case "factors":
            return score.norm_factors
        case "activations":
            samples = to_score_on(run.recipe, run.data)
            return lambda graph, channels: score.activations(
                graph, channels, (batch.inputs for batch in samples.batches(1))
            )
        case "taylor":
            samples = to_score_on(run.recipe, run.data)
            return lambda graph, channels: score.taylor(
                graph, channels, _with_loss(graph, samples), list(answers_of(graph).values())
            )


def _once(score: Score) -> Score:
    """Of one graph, whatever the goal."""
    known: list[Scores] = []

    def scored(graph: ir.Model, channels: Channels) -> Scores:
        if not known:
            known.append(score(graph, channels))
        return known[0]

    return scored


def to_score_on(recipe: Recipe, data: Data) -> Samples:
    """Raises EK306 where there are none that the score could use."""
    samples = data.training or (None if data.synthesized else data.calibration)
    score = score_of(recipe, data)
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


def _with_loss(graph: ir.Model, samples: Samples) -> Iterator[tuple[Tensors, Loss]]:
    """What the samples themselves teach: the unpruned model has nothing to learn from its own answers."""
    import numpy as np
    import torch

    from edgekit.run.objective import objective
    from edgekit.run.torch_view import to_torch

    told = objective(to_torch(graph), graph, samples, 0.0)
    types = {value.name or "": value.dtype.numpy() for value in graph.graph.inputs if value.dtype is not None}
    for batch in samples.batches(AT_ONCE):
        inputs = {name: torch.from_numpy(np.asarray(x, types[name])) for name, x in batch.inputs.items()}

        def loss(found: Tensors, inputs: Tensors = inputs, batch: Batch = batch) -> Tensor:
            return told.loss({output: found[name] for output, name in told.answered.items()}, inputs, batch)

        yield inputs, loss


# ---- what it learns to do without ------------------------------------------------------------------------------------


def _finetuned(run: Run, pruned: Pruned, whole: ir.Model, samples: Samples) -> tuple[ir.Model, Training]:
    """pruned: as it was cut from the whole."""
    from edgekit.prune.cut import survivors
    from edgekit.prune.finetune import finetune
    from edgekit.run.teach import Wanted
    from edgekit.run.train import Course

    prune, data = run.recipe.prune, run.recipe.data
    course = Course(
        epochs=prune.epochs or EPOCHS,
        batch=prune.batch,
        lr=prune.lr,
        optimizer=prune.optimizer,
        seed=data.seed,
        augment=prune.augment,
    )
    wanted = Wanted(
        course=course,
        distilled=prune.distill,
        checkpoint=run.outputs.finetuning,
        resume=run.recipe.output.resume,
    )
    left = survivors(pruned.channels, pruned.choice.gone)
    graph, training = finetune(pruned.graph, whole, samples, wanted, run.progress, left)
    return checked(graph), training


# ---- files beside ----------------------------------------------------------------------------------------------------


def _unpruned_files(run: Run, graph: ir.Model) -> list[Lowered]:
    """ONNX first: it answers for a model that came as ONNX."""
    files = _float_files(run, graph, "unpruned", always_onnx=True)
    return [replace(file, artifact=replace(file.artifact, unpruned=True)) for file in files]


def _float_files(run: Run, graph: ir.Model, name: str, *, always_onnx: bool = False) -> list[Lowered]:
    """Where nobody keeps them; without a format that cannot express an op, as long as the other one can."""
    formats: list[Format] = ["onnx"] if always_onnx or "onnx" in run.recipe.output.formats else []
    formats += ["tflite"] if "tflite" in run.recipe.output.formats else []
    run.outputs.unkept.mkdir(exist_ok=True)
    made: list[Lowered] = []
    refusal: EdgekitError | None = None
    for format in formats:
        steps = graph if format == "onnx" else checked(unroll(graph))
        path = run.outputs.unkept / f"{name}.{format}"
        try:
            made.append(lower(steps, format, "float32", path, replace(run.wishes, io_int8=False)))
        except EdgekitError as error:
            refusal = error
    if refusal is not None and not made:
        raise refusal
    return made


def _program(run: Run, graph: ir.Model) -> tuple[Loaded | None, tuple[str, ...]]:
    """The pruned model as a .pt2 file, loaded again as anybody would."""
    from edgekit.lower.program import to_program

    with run.progress.step("exporting to PyTorch"):
        try:
            made = to_program(graph)
        except EdgekitError as refusal:
            return None, (f"not written: {run.outputs.program}: {refusal.what}: {refusal.why}",)
        path = run.outputs.folder / run.outputs.program
        path.write_bytes(made.data)
        loaded = load(Source(path=str(path), inputs={}), None)
    notes = () if made.batched else (f"{run.outputs.program} takes one sample at a time",)
    return loaded, notes
