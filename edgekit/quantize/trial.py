"""How far a quantized graph's outputs lie from the float ones, under scales that change from trial to trial.

The quantized graph is opened once with its scales and zero points as inputs, so that a trial is a run and not a build.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from math import fsum
from typing import Self

import numpy as np
import onnx_ir as ir

from edgekit.artifact import Arrays
from edgekit.graph import files
from edgekit.quantize.assign import Plan, Scales
from edgekit.quantize.insert import scale_name, zero_point_name
from edgekit.run.trial import Trial
from edgekit.run.worker import Worker


class Trials:
    """The same on several workers, each with a share of the samples."""

    def __init__(self, graph: ir.Model, plan: Plan, samples: Sequence[Arrays], workers: Sequence[Worker]) -> None:
        self._groups = [group.name for group in plan.groups]
        self._workers = workers[: len(samples)]
        model = files.to_bytes(graph)
        for i, worker in enumerate(self._workers):
            worker.become(Trial, model, samples[i :: len(self._workers)], what="running the quantized model")
        self._pool = ThreadPoolExecutor(len(self._workers))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def open(self, quantized: ir.Model) -> None:
        """From now on, measure this graph."""
        model = with_scale_inputs(quantized, self._groups)
        inputs = {value.name for value in quantized.graph.initializers.values()}
        self._fed = [group for group in self._groups if scale_name(group) in inputs]
        list(self._pool.map(lambda worker: worker.call("open", model), self._workers))

    def error(self, scales: Scales) -> float:
        """Squared error over signal under these scales, summed over outputs."""
        feeds = scale_inputs({group: scales[group] for group in self._fed})
        shares = list(self._pool.map(lambda worker: worker.call("errors", feeds), self._workers))
        return relative_error(list(chain.from_iterable(shares)))

    def of(self, quantized: ir.Model, scales: Scales) -> float:
        """The error of one graph under the scales that it was written with."""
        self.open(quantized)
        return self.error(scales)


def relative_error(errors: Sequence[Sequence[tuple[float, float]]]) -> float:
    """Squared error over signal, summed over outputs.

    errors: per sample and output. The sums over samples are exact, whoever measured which.
    """
    totals = [tuple(map(fsum, zip(*samples, strict=True))) for samples in zip(*errors, strict=True)]
    return float(sum(error / max(signal, np.finfo(np.float64).tiny) for error, signal in totals))


def with_scale_inputs(graph: ir.Model, groups: Iterable[str]) -> bytes:
    """The quantized graph with each group's scale and zero point as inputs."""
    graph = graph.clone()
    for group in groups:
        for name in (scale_name(group), zero_point_name(group)):
            value = graph.graph.initializers.pop(name, None)
            if value is not None:
                value.const_value = None
                graph.graph.inputs.append(value)
    return files.to_bytes(graph)


def scale_inputs(scales: Scales) -> Arrays:
    feeds: Arrays = {}
    for group, qparams in scales.items():
        feeds[scale_name(group)] = qparams.scale
        feeds[zero_point_name(group)] = np.asarray(qparams.zero_point, qparams.dtype)
    return feeds
