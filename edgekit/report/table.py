"""The table of files: size, score, drop, flips, latency, speed, each with its interval."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgekit import units
from edgekit.plain import plain
from edgekit.report.facts import Report
from edgekit.report.pruned import UNPRUNED
from edgekit.report.summary import base_of, is_integer, metric_name, ups_of, value_in_words

if TYPE_CHECKING:  # types only: the stages take a second to load, which `edgekit inspect` should not
    from edgekit.profile.measure import Latency
    from edgekit.verify.result import Interval, Score, Verification

ROOMY = 116  # columns from which a value and its interval fit on one line


def file_table(report: Report, gap: str) -> Table:
    """One row per file, and the reference on top."""
    verification = report.verification
    scores = {score.label: score for score in _all_scores(verification)}
    files = {file.label: file for file in report.files}
    latencies = {latency.label: latency for latency in report.latencies}
    ups = ups_of(report, base_of(report))
    unkept = report.pruning.unpruned_bytes if report.pruning is not None else {}
    flips = verification is not None and _has_flips(verification)
    table = _new_table(verification, gap, flips=flips, latency=bool(latencies), size=True)
    for label in by_runtime(dict.fromkeys([*scores, *files, *latencies])):
        file = files.get(label)
        size = file.size_bytes if file else unkept.get(label)
        cells = [Text(plain(label)), Text("" if size is None else units.size(size))]
        if verification is not None:
            score = scores.get(label)
            empty = [Text("")] * (3 if flips else 2)
            cells += _score_cells(verification, score, gap, flips)[1:] if score else empty
        if latencies:
            cells += [_latency_cell(latencies.get(label), gap), _speed_cell(ups.get(label))]
        table.add_row(*cells)
    return table


def score_table(verification: Verification, gap: str) -> Table:
    """One row per file that was compared."""
    flips = _has_flips(verification)
    table = _new_table(verification, gap, flips=flips)
    for score in _all_scores(verification):
        table.add_row(*_score_cells(verification, score, gap, flips))
    return table


def by_runtime(labels: Iterable[str]) -> list[str]:
    """Float and integers of one format beside each other, since they are compared with each other."""
    known = list(labels)
    kinds = list(dict.fromkeys(label.rpartition(" ")[2] for label in known))
    return sorted(known, key=lambda label: (kinds.index(label.rpartition(" ")[2]), _step(label)))


def _step(label: str) -> int:
    """The model before channels were cut, in float, in integers."""
    return 0 if label.startswith(UNPRUNED) else 1 + is_integer(label)


def _new_table(
    verification: Verification | None, gap: str, *, flips: bool = False, latency: bool = False, size: bool = False
) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column(Text("file"), no_wrap=True)
    if size:
        table.add_column(Text("size"), justify="right", no_wrap=True)
    if verification is not None:
        table.add_column(Text(f"{plain(metric_name(verification))}{gap}95 %"), justify="right", no_wrap=True)
        table.add_column(Text(f"{drop_title(verification)}{gap}95 %"), justify="right", no_wrap=True)
        if flips:
            table.add_column(Text("flips"), justify="right", no_wrap=True)
    if latency:
        table.add_column(Text(f"latency{gap}5..95 %"), justify="right", no_wrap=True)
        table.add_column(Text("speed"), justify="right", no_wrap=True)
    return table


def drop_title(verification: Verification) -> str:
    return "drop, points" if verification.unit == "share" else f"drop, {verification.unit}".removesuffix(", ")


def _score_cells(verification: Verification, score: Score, gap: str, flips: bool) -> list[Text]:
    cells = [Text(plain(score.label)), _with_interval(verification, value_in_words(verification, score), score, gap)]
    if score.drop is None:
        cells.append(Text(""))
    else:
        drop = Text(bare(verification, score.drop), _drop_style(score))
        cells.append(_joined(drop, _interval(verification, score.drop_interval), gap))
    if flips:
        cells.append(Text("" if score.flips is None else units.whole(score.flips)))
    return cells


def _with_interval(verification: Verification, value: str, score: Score, gap: str) -> Text:
    return _joined(Text(value), _interval(verification, score.interval), gap)


def _joined(value: Text, interval: str, gap: str) -> Text:
    return Text.assemble(value, gap, (interval, "dim")) if interval else value


def _interval(verification: Verification, interval: Interval | None) -> str:
    """Two ends in the unit of the value beside them, which is not said again."""
    if interval is None:
        return ""
    return f"{bare(verification, interval.low)}..{bare(verification, interval.high)}"


def bare(verification: Verification, value: float) -> str:
    """A value or a drop without its unit."""
    match verification.unit:
        case "share":
            text = f"{100 * value:.2f}"
        case "":
            text = f"{value:.3g}"
        case _:
            text = f"{value:.2f}"
    return text.removeprefix("-") if float(text) == 0 else text


def _drop_style(score: Score) -> str:
    """Red only where the interval leaves no doubt that the file is worse."""
    if score.drop_interval is not None and score.drop_interval.low > 0:
        return "red"
    return "green"


def _latency_cell(latency: Latency | None, gap: str) -> Text:
    if latency is None:
        return Text("")
    (median, low, high), unit = units.times(latency.median_s, latency.p05_s, latency.p95_s)
    return _joined(Text(f"{median} {unit}"), f"{low}..{high}", gap)


def _speed_cell(up: float | None) -> Text:
    if up is None:
        return Text("")
    return Text(f"{up:.2f}x", "bold green" if up >= 1 else "bold red")


def gap_in(console: Console) -> str:
    """What stands between a value and its interval: in a narrow terminal the interval goes below."""
    return "  " if console.width >= ROOMY else "\n"


def _all_scores(verification: Verification | None) -> tuple[Score, ...]:
    return () if verification is None else (verification.reference, *verification.scores)


def _has_flips(verification: Verification) -> bool:
    return any(score.flips is not None for score in verification.scores)
