"""Which devices can carry a model file: what it would cost on each, held against what is allowed.

Costs are estimates, never measurements. A limit is *kept* where the upper end of what is known keeps it (the 90 %
interval of an estimate, the top of a range in a fact), and kept *perhaps* where only the middle does, or where nobody
vouches for the fact. What is not known keeps no limit: a device whose price nobody says is not a cheap one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from edgekit import units
from edgekit.artifact import FORMAT_NAMES, Format
from edgekit.device import Device, Evidence, Fact, Figure
from edgekit.errors import EdgekitError
from edgekit.profile.estimate import Estimate
from edgekit.profile.kernels import kernels_of
from edgekit.profile.placement import Placement
from edgekit.profile.prospect import Prospect, prospect
from edgekit.profile.room import Fit, RamEstimate

Words = Callable[[float], str]
Verdict = Literal["kept", "perhaps", "broken", "unknown"]
SortKey = Literal["latency", "energy", "power", "price", "ram", "evidence"]
WORST_LAST: tuple[Verdict, ...] = ("kept", "perhaps", "unknown", "broken")
RANGE = re.compile(r"^(?:about |up to )?\d[\d.]*(?:\s*[-/]\s*\d[\d.]*)+")
"""What a note begins with where a figure is the lower end of several: "30-60", "7 / 15 / 25 modes"."""
GIGABYTES = re.compile(r"^(\d+)(?:-\d+)? GB\b")
ACTIVATION_BYTES = {"int8": 1, "int16x8": 2}  # 4 in all others: float16 weights compute in float32 on a CPU


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is allowed, at most; None where anything is. security: words that the device's features must name;
    evidence: what an estimate must be known from, at least."""

    latency_s: float | None = None
    energy_j: float | None = None
    power_w: float | None = None
    price_usd: float | None = None
    ram_bytes: float | None = None
    security: tuple[str, ...] = ()
    evidence: Evidence | None = None


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """One limit on one device. why: in words, with what is needed beside what is allowed."""

    limit: str
    verdict: Verdict
    why: str


@dataclass(frozen=True, kw_only=True)
class Span:
    """Something known to lie between two numbers. middle: the best guess; vouched: somebody says so."""

    middle: float
    high: float
    vouched: bool = True


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A device with one of the files. path: None where it runs none of them; ram: what the file needs, bytes, from what
    is computed to what the runtime adds where that is known; available_bytes: what the device has, the least of its
    variants; power: of the board while the file runs, W; notes: what the numbers of power and price do not say;
    refusal: why nothing is estimated; judgements: of the limits that were given, and whether there is room."""

    device: str
    title: str
    path: str | None
    estimate: Estimate | None
    fit: Fit | None
    placement: Placement | None
    ram: Span | None
    available_bytes: float | None
    power: Span | None
    price_usd: Span | None
    security: str | None
    notes: tuple[str, ...]
    refusal: str | None
    judgements: tuple[Judgement, ...]

    @property
    def verdict(self) -> Verdict:
        if self.refusal is not None:
            return "broken"
        return max((judged.verdict for judged in self.judgements), key=WORST_LAST.index, default="kept")

    @property
    def feasible(self) -> bool:
        """Every limit is kept, or perhaps is."""
        return self.verdict in ("kept", "perhaps")

    @property
    def reasons(self) -> tuple[str, ...]:
        """What speaks against it, the worst of it."""
        against = [judged.why for judged in self.judgements if judged.verdict == self.verdict != "kept"]
        if not self.feasible:
            against = [judged.why for judged in self.judgements if judged.verdict in ("broken", "unknown")]
        return tuple(against if self.refusal is None else [self.refusal, *against])

    def sort_value(self, key: SortKey) -> float:
        """Smaller is better; infinite where it is not known."""
        estimate = self.estimate
        known: dict[SortKey, float | None] = {
            "latency": None if estimate is None else estimate.seconds,
            "energy": None if estimate is None else estimate.energy_j,
            "power": None if self.power is None else self.power.middle,
            "price": None if self.price_usd is None else self.price_usd.middle,
            "ram": None if self.ram is None else self.ram.middle,
            "evidence": None if estimate is None else float("ABCD".index(estimate.evidence)),
        }
        value = known[key]
        return math.inf if value is None else value


def candidate(offered: Sequence[tuple[Path, Format]], device: Device, limits: Limits) -> Candidate:
    """offered: files of one model, and their formats."""
    path, found, refusal = _best(offered, device)
    estimate = None if found is None else replace(found.estimates[0], kernels=())
    fit = None if found is None else found.fit
    ram, available_bytes = None if path is None else _ram(path, found), _available(device, fit)
    power, price = _power(device, estimate), _span(device.price.usd)
    features = device.security.features
    judgements = [
        _latency(estimate, limits.latency_s),
        _energy(estimate, limits.energy_j),
        _fact("power", power, limits.power_w, units.power),
        _fact("price", price, limits.price_usd, units.price),
        _fact("RAM", ram, limits.ram_bytes, lambda size: units.size(round(size))),
        _evidence(estimate, limits.evidence),
        *(_security(features, words) for words in limits.security),
        _room(found, ram, available_bytes),
    ]
    return Candidate(
        device=device.name,
        title=device.title,
        path=None if path is None else str(path),
        estimate=estimate,
        fit=fit,
        placement=None if found is None else found.placement,
        ram=ram,
        available_bytes=available_bytes,
        power=power,
        price_usd=price,
        security=None if features is None else str(features.value),
        notes=_notes(device),
        refusal=refusal,
        judgements=tuple(judged for judged in judgements if judged is not None),
    )


def _best(offered: Sequence[tuple[Path, Format]], device: Device) -> tuple[Path | None, Prospect | None, str | None]:
    """The fastest file of the first of the device's formats in which something can be said; else why nothing can."""
    runs = [(path, format) for format in device.formats for path, told in offered if told == format]
    if not runs:
        takes = " or ".join(FORMAT_NAMES[format] for format in device.formats)
        return None, None, f"no file for it: it runs {takes}"
    refusals: list[str] = []
    said: list[tuple[Path, Prospect]] = []
    for format in device.formats:
        for path, _ in (run for run in runs if run[1] == format):
            try:
                said.append((path, prospect(path, device)))
            except EdgekitError as refused:
                refusals.append(f"cannot be estimated: {refused.why}")
        if said:
            path, found = min(said, key=lambda one: one[1].estimates[0].seconds)
            return path, found, None
    return runs[0][0], None, refusals[0]


