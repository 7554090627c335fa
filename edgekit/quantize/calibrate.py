"""Run the calibration samples through the float graph, once, and gather what the decisions need.

Which samples are held out is decided by their content, so that neither their order nor the batches they come in can
change a scale. The statistics of both parts add up to those of all samples exactly.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from queue import Queue

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.artifact import Arrays
from edgekit.graph import facts
from edgekit.progress import Advance, Progress
from edgekit.quantize import observe
from edgekit.quantize.assign import Plan
from edgekit.quantize.correct import Means, channel_axes
from edgekit.quantize.norms import NO_NORMS, Norms, input_axes
from edgekit.quantize.observe import Statistics
from edgekit.quantize.reach import ENOUGH, reaches
from edgekit.run.crew import rest
from edgekit.run.observer import InputSeen, Observer, mean_of
from edgekit.run.worker import Worker
from edgekit.samples import Samples

CHUNK = 8  # samples per message to a worker
ACTIVATION_BYTES = 256 * 2**20
"""What one forward may hand out: a graph whose activations take more is run in several passes, each for some values."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """fit: statistics without the held-out samples; all: with them; few: too few samples to hold any range against.

    means, peaks: value -> (C,) mean and largest magnitude per channel, for the inputs of linear ops and for `norms`;
    fit_means: without the held-out samples; squares: as means, of the squares, for `norms`; inputs: what the float
    inputs were; extremes: value -> (N, 2) each sample's smallest and largest, in an order of their own.
    """

    fit: Mapping[str, Statistics]
    all: Mapping[str, Statistics]
    few: bool
    means: Means
    fit_means: Means
    peaks: Mapping[str, NDArray[np.float64]]
    squares: Mapping[str, NDArray[np.float64]]
    inputs: Mapping[str, InputSeen]
    extremes: Mapping[str, NDArray[np.float32]]
    held_out: Sequence[Arrays]


def calibrate(
    graph: ir.Model,
    plan: Plan,
    samples: Samples,
    held_out: int,
    workers: Sequence[Worker],
    progress: Progress,
    norms: Norms = NO_NORMS,
) -> Calibration:
    """Stream the samples through the graph; held_out of them are kept back from `fit`, the others are forgotten.

    norms: the values whose channels' squares are wanted too.
    """
    apart = held_apart(samples, held_out)
    fit: dict[str, Statistics] = {}
    everything: dict[str, Statistics] = {}
    means: dict[str, NDArray[np.float64]] = {}
    peaks: dict[str, NDArray[np.float64]] = {}
    fit_means: dict[str, NDArray[np.float64]] = {}
    squares: dict[str, NDArray[np.float64]] = {}
    inputs: dict[str, InputSeen] = {}
    extremes: dict[str, list[NDArray[np.float32]]] = {}
    fit_extremes: dict[str, list[NDArray[np.float32]]] = {}
    kept: dict[str, list[Arrays]] = {}
    watched = [name for name in norms if name in {value.name for node in graph.graph for value in node.outputs}]
    all_axes = channel_axes(graph, plan) | dict.fromkeys(watched, 1)
    passes = _passes(graph, plan, all_axes)
    with progress.step("calibrating", len(samples) * len(passes)) as advance:
        for values in passes:
            axes = {name: axis for name, axis in all_axes.items() if name in values}
            squared = [name for name in watched if name in values]
            model = observe.observable(graph, values)
            for worker in workers:
                made = (model, values, axes, plan.counted_as, squared, input_axes(graph))
                worker.become(Observer, *made, what="running the float model")
            kept = _stream(graph, workers, samples, apart, advance)
            fit = _added(fit, _merged(workers))
            fit_means |= _means(workers, "channel_sums")
            for name, found in _extremes(workers):
                fit_extremes.setdefault(name, []).append(found)
            others = [sample for copies in kept.values() for sample in copies]
            workers[0].call("update", others)
            advance(len(others))
            everything = _added(everything, _merged(workers))
            means |= _means(workers, "channel_sums")
            squares |= _means(workers, "channel_squares")
            peaks |= _peaks(workers)
            inputs = _inputs(workers)
            for name, found in _extremes(workers):
                extremes.setdefault(name, []).append(found)
            rest(workers)
    observe.check_not_all_zero(graph, everything, len(samples))
    observe.check_finite(everything)
    everything = _with_levels(_reaching(everything, extremes), inputs)
    parted = len(samples) > len(others)
    return Calibration(
        fit=_with_levels(_reaching(fit, fit_extremes), inputs) if parted else everything,
        all=everything,
        few=len(samples) < ENOUGH,
        means=means,
        fit_means=fit_means if parted else means,
        peaks=peaks,
        squares=squares,
        inputs=inputs,
        extremes={name: _in_order(np.concatenate(found)) for name, found in extremes.items()},
        held_out=[kept[name][0] for name in sorted(kept)],
    )


def held_apart(samples: Samples, count: int) -> frozenset[str]:
    """The ids of so many samples that no range is taken from; of half of those that differ where they are fewer."""
    ids = sorted(set(samples.ids))
    return frozenset(ids[: min(count, max(1, len(ids) // 2))])


def _reaching(
    statistics: Mapping[str, Statistics], extremes: Mapping[str, list[NDArray[np.float32]]]
) -> dict[str, Statistics]:
    """With an estimate of where a new sample goes."""
    found = reaches({name: np.concatenate(parts) for name, parts in extremes.items()})
    return {name: replace(seen, reach=found[name]) for name, seen in statistics.items()}


def _with_levels(statistics: Mapping[str, Statistics], inputs: Mapping[str, InputSeen]) -> dict[str, Statistics]:
    """With the numbers that the inputs take."""
    levels = {name: seen.levels for name, seen in inputs.items()}
    return {name: replace(found, levels=levels.get(name)) for name, found in statistics.items()}


def one_by_one(graph: ir.Model, samples: Samples) -> Iterator[tuple[str, Arrays]]:
    """(id, sample): every array (1, ...), under the graph's names and in its types."""
    types = {value.name or "": value.dtype.numpy() for value in graph.graph.inputs if value.dtype is not None}
    for batch in samples.batches(CHUNK):
        for row, name in enumerate(batch.ids):
            yield name, {k: np.ascontiguousarray(x[row : row + 1], types[k]) for k, x in batch.inputs.items()}


