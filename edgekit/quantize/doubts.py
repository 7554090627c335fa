"""Why a calibration should not be trusted, as values: the samples against what the model remembers of its training,
against each other, and against those that it is judged on.

The limits were set on eight trained networks with their own calibration samples (offset 0.03 to 0.9, size 0.4 to 1.05,
drowning 3, spread at most 0.23) and on the same samples without their preprocess.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx_ir as ir

from edgekit import units
from edgekit.graph import facts
from edgekit.quantize.assign import Plan
from edgekit.quantize.calibrate import Calibration
from edgekit.quantize.coverage import Coverage
from edgekit.quantize.evidence import Fit, InputRange, Spread, drowning_of, fit_to_norms, input_ranges, scale_spread
from edgekit.quantize.norms import Norms
from edgekit.samples import Samples

Kind = Literal["normalization", "copies", "classes", "constant", "coverage", "few", "stability"]

OFFSET = 2.0  # deviations
SIZE = 3.0  # and its inverse
DROWNING = 50.0  # and half its inverse
COPIES = 0.1  # share of the samples that were given
OUTSIDE = 0.005  # share of the values that evaluation has beyond the calibrated range: clipped, were it the scale's
USED = 0.25  # share of the calibrated range that evaluation uses: less leaves two bits of eight idle
FEW = 8  # samples: fewer can be drawn again in too few ways
SPREAD = 0.3
AS_TRAINED = "prepare them as in training (--scale, --mean, --std)"


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """One reason. about: a tensor, a layer or the samples; value, limit: what was found beside what is allowed."""

    kind: Kind
    about: str
    value: float
    limit: float
    why: str
    fix: str


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What was found out about the calibration samples. copies: of others among those that were given; classes: that
    they show, None without labels; fit: None without a batch norm; drowning: None with one."""

    given: int
    copies: int
    classes: int | None
    inputs: tuple[InputRange, ...]
    fit: Fit | None
    drowning: float | None
    spread: Spread | None
    doubts: tuple[Doubt, ...]


def examined(
    graph: ir.Model,
    plan: Plan,
    calibration: Calibration,
    norms: Norms,
    samples: Samples,
    *,
    given: int,
    copies: int,
    evaluation: Samples | None,
    coverage: Coverage | None,
) -> Examination:
    """graph: the float graph that was calibrated; given, copies: how many samples there were to choose `samples` from,
    and how many of them are equal to others; coverage: of the evaluation samples, where there are any."""
    inputs = tuple(input_ranges(calibration, coverage))
    fit = fit_to_norms(calibration, norms)
    drowning = drowning_of(graph, calibration) if fit is None else None
    spread = scale_spread(plan, calibration)
    doubts = [
        *_of_normalization(fit, drowning, inputs),
        *_of_inputs(inputs),
        *_of_samples(samples, given, copies),
        *_of_classes(samples, evaluation, _width(graph)),
        *_of_stability(spread, len(samples)),
    ]
    return Examination(
        given=given,
        copies=copies,
        classes=None if samples.labels is None else len(np.unique(samples.labels)),
        inputs=inputs,
        fit=fit,
        drowning=drowning,
        spread=spread,
        doubts=tuple(doubts),
    )


def _of_normalization(fit: Fit | None, drowning: float | None, inputs: tuple[InputRange, ...]) -> Iterator[Doubt]:
    spans = ", ".join(f"'{seen.name}' {_span(seen)}" for seen in inputs)
    if fit is not None and fit.offset > OFFSET:
        why = f"the samples ({spans}) put the batch norm at {fit.norm} {fit.offset:.3g} deviations off its training"
        yield _not_normalized(fit.norm, fit.offset, OFFSET, why)
    elif fit is not None and not 1 / SIZE <= fit.size <= SIZE:
        why = f"the samples ({spans}) vary {fit.size:.2g} times as much at the batch norm at {fit.norm} as in training"
        yield _not_normalized(fit.norm, fit.size, SIZE if fit.size > 1 else 1 / SIZE, why)
    elif drowning is not None and not 0.5 / DROWNING <= drowning <= DROWNING:
        why = f"the samples ({spans}) make the first layer's products {drowning:.3g} times its biases"
        yield _not_normalized(inputs[0].name, drowning, DROWNING if drowning > 1 else 0.5 / DROWNING, why)


