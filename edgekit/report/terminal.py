"""A Report on one screen of a terminal, 80 columns or more.

Every string that came from outside goes through `plain`, and nothing is read as markup: a layer may be called anything.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgekit import units
from edgekit.plain import plain
from edgekit.profile.measure import Latency
from edgekit.report.facts import REPORT_NAME, FileFacts, Report
from edgekit.report.summary import (
    headline,
    metric_name,
    speed_ups,
    value_in_words,
    warnings,
)
from edgekit.verify.result import Interval, Ledger, Score, Verification

ROOMY = 116  # columns from which a value and its interval fit on one line
WORST_LAYERS = 10
FLOAT_OPS_NAMED = 3


def show(report: Report, console: Console) -> None:
    """The summary of a run."""
    console.print(_model_lines(report))
    console.print()
    console.print(_table(report, _gap(console)))
    console.print()
    console.print(_findings(report))
    if report.verification is not None and report.verification.layers:
        console.print()
        console.print(_layers(report.verification))
    console.print()
    console.print(_ending(report))


def show_verification(verification: Verification, console: Console) -> None:
    """What `edgekit compare` prints: scores, agreement, ledgers, worst layers."""
    gap, flips = _gap(console), _has_flips(verification)
    table = _new_table(verification, gap, flips=flips)
    for score in _all_scores(verification):
        table.add_row(*_score_cells(verification, score, gap, flips))
    console.print(table)
    grid = _grid()
    _add_agreements(grid, verification)
    for ledger in verification.ledgers:
        grid.add_row(*_ledger_row(ledger, None))
    for note in verification.notes:
        grid.add_row(Text("note", "yellow"), Text(plain(note)))
    if grid.row_count:
        console.print()
        console.print(grid)
    if verification.layers:
        console.print()
        console.print(_layers(verification))


def to_text(report: Report, width: int = 100) -> str:
    """The summary as plain text."""
    out = io.StringIO()
    show(report, Console(file=out, width=width, color_system=None, legacy_windows=False))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _model_lines(report: Report) -> Table:
    model = report.model
    grid = _grid()
    facts = [plain(model.kind), f"{units.count(model.parameters)} parameters"]
    if model.macs is not None:
        facts.append(f"{units.count(model.macs)} MACs")
    facts += [f"{plain(spec.name)} {units.shape(spec.shape)}" for spec in model.inputs]
    grid.add_row(_key("model"), Text.assemble((plain(Path(model.path).name), "bold"), "  ", ", ".join(facts)))
    if report.data is not None and report.data.calibration is not None:
        grid.add_row(_key("data"), Text(_data_line(report)))
    return grid


def _data_line(report: Report) -> str:
    data = report.data
    assert data is not None
    said = f"calibrated on {units.whole(data.calibration_count)} samples of {plain(data.calibration)}"
    if not data.evaluation_count:
        return said
    if data.split:
        return f"{said}, judged on the {units.whole(data.evaluation_count)} others"
    return f"{said}, judged on {units.whole(data.evaluation_count)} of {plain(data.evaluation)}"


def _table(report: Report, gap: str) -> Table:
    """One row per file, and the reference on top."""
    verification = report.verification
    scores = {score.label: score for score in _all_scores(verification)}
    files = {file.label: file for file in report.files}
    latencies = {latency.label: latency for latency in report.latencies}
    ups = speed_ups(report.latencies)
    flips = verification is not None and _has_flips(verification)
    table = _new_table(verification, gap, flips=flips, latency=bool(latencies), size=True)
    for label in _by_runtime(dict.fromkeys([*scores, *files, *latencies])):
        file = files.get(label)
        cells = [Text(plain(label)), Text(units.size(file.size_bytes) if file else "")]
        if verification is not None:
            score = scores.get(label)
            empty = [Text("")] * (3 if flips else 2)
            cells += _score_cells(verification, score, gap, flips)[1:] if score else empty
        if latencies:
            cells += [_latency_cell(latencies.get(label), gap), _speed_cell(ups.get(label))]
        table.add_row(*cells)
    return table


def _by_runtime(labels: Iterable[str]) -> list[str]:
    """Float and INT8 of one format beside each other, since they are compared with each other."""
    known = list(labels)
    kinds = list(dict.fromkeys(label.rpartition(" ")[2] for label in known))
    return sorted(known, key=lambda label: (kinds.index(label.rpartition(" ")[2]), label.startswith("INT8")))


def _new_table(
    verification: Verification | None, gap: str, *, flips: bool = False, latency: bool = False, size: bool = False
) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column(Text("file"), no_wrap=True)
    if size:
        table.add_column(Text("size"), justify="right", no_wrap=True)
    if verification is not None:
        table.add_column(Text(f"{plain(metric_name(verification))}{gap}95 %"), justify="right", no_wrap=True)
        table.add_column(Text(f"{_drop_title(verification)}{gap}95 %"), justify="right", no_wrap=True)
        if flips:
            table.add_column(Text("flips"), justify="right", no_wrap=True)
    if latency:
        table.add_column(Text(f"latency{gap}5..95 %"), justify="right", no_wrap=True)
        table.add_column(Text("speed"), justify="right", no_wrap=True)
    return table


def _drop_title(verification: Verification) -> str:
    return "drop, points" if verification.unit == "share" else f"drop, {verification.unit}".removesuffix(", ")


def _score_cells(verification: Verification, score: Score, gap: str, flips: bool) -> list[Text]:
    cells = [Text(plain(score.label)), _with_interval(verification, value_in_words(verification, score), score, gap)]
    if score.drop is None:
        cells.append(Text(""))
    else:
        drop = Text(_bare(verification, score.drop), _drop_style(score))
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
    return f"{_bare(verification, interval.low)}..{_bare(verification, interval.high)}"


def _bare(verification: Verification, value: float) -> str:
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


def _findings(report: Report) -> Table:
    grid = _grid()
    verification = report.verification
    files = {file.label: file for file in report.files}
    if verification is not None:
        _add_agreements(grid, verification)
        for ledger in verification.ledgers:
            if ledger.label.startswith("INT8"):
                grid.add_row(*_ledger_row(ledger, files.get(ledger.label)))
    if report.quantization is not None:
        grid.add_row(_key("ranges"), Text(_ranges_line(report)))
    if report.latencies:
        first = report.latencies[0]
        threads = units.plural(first.threads, "thread")
        grid.add_row(
            _key("latency"), Text(f"{plain(report.machine.cpu)}, {threads}, {first.runs} interleaved runs each")
        )
    for warning in warnings(report):
        grid.add_row(Text("note", "yellow"), Text(plain(warning)))
    return grid


def _add_agreements(grid: Table, verification: Verification) -> None:
    for agreement in verification.agreements:
        same = f"{units.percent(agreement.identical, 2)} of the outputs identical"
        if agreement.top1 is not None:
            same = f"same top-1 for {units.percent(agreement.top1, 2)} of {units.whole(verification.count)} samples, {same}"
        steps = agreement.largest_steps
        furthest = f", at most {units.plural(steps, 'step')} apart" if steps else ""
        grid.add_row(
            _key("agreement"), Text(f"{plain(agreement.first)} and {plain(agreement.second)}: {same}{furthest}")
        )


def _ledger_row(ledger: Ledger, file: FileFacts | None) -> tuple[Text, Text]:
    """'100 % of 41.0 M MACs ran in INT8 (LiteRT); no transpose'."""
    macs = units.count(sum(row.macs for row in ledger.rows))
    if ledger.int8_macs_share is None:
        said = [f"no MACs ({plain(ledger.runtime)})"]
    else:
        said = [f"{units.percent(ledger.int8_macs_share)} of {macs} MACs ran in INT8 ({plain(ledger.runtime)})"]
    if ledger.float_ops:
        said.append(_float_ops(ledger))
    if file is not None and file.transposes is not None:
        said.append(units.plural(file.transposes, "transpose") if file.transposes else "no transpose")
    whole = ledger.int8_macs_share is None or ledger.int8_macs_share == 1
    return _key(plain(ledger.label)), Text("; ".join(said), "" if whole else "yellow")


def _float_ops(ledger: Ledger) -> str:
    """'3 ops in float: 2 Softmax (no int8 kernel; model.py:41), ...'."""
    rows = ledger.float_ops
    groups = Counter((row.op, row.reason) for row in rows)
    sources = {(row.op, row.reason): row.source for row in reversed(rows)}
    named = []
    for (op, reason), times in list(groups.items())[:FLOAT_OPS_NAMED]:
        because = "; ".join(plain(part) for part in (reason, sources[op, reason]) if part)
        named.append((f"{times} " if times > 1 else "") + plain(op) + (f" ({because})" if because else ""))
    if len(groups) > FLOAT_OPS_NAMED:
        named.append(f"others in {REPORT_NAME}")
    return f"{units.plural(len(rows), 'op')} in float: {', '.join(named)}"


def _ranges_line(report: Report) -> str:
    facts = report.quantization
    assert facts is not None
    chosen = ", ".join(f"{plain(method)} for {n}" for method, n in facts.chosen.items())
    said = [f"{plain(facts.ranges)}: {chosen} tensors" if chosen else plain(facts.ranges)]
    said += [plain(repair) for repair in facts.repairs]
    if facts.kept_float:
        said.append(f"{units.plural(len(facts.kept_float), 'op')} kept float by choice")
    return "; ".join(said)


def _layers(verification: Verification) -> Table:
    """The layers with the most noise, for `--layers`."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for title in ("worst layers", "file", "SQNR", "source"):
        table.add_column(Text(title), justify="right" if title == "SQNR" else "left", overflow="fold")
    for layer in verification.layers[:WORST_LAYERS]:
        name, source = plain(layer.node), plain(layer.source or "")
        table.add_row(Text(name), Text(plain(layer.label)), Text(f"{layer.sqnr_db:.1f} dB"), Text(source))
    return table


def _ending(report: Report) -> Table:
    grid = _grid()
    if said := headline(report):
        grid.add_row(_key("result"), Text(said, "bold"))
    names = "  ".join(plain(Path(file.path).name) for file in report.files)
    grid.add_row(_key("files"), Text.assemble((f"{plain(report.directory)}/", "bold"), "  ", names))
    grid.add_row(_key("report"), Text(plain(str(Path(report.directory) / REPORT_NAME))))
    return grid


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, min_width=11)
    grid.add_column(overflow="fold")
    return grid


def _key(word: str) -> Text:
    return Text(word, "dim")


def _gap(console: Console) -> str:
    """What stands between a value and its interval: in a narrow terminal the interval goes below."""
    return "  " if console.width >= ROOMY else "\n"


def _all_scores(verification: Verification | None) -> tuple[Score, ...]:
    return () if verification is None else (verification.reference, *verification.scores)


def _has_flips(verification: Verification) -> bool:
    return any(score.flips is not None for score in verification.scores)
