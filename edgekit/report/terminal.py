"""A Report on one screen of a terminal, 80 columns or more.

Every string that came from outside goes through `plain`, and nothing is read as markup: a layer may be called anything.
"""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgekit import units
from edgekit.outputs import REPORT_NAME
from edgekit.plain import plain
from edgekit.report.facts import USUAL_SCHEME, FileFacts, Report
from edgekit.report.pruned import estimate_lines, pruning_lines, round_lines, sparsity_lines
from edgekit.report.summary import (
    budget_in_words,
    calibration_doubts,
    distances_in_words,
    headline,
    is_integer,
    latency_doubts,
    peak_in_words,
    precision_shares,
    scale_spread,
    training_line,
    warnings,
)
from edgekit.report.table import file_table, gap_in, score_table

if TYPE_CHECKING:  # types only: the stages take a second to load, which `edgekit inspect` should not
    from edgekit.verify.result import Ledger, Verification

WORST_LAYERS = 10
MOST_SENSITIVE = 10
FLOAT_OPS_NAMED = 3


def show(report: Report, console: Console) -> None:
    """The summary of a run."""
    console.print(_model_lines(report))
    console.print()
    console.print(file_table(report, gap_in(console)))
    console.print()
    console.print(_findings(report))
    if report.verification is not None and report.verification.layers:
        console.print()
        console.print(_layers(report.verification))
    if report.quantization is not None and report.quantization.sensitivity:
        console.print()
        console.print(_sensitivity(report))
    console.print()
    console.print(_ending(report))


def show_verification(verification: Verification, console: Console) -> None:
    """What `edgekit compare` prints: scores, agreement, ledgers, worst layers."""
    console.print(score_table(verification, gap_in(console)))
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


def to_text(result: Report | Verification, width: int = 100) -> str:
    """What `show` or `show_verification` prints, as plain text without the blanks at the ends of lines."""
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None, legacy_windows=False)
    if isinstance(result, Report):
        show(result, console)
    else:
        show_verification(result, console)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _model_lines(report: Report) -> Table:
    model = report.model
    grid = _grid()
    facts = [plain(model.kind), f"{units.count(model.parameters)} parameters"]
    if model.macs is not None:
        facts.append(f"{units.count(model.macs)} MACs")
    if len(model.inputs) == 1:
        facts.append(units.shape(model.inputs[0].shape))
    else:
        facts += [f"{plain(spec.name)} {units.shape(spec.shape)}" for spec in model.inputs]
    grid.add_row(_key("model"), Text.assemble((plain(Path(model.path).name), "bold"), "  ", ", ".join(facts)))
    if report.data is not None and report.data.calibration is not None:
        grid.add_row(_key("data"), Text(_data_line(report)))
    elif report.pruning is not None and report.data is not None and report.data.evaluation is not None:
        judged = f"judged on {units.whole(report.data.evaluation_count)} of {plain(report.data.evaluation)}"
        grid.add_row(_key("data"), Text(judged))
    pruned = dict(zip(("pruned", "channels"), pruning_lines(report), strict=True))
    for word, line in (pruned | round_lines(report) | estimate_lines(report) | sparsity_lines(report)).items():
        if line:
            grid.add_row(_key(word), Text(plain(line)))
    return grid


def _data_line(report: Report) -> str:
    data = report.data
    assert data is not None
    calibrated = report.quantization is None or report.quantization.calibrated
    how = "calibrated" if calibrated else "uncalibrated: ranges taken"
    if report.quantization is None and report.pruning is not None:
        how = "refitted"
    said = f"{how} on {units.whole(data.calibration_count)} samples of {plain(data.calibration)}"
    if not data.evaluation_count:
        return said
    if data.split:
        return f"{said}, judged on the {units.whole(data.evaluation_count)} others"
    return f"{said}, judged on {units.whole(data.evaluation_count)} of {plain(data.evaluation)}"


def _findings(report: Report) -> Table:
    grid = _grid()
    verification = report.verification
    files = {file.label: file for file in report.files}
    if verification is not None:
        _add_agreements(grid, verification)
        for ledger in verification.ledgers:
            if is_integer(ledger.label):
                grid.add_row(*_ledger_row(ledger, files.get(ledger.label)))
    if report.budget is not None:
        grid.add_row(_key("budget"), _budget_line(report))
    if report.quantization is not None:
        if report.quantization.scheme != USUAL_SCHEME:
            grid.add_row(_key("integers"), Text(plain(report.quantization.scheme)))
        grid.add_row(_key("ranges"), Text(_ranges_line(report)))
    if report.pruning is not None and (tuned := report.pruning.training) is not None:
        grid.add_row(_key("fine-tuning"), Text(plain(training_line(tuned)), "" if tuned.kept else "yellow"))
    if report.training is not None:
        style = "" if report.training.kept else "yellow"
        grid.add_row(_key("training"), Text(plain(training_line(report.training)), style))
    if report.latencies:
        first = report.latencies[0]
        threads = units.plural(first.threads, "thread")
        grid.add_row(
            _key("latency"), Text(f"{plain(report.machine.cpu)}, {threads}, {first.runs} interleaved runs each")
        )
    if doubts := latency_doubts(report.latencies):
        grid.add_row(Text("doubt", "yellow"), Text(plain(doubts)))
    for doubt in calibration_doubts(report):
        grid.add_row(Text("doubt", "yellow"), Text(plain(doubt)))
    for warning in warnings(report):
        grid.add_row(Text("note", "yellow"), Text(plain(warning)))
    return grid


