"""How good an answer is: one number per sample, whose mean is the score.

    top1     1 where the largest column is the label's (the first of equals counts), else 0; top5 likewise
    mse      mean of (output - target)^2 over all elements;  mae: mean of |output - target|
    psnr     10 log10(peak^2 / mse), in dB; peak: 1 where all targets lie in [0, 1], 255 where they lie in [0, 255],
             else the targets' own range
    cosine   <output, target> / (|output| |target|), 1 where both are zero
    sqnr     10 log10(sum reference^2 / sum (reference - output)^2), in dB, the mean over the outputs

A ratio in dB has no value where two arrays are equal. float32 carries 24 bits, that is 6.02 x 24 + 1.76 = 146 dB, so
that nothing above CEILING_DB can be told from equal, and CEILING_DB is what equal arrays get.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.artifact import Arrays
from edgekit.errors import EdgekitError
from edgekit.samples import Batch

CEILING_DB = 146.0
PART = 1 << 20
PerSample = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """needs: what each sample is compared with; rate: the per-sample values are 0 or 1."""

    name: str
    unit: str
    higher_is_better: bool
    needs: Literal["labels", "targets", "reference"]
    rate: bool = False


METRICS = {
    metric.name: metric
    for metric in (
        Metric(name="top1", unit="share", higher_is_better=True, needs="labels", rate=True),
        Metric(name="top5", unit="share", higher_is_better=True, needs="labels", rate=True),
        Metric(name="psnr", unit="dB", higher_is_better=True, needs="targets"),
        Metric(name="mse", unit="", higher_is_better=False, needs="targets"),
        Metric(name="mae", unit="", higher_is_better=False, needs="targets"),
        Metric(name="cosine", unit="", higher_is_better=True, needs="targets"),
        Metric(name="sqnr", unit="dB", higher_is_better=True, needs="reference"),
    )
}


def choose(name: str | None, *, labels: bool, target_rank: int | None) -> Metric:
    """The metric asked for, or the one that suits the samples. target_rank: with the batch axis, None: no targets."""
    if name is None:
        if labels:
            return METRICS["top1"]
        if target_rank is None:
            return METRICS["sqnr"]
        return METRICS["psnr" if target_rank == 4 else "mse"]
    if name not in METRICS:
        near = difflib.get_close_matches(name, METRICS, 1)
        raise EdgekitError(
            "EK601",
            f"unknown metric '{name}'",
            f"the metrics are {', '.join(METRICS)}",
            f"did you mean `--metric {near[0]}`?" if near else "leave --metric out to have one chosen",
        )
    metric = METRICS[name]
    if (metric.needs == "labels" and not labels) or (metric.needs == "targets" and target_rank is None):
        raise EdgekitError(
            "EK602",
            f"cannot compute {name}",
            f"it needs {metric.needs}, and the samples have none",
            f"add `{metric.needs}` to the samples, or use `--metric sqnr`, which compares with the float model",
        )
    return metric


def per_sample(metric: Metric, outputs: Arrays, batch: Batch, reference: Arrays) -> PerSample:
    """(B,): the metric of each sample; psnr comes as mse, since its peak is known only after the last sample."""
    match metric.name:
        case "top1" | "top5":
            return _hits(class_scores(outputs), _labels(batch), 5 if metric.name == "top5" else 1)
        case "mse" | "psnr":
            return _over_targets(lambda y, t: np.mean((y - t) ** 2, axis=1), outputs, batch)
        case "mae":
            return _over_targets(lambda y, t: np.mean(np.abs(y - t), axis=1), outputs, batch)
        case "cosine":
            return _over_targets(_cosine, outputs, batch)
        case _:
            return np.asarray(np.mean(list(sqnr(outputs, reference).values()), axis=0), np.float64)


def psnr(mse: PerSample, low: float, high: float) -> PerSample:
    """mse of each sample to dB; low, high: of all targets."""
    peak = 1.0 if low >= 0 and high <= 1 else 255.0 if low >= 0 and high <= 255 else high - low
    return _decibel(np.full_like(mse, peak**2), mse)


def sqnr(outputs: Arrays, reference: Arrays) -> dict[str, PerSample]:
    """By output name, (B,) dB."""
    return {name: _sqnr(outputs[name], exact) for name, exact in reference.items()}


def class_scores(outputs: Arrays) -> NDArray[Any] | None:
    """(B, classes): the first output with one row per sample and more than one column, None where there is none."""
    return next((y for y in outputs.values() if y.ndim == 2 and y.shape[1] > 1), None)


def top1(outputs: Arrays) -> NDArray[np.int64] | None:
    """(B,): the class of each sample, the first of equals; None where the model gives no classes."""
    scores = class_scores(outputs)
    return None if scores is None else np.argmax(scores, axis=1).astype(np.int64)


def targets_of(batch: Batch, outputs: Arrays) -> Arrays:
    """The targets by output name; an only target that is named after no output belongs to the first."""
    assert batch.targets is not None
    if len(batch.targets) == 1 and next(iter(batch.targets)) not in outputs:
        return {next(iter(outputs)): next(iter(batch.targets.values()))}
    unknown = [name for name in batch.targets if name not in outputs]
    if unknown:
        raise EdgekitError(
            "EK604",
            f"no output for the target '{unknown[0]}'",
            f"the model's outputs are {', '.join(outputs)}",
            "name each target array after the output that it belongs to",
        )
    return batch.targets


def _over_targets(distance: Callable[[PerSample, PerSample], PerSample], outputs: Arrays, batch: Batch) -> PerSample:
    rows = []
    for name, target in targets_of(batch, outputs).items():
        y = outputs[name]
        if y.size != target.size:
            raise EdgekitError(
                "EK605",
                f"the targets do not fit the output '{name}'",
                f"a target has shape {target.shape[1:]}, the output {y.shape[1:]}",
                "give targets of the output's shape, or use `--metric sqnr`, which needs none",
            )
        rows.append(distance(_flat(y), _flat(target)))
    return np.asarray(np.mean(rows, axis=0), np.float64)


def _hits(scores: NDArray[Any] | None, labels: NDArray[np.int64], among: int) -> PerSample:
    if scores is None:
        raise EdgekitError(
            "EK603",
            "the samples have labels, but the model gives no classes",
            "no output has one row per sample and more than one column",
            "use `--metric sqnr` to compare with the float model instead",
        )
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise EdgekitError(
            "EK606",
            "the labels do not fit the model",
            f"labels go from {labels.min()} to {labels.max()}, the model has {scores.shape[1]} classes",
            "number the classes from 0 in the order of the model's output",
        )
    if among == 1:
        return np.asarray(np.argmax(scores, axis=1) == labels, np.float64)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :among]
    return np.asarray(np.any(best == labels[:, None], axis=1), np.float64)


def _labels(batch: Batch) -> NDArray[np.int64]:
    assert batch.labels is not None
    return batch.labels


def _cosine(y: PerSample, target: PerSample) -> PerSample:
    norms = np.linalg.norm(y, axis=1) * np.linalg.norm(target, axis=1)
    both_zero = ~np.any(y, axis=1) & ~np.any(target, axis=1)
    products = np.sum(y * target, axis=1)
    ratios = np.divide(products, norms, out=np.zeros_like(norms), where=norms > 0)
    return np.asarray(np.where(both_zero, 1.0, ratios), np.float64)


def _sqnr(y: NDArray[Any], exact: NDArray[Any]) -> PerSample:
    """An infinity is no signal; missed, or in another place, it is infinite noise."""
    signal, noise = np.empty(len(y)), np.empty(len(y))
    for part in parts(exact):
        given, wanted = _flat(y[part]), _flat(exact[part])
        finite = np.isfinite(wanted)
        errors = np.subtract(given, wanted, out=np.zeros_like(wanted), where=finite | (given != wanted))
        signal[part] = np.sum(np.where(finite, wanted, 0.0) ** 2, axis=1)
        noise[part] = np.sum(errors**2, axis=1)
    return _decibel(signal, noise)


def parts(x: NDArray[Any]) -> Iterator[slice]:
    """Of the samples: so many at once as have PART elements, for what takes several copies in float64."""
    step = max(1, PART * len(x) // max(x.size, 1))
    return (slice(start, start + step) for start in range(0, len(x), step))


def _decibel(signal: PerSample, noise: PerSample) -> PerSample:
    tiny = np.finfo(np.float64).tiny
    ratio = 10 * (np.log10(np.maximum(signal, tiny)) - np.log10(np.maximum(noise, tiny)))
    return np.asarray(np.where(noise == 0, CEILING_DB, np.clip(ratio, -CEILING_DB, CEILING_DB)), np.float64)


def _flat(x: NDArray[Any]) -> NDArray[np.float64]:
    """(B, elements) float64."""
    return np.reshape(x, (len(x), -1)).astype(np.float64)
