"""The one-way street, in order: the only file that knows it.

Values travel down this page and never back; what a stage needs of another it gets from here, as an argument.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from edgekit import finish, start
from edgekit.capture import recognized
from edgekit.data import Given
from edgekit.device import load_device
from edgekit.errors import EdgekitError
from edgekit.graph.check import checked
from edgekit.integers import check_wishes, in_integers
from edgekit.judging import Judge, Run, answering, named
from edgekit.outputs import FileKey, Outputs
from edgekit.progress import SILENT, Progress, Timed
from edgekit.quantize.coverage import Coverage
from edgekit.quantize.norms import first_norm
from edgekit.recipe import Recipe, scheme_of
from edgekit.report import Report, compose
from edgekit.run.checkpoint import check_checkpoint
from edgekit.run.crew import crew
from edgekit.run.runner import Runner
from edgekit.run.signature import is_lowered, opened
from edgekit.verify import verify
from edgekit.verify.result import Verification

NOTHING = Given()


def quantize(recipe: Recipe, progress: Progress = SILENT, given: Given = NOTHING) -> Report:
    """Turn the model that a recipe names into verified INT8 files, or files of another precision.

    Raises EdgekitError; an EK5xx comes after the other files were written and reported.
    """
    device = load_device(recipe.device) if recipe.device else None
    scheme = scheme_of(recipe, device.scheme if device is not None else "default")
    check_wishes(recipe.quantize)
    precision = recipe.quantize.precision
    if precision == "float16":
        return convert(recipe, precision, progress, given)
    progress = Timed(progress)
    keys: list[FileKey] = [("float32", "onnx"), *((precision, format) for format in recipe.output.formats)]
    outputs = Outputs(recipe, keys)
    if recipe.qat.epochs is not None:
        check_checkpoint(outputs.checkpoint, recipe.output.resume)
    recognized(start.source(recipe, given))
    calibrate = precision != "int8-dynamic"
    data = start.read(recipe, given, progress, calibrate=calibrate)
    start.check_budget(recipe, data, progress, calibrates=calibrate)
    with outputs, crew() as workers:
        model = start.loaded(recipe, given, data.any, progress)
        made_up = calibrate and data.calibration is None
        data = (start.synthesized(model, data, progress) if made_up else data).named(model.inputs)
        with answering(model, data.evaluation, again=recipe.budget.max_drop is not None) as answers:
            captured = start.captured(model, progress)
            norms = first_norm(captured.graph)
            graph = start.simplified(captured, progress)
            steps = start.unrolled(graph, progress)
            run = Run(
                recipe=recipe,
                captured=captured,
                answers=answers,
                data=data,
                outputs=outputs,
                wishes=finish.wishes(recipe, device, data, scheme),
                progress=progress,
            )
            integers = in_integers(run, device, scheme, steps, norms, workers, Judge(run, graph))
            graphs = {key: graph if key[0] == "float32" else checked(integers.graph) for key in keys}
            files = finish.written(graphs, run, peers={"onnx": graph, "tflite": steps})
            coverage = Coverage(integers.quantized.calibrated.calibration.inputs if integers.quantized else {})
            found = finish.tried(run, integers.base, files, because=integers.because, watch=coverage.update)
            report = finish.told(
                run,
                graph,
                files,
                found,
                data=compose.data_facts(
                    data.calibration if calibrate else None, data.evaluation, data.overlap, recipe.preprocess
                ),
                quantization=integers.facts,
                budget=finish.budget_facts(recipe, found.verification, integers.quantized, integers.candidates),
                calibration=finish.calibration_facts(integers.quantized, norms, data, coverage),
                training=integers.training,
            )
    outputs.checkpoint.unlink(missing_ok=True)
    if files.refusals:
        raise files.refusals[0]
    return report


def convert(
    recipe: Recipe, precision: Literal["float32", "float16"], progress: Progress = SILENT, given: Given = NOTHING
) -> Report:
    """Write the model as float files, and compare them with the model where there are samples."""
    progress = Timed(progress)
    keys: list[FileKey] = [(precision, format) for format in recipe.output.formats]
    outputs = Outputs(recipe, keys)
    recognized(start.source(recipe, given))
    data = start.read(recipe, given, progress, calibrate=False)
    start.check_budget(recipe, data, progress, calibrates=False)
    with outputs:
        model = start.loaded(recipe, given, data.any, progress)
        data = data.named(model.inputs)
        with answering(model, data.evaluation) as answers:
            captured = start.captured(model, progress)
            graph = start.simplified(captured, progress)
            steps = start.unrolled(graph, progress)
            run = Run(
                recipe=recipe,
                captured=captured,
                answers=answers,
                data=data,
                outputs=outputs,
                wishes=finish.wishes(recipe, None, data),
                progress=progress,
            )
            files = finish.written({key: graph if key[1] == "onnx" else steps for key in keys}, run)
            found = finish.tried(run, graph, files)
            report = finish.told(
                run,
                graph,
                files,
                found,
                data=compose.data_facts(None, data.evaluation, data.overlap, recipe.preprocess),
                budget=finish.budget_facts(recipe, found.verification),
            )
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


def _not_lowered(path: Path) -> EdgekitError:
    fix = "give an .onnx or .tflite file to judge; the first file may be a model of any kind"
    if not path.exists():
        return EdgekitError("EK101", f"no file at '{path}'", "the path does not exist", fix)
    return EdgekitError("EK102", f"cannot judge '{path}'", "it is neither an ONNX nor a TFLite file", fix)
