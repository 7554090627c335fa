"""What was measured on a device, on one screen of a terminal. The column says that it was measured, not estimated.

Every string from a device or a file goes through `plain`, and nothing is read as markup.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgekit import units
from edgekit.plain import first_name, plain
from edgekit.report.table import gap_in

if TYPE_CHECKING:  # types only: a runtime takes its time to load
    from edgekit.profile.agree import Agreement
    from edgekit.profile.measured import MeasuredThere, Measurement
    from edgekit.profile.per_op import PerOp
    from edgekit.profile.steady import Soak


OPS_SHOWN = 15
BAR = 12  # columns of the longest bar


def show_measured(found: MeasuredThere, console: Console) -> None:
    """Where, what, and why not to believe it."""
    console.print(_place(found))
    console.print()
    console.print(_table(found, gap_in(console)))
    for one in found.measurements:
        if one.per_op is not None:
            console.print()
            console.print(Text.assemble((plain(one.file), "bold"), ", per op"))
            console.print(_ops(one.per_op))
    rows = [row for one in found.measurements for row in _findings(one)]
    if found.soak is not None:
        rows.append(("soak", soak_in_words(found.soak)))
    rows += [("doubt", doubt) for doubt in found.doubts]
    if rows:
        console.print()
        console.print(_grid(rows))


def measured_text(found: MeasuredThere, width: int) -> str:
    """The same as plain text, without the blanks at the ends of lines."""
    out = io.StringIO()
    show_measured(found, Console(file=out, width=width, color_system=None, legacy_windows=False))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _place(found: MeasuredThere) -> Table:
    place = found.place
    system = " ".join(place.system[key] for key in ("system", "release", "architecture"))
    readings = [f"{name} {_reading(place.after.get(key), words)}" for key, name, words in _READINGS]
    return _grid(
        [
            ("device", f"{place.on}  {place.title}"),
            ("system", f"{system}, Python {place.system['python']}"),
            ("state", ", ".join(readings)),
            ("sample", found.sample),
        ]
    )


def _clock(hertz: Any) -> str:
    return f"{float(hertz) / 1e9:.2f} GHz"


def _list(words: Any) -> str:
    return ", ".join(words) or "none"


_READINGS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("clock_hz", "clock", _clock),
    ("governor", "governor", str),
    ("temperature_c", "temperature", lambda degrees: f"{float(degrees):.1f} C"),
    ("throttling", "throttling", _list),
)


def _reading(reading: dict[str, Any] | None, words: Callable[[Any], str]) -> str:
    value = (reading or {}).get("value")
    try:
        return "unavailable" if value is None else words(value)
    except (TypeError, ValueError):  # a device may call anything a clock
        return "unavailable"


def _table(found: MeasuredThere, gap: str) -> Table:
    powered = any(one.power for one in found.measurements)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column(Text("measured"), overflow="fold")
    for title in (f"latency{gap}5..95 %", "first run", "load", "memory", *(("power", "energy") if powered else ())):
        table.add_column(Text(title), justify="right", no_wrap=True)
    for one in found.measurements:
        (median, low, high), unit = units.times(one.median_s, one.p05_s, one.p95_s)
        how = f"{one.runtime}, {units.plural(one.threads, 'thread')}"
        facts = f"{plain(one.label)}, {units.size(one.size_bytes)}\n{plain(how)}"
        cells = [
            Text.assemble((plain(one.file), "bold"), f"\n{facts}"),
            Text.assemble(f"{median} {unit}", gap, (f"{low}..{high}", "dim")),
            Text(units.time(one.first_s)),
            Text(units.time(one.load_s)),
            Text(_memory(one)),
        ]
        if powered:
            cells += [Text(_power(one)), Text("-" if one.energy_j is None else f"{1e3 * one.energy_j:.3g} mJ")]
        table.add_row(*cells)
    return table


def _ops(found: PerOp) -> Table:
    """A bar for each of the slowest ops, and what the others take together. Times add up to the file's latency."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column(Text("gives"), overflow="fold")
    for title in ("op", "scaled", "share"):
        table.add_column(Text(title), justify="left" if title == "op" else "right", no_wrap=True)
    table.add_column(Text(""), no_wrap=True)
    table.add_column(Text("source"), overflow="fold")
    longest = max((op.share for op in found.ops), default=1.0) or 1.0
    for op in found.ops[:OPS_SHOWN]:
        bar = "\u2588" * max(1, round(BAR * op.share / longest))
        costs = (units.time(op.scaled_s), units.percent(op.share))
        table.add_row(*map(Text, (first_name(op.node), plain(op.op), *costs, bar, op.source or "")))
    if others := found.ops[OPS_SHOWN:]:
        left_s, share = sum(op.scaled_s for op in others), sum(op.share for op in others)
        table.add_row(*map(Text, (f"{len(others)} more", "", units.time(left_s), units.percent(share), "", "")))
    return table


