"""The one-way street, in order: the only file that knows it.

Values travel down this page and never back; what a stage needs of another it gets from here, as an argument.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import onnx_ir as ir

from edgekit import staging
from edgekit.artifact import Format, Precision
from edgekit.capture import Captured, Source, capture, recognized
from edgekit.device import Device, load_device
from edgekit.errors import EdgekitError
from edgekit.graph.check import checked
from edgekit.lower import Lowered, Wishes, lower
from edgekit.profile import Latency, measure
from edgekit.progress import SILENT, Progress, Timed
from edgekit.quantize import quantize as to_int8
from edgekit.quantize.decompose import decompose_hard_swish
from edgekit.recipe import Recipe
from edgekit.report import REPORT_NAME, Report, compose, this_machine
from edgekit.run.crew import crew
from edgekit.run.runner import Runner
from edgekit.run.signature import is_lowered, opened
from edgekit.samples import Samples, choose, disjoint, load_samples, split
from edgekit.simplify import simplify
from edgekit.verify import suited, verify
from edgekit.verify.result import Verification

FileKey = tuple[Precision, Format]


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the Python API hands over in memory, in place of the recipe's paths."""

    model: Any = None
    data: Any = None
    calibration: Any = None
    evaluation: Any = None


NOTHING = Given()
SHOWN = 5  # names in a note


@dataclass(frozen=True, kw_only=True)
class Data:
    """Samples by what they are for. overlap: calibration samples dropped because they stand in the evaluation too."""

    calibration: Samples | None
    evaluation: Samples | None
    overlap: int = 0

    @property
    def any(self) -> Samples | None:
        return self.calibration or self.evaluation

    @property
    def for_calibration(self) -> Samples:
        """Raises EK413 where there are none."""
        if self.calibration is None:
            raise _no_samples("calibrate on", "--data nor --calib")
        return self.calibration

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about how the samples were read."""
        said: list[str] = []
        for samples in filter(None, (self.calibration, self.evaluation)):
            said += samples.notes
            if samples.ignored:
                said.append(f"not used of '{samples.where}': {_few(samples.ignored)}")
        return tuple(dict.fromkeys(said))

    def named(self, graph: ir.Model) -> Data:
        """Under the graph's input names."""
        names = [value.name or "" for value in graph.graph.inputs]
        return replace(
            self,
            calibration=self.calibration and self.calibration.renamed(names),
            evaluation=self.evaluation and self.evaluation.renamed(names),
        )


def quantize(recipe: Recipe, progress: Progress = SILENT, given: Given = NOTHING) -> Report:
    """Turn the model that a recipe names into verified INT8 files.

    Raises EdgekitError; an EK5xx comes after the other files were written and reported.
    """
    progress = Timed(progress)
    device = load_device(recipe.device) if recipe.device else None
    keys: list[FileKey] = [("float32", "onnx"), *(("int8", format) for format in recipe.output.formats)]
    outputs = _Outputs(recipe, keys)
    recognized(_source(recipe, given))
    data = _data(recipe, given, progress)
    samples = data.for_calibration
    with outputs, crew() as workers:
        captured = _captured(recipe, given, samples, progress)
        data = data.named(captured.graph)
        with progress.step("simplifying"):
            graph = checked(simplify(captured.graph))
        whole = device is not None and device.hard_swish == "whole"
        target = graph if whole else checked(decompose_hard_swish(graph))
        quantized = to_int8(target, data.for_calibration, workers, recipe.quantize.ranges, progress=progress)
        graphs = {key: graph if key[0] == "float32" else checked(quantized.graph) for key in keys}
        wishes = _wishes(recipe, device, data)
        with progress.step("lowering"):
            lowered, refusal = _lowered(graphs, outputs, wishes)
        peers = _float_peers(graph, lowered, outputs, wishes)
        with _running([*lowered, *peers], recipe) as runners:
            verification = _verified(recipe, captured, graph, runners[: len(lowered)], data, progress)
            latencies = _measured(runners, data, progress)
        report = Report(
            **_facts(recipe, captured, graph, data, outputs, lowered, refusal),
            data=compose.data_facts(data.calibration, data.evaluation, data.overlap, recipe.preprocess),
            quantization=compose.quantization_facts(quantized, recipe.quantize.ranges, recipe.quantize.io, target),
            verification=verification,
            latencies=latencies,
            stages_s=progress.seconds,
        )
        outputs.keep(report)
    if refusal is not None:
        raise refusal
    return report


