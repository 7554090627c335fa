"""What came of a training, as values; apart from the training, so that a report of one loads no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Judged:
    """On the samples that were not trained on. loss: the training's own; top1: share of right classes, None without
    labels."""

    loss: float
    top1: float | None


@dataclass(frozen=True, kw_only=True)
class Training:
    """What came of it. where: the user's name for the samples; epochs: at most; samples: trained on; held_out: kept
    apart to judge by; losses: mean over each epoch; before, after: of the student's graphs; kept: False where it was
    not better; best: the epoch that it is, from 1 on, None where it is the last in any case."""

    where: str
    epochs: int
    batch: int
    lr: float
    optimizer: str
    distilled: float
    labels: bool
    samples: int
    held_out: int
    steps: int
    losses: tuple[float, ...]
    before: Judged
    after: Judged
    kept: bool
    best: int | None = None
