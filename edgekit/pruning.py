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
from edgekit.graph.cost import macs_by_node
from edgekit.judging import Cut, Run
from edgekit.lower import Lowered
from edgekit.outputs import Outputs
from edgekit.reaching import Aim, Reached, Standing, counted, float_files, reached
from edgekit.recipe import Recipe
from edgekit.report import compose
from edgekit.report.facts import PruningFacts, PruningRound, PruningTrial
from edgekit.report.pruned import GOAL_NAMES
from edgekit.run.checkpoint import check_checkpoint
from edgekit.samples import Samples
from edgekit.scoring import once, score, score_of

if TYPE_CHECKING:  # torch takes seconds to import
    from edgekit.prune import Pruned
    from edgekit.prune.sparsify import Sparse
    from edgekit.run.trained import Training

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
    for path in (outputs.of_round(outputs.finetuning, number) for number in outputs.counted_rounds[1:]):
        if path.exists():
            check_checkpoint(path, recipe.output.resume)


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
        tuned, training = _finetuned(run, pruned, graph, run.data.training, sparse, wanted.rounds)
    elif run.data.calibration is not None and not run.data.synthesized:
        tuned, mended = _mended(run, pruned, graph, run.data.calibration, sparse)
    program, notes = _program(run, tuned)
    scored_by = None if wanted.goal is None else score_of(run.recipe, run.data, graph)
    facts = compose.pruning_facts(wanted.goal, scored_by, pruned, tuned, unpruned, found.trials, training)
    if found.rounds and training is not None:
        facts = replace(facts, rounds=(*found.rounds, _round(graph, pruned, training)))
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


@dataclass(frozen=True, kw_only=True)
class _Cutting:
    """pruned: not trained since its last cut; trials: as in `Reached`; rounds: that came before the last one."""

    pruned: Pruned
    trials: Sequence[PruningTrial] = ()
    rounds: tuple[PruningRound, ...] = ()


def _cut(run: Run, graph: ir.Model, unpruned: Sequence[Lowered], target: Target | None) -> _Cutting:
    """With all of its channels where the recipe has no goal for them."""
    from edgekit.prune import uncut  # not at the top: torch takes seconds to import

    if (goal := run.recipe.prune.goal) is None:
        return _Cutting(pruned=uncut(graph))
    of, share = goal
    aim = Aim(of=of, share=share, unpruned=unpruned, target=target, remembered=run.outputs.measured)
    whole = _standing(run, graph)
    found = reached(run, whole, aim)
    if run.recipe.prune.rounds == 1:
        return _Cutting(pruned=found.pruned, trials=found.trials)
    return _in_rounds(run, whole, aim, found)


def _in_rounds(run: Run, whole: Standing, aim: Aim, at_once: Reached) -> _Cutting:
    """All rounds, but for the training that follows the last. at_once: that the goal can be reached, and about where.

    What the rounds leave of the measure that is counted falls by the same factor in each. Only the last has the goal
    itself to keep, by files of what it leaves.
    """
    from edgekit.prune.rounds import joined  # not at the top: torch takes seconds to import

    assert run.data.training is not None, "rounds without training are refused"
    rounds, measure = run.recipe.prune.rounds, counted(aim.of)
    end = aim.share if measure == aim.of else at_once.pruned.choice.share
    pruned, standing, told = None, whole, []
    for number in range(1, rounds):
        found = reached(run, standing, replace(aim, of=measure, share=end ** (number / rounds)))
        pruned = found.pruned if pruned is None else joined(pruned, found.pruned)
        left = f"{units.percent(pruned.choice.share)} of the {GOAL_NAMES[measure]}"
        run.progress.note(f"round {number} of {rounds}: {left} left")
        tuned, training = _finetuned(run, pruned, whole.graph, run.data.training, None, number)
        told.append(_round(whole.graph, pruned, training))
        pruned = replace(pruned, graph=tuned)
        standing = _standing(run, whole.graph, pruned)
    assert pruned is not None, "one round is none of several"
    found = reached(run, standing, replace(aim, remembered=run.outputs.of_round(aim.remembered, rounds)))
    return _Cutting(pruned=joined(pruned, found.pruned), trials=found.trials, rounds=tuple(told))


def _standing(run: Run, whole: ir.Model, pruned: Pruned | None = None) -> Standing:
    """pruned: what became of the whole, None before any cut."""
    scored = once(score(score_of(run.recipe, run.data, whole), run.recipe, run.data))
    if pruned is None:
        return Standing(graph=whole, scored=scored)
    began = {group.name: len(group.units) for group in pruned.channels.groups}
    return Standing(graph=pruned.graph, scored=scored, left=pruned.choice.share, units=began)


def _round(whole: ir.Model, pruned: Pruned, training: Training) -> PruningRound:
    macs, before = (sum(macs_by_node(graph).values()) for graph in (pruned.graph, whole))
    return PruningRound(left=macs / before if before else 1.0, training=training)


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
    run: Run, pruned: Pruned, whole: ir.Model, samples: Samples, sparse: Sparse | None, number: int
) -> tuple[ir.Model, Training]:
    """pruned: as it was cut from the whole; sparse: with which weights at zero; number: of the round, from 1 on.

    Each round has a checkpoint of its own, from which its result follows without a step once it is over.
    """
    from edgekit.prune.cut import survivors
    from edgekit.prune.finetune import finetune
    from edgekit.prune.sparsify import NO_MASKS
    from edgekit.run.teach import Wanted
    from edgekit.run.train import Course

    prune, data = run.recipe.prune, run.recipe.data
    epochs = prune.epochs or max(prune.rounds, _epochs(len(samples), prune.batch))
    course = Course(
        epochs=_part(epochs, prune.rounds, number),
        batch=prune.batch,
        lr=prune.lr,
        optimizer=prune.optimizer,
        seed=data.seed,
        augment=prune.augment,
    )
    checkpoint = run.outputs.of_round(run.outputs.finetuning, number)
    wanted = Wanted(
        course=course,
        distilled=prune.distill,
        checkpoint=checkpoint,
        resume=run.recipe.output.resume and (number == 1 or checkpoint.exists()),
        patience=prune.patience,
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


def _part(epochs: int, rounds: int, number: int) -> int:
    """Of the epochs, for one round: what does not divide is the last one's, with most to mend."""
    each = epochs // rounds
    return each if number < rounds else epochs - each * (rounds - 1)


def _mended(
    run: Run, pruned: Pruned, whole: ir.Model, samples: Samples, sparse: Sparse | None
) -> tuple[ir.Model, tuple[str, ...]]:
    """Without training, and what to say of it."""
    from edgekit.prune.cut import survivors
    from edgekit.prune.finetune import mend
    from edgekit.prune.sparsify import NO_MASKS
    from edgekit.run.objective import without_gradients

    if (refused := without_gradients(whole)) is not None:
        return pruned.graph, (f"the layers were not refitted: {refused.why}",)
    left, masks = survivors(pruned.channels, pruned.choice.gone), NO_MASKS if sparse is None else sparse.masks
    found = mend(pruned.graph, whole, samples, left, run.progress, masks)
    if not found.how:
        return pruned.graph, ("the layers stay as they were cut: nothing that was tried without training does better",)
    return checked(found.graph), (f"the layers {found.how}, on {units.plural(len(samples), 'sample')}",)


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
