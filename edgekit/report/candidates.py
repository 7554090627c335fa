"""Devices that can carry a file, in words: a table of those that can, and why the others cannot.

All that stands here of time and energy is estimated, and the table says so: nothing was measured.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgekit import units
from edgekit.plain import plain

if TYPE_CHECKING:  # types only: the stage takes a second to load
    from edgekit.profile.recommend import Candidate, Limits, SortKey

WIDTH = 96
GAP = "  "
INDENT = "    "
UNKNOWN = "?"
MUCH_ALIKE = 1.05
TITLES = ("device", "latency, 90 %", "ev", "energy", "RAM", "power", "USD", "")
LEGEND = "ev: evidence, A fitted there and tried on other models, B fitted there, C to little, D a guess"


def candidates_in_words(candidates: Sequence[Candidate], limits: Limits, key: SortKey) -> str:
    """candidates: in the order in which they are shown; key: what they are sorted by."""
    good = [one for one in candidates if one.feasible]
    bad = [one for one in candidates if not one.feasible]
    several = len({one.path for one in candidates if one.path is not None}) > 1
    blocks = ["\n".join(_wrapped(f"estimated, not measured; by {key}; {_asked(limits)}", first="")), *_doubts(good)]
    facts = limits.power_w is not None or limits.price_usd is not None or key in ("power", "price")
    blocks.append(_table(good, several=several, facts=facts) if good else "no device keeps all of it")
    if bad:
        blocks.append("\n".join(["not feasible", *(line for one in bad for line in _refused(one))]))
    return "\n\n".join(blocks)


def _doubts(candidates: Sequence[Candidate]) -> list[str]:
    """Files of one model multiply equally often, but for what padding and fusing make of it."""
    macs = sorted({one.estimate.macs for one in candidates if one.estimate is not None})
    if not macs or macs[-1] <= MUCH_ALIKE * macs[0]:
        return []
    told = f"{units.count(macs[0])} to {units.count(macs[-1])}"
    return [f"doubt: the files have {told} MACs, so that they may not be of one model"]


def _asked(limits: Limits) -> str:
    told = [
        f"latency {units.time(limits.latency_s)}" if limits.latency_s is not None else "",
        f"energy {units.energy(limits.energy_j)}" if limits.energy_j is not None else "",
        f"power {units.power(limits.power_w)}" if limits.power_w is not None else "",
        f"price {units.price(limits.price_usd)}" if limits.price_usd is not None else "",
        f"RAM {units.size(round(limits.ram_bytes))}" if limits.ram_bytes is not None else "",
        *(f"'{plain(words)}'" for words in limits.security),
        f"evidence {limits.evidence}" if limits.evidence is not None else "",
    ]
    said = ", ".join(filter(None, told))
    return f"asked for: {said}" if said else "without limits"


def _table(candidates: Sequence[Candidate], *, several: bool, facts: bool) -> str:
    """several: there is more than one file, so that each row says which it is of; facts: also what the numbers of power
    and price do not say."""
    rows = [TITLES, *(_row(one) for one in candidates)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(TITLES))]
    lines = [GAP.join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    shown = [lines[0]]
    for one, line in zip(candidates, lines[1:], strict=True):
        shown += [line, *(line for text in _notes(one, several=several, facts=facts) for line in _wrapped(text))]
    return "\n".join([*shown, LEGEND])


def _row(one: Candidate) -> tuple[str, ...]:
    estimate = one.estimate
    assert estimate is not None, "nothing is feasible without an estimate"
    (value, low, high), unit = units.times(estimate.seconds, estimate.low_s, estimate.high_s)
    power, price = one.power, one.price_usd
    return (
        plain(one.device),
        f"{value} {unit} {low}..{high}",
        estimate.evidence,
        UNKNOWN if estimate.energy_j is None else units.energy(estimate.energy_j),
        _ram(one),
        UNKNOWN if power is None else _up_to(units.power(power.middle), units.power(power.high)),
        UNKNOWN if price is None else _up_to(f"{price.middle:g}", f"{price.high:g}"),
        "" if one.verdict == "kept" else one.verdict,
    )


def _ram(one: Candidate) -> str:
    """What is needed, of what there is where that is scarce; more than is known where a runtime adds to it."""
    if one.ram is None:
        return UNKNOWN
    if math.isinf(one.ram.high):
        return f">{units.size(round(one.ram.middle))}"
    needed = units.size(round(one.ram.high))
    return needed if one.available_bytes is None else f"{needed} of {units.size(round(one.available_bytes))}"


def _up_to(low: str, high: str) -> str:
    """'5.80 W', '7.50 W' -> '5.80..7.50 W'."""
    return low if low == high else f"{low.split()[0]}..{high}"


def _notes(one: Candidate, *, several: bool, facts: bool) -> list[str]:
    """What does not go into a column."""
    told = [plain(one.path)] if several and one.path is not None else []
    told += [f"facts: {plain('; '.join(one.notes))}"] if facts and one.notes else []
    if one.security is not None:
        told.append(f"security: {plain(one.security)}")
    if one.placement is not None and one.placement.fallen:
        share = units.percent(one.placement.share, 0)
        count = units.plural(len(one.placement.fallen), "op")
        told.append(f"{plain(one.placement.accelerator)} takes {share} of the MACs; {count} on the CPU beside it")
    if one.verdict == "perhaps":
        told.append(f"perhaps: {plain('; '.join(one.reasons))}")
    return told


def _refused(one: Candidate) -> list[str]:
    return _wrapped(f"{plain(one.device)}: {plain('; '.join(one.reasons))}", first="  ")


def _wrapped(text: str, first: str = INDENT) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=INDENT)
