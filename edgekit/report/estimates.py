"""Estimates in words: each number tagged as estimated, with its interval and what it is known from.

A screenful per file: a block per runtime, the best known first. Nothing here stands in a column with a measurement.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgekit import units
from edgekit.plain import plain

if TYPE_CHECKING:  # types only: the stage takes a second to load
    from edgekit.profile.estimate import Baseline, Estimate
    from edgekit.profile.placement import Fallen, Placement
    from edgekit.profile.room import Fit, RamEstimate

EVIDENCE = {
    "A": "fitted to this device and runtime, tried on families that were left out",
    "B": "fitted to this device and runtime",
    "C": "fitted to few runs, or to few kinds of kernels",
    "D": "a guess: specifications only",
}
OPS_SHOWN = 5
WHYS_SHOWN = 4
WIDTH = 96
GAP = 12  # columns of the titles
HARD = "\N{NO-BREAK SPACE}"  # keeps a number and its sign on one line


def estimates_in_words(estimates: Sequence[Estimate]) -> str:
    """estimates: of one file on one device, not empty."""
    first = estimates[0]
    rows = [
        ("file", f"{plain(first.path)}, {units.count(first.macs)} MACs, {first.precision}"),
        ("device", plain(first.device)),
    ]
    blocks = ["\n".join(rows_in_words(rows)), *("\n".join(rows_in_words(_block(estimate))) for estimate in estimates)]
    return "\n\n".join(blocks)


def placement_in_words(placement: Placement) -> str:
    """How much of a file an accelerator takes, and why not the rest."""
    if placement.refused:
        return "\n".join(
            rows_in_words([("placement", f"{plain(placement.accelerator)} refuses the file: {_whys(placement)}")])
        )
    what = f"of {units.count(placement.macs)} MACs" if placement.macs else f"of {units.plural(placement.kernels, 'op')}"
    text = f"{plain(placement.accelerator)} takes {units.percent(placement.share, 0)} {what}"
    if placement.fallen:
        count = len(placement.fallen)
        falls = "falls" if count == 1 else "fall"
        text += f"; {count} of {units.plural(placement.kernels, 'op')} {falls} back to the CPU: {_whys(placement)}"
    return "\n".join(rows_in_words([("placement", text)]))


def _whys(placement: Placement) -> str:
    """The reasons, those of most MACs first, each with how many ops it is of where there are several."""
    found: dict[str, list[Fallen]] = {}
    for fallen in placement.fallen:
        found.setdefault(fallen.reason, []).append(fallen)
    ordered = sorted(found.items(), key=lambda item: -sum(fallen.macs for fallen in item[1]))
    said = [
        plain(reason) if len(of) == 1 else f"{plain(reason)} ({len(of)} ops)" for reason, of in ordered[:WHYS_SHOWN]
    ]
    rest = sum(len(of) for _, of in ordered[WHYS_SHOWN:])
    return "; ".join([*said, f"{units.plural(rest, 'more op')}"] if rest else said)


def fit_in_words(fit: Fit) -> str:
    """Whether a file fits into a microcontroller."""
    rows = [("fits", f"{fit.verdict}: {'; '.join(fit.doubts)}" if fit.doubts else str(fit.verdict))]
    for need in fit.needs:
        needed = units.size(need.computed_bytes)
        if need.high_bytes > need.computed_bytes:
            needed += f" computed, up to {units.size(need.high_bytes)} estimated with the runtime"
        rows.append((need.resource, f"{needed}, of {units.size(need.available_bytes)}: {need.verdict}"))
    return "\n".join(rows_in_words(rows))


def ram_in_words(ram: RamEstimate) -> str:
    """RAM in one runtime, with its interval."""
    runtime = f"{plain(ram.runtime)} {plain(ram.version)}".strip()
    low, high = units.size(ram.low_bytes), units.size(ram.high_bytes)
    text = f"{units.size(ram.ram_bytes)}  {low}..{high}  estimated for {runtime}, 90 % interval"
    return "\n".join(
        rows_in_words([("RAM", f"{text} (median error {units.percent(ram.error)} on models that were left out)")])
    )


def _block(estimate: Estimate) -> list[tuple[str, str]]:
    rows = [
        ("runtime", _runtime(estimate)),
        ("latency", f"{_times(estimate)}  estimated, 90 % interval"),
    ]
    if estimate.energy_j is not None:
        assert estimate.energy_low_j is not None and estimate.energy_high_j is not None
        (value, low, high), unit = units.energies(estimate.energy_j, estimate.energy_low_j, estimate.energy_high_j)
        rows.append(("energy", f"{value} {unit}  {low}..{high}  estimated, of the whole board"))
    rows.append(("evidence", f"{estimate.evidence}: {EVIDENCE[estimate.evidence]} ({plain(estimate.basis)})"))
    rows.append(("beside it", ", ".join(map(_baseline, estimate.baselines))))
    rows.append(("mostly", _ops(estimate)))
    return rows + [("doubt", plain(doubt)) for doubt in estimate.doubts]


def _runtime(estimate: Estimate) -> str:
    return (
        f"{plain(estimate.runtime)} {plain(estimate.version)}".strip() + f", {units.plural(estimate.threads, 'thread')}"
    )


def _times(estimate: Estimate) -> str:
    (value, low, high), unit = units.times(estimate.seconds, estimate.low_s, estimate.high_s)
    return f"{value} {unit}  {low}..{high}"


def _baseline(baseline: Baseline) -> str:
    return f"{units.time(baseline.seconds)} by {plain(baseline.name)}"


def _ops(estimate: Estimate) -> str:
    """What takes the time. What is left over is named, so that the shares add up."""
    total = sum(part.seconds for part in estimate.ops)
    shown = (
        [f"{plain(part.name)} {units.percent(part.seconds / total, 0)}" for part in estimate.ops[:OPS_SHOWN]]
        if total
        else []
    )
    rest = sum(part.seconds for part in estimate.ops[OPS_SHOWN:])
    return ", ".join(shown + ([f"others {units.percent(rest / total, 0)}"] if rest > 0 else []))


def rows_in_words(rows: Sequence[tuple[str, str]]) -> list[str]:
    """A title and a text each, in lines of WIDTH."""
    lines: list[str] = []
    for title, text in rows:
        wrapped = [line.replace(HARD, " ") for line in textwrap.wrap(text.replace(" %", f"{HARD}%"), WIDTH - GAP)] or [
            ""
        ]
        lines.append(f"{title:<{GAP}}{wrapped[0]}".rstrip())
        lines += [" " * GAP + line for line in wrapped[1:]]
    return lines
