"""Numbers and records in words, as the templates call for them. A null that stood for an infinite number reads so."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edgekit import units
from edgekit.profile.measure import Latency
from edgekit.report.facts import TensorFacts
from edgekit.report.html.figures import RAN_IN
from edgekit.report.pruned import GOAL_NAMES, pruning_lines, sparsity_lines
from edgekit.report.summary import (
    calibration_doubts,
    is_integer,
    memory_in_words,
    metric_name,
    scale_spread,
    training_line,
    value_in_words,
)
from edgekit.report.table import bare, drop_title
from edgekit.verify.result import Interval, Verification


def db(value: float) -> str:
    """Of equal tensors the SQNR is infinite."""
    return f"{value:.1f} dB" if math.isfinite(value) else "equal"


def span(found: Verification, interval: Interval | None) -> str:
    """'86.68..87.99', in the unit of the value beside it."""
    return "" if interval is None else f"{bare(found, interval.low)}..{bare(found, interval.high)}"


def percentiles(latency: Latency) -> str:
    (_, low, high), unit = units.times(latency.median_s, latency.p05_s, latency.p95_s)
    return f"{low}..{high} {unit}"


def tensors(specs: Sequence[TensorFacts]) -> str:
    return ", ".join(f"{spec.name} {spec.dtype} {units.shape(spec.shape)}" for spec in specs)


def file_name(path: str) -> str:
    return Path(path).name


def anchor(text: str) -> str:
    """An id that a link can name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def compact(value: object) -> str:
    """A value of the preprocess contract."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


WORDS: Mapping[str, Callable[..., object] | Mapping[str, str]] = {
    "anchor": anchor,
    "bare": bare,
    "calibration_doubts": calibration_doubts,
    "compact": compact,
    "db": db,
    "drop_title": drop_title,
    "file_name": file_name,
    "goals": GOAL_NAMES,
    "is_integer": is_integer,
    "memory": memory_in_words,
    "metric": metric_name,
    "percentiles": percentiles,
    "pruning": pruning_lines,
    "ran_in": RAN_IN,
    "scale_spread": scale_spread,
    "span": span,
    "sparsity": sparsity_lines,
    "tensors": tensors,
    "training": training_line,
    "value": value_in_words,
}
