"""What became of each file, beside what it was made of; and what that comes to, as verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgekit import units
from edgekit.profile.measure import Latency
from edgekit.report.facts import FileFacts, Report
from edgekit.report.pruned import UNPRUNED
from edgekit.report.summary import (
    base_of,
    budget_in_words,
    calibration_doubts,
    drop_in_words,
    is_integer,
    metric_name,
    precision_shares,
    ups_of,
)
from edgekit.report.table import by_runtime
from edgekit.verify.result import Ledger, Score

Tone = Literal["good", "bad", "doubt", "open"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A file, or what a file is held against. smaller: how many times, than the float (or unpruned) file of its format;
    up: how many times as fast as that; None where there is nothing to say."""

    label: str
    file: FileFacts | None
    size_bytes: int | None
    smaller: float | None
    score: Score | None
    latency: Latency | None
    up: float | None

    @property
    def made(self) -> bool:
        """What the run was for, rather than what it is held against."""
        return is_integer(self.label)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """tone: how to take it; said: in a few words; because: the numbers."""

    tone: Tone
    about: str
    said: str
    because: str


def rows(report: Report) -> list[Row]:
    """The reference on top, then format by format: before, after."""
    found = report.verification
    scores = {score.label: score for score in ((found.reference, *found.scores) if found is not None else ())}
    files = {file.label: file for file in report.files}
    latencies = {latency.label: latency for latency in report.latencies}
    unkept = report.pruning.unpruned_bytes if report.pruning is not None else {}
    sizes = unkept | {label: file.size_bytes for label, file in files.items()}
    ups = ups_of(report, base_of(report))
    return [
        Row(
            label=label,
            file=files.get(label),
            size_bytes=sizes.get(label),
            smaller=_smaller(label, sizes, base_of(report)),
            score=scores.get(label),
            latency=latencies.get(label),
            up=ups.get(label),
        )
        for label in by_runtime(dict.fromkeys([*scores, *sizes, *latencies]))
    ]


def _smaller(label: str, sizes: dict[str, int], base: str) -> float | None:
    """A TFLite file of which no float one was kept is held against the float file there is."""
    precision, _, kind = label.partition(" ")
    if precision in (base, UNPRUNED) or label not in sizes:
        return None
    whole = sizes.get(f"{base} {kind}") or max(
        (size for each, size in sizes.items() if each.startswith(base)), default=0
    )
    return whole / sizes[label] if whole else None


def verdicts(report: Report) -> list[Verdict]:
    """What a reader wants to know first: is it within the budget, as good, faster, in integers, to be believed."""
    said = [_budget(report), _accuracy(report), _speed(report), *_agreements(report), _integers(report)]
    return [verdict for verdict in (*said, _calibration(report)) if verdict is not None]


def _budget(report: Report) -> Verdict:
    if report.budget is None:
        return Verdict(tone="open", about="Budget", said="none was set", because="--max-drop sets one")
    because = "; ".join(part for part in (budget_in_words(report), precision_shares(report)) if part)
    if report.budget.met:
        return Verdict(tone="good", about="Budget", said="met", because=because)
    return Verdict(tone="bad", about="Budget", said="NOT met", because=because)


def _accuracy(report: Report) -> Verdict | None:
    found = report.verification
    if found is None:
        return Verdict(tone="doubt", about="Accuracy", said="not verified", because="there were no samples to judge on")
    dropped = [score for score in found.scores if score.drop is not None]
    worst = max(dropped, key=lambda score: score.drop or 0.0, default=None)
    if worst is None or worst.drop is None:
        return None
    name, interval = metric_name(found), worst.drop_interval
    if interval is None:
        because = f"{worst.label}: {drop_in_words(found, worst.drop)} of {name}, without an interval"
        return Verdict(tone="doubt", about="Accuracy", said="measured", because=because)
    drop, upper = drop_in_words(found, worst.drop), drop_in_words(found, max(0.0, interval.high))
    because = f"{worst.label}: {name} drops by {drop}, at worst by {upper} (95 %, {units.whole(found.count)} samples)"
    if interval.low > 0:
        return Verdict(tone="bad", about="Accuracy", said="lower than before", because=because)
    if worst.drop <= 0:
        return Verdict(tone="good", about="Accuracy", said="no loss was measured", because=because)
    if report.budget is not None and report.budget.met:
        return Verdict(tone="good", about="Accuracy", said="within the budget", because=because)
    return Verdict(tone="open", about="Accuracy", said="a loss is neither shown nor excluded", because=because)


def _speed(report: Report) -> Verdict | None:
    ups = {label: up for label, up in ups_of(report, base_of(report)).items() if is_integer(label)}
    if not ups:
        return None
    because = ", ".join(f"{label} {up:.2f}x" for label, up in ups.items())
    because += f" as fast as {base_of(report)} in the same runtime, measured in turns on {report.machine.cpu}"
    if round(min(ups.values()), 2) >= 1:
        doubts = any(latency.doubts for latency in report.latencies)
        return Verdict(tone="good", about="Speed", said="faster" + (", with doubts" if doubts else ""), because=because)
    return Verdict(
        tone="bad", about="Speed", said="slower" if round(max(ups.values()), 2) < 1 else "mixed", because=because
    )


def _agreements(report: Report) -> list[Verdict]:
    said = []
    for found in report.verification.agreements if report.verification is not None else ():
        because = f"{units.percent(found.identical, 2)} of the outputs of {found.first} and {found.second} identical"
        if found.top1 is not None:
            because = f"same top-1 for {units.percent(found.top1, 2)} of the samples; {because}"
        if found.largest_steps:
            because += f", at most {units.plural(found.largest_steps, 'step')} apart"
        alike = found.identical > 0.5 or (found.top1 or 0.0) > 0.99
        tone: Tone = "good" if alike else "doubt"
        said.append(Verdict(tone=tone, about="Two formats", said="agree" if alike else "differ", because=because))
    return said


def _integers(report: Report) -> Verdict | None:
    ledgers = ledgers_of(report)
    shares = [ledger.int8_macs_share for ledger in ledgers if ledger.int8_macs_share is not None]
    if not shares:
        return None
    left = max(len(ledger.float_ops) for ledger in ledgers)
    because = f"of the MACs ran in INT8, as the runtimes executed it; {units.plural(left, 'op')} in float"
    because = f"{units.percent(min(shares))} {because}"
    if min(shares) == 1:
        return Verdict(tone="good", about="Precision", said="every MAC in INT8", because=because)
    return Verdict(tone="doubt", about="Precision", said="not all in INT8", because=because)


def ledgers_of(report: Report) -> Sequence[Ledger]:
    """Of the files in integers; of all where none is."""
    ledgers = report.verification.ledgers if report.verification is not None else ()
    return [ledger for ledger in ledgers if is_integer(ledger.label)] or ledgers


def _calibration(report: Report) -> Verdict | None:
    facts = report.quantization
    if facts is None:
        return None
    if not facts.calibrated:
        return Verdict(tone="bad", about="Calibration", said="uncalibrated", because="the inputs were synthesised")
    if doubts := calibration_doubts(report):
        return Verdict(
            tone="doubt", about="Calibration", said=units.plural(len(doubts), "doubt"), because="; ".join(doubts)
        )
    return None
