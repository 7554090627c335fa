"""How far a quantized graph's outputs lie from the float ones, under scales that change from trial to trial.

The quantized graph is opened once with its scales and zero points as inputs, so that a trial is a run and not a build.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from math import fsum
from typing import Any, Self

import numpy as np
import onnx_ir as ir

from edgekit.artifact import Arrays
from edgekit.graph import files
from edgekit.quantize.assign import Plan, Scales
from edgekit.quantize.blocks import Block
from edgekit.quantize.insert import scale_name, zero_point_name
from edgekit.run.crew import rest
from edgekit.run.trial import Signal, Trial
from edgekit.run.worker import Worker

STILL = 1e-9  # an output whose variance is below this share of its squares never changes


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

    def __exit__(self, kind: object, *_: object) -> None:
        self._pool.shutdown()
        if kind is None:
            rest(self._workers)

    def open(self, quantized: ir.Model) -> None:
        """From now on, measure this graph."""
        self._all("open", files.to_bytes(with_scale_inputs(quantized, self._groups)))

    def error(self, scales: Scales) -> float:
        """Squared error over signal under these scales, summed over outputs."""
        return relative_error(list(chain.from_iterable(self._all("errors", scale_inputs(scales)))))

    def of(self, quantized: ir.Model, scales: Scales) -> float:
        """The error of one graph under the scales that it was written with."""
        self.open(quantized)
        return self.error(scales)

    def of_constant(self, quantized: ir.Model) -> float:
        """The same where nothing else is to be tried of the graph: its scales stay constants."""
        self._all("open", files.to_bytes(quantized))
        return self.error({})

    def enter(self, block: Block) -> None:
        """The next block of the graph that is open; the blocks are entered and left in order, each once."""
        quantized = with_scale_inputs(block.quantized, self._groups)
        self._needed = block.needed
        self._all("enter", files.to_bytes(block.floats), files.to_bytes(quantized), dict(block.seen))

    def block_error(self, scales: Scales) -> float:
        """As `error`, at the end of the block."""
        return relative_error(list(chain.from_iterable(self._all("block_errors", scale_inputs(scales)))))

    def leave(self, scales: Scales) -> None:
        """The scales of the block are found."""
        self._all("leave", scale_inputs(scales), self._needed)

    def _all(self, method: str, *args: object) -> list[Any]:
        return list(self._pool.map(lambda worker: worker.call(method, *args), self._workers))


def relative_error(errors: Sequence[Sequence[tuple[float, Signal]]]) -> float:
    """Squared error over signal, summed over outputs.

    errors: per sample and output. The sums over samples are exact, whoever measured which. The signal is the squared
    distance of the expected values from their mean over all samples: an output of one number, a probability, has none
    within a sample. An output that never changes is measured by its size; one that is zero throughout by its error.
    """
    found = 0.0
    for output in zip(*errors, strict=True):
        error = fsum(lost for lost, _ in output)
        squares = fsum(signal.squares for _, signal in output)
        size = sum(signal.size for _, signal in output)
        varied = squares - fsum(signal.total for _, signal in output) ** 2 / max(size, 1)
        found += error / ((varied if varied > STILL * squares else squares) or 1.0)
    return found


def with_scale_inputs(graph: ir.Model, groups: Iterable[str]) -> ir.Model:
    """The quantized graph with each group's scale and zero point as inputs."""
    graph = graph.clone()
    for group in groups:
        for name in (scale_name(group), zero_point_name(group)):
            value = graph.graph.initializers.pop(name, None)
            if value is not None:
                value.const_value = None
                graph.graph.inputs.append(value)
    return graph


def scale_inputs(scales: Scales) -> Arrays:
    feeds: Arrays = {}
    for group, qparams in scales.items():
        feeds[scale_name(group)] = qparams.scale
        feeds[zero_point_name(group)] = np.asarray(qparams.zero_point, qparams.dtype)
    return feeds
