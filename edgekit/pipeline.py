"""The one-way street, in order: the only file that knows it.

Values travel down this page and never back; what a stage needs of another it gets from here, as an argument.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Literal

import onnx_ir as ir

from edgekit import finish, flags, start
from edgekit.artifact import Format
from edgekit.capture import recognized
from edgekit.data import Given
from edgekit.device import Device, load_device
from edgekit.errors import EdgekitError
from edgekit.estimating import Target
from edgekit.graph.check import checked
from edgekit.integers import check_wishes, in_integers, resumes
from edgekit.judging import Judge, Run, answering, named
from edgekit.outputs import FileKey, Outputs
from edgekit.progress import SILENT, Progress, Timed
from edgekit.pruning import check_pruning, thinned
from edgekit.quantize.coverage import Coverage
from edgekit.quantize.norms import NO_NORMS, first_norm
from edgekit.recipe import Recipe, scheme_of
from edgekit.report import Report, compose
from edgekit.run.checkpoint import check_checkpoint
from edgekit.run.crew import crew
from edgekit.run.runner import Runner
from edgekit.run.signature import is_lowered, opened
from edgekit.scoring import check_scoring, looks_at_data
from edgekit.staging import ANEW, Placing
from edgekit.verify import verify
from edgekit.verify.result import Verification

NOTHING = Given()


def quantize(recipe: Recipe, progress: Progress = SILENT, given: Given = NOTHING, placing: Placing = ANEW) -> Report:
    """Turn the model that a recipe names into verified INT8 files, or files of another precision; pruned before, where
    the recipe has a goal for it.

    Raises EdgekitError; an EK5xx comes after the other files were written and reported.
    """
    device = load_device(recipe.device) if recipe.device else None
    recipe = start.for_device(recipe, device, progress)
    scheme = scheme_of(recipe, device.scheme if device is not None else "default")
    check_wishes(recipe.quantize)
    precision, prunes = recipe.quantize.precision, recipe.prune.wanted
    if precision == "float16" or precision == "float32":
        return _in_float(recipe, device, precision, progress, given, placing, verb="quantize", prunes=prunes)
    progress = Timed(progress)
    keys: list[FileKey] = [("float32", "onnx"), *((precision, format) for format in recipe.output.formats)]
    outputs = Outputs(recipe, keys, pruned=prunes, placing=placing)
    target = None if device is None else Target(device, precision, recipe.verify.threads)
    if prunes:
        check_pruning(recipe, target, outputs)
    if recipe.qat.epochs is not None:
        check_checkpoint(outputs.checkpoint, resumes(recipe, outputs))
    recognized(start.source(recipe, given))
    calibrate = precision != "int8-dynamic"
    data = start.read(recipe, given, progress, calibrate=calibrate)
    start.check_budget(recipe, data, progress, calibrates=calibrate)
    start.check_teaching(recipe, data)
    if prunes:
        check_scoring(recipe, data)
    with outputs, crew() as workers:
        model = start.loaded(recipe, given, data.any, progress)
        made_up = calibrate and data.calibration is None
        data = (start.synthesized(model, data, progress) if made_up else data).named(model.inputs)
        with answering(model, data.evaluation, again=recipe.budget.max_drop is not None) as answers:
            captured = start.captured(model, progress)
            whole = start.simplified(captured, progress)
            wishes = finish.wishes(recipe, device, data, scheme)
            run = Run(
                recipe=recipe,
                captured=captured,
                answers=answers,
                data=data,
                outputs=outputs,
                wishes=wishes,
                progress=progress,
            )
            graph, norms, pruning = whole, first_norm(captured.graph), None
            if prunes:
                thin = thinned(run, whole, target)
                run, graph, norms, pruning = replace(run, cut=thin.cut), thin.graph, NO_NORMS, thin.facts
            steps = start.unrolled(graph, progress)
            integers = in_integers(run, device, scheme, steps, norms, workers, Judge(run, graph))
            graphs = {key: graph if key[0] == "float32" else checked(integers.graph) for key in keys}
            files = finish.written(graphs, run, peers={"onnx": graph, "tflite": steps})
            coverage = Coverage(integers.quantized.calibrated.calibration.inputs if integers.quantized else {})
            found = finish.tried(run, integers.base, files, because=integers.because, watch=coverage.update)
            report = finish.told(
                run,
                whole,
                files,
                found,
                command=None if given.in_memory else flags.command("quantize", recipe),
                ops=compose.op_facts(integers.base),
                data=compose.data_facts(
                    data.calibration if calibrate else None, data.evaluation, data.overlap, recipe.preprocess
                ),
                pruning=pruning and finish.pruning_facts(run, pruning, whole, files, found),
                quantization=integers.facts,
                budget=finish.budget_facts(run, found.verification, integers.quantized, integers.candidates),
                calibration=finish.calibration_facts(integers.quantized, norms, data, coverage),
                training=integers.training,
            )
    outputs.forget(finetuning=prunes, training=True)
    if files.refusals:
        raise files.refusals[0]
    return report


def prune(recipe: Recipe, progress: Progress = SILENT, given: Given = NOTHING) -> Report:
    """Cut channels out of the model that a recipe names until its goal is reached, set weights to zero where it says
    so, fine-tune what is left, and write float files, held against the unpruned model."""
    if not recipe.prune.wanted:
        raise _no_goal()
    device = load_device(recipe.device) if recipe.device else None
    return _in_float(recipe, device, "float32", progress, given, ANEW, verb="prune", prunes=True)


def convert(
    recipe: Recipe, precision: Literal["float32", "float16"], progress: Progress = SILENT, given: Given = NOTHING
) -> Report:
    """Write the model as float files, and compare them with the model where there are samples."""
    if recipe.prune.wanted:
        asked = recipe.prune.goal[0] if recipe.prune.goal is not None else "sparsity"
        raise EdgekitError(
            "EK154",
            f"--{asked} does not go with converting",
            "a model is converted with all of its channels and weights",
            "leave it out of the recipe, or call `edgekit prune`, which writes the same formats",
        )
    return _in_float(recipe, None, precision, progress, given, ANEW, verb="convert", prunes=False)


def _in_float(
    recipe: Recipe,
    device: Device | None,
    precision: Literal["float32", "float16"],
    progress: Progress,
    given: Given,
    placing: Placing,
    *,
    verb: flags.Verb,
    prunes: bool,
) -> Report:
    progress = Timed(progress)
    keys: list[FileKey] = [(precision, format) for format in recipe.output.formats]
    outputs = Outputs(recipe, keys, pruned=prunes, placing=placing)
    target = None if device is None else Target(device, precision, recipe.verify.threads)
    if prunes:
        check_pruning(recipe, target, outputs)
    recognized(start.source(recipe, given))
    data = start.read(recipe, given, progress, calibrate=prunes and looks_at_data(recipe, given))
    start.check_budget(recipe, data, progress, calibrates=False)
    if prunes:
        start.check_teaching(recipe, data)
        check_scoring(recipe, data)
    with outputs:
        model = start.loaded(recipe, given, data.any, progress)
        data = (start.with_inputs(model, data, progress) if prunes else data).named(model.inputs)
        with answering(model, data.evaluation) as answers:
            captured = start.captured(model, progress)
            whole = start.simplified(captured, progress)
            wishes = finish.wishes(recipe, None, data)
            run = Run(
                recipe=recipe,
                captured=captured,
                answers=answers,
                data=data,
                outputs=outputs,
                wishes=wishes,
                progress=progress,
            )
            graph, pruning = whole, None
            if prunes:
                thin = thinned(run, whole, target)
                run, graph, pruning = replace(run, cut=thin.cut), thin.graph, thin.facts
            steps = start.unrolled(graph, progress)
            peers: dict[Format, ir.Model] | None = {"onnx": graph, "tflite": steps} if prunes else None
            files = finish.written({key: graph if key[1] == "onnx" else steps for key in keys}, run, peers)
            found = finish.tried(run, graph, files)
            report = finish.told(
                run,
                whole,
                files,
                found,
                command=None if given.in_memory else flags.command(verb, recipe, precision),
                ops=compose.op_facts(graph),
                data=compose.data_facts(
                    data.calibration if prunes and data.training is None and not data.synthesized else None,
                    data.evaluation,
                    data.overlap,
                    recipe.preprocess,
                ),
                pruning=pruning and finish.pruning_facts(run, pruning, whole, files, found),
                budget=finish.budget_facts(run, found.verification),
            )
    outputs.forget(finetuning=prunes)
    if files.refusals:
        raise files.refusals[0]
    return report


def compare(
    first: Path, second: Path, recipe: Recipe, progress: Progress = SILENT, given: Given = NOTHING
) -> Verification:
    """Run two files on the same samples; the first may also be a model in any form that `capture` takes."""
    if not is_lowered(second):
        raise _not_lowered(second)
    artifacts = [opened(path) for path in (first, second) if is_lowered(path)]
    if len(artifacts) < 2:
        recognized(start.source(recipe, given))
    data = start.read(recipe, given, progress, calibrate=False)
    samples = data.for_evaluation
    with ExitStack() as stack:
        runners = [stack.enter_context(Runner(artifact)) for artifact in artifacts]
        reference = None
        if len(artifacts) < 2:
            model = start.loaded(recipe, given, data.any, progress)
            if model.run is None:  # an ONNX file under another name: nothing but itself to compare with
                raise _not_lowered(first)
            answers = stack.enter_context(answering(model, samples.renamed(model.inputs)))
            reference = named(answers(), start.captured(model, progress))
        samples = samples.renamed([spec.name for spec in artifacts[-1].inputs])
        return verify(reference, runners, samples, metric=recipe.verify.metric, progress=progress)


def _no_goal() -> EdgekitError:
    return EdgekitError(
        "EK307",
        "no goal to prune to",
        "nothing says how much of the model is to be left",
        "add --macs 70%, or --params, --size or --latency with the share that may be left, or --sparsity 50%",
    )


def _not_lowered(path: Path) -> EdgekitError:
    fix = "give an .onnx or .tflite file to judge; the first file may be a model of any kind"
    if not path.exists():
        return EdgekitError("EK101", f"no file at '{path}'", "the path does not exist", fix)
    return EdgekitError("EK102", f"cannot judge '{path}'", "it is neither an ONNX nor a TFLite file", fix)
