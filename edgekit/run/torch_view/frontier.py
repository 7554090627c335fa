"""Run a view stage by stage over many samples, keeping of each stage only what later ones read.

A stage asks for a few values deep in the graph; the next one goes on from there. So the values that one op after the
other reads are had in one forward in all, and memory is bounded by the widest place of the graph, not by its depth.
What a QuantizeLinear made is kept as the integers that it is: a quarter of the bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir
import torch

from edgekit.graph import facts
from edgekit.run.torch_view import Tensors, TorchView
from edgekit.run.torch_view.rounding import DTYPES


@dataclass(frozen=True)
class Stage:
    """wanted: names of values; kept: those that later stages read, with what they are stored as (None: as they are)."""

    wanted: tuple[str, ...]
    kept: Mapping[str, torch.dtype | None]


class Frontier:
    """The values at which a view stands, batch by batch."""

    def __init__(self, view: TorchView, stages: Sequence[Stage], batches: Sequence[Tensors]) -> None:
        self._view = view
        self._stages = iter(stages)
        self._batches = [dict(batch) for batch in batches]

    def advance(self, replaced: Mapping[str, torch.Tensor]) -> Iterator[Tensors]:
        """The next stage's values, batch by batch; go through all of them. replaced: constants that have changed."""
        stage = next(self._stages)
        for index, known in enumerate(self._batches):
            with torch.no_grad():
                found = self._view({**known, **replaced}, list(dict.fromkeys([*stage.wanted, *stage.kept])))
            self._batches[index] = {
                name: found[name] if dtype is None else found[name].to(dtype) for name, dtype in stage.kept.items()
            }
            yield {name: found[name] for name in stage.wanted}


def stages(graph: ir.Model, wanted: Sequence[Sequence[str]]) -> list[Stage]:
    """wanted: per stage, the names of its values, none of which may follow from another stage's later."""
    values = {value.name or "": value for value in _values(graph)}
    ends = [[_stored(values[name]) for name in names] for names in wanted]
    runs: list[set[ir.Node]] = []
    done: set[ir.Node] = set()
    for end in ends:
        runs.append(_makers(end) - done)
        done |= runs[-1]
    found: list[Stage] = []
    later: set[ir.Value] = set()
    for names, run, end in reversed(list(zip(wanted, runs, ends, strict=True))):
        kept = {value.name or "": _dtype(value) for value in sorted(later, key=lambda value: value.name or "")}
        found.append(Stage(tuple(names), kept))
        later = (later | {*end} | _read(run)) - {value for node in run for value in node.outputs}
    return found[::-1]


def bytes_per_sample(graph: ir.Model, planned: Sequence[Stage]) -> int:
    """What the widest place takes."""
    values = {value.name or "": value for value in _values(graph)}
    return max(sum(_bytes(values[name], dtype) for name, dtype in stage.kept.items()) for stage in planned)


def _values(graph: ir.Model) -> Iterator[ir.Value]:
    yield from graph.graph.inputs
    for node in graph.graph:
        yield from node.outputs


def _bytes(value: ir.Value, dtype: torch.dtype | None) -> int:
    itemsize = dtype.itemsize if dtype is not None else value.dtype.itemsize if value.dtype is not None else 4
    return int(math.prod(facts.static_shape(value)) * itemsize)


def _stored(value: ir.Value) -> ir.Value:
    """Integers stand for what is dequantized from them."""
    maker = value.producer()
    if maker is None or maker.op_type != "DequantizeLinear" or maker.inputs[0] is None:
        return value
    return maker.inputs[0]


def _read(nodes: set[ir.Node]) -> set[ir.Value]:
    read = (_stored(value) for node in nodes for value in node.inputs if value is not None)
    return {value for value in read if facts.constant(value) is None}


def _makers(ends: Sequence[ir.Value]) -> set[ir.Node]:
    """The nodes that the values follow from, DequantizeLinears left out: they are run wherever they are read."""
    found: set[ir.Node] = set()
    open_ends = list(ends)
    while open_ends:
        node = open_ends.pop().producer()
        if node is not None and node not in found and node.op_type != "Constant":
            found.add(node)
            open_ends += _read({node})
    return found


def _dtype(value: ir.Value) -> torch.dtype | None:
    maker = value.producer()
    if maker is None or maker.op_type != "QuantizeLinear" or value.dtype is None:
        return None
    return DTYPES[value.dtype]
