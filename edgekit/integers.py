"""A float graph in the integers that a recipe asks for, trained where it says so, and kept within its budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx_ir as ir

from edgekit import budget
from edgekit.device import Device
from edgekit.errors import EdgekitError
from edgekit.graph.check import checked
from edgekit.judging import Judge, Run
from edgekit.outputs import Outputs
from edgekit.quantize import Quantized
from edgekit.quantize import quantize as to_int8
from edgekit.quantize.decompose import decompose_hard_swish
from edgekit.quantize.norms import Norms
from edgekit.quantize.scheme import SCHEMES
from edgekit.quantize.sensitivity import Sensitivity, sensitivities
from edgekit.quantize.weights_only import quantize_weights
from edgekit.recipe import Quantize, Recipe, SchemeName
from edgekit.report import compose
from edgekit.report.facts import Candidate, QuantizationFacts
from edgekit.run.worker import Worker
from edgekit.samples import Samples

if TYPE_CHECKING:
    from edgekit.run.trained import Training


@dataclass(frozen=True, kw_only=True)
class Integers:
    """A graph with integers, the float graph that it was made of, and what the report says of it.

    quantized: how it came about, None where only weights were rounded; because: node -> why it is not in INT8;
    candidates: what was judged on the evaluation samples to keep a budget; training: what came of it, None without.
    """

    graph: ir.Model
    base: ir.Model
    facts: QuantizationFacts
    because: Mapping[str, str]
    quantized: Quantized | None = None
    candidates: tuple[Candidate, ...] = ()
    training: Training | None = None


def check_wishes(wanted: Quantize) -> None:
    """Before any work is done: what only activations in integers can be asked for."""
    if wanted.precision not in ("float16", "float32", "int8-dynamic"):
        return
    if wanted.sensitivity:
        raise _not_measured(wanted.precision)
    if wanted.effort == "high":
        raise _not_learned(wanted.precision)


def resumes(recipe: Recipe, outputs: Outputs) -> bool:
    """The integers of a pruned model may not have come to training when it was interrupted."""
    return recipe.output.resume and (not recipe.prune.wanted or outputs.checkpoint.exists())


def in_integers(
    run: Run,
    device: Device | None,
    scheme: SchemeName,
    graph: ir.Model,
    norms: Norms,
    workers: Sequence[Worker],
    judge: Judge,
) -> Integers:
    """The float graph in the precision that the recipe asks for."""
    recipe, wanted, progress = run.recipe, run.recipe.quantize, run.progress
    if wanted.precision == "int8-dynamic":
        return _weights_only(graph, wanted, scheme)
    whole = scheme == "symmetric" or (device is not None and device.hard_swish == "whole")
    target = graph if whole else checked(decompose_hard_swish(graph))
    quantized = to_int8(
        target,
        run.data.for_calibration,
        workers,
        wanted.ranges,
        wanted.keep_float,
        progress,
        io_int8=wanted.io == "int8",
        norms=norms,
        int16=[node.name or "" for node in target.graph] if wanted.precision == "int16x8" else [],
        scheme=SCHEMES[scheme],
        effort=wanted.effort,
    )
    base, training = quantized.base, None
    if recipe.qat.epochs is not None and run.data.training is not None:
        quantized, training = _retrained(run, quantized, run.data.training, recipe.qat.epochs)

    def rank(quantized: Quantized) -> Sequence[Sensitivity]:
        return ranked or sensitivities(quantized, workers, progress, int16=scheme != "symmetric")

    ranked: Sequence[Sensitivity] = ()
    ranked = rank(quantized) if wanted.sensitivity else ()
    candidates: tuple[Candidate, ...] = ()
    if recipe.budget.max_drop is not None:
        in_float = judge.in_float() if run.cut is not None else None
        kept = budget.within(
            quantized, recipe.budget.max_drop, judge, rank, io_int8=wanted.io == "int8", in_float=in_float
        )
        quantized, ranked, candidates = kept.quantized, kept.ranked or ranked, kept.candidates
    return Integers(
        graph=quantized.graph,
        base=base,
        facts=compose.quantization_facts(quantized, wanted, scheme, ranked, calibrated=not run.data.synthesized),
        because={**quantized.plan.kept_float, **quantized.int16_because},
        quantized=quantized,
        candidates=candidates,
        training=training,
    )


def _weights_only(graph: ir.Model, wanted: Quantize, scheme: SchemeName) -> Integers:
    made = quantize_weights(graph, wanted.keep_float, per_channel=SCHEMES[scheme].per_channel)
    facts = compose.weights_facts(made, scheme, graph)
    return Integers(graph=made.graph, base=graph, facts=facts, because=made.kept_float)


def _retrained(run: Run, quantized: Quantized, samples: Samples, epochs: int) -> tuple[Quantized, Training]:
    """Trained as integers, where that is better."""
    from edgekit.quantize.retrain import retrain  # not at the top: torch takes seconds to import
    from edgekit.run.teach import Wanted
    from edgekit.run.train import Course

    qat, seed = run.recipe.qat, run.recipe.data.seed
    course = Course(epochs=epochs, batch=qat.batch, lr=qat.lr, optimizer=qat.optimizer, seed=seed, augment=qat.augment)
    wanted = Wanted(
        course=course,
        distilled=qat.distill,
        checkpoint=run.outputs.checkpoint,
        resume=resumes(run.recipe, run.outputs),
    )
    return retrain(quantized, samples, wanted, run.progress)


def _not_measured(precision: str) -> EdgekitError:
    return EdgekitError(
        "EK420",
        f"cannot measure sensitivity with --precision {precision}",
        "it is the error of rounded activations and weights, and this precision keeps activations in float",
        "leave --sensitivity out, or use --precision int8 or int16x8",
    )


def _not_learned(precision: str) -> EdgekitError:
    return EdgekitError(
        "EK422",
        f"cannot learn the rounding with --precision {precision}",
        "weights are learned together with rounded activations, and this precision keeps activations in float",
        "leave --effort out, or use --precision int8 or int16x8",
    )