def _add_agreements(grid: Table, verification: Verification) -> None:
    if distances := distances_in_words(verification):
        grid.add_row(_key("SQNR"), Text(plain(distances)))
    for agreement in verification.agreements:
        same = f"{units.percent(agreement.identical, 2)} of the outputs identical"
        if agreement.top1 is not None:
            of_all = f"{units.percent(agreement.top1, 2)} of {units.whole(verification.count)} samples"
            same = f"same top-1 for {of_all}, {same}"
        steps = agreement.largest_steps
        furthest = f", at most {units.plural(steps, 'step')} apart" if steps else ""
        grid.add_row(
            _key("agreement"), Text(f"{plain(agreement.first)} and {plain(agreement.second)}: {same}{furthest}")
        )


def _ledger_row(ledger: Ledger, file: FileFacts | None) -> tuple[Text, Text]:
    """'100 % of 41.0 M MACs ran in INT8 (LiteRT); no transpose; at most 64.0 KiB of activations, at op 3 of 31
    (CONV_2D)'."""
    macs = units.count(sum(row.macs for row in ledger.rows))
    if ledger.int8_macs_share is None:
        whole_numbers = sum(row.precision == "int8" for row in ledger.rows)
        said = [f"{whole_numbers} of {units.plural(len(ledger.rows), 'op')} ran in INT8 ({plain(ledger.runtime)})"]
    else:
        wide = f", {units.percent(ledger.int16_macs_share)} in int16" if ledger.int16_macs_share else ""
        said = [f"{units.percent(ledger.int8_macs_share)} of {macs} MACs ran in INT8{wide} ({plain(ledger.runtime)})"]
    if ledger.float_ops:
        said.append(_float_ops(ledger))
    if file is not None and file.transposes is not None:
        said.append(_transposes(file))
    if file is not None and file.memory is not None:
        said.append(plain(peak_in_words(file.memory)))
    whole = ledger.int8_macs_share is None or ledger.int8_macs_share == 1
    return _key(plain(ledger.label)), Text("; ".join(said), "" if whole else "yellow")


def _budget_line(report: Report) -> Text:
    """'kept: the drop is 0.23 points and may be 0.92 (95 %); 1 allowed; 100 % of the MACs in INT8'."""
    assert report.budget is not None
    said = [part for part in (budget_in_words(report), precision_shares(report)) if part]
    if report.budget.met:
        return Text(plain(f"kept: {'; '.join(said)}"), "green")
    return Text(plain(f"NOT kept: {'; '.join(said)}"), "red")


def _transposes(file: FileFacts) -> str:
    """'2 transposes that write 96.0 KiB'."""
    if not file.transposes:
        return "no transpose"
    writes = "writes" if file.transposes == 1 else "write"
    return f"{units.plural(file.transposes, 'transpose')} that {writes} {units.size(file.transposed_bytes or 0)}"


def _float_ops(ledger: Ledger) -> str:
    """'3 ops in float: 2 Softmax (no int8 kernel; model.py:41), ...'."""
    rows = ledger.float_ops
    reasons = {row.node: (row.reason or "").partition("; ")[0] for row in rows}  # behind it: what differs op by op
    groups = Counter((row.op, reasons[row.node]) for row in rows)
    sources = {(row.op, reasons[row.node]): row.source for row in reversed(rows)}
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
    if spread := scale_spread(report):
        said.append(plain(spread))
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


def _sensitivity(report: Report) -> Table:
    """The ops that lose most by themselves, for `--sensitivity`."""
    facts = report.quantization
    assert facts is not None
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    left = ("most sensitive ops", "op", "source")
    for title in ("most sensitive ops", "op", "SQNR alone", "int16", "MACs", "source"):
        table.add_column(Text(title), justify="left" if title in left else "right", overflow="fold")
    total = report.model.macs if report.pruning is None else report.pruning.macs
    for found in facts.sensitivity[:MOST_SENSITIVE]:
        with_it = f"{plain(found.op)} and {found.ops - 1} more" if found.ops > 1 else plain(found.op)
        share = units.percent(found.macs / total) if total else "-"
        int16 = "" if found.int16_sqnr_db is None else f"{found.int16_sqnr_db:.1f} dB"
        cells = (plain(found.node), with_it, f"{found.sqnr_db:.1f} dB", int16, share, plain(found.source or ""))
        table.add_row(*map(Text, cells))
    return table


def _ending(report: Report) -> Table:
    grid = _grid()
    if said := headline(report):
        grid.add_row(_key("result"), Text(said, "bold"))
    names = "  ".join(plain(name) for name in [*(Path(file.path).name for file in report.files), REPORT_NAME])
    grid.add_row(_key("files"), Text.assemble((f"{plain(report.directory)}/", "bold"), "  ", names))
    return grid


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, min_width=11)
    grid.add_column(overflow="fold")
    return grid


def _key(word: str) -> Text:
    return Text(word, "dim")
