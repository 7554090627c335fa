"""What verifying found, as values. Rates and shares are 0..1; intervals are 95 %."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

RanIn = Literal["int8", "int16", "float16", "float32", "none"]
"""What a runtime computed an op in; "none" for an op that only converts between precisions or never ran."""


@dataclass(frozen=True)
class Interval:
    """Where the true value lies, with 95 % confidence."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Score:
    """How well one artifact (or the reference) does on the samples.

    label: "torch" or Artifact.label; value: in the metric's unit; interval: of value;
    drop: how much worse than the reference on the same samples (positive = worse), None for the reference;
    flips: samples whose top-1 differs from the reference's, None without classes;
    sqnr_db: against the reference by output name, the mean over the samples; empty for the reference.

    The metric "sqnr" is a distance from the reference already: its reference has the ceiling and no score has a drop.
    """

    label: str
    value: float
    count: int
    interval: Interval | None
    drop: float | None = None
    drop_interval: Interval | None = None
    flips: int | None = None
    sqnr_db: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How alike two files answer.

    top1: share of samples with the same top-1, None without classes; identical: share of output elements that are
    equal; largest_steps: largest difference in steps of the output's scale, None where the output is not quantized.
    """

    first: str
    second: str
    top1: float | None
    identical: float
    largest_steps: int | None


@dataclass(frozen=True, kw_only=True)
class LedgerRow:
    """One op as a runtime executed it.

    node, op: of the graph that was lowered; macs: of one sample; precision: what it was computed in;
    reason: why it is not int8, None where it is; source: "model.py:41".
    """

    node: str
    op: str
    macs: int
    precision: RanIn
    reason: str | None = None
    source: str | None = None


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Which op ran in which precision. int8_macs_share, int16_macs_share: of all MACs, None for a model without any;
    the rest ran in float."""

    label: str
    runtime: str
    rows: tuple[LedgerRow, ...]
    int8_macs_share: float | None
    int16_macs_share: float | None = None

    @property
    def float_ops(self) -> tuple[LedgerRow, ...]:
        """The rows that ran in float, most MACs first."""
        return self.ran_in("float16", "float32")

    def ran_in(self, *precisions: RanIn) -> tuple[LedgerRow, ...]:
        """The rows that ran in one of these, most MACs first."""
        return tuple(sorted((row for row in self.rows if row.precision in precisions), key=lambda row: -row.macs))


@dataclass(frozen=True, kw_only=True)
class LayerError:
    """How far a value inside a quantized file is from the float model's. sqnr_db: signal to noise; inf when equal."""

    node: str
    label: str
    sqnr_db: float
    source: str | None = None


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What every artifact computes, beside what the model computes.

    metric: "top1", "top5", "psnr", "mse", "mae", "cosine" or "sqnr"; unit: "share", "dB" or "" (the samples' own);
    count: samples compared; layers: worst first, empty unless asked for; notes: doubts, in whole sentences;
    sqnr_against: whose answers the SQNR of the scores is against, None where these are the reference's.
    """

    metric: str
    unit: str
    higher_is_better: bool
    count: int
    reference: Score
    scores: tuple[Score, ...]
    agreements: tuple[Agreement, ...] = ()
    ledgers: tuple[Ledger, ...] = ()
    layers: tuple[LayerError, ...] = ()
    notes: tuple[str, ...] = ()
    sqnr_against: str | None = None
