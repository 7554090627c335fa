"""The one-way street, in order: the only file that knows it.

Values travel down this page and never back; what a stage needs of another it gets from here, as an argument.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import onnx_ir as ir

from edgekit import budget
from edgekit.artifact import Format
from edgekit.capture import Captured, Loaded, Source, capture, load, recognized
from edgekit.data import Data, Given, read_data, with_synthesized
from edgekit.device import Device, load_device
from edgekit.errors import EdgekitError
from edgekit.graph.check import checked
from edgekit.judging import Judge, answering, lowered_files, named, running, verified
from edgekit.lower import Lowered, Wishes, lower
from edgekit.outputs import FileKey, Outputs
from edgekit.profile import Latency, measure
from edgekit.progress import SILENT, Progress, Timed
from edgekit.quantize import Quantized
from edgekit.quantize import quantize as to_int8
from edgekit.quantize.coverage import Coverage
from edgekit.quantize.decompose import decompose_hard_swish
from edgekit.quantize.doubts import Examination, examined
from edgekit.quantize.norms import Norms, first_norm
from edgekit.quantize.scheme import SCHEMES
from edgekit.quantize.sensitivity import Sensitivity, sensitivities
from edgekit.quantize.weights_only import quantize_weights
from edgekit.recipe import Recipe, SchemeName, scheme_of
from edgekit.report import Report, compose, this_machine
from edgekit.report.facts import BudgetFacts, Candidate, QuantizationFacts
from edgekit.run.checkpoint import check_checkpoint
from edgekit.run.crew import crew
from edgekit.run.runner import Runner
from edgekit.run.signature import is_lowered, opened
from edgekit.run.worker import Worker
from edgekit.samples import Samples
from edgekit.simplify import simplify, unroll
from edgekit.verify import suited, verify
from edgekit.verify.result import Verification

if TYPE_CHECKING:
    from edgekit.run.teach import Training

NOTHING = Given()
SYNTHESIZED = 32  # inputs to make up where no samples are given


def quantize(recipe: Recipe, progress: Progress = SILENT, given: Given = NOTHING) -> Report:
    """Turn the model that a recipe names into verified INT8 files, or files of another precision.

    Raises EdgekitError; an EK5xx comes after the other files were written and reported.
    """
    device = load_device(recipe.device) if recipe.device else None
    scheme = scheme_of(recipe, device.scheme if device is not None else "default")
    precision = recipe.quantize.precision
    if recipe.quantize.sensitivity and precision in ("float16", "int8-dynamic"):
        raise _not_measured(precision)
    if recipe.quantize.effort == "high" and precision in ("float16", "int8-dynamic"):
        raise _not_learned(precision)
    if precision == "float16":
        return convert(recipe, precision, progress, given)
    progress = Timed(progress)
    keys: list[FileKey] = [("float32", "onnx"), *((precision, format) for format in recipe.output.formats)]
    outputs = Outputs(recipe, keys)
    if recipe.qat.epochs is not None:
        check_checkpoint(outputs.checkpoint, recipe.output.resume)
    recognized(_source(recipe, given))
    calibrate = precision != "int8-dynamic"
    data = _read(recipe, given, progress, calibrate=calibrate)
    _check_budget(recipe, data, progress, calibrates=calibrate)
    with outputs, crew() as workers:
        model = _loaded(recipe, given, data.any, progress)
        made_up = calibrate and data.calibration is None
        data = (_synthesized(model, data, progress) if made_up else data).named(model.inputs)
        with answering(model, data.evaluation, again=recipe.budget.max_drop is not None) as answers:
            captured = _captured(model, progress)
            norms = first_norm(captured.graph)
            with progress.step("simplifying"):
                graph = checked(simplify(captured.graph))
                steps = checked(unroll(graph))
            wishes = _wishes(recipe, device, data, scheme)
            judge = Judge(recipe, captured, graph, answers, outputs, wishes, data, progress)
            integers = _in_integers(
                recipe, device, scheme, steps, norms, data, workers, judge, outputs.checkpoint, progress
            )
            graphs = {key: graph if key[0] == "float32" else checked(integers.graph) for key in keys}
            with progress.step("lowering"):
                lowered, refusals = lowered_files(graphs, outputs, wishes)
            peers = _float_peers({"onnx": graph, "tflite": steps}, lowered, outputs, wishes)
            calibrated = data.calibration if calibrate else None
            coverage = Coverage(integers.quantized.calibrated.calibration.inputs if integers.quantized else {})
            with running([*lowered, *peers], recipe) as runners:
                files = runners[: len(lowered)]
                verification = verified(
                    recipe,
                    captured,
                    integers.base,
                    answers(),
                    files,
                    data,
                    progress,
                    because=integers.because,
                    watch=coverage.update,
                )
                latencies = _measured(runners, data, progress)
            report = Report(
                **_facts(recipe, captured, graph, data, outputs, lowered, refusals),
                data=compose.data_facts(calibrated, data.evaluation, data.overlap, recipe.preprocess),
                quantization=integers.facts,
                budget=_budget_facts(recipe, verification, integers.quantized, integers.candidates),
                calibration=_examined(integers.quantized, norms, data, coverage),
                training=integers.training,
                verification=verification,
                latencies=latencies,
                stages_s=progress.seconds,
            )
            outputs.keep(report.to_json())
    outputs.checkpoint.unlink(missing_ok=True)
    if refusals:
        raise refusals[0]
    return report


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


def _in_integers(
    recipe: Recipe,
    device: Device | None,
    scheme: SchemeName,
    graph: ir.Model,
    norms: Norms,
    data: Data,
    workers: Sequence[Worker],
    judge: budget.Judge,
    checkpoint: Path,
    progress: Progress,
) -> Integers:
    """The float graph in the precision that the recipe asks for."""
    wanted = recipe.quantize
    if wanted.precision == "int8-dynamic":
        made = quantize_weights(graph, wanted.keep_float, per_channel=SCHEMES[scheme].per_channel)
        facts = compose.weights_facts(made, scheme, graph)
        return Integers(graph=made.graph, base=graph, facts=facts, because=made.kept_float)
    whole = scheme == "symmetric" or (device is not None and device.hard_swish == "whole")
    target = graph if whole else checked(decompose_hard_swish(graph))
    quantized = to_int8(
        target,
        data.for_calibration,
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
    if data.training is not None:
        quantized, training = _retrained(recipe, quantized, data.training, checkpoint, progress)

    def rank(quantized: Quantized) -> Sequence[Sensitivity]:
        return ranked or sensitivities(quantized, workers, progress, int16=scheme != "symmetric")

    ranked: Sequence[Sensitivity] = ()
    ranked = rank(quantized) if wanted.sensitivity else ()
    candidates: tuple[Candidate, ...] = ()
    if recipe.budget.max_drop is not None:
        kept = budget.within(quantized, recipe.budget.max_drop, judge, rank, io_int8=wanted.io == "int8")
        quantized, ranked, candidates = kept.quantized, kept.ranked or ranked, kept.candidates
    return Integers(
        graph=quantized.graph,
        base=base,
        facts=compose.quantization_facts(quantized, wanted, scheme, ranked, calibrated=not data.synthesized),
        because={**quantized.plan.kept_float, **quantized.int16_because},
        quantized=quantized,
        candidates=candidates,
        training=training,
    )


def _retrained(
    recipe: Recipe, quantized: Quantized, samples: Samples, checkpoint: Path, progress: Progress
) -> tuple[Quantized, Training]:
    """Trained as integers, where that is better."""
    from edgekit.quantize.retrain import retrain  # not at the top: torch takes seconds to import
    from edgekit.run.teach import Wanted
    from edgekit.run.train import Course

    qat = recipe.qat
    assert qat.epochs is not None
    course = Course(epochs=qat.epochs, batch=qat.batch, lr=qat.lr, optimizer=qat.optimizer, seed=recipe.data.seed)
    wanted = Wanted(course=course, distilled=qat.distill, checkpoint=checkpoint, resume=recipe.output.resume)
    return retrain(quantized, samples, wanted, progress)


def convert(
    recipe: Recipe, precision: Literal["float32", "float16"], progress: Progress = SILENT, given: Given = NOTHING
) -> Report:
    """Write the model as float files, and compare them with the model where there are samples."""
    progress = Timed(progress)
    keys: list[FileKey] = [(precision, format) for format in recipe.output.formats]
    outputs = Outputs(recipe, keys)
    recognized(_source(recipe, given))
    data = _read(recipe, given, progress, calibrate=False)
    _check_budget(recipe, data, progress, calibrates=False)
    with outputs:
        model = _loaded(recipe, given, data.any, progress)
        data = data.named(model.inputs)
        with answering(model, data.evaluation) as answers:
            captured = _captured(model, progress)
            with progress.step("simplifying"):
                graph = checked(simplify(captured.graph))
                steps = checked(unroll(graph))
            graphs = {key: graph if key[1] == "onnx" else steps for key in keys}
            lowered, refusals = lowered_files(graphs, outputs, _wishes(recipe, None, data))
            with running(lowered, recipe) as runners:
                verification = verified(recipe, captured, graph, answers(), runners, data, progress)
                latencies = _measured(runners, data, progress)
            report = Report(
                **_facts(recipe, captured, graph, data, outputs, lowered, refusals),
                budget=_budget_facts(recipe, verification),
                data=compose.data_facts(None, data.evaluation, data.overlap, recipe.preprocess),
                verification=verification,
                latencies=latencies,
                stages_s=progress.seconds,
            )
            outputs.keep(report.to_json())
    if refusals:
        raise refusals[0]
    return report


def compare(
    first: Path, second: Path, recipe: Recipe, progress: Progress = SILENT, given: Given = NOTHING
) -> Verification:
    """Run two files on the same samples; the first may also be a model in any form that `capture` takes."""
    if not is_lowered(second):
        raise _not_lowered(second)
    artifacts = [opened(path) for path in (first, second) if is_lowered(path)]
    if len(artifacts) < 2:
        recognized(_source(recipe, given))
    data = _read(recipe, given, progress, calibrate=False)
    samples = data.for_evaluation
    with ExitStack() as stack:
        runners = [stack.enter_context(Runner(artifact)) for artifact in artifacts]
        reference = None
        if len(artifacts) < 2:
            model = _loaded(recipe, given, data.any, progress)
            if model.run is None:  # an ONNX file under another name: nothing but itself to compare with
                raise _not_lowered(first)
            answers = stack.enter_context(answering(model, samples.renamed(model.inputs)))
            reference = named(answers(), _captured(model, progress))
        samples = samples.renamed([spec.name for spec in artifacts[-1].inputs])
        return verify(reference, runners, samples, metric=recipe.verify.metric, progress=progress)


def _facts(
    recipe: Recipe,
    captured: Captured,
    graph: ir.Model,
    data: Data,
    outputs: Outputs,
    lowered: Sequence[Lowered],
    refusals: Sequence[EdgekitError],
) -> dict[str, Any]:
    """What every report says, whatever was done."""
    unverified = ["not verified: there are no samples to judge on (--data or --eval)"] * (data.evaluation is None)
    batch = recipe.output.batch
    several = [f"a run of a TFLite file takes {batch} samples, and so does its latency"] * (batch > 1)
    unwritten = [f"not written: {refusal.what}: {refusal.why}" for refusal in refusals]
    return {
        "version": version("edgekit"),
        "directory": str(outputs.directory),
        "model": compose.model_facts(outputs.stem, recipe.model, captured, graph),
        "machine": this_machine(),
        "files": tuple(compose.file_facts(file, outputs.directory) for file in lowered),
        "notes": (
            *captured.notes,
            *data.notes,
            *(note for file in lowered for note in file.notes),
            *several,
            *unwritten,
            *unverified,
        ),
    }


def _read(recipe: Recipe, given: Given, progress: Progress, *, calibrate: bool) -> Data:
    """The samples, held against the metric before any work is done."""
    with progress.step("reading samples"):
        data = read_data(recipe, given, calibrate=calibrate)
        if data.evaluation is not None:
            suited(recipe.verify.metric, data.evaluation)
        return data


def _check_budget(recipe: Recipe, data: Data, progress: Progress, *, calibrates: bool) -> None:
    """Before any work is done: a budget must be one that the samples can judge."""
    if recipe.budget.max_drop is None:
        return
    metric = None if data.evaluation is None else suited(recipe.verify.metric, data.evaluation)
    budget.refuse_unjudgeable(data, metric, calibrates=calibrates)
    assert metric is not None and data.evaluation is not None
    if (doubt := budget.beyond_the_samples(recipe.budget.max_drop, metric, len(data.evaluation))) is not None:
        progress.note(doubt)


def _budget_facts(
    recipe: Recipe,
    verification: Verification | None,
    quantized: Quantized | None = None,
    candidates: tuple[Candidate, ...] = (),
) -> BudgetFacts | None:
    if recipe.budget.max_drop is None or verification is None:
        return None
    return budget.facts(recipe.budget.max_drop, verification, quantized, candidates)


def _loaded(recipe: Recipe, given: Given, samples: Samples | None, progress: Progress) -> Loaded:
    with progress.step("loading the model"):
        return load(_source(recipe, given), samples.signature if samples is not None else None)


def _captured(model: Loaded, progress: Progress) -> Captured:
    with progress.step("capturing the model"):
        return capture(model)


def _synthesized(model: Loaded, data: Data, progress: Progress) -> Data:
    """With made-up samples to calibrate on."""
    with progress.step("synthesising inputs", SYNTHESIZED) as advance:
        return with_synthesized(data, model.synthesize(SYNTHESIZED, advance))


def _source(recipe: Recipe, given: Given) -> Source:
    return Source(
        path=recipe.model.path or "",
        factory=recipe.model.factory,
        inputs=recipe.model.inputs,
        trust_pickle=recipe.model.trust_pickle,
        module=given.model,
    )


def _wishes(recipe: Recipe, device: Device | None, data: Data, scheme: SchemeName = "default") -> Wishes:
    symmetric = scheme == "symmetric"
    metadata = {
        "layout": recipe.output.layout,
        "version": version("edgekit"),
        "preprocess": recipe.preprocess.to_metadata(),
        "uncalibrated": data.synthesized,
        "scheme": scheme,
        "labels": list((data.any.class_names if data.any is not None else None) or ()),
    }
    return Wishes(
        activations="int8" if symmetric else device.onnx_activations if device is not None else "uint8",
        nhwc=recipe.output.layout == "nhwc",
        io_int8=recipe.quantize.io == "int8",
        tensorrt=symmetric,
        batch=recipe.output.batch,
        metadata=metadata,
    )


def _examined(quantized: Quantized | None, norms: Norms, data: Data, coverage: Coverage) -> Examination | None:
    """What speaks against the calibration samples, where somebody gave some."""
    if quantized is None or data.synthesized:
        return None
    base = quantized.calibrated
    return examined(
        base.graph,
        quantized.plan,
        base.calibration,
        norms,
        data.for_calibration,
        given=data.given,
        copies=data.copies,
        evaluation=data.evaluation,
        coverage=coverage,
    )


def _measured(runners: Sequence[Runner], data: Data, progress: Progress) -> tuple[Latency, ...]:
    """Latency of each file on this machine."""
    if data.any is None or not runners:
        return ()
    return measure(runners, next(data.any.take([0]).batches(1)).inputs, progress=progress)


def _float_peers(
    graphs: Mapping[Format, ir.Model], lowered: Sequence[Lowered], outputs: Outputs, wishes: Wishes
) -> list[Lowered]:
    """Float files that are only measured: in each runtime, what INT8 must be faster than, where it can be written."""
    formats = {file.artifact.format for file in lowered}
    floats = {file.artifact.format for file in lowered if file.artifact.precision == "float32"}
    outputs.unkept.mkdir(exist_ok=True)
    peers: list[Lowered] = []
    for format in sorted(formats - floats):
        path = outputs.unkept / f"{outputs.stem}.{format}"
        with suppress(EdgekitError):  # an op without a float form: then there is nothing to be faster than
            peers.append(lower(graphs[format], format, "float32", path, replace(wishes, io_int8=False)))
    return peers


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


def _not_lowered(path: Path) -> EdgekitError:
    fix = "give an .onnx or .tflite file to judge; the first file may be a model of any kind"
    if not path.exists():
        return EdgekitError("EK101", f"no file at '{path}'", "the path does not exist", fix)
    return EdgekitError("EK102", f"cannot judge '{path}'", "it is neither an ONNX nor a TFLite file", fix)
