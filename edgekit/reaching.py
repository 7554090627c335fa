"""Channels are cut until a recipe's goal is reached: a share of the MACs, or of what only files tell, which are written
for every model that is tried, and measured or estimated."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import onnx_ir as ir

from edgekit import estimating, goals, units
from edgekit.artifact import Format
from edgekit.errors import EdgekitError
from edgekit.estimating import Target
from edgekit.graph.check import checked
from edgekit.graph.cost import parameters
from edgekit.judging import Run, running
from edgekit.lower import Lowered, lower
from edgekit.profile import measure
from edgekit.recipe import Goal
from edgekit.report.facts import EstimatedLatency, PruningTrial
from edgekit.report.json import to_json
from edgekit.simplify import unroll

if TYPE_CHECKING:  # torch takes seconds to import
    from edgekit.prune import Pruned, Score

MARGIN = 0.02  # share of a latency to stay below it: measured again, it comes out so much slower or faster


@dataclass(frozen=True, kw_only=True)
class Aim:
    """of, share: what is to be left of the unpruned model's; unpruned: its files; target: the device that is cut for,
    None for this machine; remembered: where a latency that was measured is kept for a run that goes on."""

    of: Goal
    share: float
    unpruned: Sequence[Lowered]
    target: Target | None
    remembered: Path


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A graph that is to be cut. scored: by what; left: what it has of the unpruned one's MACs (parameters, for a goal
    that counts these); units: group -> how many it had in the unpruned one, where it has fewer now."""

    graph: ir.Model
    scored: Score
    left: float = 1.0
    units: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Reached:
    """trials: what was tried for a goal that only a file tells."""

    pruned: Pruned
    trials: Sequence[PruningTrial] = ()


@dataclass(frozen=True)
class _Candidate:
    """share: that was asked for; left: that came out; both of the unpruned model's."""

    pruned: Pruned
    share: float
    left: float

    @property
    def cut_away(self) -> frozenset[int]:
        return self.pruned.choice.gone


def reached(run: Run, standing: Standing, aim: Aim) -> Reached:
    """The largest graph that keeps the aim. Raises EK303 where none does."""
    cut = _cutting(standing, aim)
    match aim.of:
        case "macs" | "params":
            with run.progress.step("pruning"):
                return Reached(cut(aim.share).pruned)
        case "size":
            with run.progress.step("pruning"):
                found = goals.reached(
                    aim.share, "size", cut, lambda one: _sizes(run, one.pruned.graph, aim.unpruned), "written"
                )
        case "latency" if aim.target is not None:
            found = _estimated(run, cut, aim, aim.target)
        case "latency":
            if run.recipe.output.resume and (known := _measured_before(run, aim)) is not None:
                return Reached(cut(known.share).pruned, known.trials)
            with run.progress.step("pruning, and measuring what is left"):
                found = goals.reached(
                    aim.share,
                    "latency",
                    cut,
                    lambda one: _latencies(run, one.pruned.graph, aim.unpruned),
                    "measured",
                    margin=MARGIN,
                )
            if run.data.training is not None:
                _remember(aim, _Measured(aim.share, found.candidate.share, found.trials))
    return Reached(found.candidate.pruned, found.trials)


def _cutting(standing: Standing, aim: Aim) -> Callable[[float], _Candidate]:
    from edgekit.prune import MULTIPLE, prune  # not at the top: torch takes seconds to import
    from edgekit.prune import Goal as Wanted

    def cut(share: float) -> _Candidate:
        wanted = Wanted(
            of="macs" if counted(aim.of) == "macs" else "parameters",
            share=share / standing.left,
            multiple=MULTIPLE if aim.target is None else aim.target.device.channel_multiple,
            units=standing.units,
        )
        pruned = prune(standing.graph, wanted, standing.scored)
        return _Candidate(pruned, share, standing.left * pruned.choice.share)

    return cut


def counted(of: Goal) -> Goal:
    """What is counted while it is cut for: a latency goes with the MACs, a size with the parameters."""
    return "macs" if of in ("macs", "latency") else "params"


def _sizes(run: Run, graph: ir.Model, unpruned: Sequence[Lowered]) -> Mapping[str, float]:
    whole = {file.artifact.format: file.artifact.size_bytes for file in unpruned}
    files = float_files(run, graph, "tried")
    return {file.artifact.label: file.artifact.size_bytes / whole[file.artifact.format] for file in files}


