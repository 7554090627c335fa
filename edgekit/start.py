"""What every run starts with: its samples, its model, and the model's graph."""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir

from edgekit import budget
from edgekit.capture import Captured, Loaded, Source, capture, load
from edgekit.data import Data, Given, read_data, with_synthesized
from edgekit.device import Device
from edgekit.errors import EdgekitError
from edgekit.graph.check import checked
from edgekit.progress import Progress
from edgekit.recipe import Recipe
from edgekit.run.augment import check_augmentable
from edgekit.samples import Samples
from edgekit.simplify import simplify, unroll
from edgekit.verify import suited

SYNTHESIZED = 32  # inputs to make up where no samples are given


def for_device(recipe: Recipe, device: Device | None, progress: Progress) -> Recipe:
    """What the recipe leaves open, as the device has it; what it says wins.

    INT8 files take and give integers where those of the device do. Where it runs TFLite files only, no INT8 ONNX file
    is written beside them. A TFLite file is written also where it runs ONNX files only, for another runtime to hold
    the integers against: TensorRT is not here.
    """
    if device is None:
        return recipe
    quantize, output = recipe.quantize, recipe.output
    if device.io != quantize.io and quantize.precision == "int8" and "io" not in quantize.model_fields_set:
        progress.note(
            f"{device.name} computes in integers: the files take and give {device.io} (--io float32 does not)"
        )
        quantize = quantize.model_copy(update={"io": device.io})
    if device.formats == ("tflite",) and "formats" not in output.model_fields_set:
        progress.note(f"{device.name} runs TFLite files: no other is written (--format onnx writes one)")
        output = output.model_copy(update={"formats": device.formats})
    return recipe.model_copy(update={"quantize": quantize, "output": output})


def source(recipe: Recipe, given: Given) -> Source:
    return Source(
        path=recipe.model.path or "",
        factory=recipe.model.factory,
        inputs=recipe.model.inputs,
        trust_pickle=recipe.model.trust_pickle,
        module=given.model,
    )


def read(recipe: Recipe, given: Given, progress: Progress, *, calibrate: bool) -> Data:
    """The samples, held against the metric before any work is done."""
    with progress.step("reading samples"):
        data = read_data(recipe, given, calibrate=calibrate)
        if data.evaluation is not None:
            suited(recipe.verify.metric, data.evaluation)
        return data


def check_budget(recipe: Recipe, data: Data, progress: Progress, *, calibrates: bool) -> None:
    """Before any work is done: a budget must be one that the samples can judge."""
    if recipe.budget.max_drop is None:
        return
    metric = None if data.evaluation is None else suited(recipe.verify.metric, data.evaluation)
    budget.refuse_unjudgeable(data, metric, calibrates=calibrates)
    assert metric is not None and data.evaluation is not None
    if (doubt := budget.beyond_the_samples(recipe.budget.max_drop, metric, len(data.evaluation))) is not None:
        progress.note(doubt)


def check_teaching(recipe: Recipe, data: Data) -> None:
    """Before any work is done: EK925 where samples are to be learned from alone, and say nothing, or where they cannot
    be changed as was asked for."""
    samples = data.training
    if samples is None:
        return
    prunes, retrains = recipe.prune.wanted, recipe.qat.epochs is not None
    check_augmentable(samples, [*recipe.prune.augment * prunes, *recipe.qat.augment * retrains])
    if samples.labels is not None or samples.has_targets:
        return
    if (prunes and recipe.prune.distill == 0) or (retrains and recipe.qat.distill == 0):
        raise EdgekitError(
            "EK925",
            f"nothing to learn from '{samples.where}'",
            "its samples have neither labels nor targets, and --distill 0 learns from nothing else",
            "leave --distill out, and the model as it was is learned from",
        )


def loaded(recipe: Recipe, given: Given, samples: Samples | None, progress: Progress) -> Loaded:
    with progress.step("loading the model"):
        return load(source(recipe, given), samples.signature if samples is not None else None)


def synthesized(model: Loaded, data: Data, progress: Progress) -> Data:
    """With made-up samples to calibrate on."""
    with progress.step("synthesising inputs", SYNTHESIZED) as advance:
        return with_synthesized(data, model.synthesize(SYNTHESIZED, advance))


def with_inputs(model: Loaded, data: Data, progress: Progress) -> Data:
    """With made-up samples to compare on, where nobody gave any."""
    if data.any is not None:
        return data
    return replace(data, evaluation=synthesized(model, data, progress).for_evaluation)


def captured(model: Loaded, progress: Progress) -> Captured:
    with progress.step("capturing the model"):
        return capture(model)


def simplified(found: Captured, progress: Progress) -> ir.Model:
    """The float graph that all else is made of."""
    with progress.step("simplifying"):
        return checked(simplify(found.graph))


def unrolled(graph: ir.Model, progress: Progress) -> ir.Model:
    """With loops over time written out, as integers and TFLite files have them."""
    with progress.step("simplifying"):
        return checked(unroll(graph))