def convert(
    recipe: Recipe, precision: Literal["float32", "float16"], progress: Progress = SILENT, given: Given = NOTHING
) -> Report:
    """Write the model as float files, and compare them with the model where there are samples."""
    progress = Timed(progress)
    keys: list[FileKey] = [(precision, format) for format in recipe.output.formats]
    outputs = _Outputs(recipe, keys)
    recognized(_source(recipe, given))
    data = _data(recipe, given, progress)
    with outputs:
        captured = _captured(recipe, given, data.any, progress)
        data = data.named(captured.graph)
        with progress.step("simplifying"):
            graph = checked(simplify(captured.graph))
        lowered, refusal = _lowered(dict.fromkeys(keys, graph), outputs, _wishes(recipe, None, data))
        with _running(lowered, recipe) as runners:
            verification = _verified(recipe, captured, graph, runners, data, progress)
            latencies = _measured(runners, data, progress)
        report = Report(
            **_facts(recipe, captured, graph, data, outputs, lowered, refusal),
            data=compose.data_facts(None, data.evaluation, data.overlap, recipe.preprocess),
            verification=verification,
            latencies=latencies,
            stages_s=progress.seconds,
        )
        outputs.keep(report)
    if refusal is not None:
        raise refusal
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
    data = _data(recipe, given, progress)
    if (samples := data.evaluation) is None:
        raise _no_samples("compare on", "--data nor --eval")
    reference = None
    if len(artifacts) < 2:
        reference = _captured(recipe, given, data.any, progress).reference
    samples = samples.renamed([spec.name for spec in artifacts[-1].inputs])
    with ExitStack() as stack:
        runners = [stack.enter_context(Runner(artifact)) for artifact in artifacts]
        return verify(reference, runners, samples, metric=recipe.verify.metric, progress=progress)


def _facts(
    recipe: Recipe,
    captured: Captured,
    graph: ir.Model,
    data: Data,
    outputs: _Outputs,
    lowered: Sequence[Lowered],
    refusal: EdgekitError | None,
) -> dict[str, Any]:
    """What every report says, whatever was done."""
    return {
        "version": version("edgekit"),
        "directory": str(outputs.directory),
        "model": compose.model_facts(outputs.stem, recipe.model, captured, graph),
        "machine": this_machine(),
        "files": tuple(compose.file_facts(file.artifact, outputs.directory, file.transposes) for file in lowered),
        "notes": (*captured.notes, *data.notes, *([f"not written: {refusal.what}: {refusal.why}"] if refusal else [])),
    }


class _Outputs:
    """The files of one run, which appear in the output folder together at its end."""

    def __init__(self, recipe: Recipe, keys: Sequence[FileKey]) -> None:
        self.stem = Path(recipe.model.path.partition(".py:")[0]).stem
        self.directory = recipe.output.directory or Path(f"{self.stem}-edgekit")
        self.names = {key: f"{self.stem}{_INFIX[key[0]]}.{key[1]}" for key in keys}
        staging.refuse_existing(self.directory, [*self.names.values(), REPORT_NAME], recipe.output.overwrite)
        self._staged = staging.staged(self.directory)

    def __enter__(self) -> _Outputs:
        self.folder = self._staged.__enter__()
        self.unkept = self.folder / "unkept"
        return self

    def __exit__(self, *error: Any) -> None:
        self._staged.__exit__(*error)

    def keep(self, report: Report) -> None:
        (self.folder / REPORT_NAME).write_text(report.to_json())


_INFIX: dict[Precision, str] = {"float32": "", "float16": ".float16", "int8": ".int8"}


def _data(recipe: Recipe, given: Given, progress: Progress) -> Data:
    """The samples that the recipe names; calibration and evaluation share none."""
    wanted = recipe.data
    sources = {
        "data": given.data if given.data is not None else wanted.data,
        "calibration": given.calibration if given.calibration is not None else wanted.calibration,
        "evaluation": given.evaluation if given.evaluation is not None else wanted.evaluation,
    }
    with progress.step("reading samples"):
        found = {k: load_samples(what, recipe.preprocess) for k, what in sources.items() if what is not None}
        for judged in (found[k] for k in ("data", "evaluation") if k in found):
            suited(recipe.verify.metric, judged)
        if "data" in found:
            parts = split(found["data"], wanted.calibration_count, wanted.seed)
            found = dict(zip(("calibration", "evaluation"), parts, strict=True)) | found
        if "calibration" not in found:
            return Data(calibration=None, evaluation=found.get("evaluation"))
        calibration, overlap = found["calibration"], 0
        if "evaluation" in found:
            calibration, overlap = disjoint(calibration, found["evaluation"])
        calibration = choose(calibration, wanted.calibration_count, wanted.seed)
        return Data(calibration=calibration, evaluation=found.get("evaluation"), overlap=overlap)


