"""How much worse the files may be than the model, and what is done so that they are not.

The drop is judged by the upper end of its 95 % interval, for a promise must hold for samples that nobody has seen. Such
an end has a width even where no answer changes: too few samples cannot show a small drop, whatever the precision. That
is said before any work is done; ops then leave INT8 until at least the drop that is measured is small enough, and the
budget counts as not met.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgekit.data import Data
from edgekit.errors import EdgekitError
from edgekit.graph import cost
from edgekit.quantize.mixed import inside, mix
from edgekit.quantize.result import Quantized
from edgekit.quantize.sensitivity import Sensitivity
from edgekit.report.facts import BudgetFacts, Candidate
from edgekit.verify import limits
from edgekit.verify.limits import Drop
from edgekit.verify.metrics import Metric
from edgekit.verify.result import Verification

Judge = Callable[[Quantized], Verification]
"""Writes the files of a candidate and compares them with the model."""
Ranking = Callable[[Quantized], Sequence[Sensitivity]]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """ranked: the sensitivities, where they were needed; candidates: what was judged on the evaluation samples."""

    quantized: Quantized
    ranked: Sequence[Sensitivity] = ()
    candidates: tuple[Candidate, ...]


def refuse_unjudgeable(data: Data, metric: Metric | None, *, calibrates: bool) -> None:
    """EK421 where no drop can be computed. metric: None without samples to judge on."""
    if metric is None:
        why, fix = "there are no samples to judge on", "give some with --eval, or with --data"
    elif metric.needs == "reference":
        why = f"{metric.name} compares with the float model, from which there is no drop"
        fix = "give labels or targets with the samples, or leave --max-drop out"
    elif not metric.rate and data.evaluation is not None and len(data.evaluation) == 1:
        why, fix = "one sample does not tell how far others are from it", "give more with --eval, or with --data"
    elif calibrates and data.calibration is None:
        why, fix = "there are no samples to calibrate on", "give some with --calib, or with --data"
    else:
        return
    raise _unjudgeable(why, fix)


def beyond_the_samples(max_drop: float, metric: Metric, count: int) -> str | None:
    """A sentence where so many samples cannot show so small a drop."""
    least, unit = limits.least(metric, count), limits.unit(metric)
    if least <= max_drop:
        return None
    return (
        f"{count} samples cannot show a drop within {limits.in_words(max_drop, unit)}: if no answer changed, it might"
        f" still be {limits.in_words(least, unit)}; it takes {limits.least_samples(metric, max_drop)} samples at least"
    )


def within(
    quantized: Quantized,
    max_drop: float,
    judge: Judge,
    rank: Ranking,
    *,
    io_int8: bool,
    in_float: Verification | None = None,
) -> Kept:
    """The quantization with as few MACs outside INT8 as keep the budget, or the best found. io_int8: inputs and outputs
    stay integers; in_float: of a pruned model, which may be over the budget before anything is rounded."""
    verification = judge(quantized)
    drop = _largest(verification)
    candidates = [_candidate(quantized, drop)]
    showable = limits.least(verification, verification.count) <= max_drop

    def excess(drop: Drop) -> float:
        return (drop.upper if showable else drop.measured) - max_drop

    def look(candidate: Quantized) -> float:
        found = judge(candidate)
        drop = _largest(found)
        candidates.append(_candidate(candidate, drop))
        unwritten = _labels(verification) - _labels(found)  # an op may have no form for int16 in one of the formats
        return math.inf if unwritten else excess(drop)

    hopeless = in_float is not None and excess(_largest(in_float, floats=True)) > 0
    if drop.upper <= max_drop or excess(drop) <= 0 or hopeless:
        return Kept(quantized=quantized, candidates=tuple(candidates))
    ranked = rank(quantized)
    because = f"over budget in INT8: --max-drop {max_drop:g}"
    movable = inside(ranked, quantized.base) if io_int8 else ranked
    found = mix(quantized, movable, look, excess(drop), because)
    return Kept(quantized=found.quantized, ranked=ranked, candidates=tuple(candidates))


def facts(
    max_drop: float,
    verification: Verification,
    quantized: Quantized | None,
    candidates: tuple[Candidate, ...],
    *,
    pruned: bool = False,
) -> BudgetFacts:
    """verification: of the files that are kept; quantized: what they were made of, None where no op can leave INT8;
    pruned: the float files are not the model's own."""
    drop = _largest(verification, floats=pruned)
    return BudgetFacts(
        max_drop=max_drop,
        unit=limits.unit(verification),
        met=drop.upper <= max_drop,
        drop=drop.measured,
        upper=drop.upper,
        least=limits.least(verification, verification.count),
        samples=verification.count,
        samples_needed=limits.samples_needed(verification, verification.count, drop, max_drop),
        candidates=candidates,
        shares={} if quantized is None else _shares(quantized),
    )


def _candidate(quantized: Quantized, drop: Drop) -> Candidate:
    return Candidate(drop=drop.measured, upper=drop.upper, shares=_shares(quantized))


def _labels(verification: Verification) -> set[str]:
    return {score.label for score in verification.scores}


def _largest(verification: Verification, *, floats: bool = False) -> Drop:
    """Of the files that were made, not of the float file beside them, which is the model itself unless pruned."""
    counted = [s for s in verification.scores if floats or not s.label.startswith("float32")]
    drop = limits.largest(verification, counted)
    if drop is None:
        raise _unjudgeable("the only file is what others would be compared with", "leave --max-drop or --format out")
    return drop


def _unjudgeable(why: str, fix: str) -> EdgekitError:
    return EdgekitError("EK421", "cannot judge --max-drop", why, fix)


def _shares(quantized: Quantized) -> dict[str, float]:
    macs = cost.macs_by_node(quantized.base)
    total = sum(macs.values())
    if not total:
        return {}
    plan = quantized.plan
    int8, int16 = (sum(macs.get(name, 0) for name in names) for names in (plan.int8_nodes, plan.int16_nodes))
    return {"int8": int8 / total, "int16": int16 / total, "float32": (total - int8 - int16) / total}