# ---- measured here ---------------------------------------------------------------------------------------------------


def _latencies(run: Run, graph: ir.Model, unpruned: Sequence[Lowered]) -> Mapping[str, float]:
    """Of the medians, in runs that take turns."""
    assert run.data.any is not None
    sample = next(run.data.any.take([0]).batches(1)).inputs
    files = float_files(run, graph, "tried")
    with running([*unpruned, *files], run.recipe) as runners:
        latencies = {found.label: found.median_s for found in measure(runners, sample)}
    whole = {file.artifact.format: latencies[file.artifact.label] for file in unpruned}
    found = {file.artifact.label: latencies[file.artifact.label] / whole[file.artifact.format] for file in files}
    _note(run, graph, found, "unpruned latency")
    return found


def _note(run: Run, graph: ir.Model, costs: Mapping[str, float], of: str) -> None:
    said = ", ".join(f"{label} {units.percent(cost)}" for label, cost in costs.items())
    run.progress.note(f"with {units.count(parameters(graph))} parameters, of the {of}: {said}")


@dataclass(frozen=True)
class _Measured:
    """asked: share of the latency that is to be left; share: of the MACs that keeps it."""

    asked: float
    share: float
    trials: tuple[PruningTrial, ...]


def _remember(aim: Aim, found: _Measured) -> None:
    """Measured again, a latency comes out a little different, and another cut has no use for a checkpoint."""
    aim.remembered.write_text(to_json(found), encoding="utf-8")


def _measured_before(run: Run, aim: Aim) -> _Measured | None:
    """By the interrupted run; None where its goal was none of latency. Raises EK923 for a file that is none, or of
    another latency."""
    path = aim.remembered
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        trials = tuple(
            PruningTrial(left=float(one["left"]), costs=dict(one["costs"]), how="measured") for one in found["trials"]
        )
        known = _Measured(float(found["asked"]), float(found["share"]), trials)
    except (ValueError, KeyError, TypeError) as broken:
        raise _not_measured(run, path, "it does not hold what an interrupted run measured") from broken
    if known.asked != aim.share:
        before, now = units.percent(known.asked), units.percent(aim.share)
        raise _not_measured(run, path, f"it was measured for {before} of the latency, and {now} is asked for")
    return known


def _not_measured(run: Run, path: Path, why: str) -> EdgekitError:
    return EdgekitError(
        "EK923",
        f"cannot resume from '{path}'",
        why,
        f"delete it and '{run.outputs.finetuning.name}', and leave --resume out",
    )


# ---- estimated for a device ------------------------------------------------------------------------------------------


def _estimated(run: Run, cut: Callable[[float], _Candidate], aim: Aim, target: Target) -> goals.Reached[_Candidate]:
    """Nothing is remembered of it: the same files are estimated alike at any time."""
    with run.progress.step(f"pruning, and estimating what is left for {target.device.name}"):
        before = _unpruned_there(run, aim.unpruned, target)

        def costs(one: _Candidate) -> Mapping[str, float]:
            files = [file.artifact for file in float_files(run, one.pruned.graph, "tried")]
            found = {made.file: made.seconds / made.unpruned_s for made in estimating.latencies(before, files)}
            _note(run, one.pruned.graph, found, f"unpruned latency, estimated for {target.device.name}")
            return found

        return goals.reached(aim.share, f"latency on {target.device.name}", cut, costs, "estimated")


def estimates(run: Run, graph: ir.Model, unpruned: Sequence[Lowered], target: Target) -> tuple[EstimatedLatency, ...]:
    """Of what came of the cut and the training."""
    files = [file.artifact for file in float_files(run, graph, "tried")]
    return estimating.latencies(_unpruned_there(run, unpruned, target), files)


def _unpruned_there(run: Run, unpruned: Sequence[Lowered], target: Target) -> estimating.Unpruned:
    """By the files in the formats that are asked for: the ONNX file beside them answers for the model alone."""
    formats = run.recipe.output.formats
    return estimating.unpruned([file.artifact for file in unpruned if file.artifact.format in formats], target)


# ---- files that nobody keeps -----------------------------------------------------------------------------------------


def float_files(run: Run, graph: ir.Model, name: str, *, always_onnx: bool = False) -> list[Lowered]:
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
