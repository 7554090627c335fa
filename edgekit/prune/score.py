"""How much each unit of a channel group matters: larger is more, and 1 is the mean of its group.

Scores of different layers are compared when one is chosen, so each is divided by the mean of its own kind: what a
weight holds for a unit by the mean over the weight's channels, and what comes of it by the mean over the group's units.

    norms          |W_c|_1 or |W_c|_2 over the weights that make the channel   Li et al. 2017, arXiv:1608.08710
    norm_factors   |gamma_c| of the norms that make it                         Liu et al. 2017, arXiv:1708.06519
    activations    root mean square of what the channel's readers are given
    taylor         E (sum of w dL/dw)^2 over all that makes it, an L per batch Molchanov et al. 2019, arXiv:1906.10771

Most batch norms are folded into the weights before them, gamma / sigma as a factor: there |W_c| holds gamma, and
norm_factors has nothing to look at. It says so rather than score something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from torch import Tensor

from edgekit.artifact import Arrays
from edgekit.errors import EdgekitError
from edgekit.graph import facts, files
from edgekit.prune.groups import Channels
from edgekit.prune.labels import Ids
from edgekit.run.observer import Observer, mean_of
from edgekit.run.one_thread import one_thread
from edgekit.run.torch_view import Tensors, to_torch

Reals = NDArray[np.float64]
Scores = Mapping[str, Reals]
"""Group -> (units,), in the order of its units."""
Loss = Callable[[Tensors], Tensor]
"""The outputs of a batch -> what is wrong with them, one number."""

LINEAR = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def norms(graph: ir.Model, channels: Channels, order: Literal[1, 2] = 2) -> Scores:
    """Of the weights as they are: no samples needed."""
    nodes = {node.name: node for node in graph.graph}
    found = []
    for use in channels.slices:
        array = facts.constant(nodes[use.node].inputs[use.position])
        if use.weighs and array is not None and array.ndim > 1:
            rows = np.moveaxis(array.astype(np.float64), use.axis, 0).reshape(len(use.labels), -1)
            found.append((use.labels, np.linalg.norm(rows, order, axis=1)))
    return _scores(channels, found)


def norm_factors(graph: ir.Model, channels: Channels) -> Scores:
    """Raises EK304 where a group's channels pass no norm that is still there."""
    nodes = {node.name: node for node in graph.graph}
    found = []
    for use in channels.slices:
        array = facts.constant(nodes[use.node].inputs[use.position])
        if use.weighs and array is not None and array.ndim == 1:
            found.append((use.labels, np.abs(array.astype(np.float64))))
    seen = {unit for labels, _ in found for unit in labels.tolist()}
    for group in channels.groups:
        if not seen.issuperset(group.units):
            raise EdgekitError(
                "EK304",
                f"cannot score the channels of '{group.name}' by the factors of their norm",
                "they have none: it was folded into the weights, where its factors still are",
                "score by the norms of the weights, which the folded factors are part of",
            )
    return _scores(channels, found)


def activations(graph: ir.Model, channels: Channels, samples: Iterable[Arrays]) -> Scores:
    """samples: each array (1, ...), by input name. What layers with weights are given is looked at, one by one."""
    read = {value.name for node in graph.graph for value in _weighed(node)}
    axes = {name: axis for name, (axis, _) in channels.values.items() if name in read}
    observer = Observer(files.to_bytes(_giving(graph, axes)), [], axes, norms=list(axes))
    for sample in samples:
        observer.update([sample])
    squares, count = observer.channel_squares()
    found = [(channels.values[name][1], np.sqrt(mean_of(sums, count))) for name, sums in squares.items()]
    return _scores(channels, found)


def taylor(
    graph: ir.Model,
    channels: Channels,
    batches: Iterable[tuple[Tensors, Loss]],
    wanted: Sequence[str] | None = None,
) -> Scores:
    """batches: inputs by name, and the loss of their outputs, such as the cross-entropy with their labels; wanted: the
    values that the loss is told, the graph's outputs if not said."""
    view = to_torch(graph)
    nodes = {node.name: node for node in graph.graph}
    made = [use for use in channels.slices if use.makes]
    parameters = dict(view.named_parameters())
    totals: dict[int, float] = {}
    for inputs, loss in batches:
        view.zero_grad()
        with one_thread():
            loss(view(inputs, wanted)).backward()  # type: ignore[no-untyped-call]
        changes: dict[int, float] = {}
        for use in made:
            value = nodes[use.node].inputs[use.position]
            parameter = parameters.get((value.name or "") if value is not None else "")
            if parameter is None or parameter.grad is None:  # a constant that no training changes
                continue
            change = (parameter * parameter.grad).detach().double().movedim(use.axis, 0).flatten(1 - parameter.ndim)
            for unit, number in zip(
                use.labels.tolist(), change.reshape(len(use.labels), -1).sum(1).tolist(), strict=True
            ):
                changes[unit] = changes.get(unit, 0.0) + number
        for unit, number in changes.items():
            totals[unit] = totals.get(unit, 0.0) + number**2
    return {group.name: _even(np.array([totals.get(unit, 0.0) for unit in group.units])) for group in channels.groups}


def lines(scores: Scores) -> Iterator[str]:
    """A group a line: its smallest, its median and its largest score."""
    for name, found in scores.items():
        low, median, high = np.quantile(found, (0, 0.5, 1))
        yield f"{name}: {len(found)} units, {low:.3g} .. {median:.3g} .. {high:.3g}"


def _scores(channels: Channels, found: Iterable[tuple[Ids, Reals]]) -> Scores:
    """found: labels along something, and how much each channel holds there."""
    totals: dict[int, float] = {}
    counts: dict[int, int] = {}
    for labels, held in found:
        for unit, number in zip(labels.tolist(), _even(held).tolist(), strict=True):
            totals[unit] = totals.get(unit, 0.0) + number
            counts[unit] = counts.get(unit, 0) + 1
    return {
        group.name: _even(np.array([totals.get(unit, 0.0) / counts.get(unit, 1) for unit in group.units]))
        for group in channels.groups
    }


def _even(held: Reals) -> Reals:
    """Around 1; all 1 where there is nothing."""
    mean = float(held.mean())
    return held / mean if mean > 0 else np.ones(len(held))


def _weighed(node: ir.Node) -> list[ir.Value]:
    """What a layer with weights is given."""
    operands = [value for value in node.inputs[:2] if value is not None] if node.op_type in LINEAR else []
    computed = [value for value in operands if facts.constant(value) is None]
    return computed if len(computed) == 1 else []


def _giving(graph: ir.Model, names: Mapping[str, Any]) -> ir.Model:
    """The graph with these values among its outputs, as far as they are not its inputs."""
    graph = graph.clone()
    given = {value.name for value in [*graph.graph.outputs, *graph.graph.inputs]}
    made = [value for node in graph.graph for value in node.outputs]
    graph.graph.outputs.extend(value for value in made if value.name in names and value.name not in given)
    return graph
