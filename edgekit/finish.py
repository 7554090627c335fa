"""What every run ends with: its files, held against the model, measured, and told of."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, TypedDict, Unpack

import onnx_ir as ir

from edgekit import budget
from edgekit.artifact import FORMAT_NAMES, Arrays, Format
from edgekit.data import Data
from edgekit.device import Device
from edgekit.errors import EdgekitError
from edgekit.graph import cost
from edgekit.judging import Run, lowered_files, program_answering, running, verified
from edgekit.lower import Lowered, Wishes, lower
from edgekit.outputs import FileKey
from edgekit.profile import Latency, measure
from edgekit.quantize.coverage import Coverage
from edgekit.quantize.doubts import Examination, examined
from edgekit.quantize.norms import Norms
from edgekit.quantize.result import Quantized
from edgekit.recipe import Recipe, SchemeName
from edgekit.report import Report, compose, this_machine
from edgekit.report.facts import BudgetFacts, Candidate, DataFacts, OpFacts, PruningFacts, QuantizationFacts
from edgekit.run.runner import Runner
from edgekit.verify import PROGRAM
from edgekit.verify.result import Verification

if TYPE_CHECKING:
    from edgekit.run.trained import Training


@dataclass(frozen=True)
class Files:
    """What was written: lowered is kept, peers are only measured; refusals: why there are no more."""

    lowered: Sequence[Lowered]
    refusals: Sequence[EdgekitError]
    peers: Sequence[Lowered] = ()

    @property
    def floats(self) -> list[Lowered]:
        """In float32, by format."""
        return [file for file in (*self.lowered, *self.peers) if file.artifact.precision == "float32"]


@dataclass(frozen=True)
class Found:
    """What the files do. verification: None without samples to judge on."""

    verification: Verification | None
    latencies: tuple[Latency, ...]


class Told(TypedDict, total=False):
    """What a report says of some runs only; see `Report`."""

    command: str | None
    ops: tuple[OpFacts, ...]
    data: DataFacts
    pruning: PruningFacts | None
    quantization: QuantizationFacts
    budget: BudgetFacts | None
    calibration: Examination | None
    training: Training | None


def wishes(recipe: Recipe, device: Device | None, data: Data, scheme: SchemeName = "default") -> Wishes:
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


def written(graphs: Mapping[FileKey, ir.Model], run: Run, peers: Mapping[Format, ir.Model] | None = None) -> Files:
    """The files that are kept. peers: float graphs to measure beside them."""
    with run.progress.step("lowering"):
        lowered, refusals = lowered_files(graphs, run)
        return Files(lowered, refusals, _float_peers(peers, lowered, run) if peers is not None else ())


def tried(
    run: Run,
    base: ir.Model,
    files: Files,
    *,
    because: Mapping[str, str] | None = None,
    watch: Callable[[Arrays], None] | None = None,
) -> Found:
    """Every file on the evaluation samples, and on the clock. base: the float graph that they were made of."""
    answers, unpruned = run.answers(), run.cut.unpruned if run.cut is not None else ()
    model = () if answers is not None or run.cut is not None else _model_itself(run, base, files)
    with (
        program_answering(run) as program,
        running([*model, *unpruned, *files.lowered, *files.peers], run.recipe) as runners,
    ):
        measured = runners[len(model) :]
        itself = runners[:1] if model or (unpruned and answers is None) else []
        kept = measured[len(unpruned) :][: len(files.lowered)]
        verification = verified(run, base, answers, [*itself, *kept], program=program, because=because, watch=watch)
        return Found(verification, _measured(measured, run))


def told(run: Run, graph: ir.Model, files: Files, found: Found, **more: Unpack[Told]) -> Report:
    """The report, also beside the files. graph: the model in float, with all of its channels."""
    recipe, outputs = run.recipe, run.outputs
    model = compose.model_facts(outputs.stem, recipe.model, run.captured, graph)
    kept = [compose.file_facts(file, outputs.directory) for file in files.lowered]
    if run.cut is not None and run.cut.program is not None:
        kept.append(compose.program_facts(PROGRAM, outputs.folder / outputs.program, outputs.directory, model))
    report = Report(
        version=version("edgekit"),
        directory=str(outputs.directory),
        model=model,
        machine=this_machine(),
        files=tuple(kept),
        verification=found.verification,
        latencies=found.latencies,
        notes=tuple(_notes(run, files)),
        stages_s=run.progress.seconds,
        **more,
    )
    outputs.keep(report.to_json())
    return report


def pruning_facts(run: Run, facts: PruningFacts, graph: ir.Model, files: Files, found: Found) -> PruningFacts:
    """With what is left in the end. graph: with all of its channels."""
    match facts.goal:
        case "macs":
            shares = [facts.macs / sum(cost.macs_by_node(graph).values())]
        case "params":
            shares = [facts.parameters / cost.parameters(graph)]
        case None:
            shares = []
        case "size":
            sizes = {file.artifact.label: file.artifact.size_bytes for file in files.floats}
            shares = _shares(run, sizes, facts.unpruned_bytes)
        case _ if facts.estimates:
            shares = [one.seconds / one.unpruned_s for one in facts.estimates]
        case _:
            medians = {latency.label: latency.median_s for latency in found.latencies}
            shares = _shares(run, medians, medians)
    sparsity = facts.sparsity and replace(facts.sparsity, deflated_bytes=_deflated(run, files, facts.sparsity.level))
    return replace(facts, reached=max(shares, default=None), sparsity=sparsity)


def _deflated(run: Run, files: Files, level: int) -> dict[str, int]:
    """Every file once it is compressed."""
    assert run.cut is not None
    paths = {file.artifact.label: file.artifact.path for file in (*run.cut.unpruned, *files.lowered)}
    if run.cut.program is not None:
        paths[PROGRAM] = run.outputs.folder / run.outputs.program
    return {label: len(zlib.compress(path.read_bytes(), level)) for label, path in paths.items()}


def _shares(run: Run, pruned: Mapping[str, float], unpruned: Mapping[str, float]) -> list[float]:
    """In every format that was asked for."""
    names = [FORMAT_NAMES[format] for format in run.recipe.output.formats]
    return [
        pruned[f"float32 {name}"] / unpruned[f"unpruned {name}"]
        for name in names
        if f"float32 {name}" in pruned and f"unpruned {name}" in unpruned
    ]


def budget_facts(
    run: Run,
    verification: Verification | None,
    quantized: Quantized | None = None,
    candidates: tuple[Candidate, ...] = (),
) -> BudgetFacts | None:
    max_drop = run.recipe.budget.max_drop
    if max_drop is None or verification is None:
        return None
    return budget.facts(max_drop, verification, quantized, candidates, pruned=run.cut is not None)


def calibration_facts(quantized: Quantized | None, norms: Norms, data: Data, coverage: Coverage) -> Examination | None:
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


def _notes(run: Run, files: Files) -> list[str]:
    """Doubts and decisions in whole sentences."""
    data, batch = run.data, run.recipe.output.batch
    said = [
        *run.captured.notes,
        *data.notes,
        *(run.cut.notes if run.cut is not None else ()),
        *(note for file in files.lowered for note in file.notes),
    ]
    if batch > 1:
        said.append(f"a run of a TFLite file takes {batch} samples, and so does its latency")
    said += [f"not written: {refusal.what}: {refusal.why}" for refusal in files.refusals]
    if data.evaluation is None:
        said.append("not verified: there are no samples to judge on (--data or --eval)")
    return said


def _model_itself(run: Run, graph: ir.Model, files: Files) -> tuple[Lowered, ...]:
    """An ONNX model's own float file, to hold the others against, where it is not among them."""
    if run.data.evaluation is None or any(file.artifact.label == "float32 ONNX" for file in files.lowered):
        return ()
    run.outputs.unkept.mkdir(exist_ok=True)
    path = run.outputs.unkept / f"{run.outputs.stem}.onnx"
    return (lower(graph, "onnx", "float32", path, replace(run.wishes, io_int8=False)),)


def _measured(runners: Sequence[Runner], run: Run) -> tuple[Latency, ...]:
    """Latency of each file on this machine."""
    if run.data.any is None or not runners:
        return ()
    return measure(runners, next(run.data.any.take([0]).batches(1)).inputs, progress=run.progress)


def _float_peers(graphs: Mapping[Format, ir.Model], lowered: Sequence[Lowered], run: Run) -> list[Lowered]:
    """Float files that are only measured: in each runtime, what INT8 must be faster than, where it can be written."""
    formats = {file.artifact.format for file in lowered}
    floats = {file.artifact.format for file in lowered if file.artifact.precision == "float32"}
    run.outputs.unkept.mkdir(exist_ok=True)
    peers: list[Lowered] = []
    for format in sorted(formats - floats):
        path = run.outputs.unkept / f"{run.outputs.stem}.{format}"
        with suppress(EdgekitError):  # an op without a float form: then there is nothing to be faster than
            peers.append(lower(graphs[format], format, "float32", path, replace(run.wishes, io_int8=False)))
    return peers
