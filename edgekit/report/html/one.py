"""The page of one run."""

from __future__ import annotations

from pathlib import Path

from edgekit.profile.memory import Memory
from edgekit.report.facts import Report
from edgekit.report.html import figures
from edgekit.report.html.drawing import Figure
from edgekit.report.html.ops import op_rows
from edgekit.report.html.render import rendered
from edgekit.report.html.results import Row, ledgers_of, rows, verdicts
from edgekit.report.html.words import WORDS
from edgekit.report.read import Run
from edgekit.report.summary import headline, warnings


def of_one(run: Run) -> str:
    """Sections stand where the report has something to say."""
    report = run.report
    results, ops = rows(report), op_rows(report)
    return rendered(
        "one.html",
        title=f"{Path(report.model.path).name}: edgekit report",
        report=report,
        found=report.verification,
        headline=headline(report),
        warnings=warnings(report),
        verdicts=verdicts(report),
        results=results,
        measured=[row for row in results if row.latency is not None],
        ops=ops,
        charts=_charts(report, results, [op.node for op in ops]),
        memories=_memories(report),
        words=WORDS,
    )


def _charts(report: Report, results: list[Row], order: list[str]) -> dict[str, Figure | None]:
    """By the section that they stand in."""
    found, budget, pruning = report.verification, report.budget, report.pruning
    return {
        "drops": None if found is None else figures.drops(found, results, budget),
        "latencies": figures.latencies(results),
        "sizes": figures.sizes(results),
        "precisions": figures.precisions(ledgers_of(report)),
        "layers": None if found is None else figures.layers(found.layers, order),
        "sensitivities": figures.sensitivities(report),
        "candidates": None if budget is None else figures.candidates(budget),
        "pruned": None if pruning is None else figures.pruned(pruning.groups),
    }


def _memories(report: Report) -> list[tuple[str, Memory, Figure | None]]:
    return [
        (file.label, file.memory, figures.memory(file.label, file.memory))
        for file in report.files
        if file.memory is not None
    ]
