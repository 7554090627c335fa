"""A float graph without the channels that a recipe's goal has no room for, and with zeros where it asks for them,
fine-tuned where there are samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import onnx_ir as ir

from edgekit import reaching, units
from edgekit.capture import Loaded, Source, load
from edgekit.errors import EdgekitError
from edgekit.estimating import Target, check_estimable
from edgekit.graph.check import checked
from edgekit.judging import Cut, Run
from edgekit.lower import Lowered
from edgekit.outputs import Outputs
from edgekit.reaching import Aim, Reached, Standing, float_files, reached
from edgekit.recipe import Recipe
from edgekit.report import compose
from edgekit.report.facts import PruningFacts
from edgekit.run.checkpoint import check_checkpoint
from edgekit.samples import Samples
from edgekit.scoring import score_of

if TYPE_CHECKING:  # torch takes seconds to import
    from edgekit.prune import Pruned
    from edgekit.prune.sparsify import Sparse
    from edgekit.run.teach import Training

EPOCHS, MOST_EPOCHS, STEPS = 10, 100, 500  # of fine-tuning: at least so many steps, where so many epochs have them


@dataclass(frozen=True, kw_only=True)
class Thinned:
    """graph: pruned and fine-tuned; cut: what it is held against; facts: for the report."""

    graph: ir.Model
    cut: Cut
    facts: PruningFacts


def check_pruning(recipe: Recipe, target: Target | None, outputs: Outputs) -> None:
    """Before any work is done. target: None for this machine."""
    if recipe.prune.latency is not None and target is not None:
        check_estimable(target, recipe.output.formats)
    check_checkpoint(outputs.finetuning, recipe.output.resume)


def thinned(run: Run, graph: ir.Model, target: Target | None) -> Thinned:
    """graph: simplified, in float; target: None for this machine."""
    wanted = run.recipe.prune
    unpruned = _unpruned_files(run, graph)
    found = _cut(run, graph, unpruned, target)
    pruned = found.pruned
    sparse = _emptied(run, pruned.graph)
    if sparse is not None:
        pruned = replace(pruned, graph=checked(sparse.graph))
    tuned, training = pruned.graph, None
    mended: tuple[str, ...] = ()
    if run.data.training is not None:
        tuned, training = _finetuned(run, pruned, graph, run.data.training, sparse)
    elif run.data.calibration is not None and not run.data.synthesized:
        tuned, mended = _mended(run, pruned, graph, run.data.calibration)
    program, notes = _program(run, tuned)
    score = None if wanted.goal is None else score_of(run.recipe, run.data)
    facts = compose.pruning_facts(wanted.goal, score, pruned, tuned, unpruned, found.trials, training)
    if wanted.latency is not None and target is not None:
        facts = replace(facts, estimates=reaching.estimates(run, tuned, unpruned, target))
    if sparse is not None:
        facts = replace(facts, sparsity=compose.sparsity_facts(wanted.sparsity, sparse, tuned))
    return Thinned(
        graph=tuned,
        cut=Cut(unpruned=tuple(unpruned), program=program, notes=(*mended, *notes)),
        facts=facts,
    )


# ---- how much --------------------------------------------------------------------------------------------------------


def _cut(run: Run, graph: ir.Model, unpruned: Sequence[Lowered], target: Target | None) -> Reached:
    """With all of its channels where the recipe has no goal for them."""
    from edgekit.prune import uncut  # not at the top: torch takes seconds to import

    if (goal := run.recipe.prune.goal) is None:
        return Reached(uncut(graph))
    of, share = goal
    aim = Aim(of=of, share=share, unpruned=unpruned, target=target, remembered=run.outputs.measured)
    return reached(run, Standing(graph=graph), aim)


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


def _mended(run: Run, pruned: Pruned, whole: ir.Model, samples: Samples) -> tuple[ir.Model, tuple[str, ...]]:
    """Without training, and what to say of it."""
    from edgekit.prune.cut import survivors
    from edgekit.prune.finetune import mend

    found = mend(pruned.graph, whole, samples, survivors(pruned.channels, pruned.choice.gone), run.progress)
    if not found.layers:
        return pruned.graph, ()
    layers = units.plural(found.layers, "layer")
    note = f"{layers} got back the mean and variance from before the cut, over the calibration samples"
    return checked(found.graph), (note,)


# ---- files beside ----------------------------------------------------------------------------------------------------


def _unpruned_files(run: Run, graph: ir.Model) -> list[Lowered]:
    """ONNX first: it answers for a model that came as ONNX."""
    files = float_files(run, graph, "unpruned", always_onnx=True)
    return [replace(file, artifact=replace(file.artifact, unpruned=True)) for file in files]


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