def _stream(
    graph: ir.Model, workers: Sequence[Worker], samples: Samples, apart: frozenset[str], advance: Advance
) -> dict[str, list[Arrays]]:
    """Send every sample that is not kept apart to an observer; return those that are, with their copies."""
    kept: dict[str, list[Arrays]] = {}
    pending: deque[Future[int]] = deque()
    free: Queue[Worker] = Queue()
    for worker in workers:
        free.put(worker)

    def update(chunk: list[Arrays]) -> int:
        observer = free.get()
        try:
            observer.call("update", chunk)
        finally:
            free.put(observer)
        return len(chunk)

    with ThreadPoolExecutor(len(workers)) as pool:
        chunk: list[Arrays] = []
        for name, sample in one_by_one(graph, samples):
            if name in apart:
                kept.setdefault(name, []).append(sample)
                continue
            chunk.append(sample)
            if len(chunk) == CHUNK:
                pending.append(pool.submit(update, chunk))
                chunk = []
            if len(pending) > 2 * len(workers):  # so that a fast reader does not pile up samples
                advance(pending.popleft().result())
        pending.append(pool.submit(update, chunk))
        for future in pending:
            advance(future.result())
    return kept


def _passes(graph: ir.Model, plan: Plan, channel_axes: Mapping[str, int]) -> list[list[str]]:
    """The values to observe, in as many forwards as their memory asks for."""
    observed = {name for group in plan.groups for name in group.observed}
    observed |= {*channel_axes, *plan.counted_as}
    passes: list[list[str]] = [[]]
    used = 0
    for value in [*graph.graph.inputs, *(value for node in graph.graph for value in node.outputs)]:
        if value.name not in observed:
            continue
        size = 4 * math.prod(facts.static_shape(value))
        if passes[-1] and used + size > ACTIVATION_BYTES:
            passes.append([])
            used = 0
        passes[-1].append(value.name)
        used += size
    return passes


def _added(total: Mapping[str, Statistics], part: Mapping[str, Statistics]) -> dict[str, Statistics]:
    """A family's values may be observed in several passes."""
    both = {name: Statistics.merged([total[name], part[name]]) for name in total.keys() & part.keys()}
    return {**total, **part, **both}


def _merged(workers: Sequence[Worker]) -> dict[str, Statistics]:
    found = [observer.call("statistics") for observer in workers]
    return {name: Statistics.merged([Statistics(*part[name]) for part in found]) for name in found[0]}


def _means(workers: Sequence[Worker], method: str) -> dict[str, NDArray[np.float64]]:
    found = [observer.call(method) for observer in workers]
    count = sum(samples for _, samples in found)
    totals: dict[str, NDArray[np.int64]] = {}
    for sums, _ in found:
        for name, total in sums.items():
            totals[name] = totals.get(name, 0) + total
    return {name: mean_of(total, count) for name, total in totals.items()}


def _inputs(workers: Sequence[Worker]) -> dict[str, InputSeen]:
    found: dict[str, InputSeen] = {}
    for observer in workers:
        for name, seen in observer.call("inputs").items():
            found[name] = seen.with_(found.get(name))
    return found


def _extremes(workers: Sequence[Worker]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for observer in workers:
        yield from observer.call("extremes").items()


def _in_order(pairs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sorted: which worker saw a sample must not show."""
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _peaks(workers: Sequence[Worker]) -> dict[str, NDArray[np.float64]]:
    found: dict[str, NDArray[np.float64]] = {}
    for observer in workers:
        for name, peak in observer.call("channel_peaks").items():
            found[name] = np.maximum(found.get(name, 0.0), peak)
    return found
