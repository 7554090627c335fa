"""One streaming pass: every batch goes once to the reference and to every runner, side by side.

What stays of a sample is a number per file and the class it got, so that memory grows by some bytes per sample and not
by its outputs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgekit.artifact import Arrays
from edgekit.errors import EdgekitError
from edgekit.progress import Advance
from edgekit.samples import Batch, Samples
from edgekit.verify import metrics

BATCH_BYTES = 16 << 20  # of inputs: some batches and their copies on the way to the workers stay small
LARGEST_BATCH = 128
AHEAD = 2  # batches under way: whoever is fast need not wait for the slowest at each batch


T = TypeVar("T")
Ask = Callable[[Arrays], Future[Arrays]]
"""Hands a batch to somebody who answers in a thread of his own, in order."""


@dataclass
class Answers:
    """What one file (or the reference) answered. values: the metric per sample; classes: top-1 per sample or None."""

    values: NDArray[np.float64]
    classes: NDArray[np.int64] | None
    sqnr_db: dict[str, float]


@dataclass
class Likeness:
    """Two files compared element by element. steps: None where an output is not quantized."""

    equal: int = 0
    elements: int = 0
    steps: int | None = 0


@dataclass
class _Tally:
    values: list[NDArray[np.float64]] = field(default_factory=list)
    classes: list[NDArray[np.int64]] = field(default_factory=list)
    sqnr: list[dict[str, NDArray[np.float64]]] = field(default_factory=list)


def ask_all(
    asks: Mapping[str, Ask],
    samples: Samples,
    metric: metrics.Metric,
    pairs: Mapping[tuple[str, str], Mapping[str, float]],
    advance: Advance,
    watch: Callable[[Arrays], None] | None = None,
    made_of: str | None = None,
) -> tuple[dict[str, Answers], dict[tuple[str, str], Likeness]]:
    """asks: by label, the reference first; pairs: labels of files to compare element by element, each with the scales
    of the quantized outputs by name; watch: is shown the inputs of every batch; made_of: whose answers the SQNR is
    against, None for the reference's."""
    reference = next(iter(asks))
    made_of = made_of or reference
    tallies = {label: _Tally() for label in asks}
    likenesses = {pair: Likeness() for pair in pairs}
    low, high, done = np.inf, -np.inf, 0
    for batch, outputs in _answered(asks, samples):
        exact = outputs[reference]
        if watch is not None:
            watch(batch.inputs)
        for label, answer in outputs.items():
            _check(label, answer, exact, reference, range(done, done + len(batch.ids)))
            tallies[label].values.append(metrics.per_sample(metric, answer, batch, exact))
            # Targets say that the outputs are values: the largest of them is no class.
            if batch.targets is None and (classes := metrics.top1(answer)) is not None:
                tallies[label].classes.append(classes)
            if label not in (reference, made_of):
                tallies[label].sqnr.append(metrics.sqnr(answer, outputs[made_of]))
        for (first, second), scales in pairs.items():
            _add(likenesses[first, second], outputs[first], outputs[second], scales)
        if metric.name == "psnr":
            assert batch.targets is not None
            low = min(low, *(float(t.min()) for t in batch.targets.values()))
            high = max(high, *(float(t.max()) for t in batch.targets.values()))
        done += len(batch.ids)
        advance(len(batch.ids))
    answers = {label: _summed(tally) for label, tally in tallies.items()}
    if metric.name == "psnr":
        for answer_of in answers.values():
            answer_of.values = metrics.psnr(answer_of.values, low, high)
    return answers, likenesses


def batch_size(samples: Samples) -> int:
    """How many samples make a batch of about BATCH_BYTES."""
    size = sum(np.dtype(dtype).itemsize * int(np.prod(shape)) for shape, dtype in samples.signature.values())
    return int(np.clip(BATCH_BYTES // max(size, 1), 1, LARGEST_BATCH))


def expected(run: Callable[[Arrays], T], samples: Samples) -> Iterator[T]:
    """What the model answers, batch by batch as `ask_all` asks for it."""
    return (run(batch.inputs) for batch in samples.batches(batch_size(samples)))


def _answered(asks: Mapping[str, Ask], samples: Samples) -> Iterator[tuple[Batch, dict[str, Arrays]]]:
    """Each batch with everybody's outputs, in order."""
    waiting: deque[tuple[Batch, dict[str, Future[Arrays]]]] = deque()
    for batch in samples.batches(batch_size(samples)):
        waiting.append((batch, {label: ask(batch.inputs) for label, ask in asks.items()}))
        if len(waiting) > AHEAD:
            yield _collected(*waiting.popleft())
    while waiting:
        yield _collected(*waiting.popleft())


def _collected(batch: Batch, futures: dict[str, Future[Arrays]]) -> tuple[Batch, dict[str, Arrays]]:
    return batch, {label: future.result() for label, future in futures.items()}


def _check(label: str, outputs: Arrays, exact: Arrays, reference: str, numbers: range) -> None:
    """Stop at an answer that no metric can judge. numbers: of the samples in this batch, counted from 0."""
    for name, y in exact.items():
        if y.shape[:1] != (len(numbers),):
            raise EdgekitError(
                "EK607",
                f"{reference} does not give a row for each sample",
                f"its output '{name}' has shape {y.shape} for {len(numbers)} samples",
                "let the model put the batch first in every output; a file runs one sample at a time",
            )
        if name not in outputs or outputs[name].shape != y.shape:
            seen = f"shape {outputs[name].shape[1:]}" if name in outputs else "no such output"
            raise EdgekitError(
                "EK607",
                f"{label} and {reference} do not give the same outputs",
                f"'{name}' has shape {y.shape[1:]} in {reference}, {seen} in {label}",
                "compare files of one model; where edgekit wrote both of one, please report it: the mistake is its own",
            )
    for name in exact:
        bad = np.isnan(np.reshape(outputs[name], (len(outputs[name]), -1))).any(axis=1)
        if bad.any():
            raise EdgekitError(
                "EK608",
                f"{label} gives NaN",
                f"in output '{name}' for sample {numbers[int(np.argmax(bad))]}, counted from 0",
                "look for infinities, empty samples or a division by zero in the model or its samples",
            )


def _add(likeness: Likeness, first: Arrays, second: Arrays, scales: Mapping[str, float]) -> None:
    """Count what is equal. Both files give scale * (q - zero_point) in float32, so equal integers are equal floats, and
    the difference divided by the scale is the difference in steps."""
    for name, x in first.items():
        y: NDArray[Any] = second[name]
        likeness.equal += int(np.sum(x == y))
        likeness.elements += x.size
        if name not in scales:
            likeness.steps = None
        elif likeness.steps is not None:
            gap = max(np.max(np.abs(x[part].astype(np.float64) - y[part])) for part in metrics.parts(x))
            likeness.steps = max(likeness.steps, int(np.rint(gap / scales[name])))


def _summed(tally: _Tally) -> Answers:
    names = tally.sqnr[0] if tally.sqnr else {}
    return Answers(
        values=np.concatenate(tally.values),
        classes=np.concatenate(tally.classes) if tally.classes else None,
        sqnr_db={name: float(np.concatenate([row[name] for row in tally.sqnr]).mean()) for name in names},
    )