def _not_normalized(about: str, value: float, limit: float, why: str) -> Doubt:
    return Doubt(kind="normalization", about=about, value=value, limit=limit, why=why, fix=AS_TRAINED)


def _span(seen: InputRange) -> str:
    kind = "integers " if seen.whole else ""
    return f"{kind}{seen.low:.4g}..{seen.high:.4g}"


def _of_inputs(inputs: tuple[InputRange, ...]) -> Iterator[Doubt]:
    for seen in inputs:
        if seen.constant_channels:
            named = ", ".join(map(str, seen.constant_channels[:4]))
            more = ", ..." if len(seen.constant_channels) > 4 else ""
            yield Doubt(
                kind="constant",
                about=seen.name,
                value=len(seen.constant_channels),
                limit=0,
                why=f"channel {named}{more} of '{seen.name}' is the same in all calibration samples",
                fix="check how the samples were made, and --samples-layout",
            )
        if seen.outside is not None and seen.outside > OUTSIDE:
            yield Doubt(
                kind="coverage",
                about=seen.name,
                value=seen.outside,
                limit=OUTSIDE,
                why=f"{units.percent(seen.outside)} of the evaluation's values of '{seen.name}' "
                f"({seen.evaluation_low:.4g}..{seen.evaluation_high:.4g}) lie outside what calibration saw "
                f"({seen.low:.4g}..{seen.high:.4g})",
                fix="calibrate on samples like those that the model will meet, or on more of them (--calib-count)",
            )
        elif seen.used is not None and seen.used < USED:
            yield Doubt(
                kind="coverage",
                about=seen.name,
                value=seen.used,
                limit=USED,
                why=f"the evaluation uses {units.percent(seen.used)} of the range of '{seen.name}' that calibration "
                f"saw ({seen.low:.4g}..{seen.high:.4g})",
                fix="prepare calibration and evaluation samples alike, and leave broken ones out",
            )


def _of_samples(samples: Samples, given: int, copies: int) -> Iterator[Doubt]:
    if copies > COPIES * given:
        yield Doubt(
            kind="copies",
            about=samples.where,
            value=copies / given,
            limit=COPIES,
            why=f"{units.whole(copies)} of the {units.whole(given)} samples to calibrate on are copies of others",
            fix="give different samples: a copy says nothing new, and was left out",
        )


def _of_classes(samples: Samples, evaluation: Samples | None, width: int) -> Iterator[Doubt]:
    """width: numbers in an output, as many as the model knows classes, though the samples need not be of all."""
    if samples.labels is None or len(samples) < 2:
        return
    seen = len(np.unique(samples.labels))
    judged = len(np.unique(evaluation.labels)) if evaluation is not None and evaluation.labels is not None else 0
    there = max(judged, len(samples.class_names or ()))
    expected = min(there, len(samples) // 2)  # each class in two samples: of 1000 classes, 64 samples show 32 and more
    if (seen == 1 and max(there, width) > 1) or 2 * seen < expected:
        yield Doubt(
            kind="classes",
            about=samples.where,
            value=seen,
            limit=max(2, expected // 2),
            why=f"the {units.whole(len(samples))} calibration samples show {seen} of {max(there, width)} classes",
            fix="calibrate on samples of all classes",
        )


def _width(graph: ir.Model) -> int:
    shape = facts.shape(graph.graph.outputs[0])
    return (shape[1] or 0) if shape and len(shape) == 2 else 0  # a map or a sequence of scores is not of one class


def _of_stability(spread: Spread | None, count: int) -> Iterator[Doubt]:
    if count < FEW:
        yield Doubt(
            kind="few",
            about="calibration",
            value=count,
            limit=FEW,
            why=f"{units.plural(count, 'calibration sample')} cannot say how the scales would vary",
            fix=f"give {FEW} samples or more; some hundreds are usual",
        )
    elif spread is not None and spread.worst > SPREAD:
        yield Doubt(
            kind="stability",
            about=spread.tensor,
            value=spread.worst,
            limit=SPREAD,
            why=f"drawn again, the samples move the range of '{spread.tensor}' by {units.percent(spread.worst, 0)}",
            fix="calibrate on more samples (--calib, --calib-count), or leave out what is not typical",
        )