def per_op_in_words(found: PerOp) -> list[str]:
    """How the times per op were measured and scaled, and which ops have none."""
    counted = units.plural(len(found.ops), "op")
    if found.kinds is not None:
        counted += f" of {units.plural(found.kinds, 'kind')}"
    lines = [f"{counted}, by {found.by}: together {units.time(found.sum_s)}, scaled by {found.scale:.2f} to the whole"]
    reasons: dict[tuple[str, str], int] = {}
    for left in found.left_out:
        reasons[left.op, left.why] = reasons.get((left.op, left.why), 0) + 1
    return lines + [f"not measured: {count} {op}: {why}" for (op, why), count in reasons.items()]


def _memory(one: Measurement) -> str:
    """The peak, and how much of it is not Python and the runtime."""
    if one.peak_rss_bytes is None:
        return "-"
    if one.base_rss_bytes is None:
        return units.size(one.peak_rss_bytes)
    return f"{units.size(one.peak_rss_bytes)}\n{units.size(max(0, one.peak_rss_bytes - one.base_rss_bytes))} its own"


def _power(one: Measurement) -> str:
    first = next((rail for rail in one.power if rail.watts is not None), None)
    return "-" if first is None else f"{first.watts:.2f} W"


def _findings(one: Measurement) -> list[tuple[str, str]]:
    """What there is to say of one file beside its row."""
    rows = []
    if one.outputs is not None:
        rows.append(("outputs", f"{one.file}: {in_words(one.outputs)}"))
    for rail in one.power:
        if rail.watts is None:
            rows.append(("power", f"{rail.name}: unavailable: {rail.unavailable}"))
        else:
            idle = "" if rail.idle_watts is None else f", {rail.idle_watts:.2f} W idle"
            rows.append(("power", f"{one.file}: {rail.name} {rail.watts:.2f} W{idle} ({rail.source})"))
    if one.per_op is not None:
        rows += [("ops", f"{one.file}: {line}") for line in per_op_in_words(one.per_op)]
    rows += [("doubt", f"{one.file}: {doubt}") for doubt in one.doubts]
    return rows


def soak_in_words(soak: Soak) -> str:
    """What heat did."""
    (first, steady), unit = units.times(soak.first_s, soak.steady_s)
    if soak.steady_after_s == 0:
        text = f"{first} {unit} from the beginning to the end of {soak.soaked_s:.0f} s"
    else:
        text = f"{first} {unit} at first, {steady} {unit} ({soak.slowdown:+.0%}) after {soak.steady_after_s:.0f} s"
        text += f" of {soak.soaked_s:.0f} s" + ("" if soak.steady else ", and perhaps not steady yet")
    if soak.first_c is not None and soak.steady_c is not None:
        text += f"; {soak.first_c:.0f} to {soak.steady_c:.0f} C"
    if soak.first_hz is not None and soak.steady_hz is not None:
        text += f"; {soak.first_hz / 1e9:.2f} to {soak.steady_hz / 1e9:.2f} GHz"
    return text


def in_words(outputs: Agreement) -> str:
    """What the device computes, against this machine."""
    match outputs.verdict:
        case "identical":
            return "identical to this machine's, bit by bit"
        case "close" if outputs.sqnr_db is not None:
            return f"as on this machine but for rounding (SQNR {outputs.sqnr_db:.1f} dB)"
        case "close":
            return f"as on this machine: {outputs.why}"
        case "different":
            return f"DIFFERENT from this machine's: {outputs.why}"
    return f"not compared: {outputs.why}"


def _grid(rows: list[tuple[str, str]]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, min_width=11)
    grid.add_column(overflow="fold")
    for key, value in rows:
        grid.add_row(Text(key, "dim"), Text(plain(value)))
    return grid
