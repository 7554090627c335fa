"""A float graph without the channels that a recipe's goal has no room for, and with zeros where it asks for them,
fine-tuned where there are samples."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import onnx_ir as ir

from edgekit import goals, units
from edgekit.artifact import Format
from edgekit.capture import Loaded, Source, load
from edgekit.device import Device
from edgekit.errors import EdgekitError
from edgekit.graph.check import checked
from edgekit.graph.cost import parameters
from edgekit.judging import Cut, Run, running
from edgekit.lower import Lowered, lower
from edgekit.outputs import Outputs
from edgekit.profile import measure
from edgekit.recipe import Goal, Recipe
from edgekit.report import compose
from edgekit.report.facts import PruningFacts, PruningTrial
from edgekit.report.json import to_json
from edgekit.run.checkpoint import check_checkpoint
from edgekit.samples import Samples
from edgekit.scoring import once, score, score_of
from edgekit.simplify import unroll

if TYPE_CHECKING:  # torch takes seconds to import
    from edgekit.prune import Pruned, Score
    from edgekit.prune.sparsify import Sparse
    from edgekit.run.trained import Training

EPOCHS, MOST_EPOCHS, STEPS = 10, 100, 500  # of fine-tuning: at least so many steps, where so many epochs have them
MARGIN = 0.02  # share of a latency to stay below it: measured again, it comes out so much slower or faster


@dataclass(frozen=True, kw_only=True)
class Thinned:
    """graph: pruned and fine-tuned; cut: what it is held against; facts: for the report."""

    graph: ir.Model
    cut: Cut
    facts: PruningFacts


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


def thinned(run: Run, graph: ir.Model) -> Thinned:
    """graph: simplified, in float."""
    from edgekit.prune import uncut  # not at the top: torch takes seconds to import

    wanted = run.recipe.prune
    unpruned = _unpruned_files(run, graph)
    score_name = None if wanted.goal is None else score_of(run.recipe, run.data, graph)
    pruned, trials = uncut(graph), tuple[PruningTrial, ...]()
    if wanted.goal is not None and score_name is not None:
        pruned, trials = _reached(run, graph, wanted.goal, score(score_name, run.recipe, run.data), unpruned)
    sparse = _emptied(run, pruned.graph)
    if sparse is not None:
        pruned = replace(pruned, graph=checked(sparse.graph))
    tuned, training = pruned.graph, None
    mended: tuple[str, ...] = ()
    if run.data.training is not None:
        tuned, training = _finetuned(run, pruned, graph, run.data.training, sparse)
    elif run.data.calibration is not None and not run.data.synthesized:
        tuned, mended = _mended(run, pruned, graph, run.data.calibration, sparse)
    program, notes = _program(run, tuned)
    facts = compose.pruning_facts(wanted.goal, score_name, pruned, tuned, unpruned, trials, training)
    if sparse is not None:
        facts = replace(facts, sparsity=compose.sparsity_facts(wanted.sparsity, sparse, tuned))
    return Thinned(
        graph=tuned,
        cut=Cut(unpruned=tuple(unpruned), program=program, notes=(*mended, *notes)),
        facts=facts,
    )


# ---- how much --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Candidate:
    """share: that was asked for."""

    pruned: Pruned
    share: float

    @property
    def left(self) -> float:
        return self.pruned.choice.share

    @property
    def cut_away(self) -> frozenset[int]:
        return self.pruned.choice.gone


def _reached(
    run: Run, graph: ir.Model, goal: tuple[Goal, float], score: Score, unpruned: Sequence[Lowered]
) -> tuple[Pruned, tuple[PruningTrial, ...]]:
    from edgekit.prune import Goal as Aim  # not at the top: torch takes seconds to import
    from edgekit.prune import prune

    of, share = goal
    scored = once(score)

    def cut(share: float) -> _Candidate:
        aim = Aim(of="macs" if of in ("macs", "latency") else "parameters", share=share)
        return _Candidate(prune(graph, aim, scored), share)

    match of:
        case "macs" | "params":
            with run.progress.step("pruning"):
                return cut(share).pruned, ()
        case "size":
            with run.progress.step("pruning"):
                found = goals.reached(share, "size", cut, lambda one: _sizes(run, one.pruned.graph, unpruned))
        case "latency":
            if run.recipe.output.resume and (known := _measured_before(run, share)) is not None:
                return cut(known.share).pruned, known.trials
            with run.progress.step("pruning, and measuring what is left"):
                found = goals.reached(
                    share,
                    "latency",
                    cut,
                    lambda one: _latencies(run, one.pruned.graph, unpruned),
                    margin=MARGIN,
                )
            if run.data.training is not None:
                _remember(run, _Measured(share, found.candidate.share, found.trials))
    return found.candidate.pruned, found.trials


@dataclass(frozen=True)
class _Measured:
    """asked: share of the latency that is to be left; share: of the MACs that keeps it."""

    asked: float
    share: float
    trials: tuple[PruningTrial, ...]


def _remember(run: Run, found: _Measured) -> None:
    """Measured again, a latency comes out a little different, and another cut has no use for a checkpoint."""
    run.outputs.measured.write_text(to_json(found), encoding="utf-8")


def _measured_before(run: Run, asked: float) -> _Measured | None:
    """By the interrupted run; None where its goal was none of latency. Raises EK923 for a file that is none, or of
    another latency."""
    path = run.outputs.measured
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        trials = tuple(PruningTrial(left=float(one["left"]), costs=dict(one["costs"])) for one in found["trials"])
        known = _Measured(float(found["asked"]), float(found["share"]), trials)
    except (ValueError, KeyError, TypeError) as broken:
        raise _not_measured(run, "it does not hold what an interrupted run measured") from broken
    if known.asked != asked:
        before, now = units.percent(known.asked), units.percent(asked)
        raise _not_measured(run, f"it was measured for {before} of the latency, and {now} is asked for")
    return known


def _not_measured(run: Run, why: str) -> EdgekitError:
    return EdgekitError(
        "EK923",
        f"cannot resume from '{run.outputs.measured}'",
        why,
        f"delete it and '{run.outputs.finetuning.name}', and leave --resume out",
    )


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
    found = {file.artifact.label: latencies[file.artifact.label] / whole[file.artifact.format] for file in files}
    costs = ", ".join(f"{label} {units.percent(cost)}" for label, cost in found.items())
    run.progress.note(f"with {units.count(parameters(graph))} parameters, of the unpruned latency: {costs}")
    return found


# ---- single weights --------------------------------------------------------------------------------------------------


def _emptied(run: Run, graph: ir.Model) -> Sparse | None:
    """With zeros for weights, where the recipe asks for them. graph: what is left of the model by then."""
    sparsity = run.recipe.prune.sparsity
    if sparsity is None:
        return None
    from edgekit.prune.sparsify import sparsify

    with run.progress.step("setting weights to zero"):
        return sparsify(graph, sparsity)


# ---- what it learns to do without ------------------------------------------------------------------------------------


def _finetuned(
    run: Run, pruned: Pruned, whole: ir.Model, samples: Samples, sparse: Sparse | None
) -> tuple[ir.Model, Training]:
    """pruned: as it was cut from the whole; sparse: with which weights at zero."""
    from edgekit.prune.cut import survivors
    from edgekit.prune.finetune import finetune
    from edgekit.prune.sparsify import NO_MASKS
    from edgekit.run.teach import Wanted
    from edgekit.run.train import Course

    prune, data = run.recipe.prune, run.recipe.data
    course = Course(
        epochs=prune.epochs or _epochs(len(samples), prune.batch),
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
    left, masks = survivors(pruned.channels, pruned.choice.gone), NO_MASKS if sparse is None else sparse.masks
    try:
        graph, training = finetune(pruned.graph, whole, samples, wanted, run.progress, left, masks)
    finally:
        if not run.outputs.finetuning.exists():  # there is nothing to go on from
            run.outputs.measured.unlink(missing_ok=True)
    return checked(graph), training


def _epochs(samples: int, batch: int) -> int:
    """What few samples need to come to anything, and many to come to an end."""
    return min(MOST_EPOCHS, max(EPOCHS, math.ceil(STEPS * batch / samples)))


def _mended(
    run: Run, pruned: Pruned, whole: ir.Model, samples: Samples, sparse: Sparse | None
) -> tuple[ir.Model, tuple[str, ...]]:
    """Without training, and what to say of it."""
    from edgekit.prune.cut import survivors
    from edgekit.prune.finetune import mend
    from edgekit.prune.sparsify import NO_MASKS
    from edgekit.run.objective import untrainable

    if (refused := untrainable(whole)) is not None:
        return pruned.graph, (f"the layers were not mended: {refused.why}",)
    left, masks = survivors(pruned.channels, pruned.choice.gone), NO_MASKS if sparse is None else sparse.masks
    found = mend(pruned.graph, whole, samples, left, run.progress, masks)
    if not found.how:
        return pruned.graph, ()
    return checked(found.graph), (f"the layers {found.how}, over the calibration samples",)


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