def _captured(recipe: Recipe, given: Given, samples: Samples | None, progress: Progress) -> Captured:
    signature = samples.signature if samples is not None else None
    with progress.step("capturing the model"):
        return capture(_source(recipe, given), signature)


def _source(recipe: Recipe, given: Given) -> Source:
    return Source(
        path=recipe.model.path or "",
        factory=recipe.model.factory,
        inputs=recipe.model.inputs,
        trust_pickle=recipe.model.trust_pickle,
        module=given.model,
    )


def _wishes(recipe: Recipe, device: Device | None, data: Data) -> Wishes:
    metadata = {
        "layout": recipe.output.layout,
        "version": version("edgekit"),
        "preprocess": recipe.preprocess.to_metadata(),
        "labels": list((data.any.class_names if data.any is not None else None) or ()),
    }
    return Wishes(
        activations=device.onnx_activations if device is not None else "uint8",
        nhwc=recipe.output.layout == "nhwc",
        io_int8=recipe.quantize.io == "int8",
        metadata=metadata,
    )


def _lowered(
    graphs: Mapping[FileKey, ir.Model], outputs: _Outputs, wishes: Wishes
) -> tuple[list[Lowered], EdgekitError | None]:
    """Every file that can be written, and what stood in the way of the last one that could not."""
    lowered: list[Lowered] = []
    refusal: EdgekitError | None = None
    for (precision, format), graph in graphs.items():
        path = outputs.folder / outputs.names[precision, format]
        try:
            lowered.append(lower(graph, format, precision, path, wishes))
        except EdgekitError as error:
            refusal = error
    return lowered, refusal


@contextmanager
def _running(lowered: Sequence[Lowered], recipe: Recipe) -> Iterator[list[Runner]]:
    """Every file in its runtime, each in a process of its own."""
    with ExitStack() as stack:
        yield [stack.enter_context(Runner(file.artifact, recipe.verify.threads)) for file in lowered]


def _verified(
    recipe: Recipe, captured: Captured, graph: ir.Model, runners: Sequence[Runner], data: Data, progress: Progress
) -> Verification | None:
    if data.evaluation is None or not runners:
        return None
    return verify(
        captured.reference,
        runners,
        data.evaluation,
        metric=recipe.verify.metric,
        graph=graph,
        layers=recipe.verify.layers,
        progress=progress,
    )


def _measured(runners: Sequence[Runner], data: Data, progress: Progress) -> tuple[Latency, ...]:
    """Latency of each file on this machine."""
    if data.any is None or not runners:
        return ()
    return measure(runners, next(data.any.take([0]).batches(1)).inputs, progress=progress)


def _float_peers(graph: ir.Model, lowered: Sequence[Lowered], outputs: _Outputs, wishes: Wishes) -> list[Lowered]:
    """Float files that are only measured: in each runtime, what INT8 must be faster than."""
    formats = {file.artifact.format for file in lowered}
    floats = {file.artifact.format for file in lowered if file.artifact.precision == "float32"}
    outputs.unkept.mkdir()
    return [
        lower(graph, format, "float32", outputs.unkept / f"{outputs.stem}.{format}", replace(wishes, io_int8=False))
        for format in sorted(formats - floats)
    ]


def _not_lowered(path: Path) -> EdgekitError:
    fix = "give an .onnx or .tflite file to judge; the first file may be a model of any kind"
    if not path.exists():
        return EdgekitError("EK101", f"no file at '{path}'", "the path does not exist", fix)
    return EdgekitError("EK102", f"cannot judge '{path}'", "it is neither an ONNX nor a TFLite file", fix)


def _few(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _no_samples(purpose: str, options: str) -> EdgekitError:
    return EdgekitError(
        "EK413",
        f"no samples to {purpose}",
        f"neither {options} names any",
        "give representative inputs with --data PATH (.npz, .npy, a folder of images, or file.py:factory)",
    )