def _span(figure: Figure | None) -> Span | None:
    """A fact that is the lower end of a range reaches to its top, which stands at the front of the note."""
    if figure is None:
        return None
    told = RANGE.match(figure.note)
    numbers = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", told[0])] if told else []
    return Span(middle=figure.value, high=max([figure.value, *numbers]), vouched=figure.status != "unsourced")


def _notes(device: Device) -> tuple[str, ...]:
    told = (("load", device.power.load_w), ("at most", device.power.max_w), ("price", device.price.usd))
    return tuple(f"{name} {figure.note}" for name, figure in told if figure is not None and figure.note)


def _power(device: Device, estimate: Estimate | None) -> Span | None:
    """In the middle what the board draws while such files run, or else under load; at most the most that is told."""
    told = [span for span in (_span(device.power.load_w), _span(device.power.max_w)) if span is not None]
    if estimate is not None and estimate.energy_j is not None:
        told.insert(0, Span(middle=estimate.energy_j / estimate.seconds, high=estimate.energy_j / estimate.seconds))
    if not told:
        return None
    return Span(middle=told[0].middle, high=max(span.high for span in told), vouched=all(span.vouched for span in told))


def _ram(path: Path, found: Prospect | None) -> Span | None:
    """Of a microcontroller, activations and what the runtime adds: that of the estimate, or else TFLite Micro. Of
    others the file and the activations of its largest kernel, which is what it takes at least: nothing is known of a
    runtime's own memory there."""
    if found is not None:
        if (ram := _in_its_runtime(found)) is not None:
            return Span(middle=ram.ram_bytes, high=ram.high_bytes)
        if found.fit is not None:
            (need,) = [need for need in found.fit.needs if need.resource == "RAM"]
            return Span(middle=need.computed_bytes, high=need.high_bytes)
    try:
        kernels = kernels_of(path)
    except EdgekitError:
        return None
    largest = max(
        ((kernel.inputs + kernel.outputs) * ACTIVATION_BYTES.get(kernel.precision, 4) for kernel in kernels), default=0
    )
    return Span(middle=path.stat().st_size + largest, high=math.inf)


def _in_its_runtime(found: Prospect) -> RamEstimate | None:
    best = found.estimates[0]
    return next((ram for ram in found.ram if (ram.runtime, ram.version) == (best.runtime, best.version)), None)


def _available(device: Device, fit: Fit | None) -> float | None:
    if fit is not None and device.memory.ram_bytes is not None:
        return device.memory.ram_bytes.value
    told = None if device.memory.dram is None else GIGABYTES.match(str(device.memory.dram.value))
    return None if told is None else float(told[1]) * 1e9


