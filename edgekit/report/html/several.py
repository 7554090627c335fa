"""The page of several runs, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.report.html import figures
from edgekit.report.html.drawing import Figure
from edgekit.report.html.render import rendered
from edgekit.report.html.results import Row, Verdict, rows, verdicts
from edgekit.report.html.words import WORDS
from edgekit.report.read import Run
from edgekit.report.summary import headline, metric_name

DIGEST = 12  # digits that tell models apart


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A file of a run. drop, upper: in points or the metric's own unit, None without; share: of the MACs in INT8."""

    run: str
    row: Row
    drop: float | None
    upper: float | None
    share: float | None


@dataclass(frozen=True, kw_only=True)
class Side:
    """A run as one of several. name: unlike the others'."""

    name: str
    run: Run
    headline: str
    verdicts: Sequence[Verdict]
    files: Sequence[Contestant]


def of_several(runs: Sequence[Run]) -> str:
    """One table of all files that runs have made, and which of them no other beats."""
    sides = [_side(name, run) for name, run in zip(names(runs), runs, strict=True)]
    files = [file for side in sides for file in side.files]
    return rendered(
        "several.html",
        title=f"{len(runs)} runs: edgekit report",
        sides=sides,
        files=files,
        doubts=doubts(runs),
        fronts=[chart for chart in (_by_latency(runs, files), _by_size(runs, files)) if chart is not None],
        unit=_unit(runs),
        words=WORDS,
    )


def names(runs: Sequence[Run]) -> list[str]:
    """By the folder that the run wrote to; with as much of the path as tells them apart."""
    parts = [run.path.resolve().parent.parts for run in runs]
    for length in range(1, max(map(len, parts)) + 1):
        said = ["/".join(each[-length:]) for each in parts]
        if len(set(said)) == len(said):
            return said
    return [f"{Path(*each).name} ({i})" for i, each in enumerate(parts, 1)]


def doubts(runs: Sequence[Run]) -> list[str]:
    """Why the runs' numbers should not be held against each other."""
    told: tuple[tuple[str, Callable[[Run], object]], ...] = (
        ("latency was measured on different machines", lambda run: run.report.machine.cpu),
        ("the models differ", lambda run: run.report.model.sha256[:DIGEST]),
        ("the metrics differ", lambda run: _metric(run)),
        ("the evaluation samples differ", lambda run: run.report.data.evaluation if run.report.data else None),
        (
            "different numbers of samples were judged on",
            lambda run: run.report.verification.count if run.report.verification else None,
        ),
    )
    said = []
    for text, of in told:
        values = list(dict.fromkeys(str(of(run)) for run in runs))
        if len(values) > 1:
            said.append(f"{text}: {', '.join(values)}")
    if len(runs) > 1:
        said.append("runs were measured one after the other, not in turns: small differences in latency mean nothing")
    return said


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Of points (cost, drop), smaller being better in both: those that no other beats."""
    return [
        i
        for i, (cost, drop) in enumerate(points)
        if not any(
            other[0] <= cost and other[1] <= drop and other != (cost, drop) for j, other in enumerate(points) if j != i
        )
    ]


def _side(name: str, run: Run) -> Side:
    report = run.report
    factor = 100.0 if report.verification is not None and report.verification.unit == "share" else 1.0
    made = [row for row in rows(report) if row.file is not None]
    return Side(
        name=name,
        run=run,
        headline=headline(report),
        verdicts=verdicts(report),
        files=[_contestant(name, run, row, factor) for row in made],
    )


def _contestant(name: str, run: Run, row: Row, factor: float) -> Contestant:
    score, found = row.score, run.report.verification
    ledgers = found.ledgers if found is not None else ()
    share = next((ledger.int8_macs_share for ledger in ledgers if ledger.label == row.label), None)
    drop = None if score is None or score.drop is None else factor * score.drop
    interval = None if score is None else score.drop_interval
    return Contestant(
        run=name,
        row=row,
        drop=drop,
        upper=None if interval is None else factor * interval.high,
        share=share,
    )


def _metric(run: Run) -> str | None:
    return metric_name(run.report.verification) if run.report.verification is not None else None


def _unit(runs: Sequence[Run]) -> str:
    """Of the drops, where the runs share one."""
    units = {("points" if found.unit == "share" else found.unit) for run in runs if (found := run.report.verification)}
    return units.pop() if len(units) == 1 else ""


def _by_latency(runs: Sequence[Run], files: Sequence[Contestant]) -> Figure | None:
    timed = [(i, file) for i, file in enumerate(files) if file.row.latency is not None and file.drop is not None]
    points = [(i, file, 1e3 * file.row.latency.median_s) for i, file in timed if file.row.latency is not None]
    return _front(runs, points, "Accuracy against latency, measured", "median latency of one sample, ms")


def _by_size(runs: Sequence[Run], files: Sequence[Contestant]) -> Figure | None:
    sized = [(i, file) for i, file in enumerate(files) if file.row.size_bytes is not None and file.drop is not None]
    points = [(i, file, (file.row.size_bytes or 0) / 2**10) for i, file in sized]
    return _front(runs, points, "Accuracy against size", "size, KiB")


def _front(
    runs: Sequence[Run], points: Sequence[tuple[int, Contestant, float]], title: str, cost: str
) -> Figure | None:
    """Drops of different metrics have no common axis."""
    if len({_metric(run) for run in runs}) > 1:
        return None
    known = [(f"{i + 1}: {file.run}, {file.row.label}", at, file.drop or 0.0, file.upper) for i, file, at in points]
    front = pareto([(at, drop) for _, at, drop, _ in known])
    return figures.pareto(
        known, [i + 1 for i, _, _ in points], front, title=title, x=cost, y=f"drop, {_unit(runs)}".removesuffix(", ")
    )