# ---- one limit each: None where it was not given ---------------------------------------------------------------------


def _latency(estimate: Estimate | None, limit: float | None) -> Judgement | None:
    if limit is None or estimate is None:
        return None
    span = Span(middle=estimate.seconds, high=estimate.high_s)
    return _held("latency", span, limit, units.time(span.middle), units.time(span.high), units.time(limit))


def _energy(estimate: Estimate | None, limit: float | None) -> Judgement | None:
    if limit is None or estimate is None:
        return None
    if estimate.energy_j is None or estimate.energy_high_j is None:
        return Judgement(limit="energy", verdict="unknown", why="energy unknown: no power was measured there")
    span = Span(middle=estimate.energy_j, high=estimate.energy_high_j)
    return _held("energy", span, limit, units.energy(span.middle), units.energy(span.high), units.energy(limit))


def _fact(name: str, span: Span | None, limit: float | None, words: Words) -> Judgement | None:
    if limit is None:
        return None
    if span is None:
        return Judgement(limit=name, verdict="unknown", why=f"{name} unknown")
    high = None if math.isinf(span.high) else words(span.high)
    held = _held(name, span, limit, words(span.middle), high, words(limit))
    if held.verdict == "kept" and not span.vouched:
        return replace(held, verdict="perhaps", why=f"{name} {words(span.middle)}, for which nobody vouches")
    return held


def _held(name: str, span: Span, limit: float, middle: str, high: str | None, allowed: str) -> Judgement:
    """high: None where nobody knows."""
    needs = f"needs {middle}" if name == "latency" else f"{name}: needs {middle}"
    if span.high <= limit:
        return Judgement(limit=name, verdict="kept", why=f"{needs}, {allowed} allowed")
    if span.middle <= limit:
        more = "and what its runtime adds" if high is None else f"up to {high}"
        return Judgement(limit=name, verdict="perhaps", why=f"{needs}, {more}, {allowed} allowed")
    return Judgement(limit=name, verdict="broken", why=f"{needs}, {allowed} allowed")


def _evidence(estimate: Estimate | None, least: Evidence | None) -> Judgement | None:
    if least is None or estimate is None:
        return None
    verdict: Verdict = "kept" if estimate.evidence <= least else "broken"
    return Judgement(limit="evidence", verdict=verdict, why=f"evidence {estimate.evidence}, {least} asked for")


def _security(features: Fact | None, words: str) -> Judgement:
    """A feature may be named as what the device lacks; one that nobody names is not known to be there."""
    if features is None:
        return Judgement(limit="security", verdict="unknown", why="security unknown")
    for part in re.split(r"[,;]", str(features.value).casefold()):
        if words.casefold() in part:
            lacks = part.strip().startswith("no ")
            verdict: Verdict = "broken" if lacks else "kept" if features.status != "unsourced" else "perhaps"
            return Judgement(limit="security", verdict=verdict, why=f"security: {part.strip()}")
    return Judgement(limit="security", verdict="unknown", why=f"'{words}' unknown: its file names {features.value}")


def _room(found: Prospect | None, ram: Span | None, available_bytes: float | None) -> Judgement | None:
    """Whether asked for or not: what does not fit does not run."""
    needs = [] if ram is None or available_bytes is None else [("RAM", ram, available_bytes)]
    doubts: tuple[str, ...] = ()
    if found is not None and found.fit is not None:
        (flash,) = [need for need in found.fit.needs if need.resource == "flash"]
        span = Span(middle=flash.computed_bytes, high=flash.high_bytes)
        needs.append(("flash", span, float(flash.available_bytes)))
        doubts = found.fit.doubts if _in_its_runtime(found) is None else ()  # they are those of TFLite Micro
    broken = [need for need in needs if need[1].middle > need[2]]
    if broken:
        told = ", ".join(_of(name, span.middle, there) for name, span, there in broken)
        return Judgement(limit="room", verdict="broken", why=f"does not fit: {told}")
    tight = [need for need in needs if _scarce(need[1], need[2])]
    if not tight and not doubts:
        return None
    told = "; ".join([*doubts, *(f"up to {_of(name, span.high, there)}" for name, span, there in tight)])
    return Judgement(limit="room", verdict="perhaps", why=f"may not fit: {told}")


def _scarce(span: Span, available: float) -> bool:
    """Nothing is made of an end that nobody knows: a board has room for a runtime."""
    return available < span.high < math.inf


def _of(name: str, size_bytes: float, available_bytes: float) -> str:
    return f"{name} {units.size(round(size_bytes))} of {units.size(round(available_bytes))}"
