"""Single weights set to zero: a smaller file once it is compressed, and as much work as before.

Which weights of all layers go for a share of them is told by their size among the larger ones of their own layer

    score(w) = w^2 / sum of v^2 over all v of the layer with |v| >= |w|

so that no layer is emptied: its largest weight has a score of 1. With 2:4, of each four weights in a row, along what
the layer sums over, the two smaller ones go, as sparse tensor cores want it.

What zeros win in time is nothing where a runtime multiplies by them as by any number. That is said in the report, and
so is what they win in bytes: a file as it lies there is as large as before.

Source: Lee et al. 2021, "Layer-adaptive sparsity for the Magnitude-based Pruning", arXiv:2010.07611, equation 3; Mishra
et al. 2021, "Accelerating Sparse Deep Neural Networks", arXiv:2104.08378, for 2:4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit import units
from edgekit.errors import EdgekitError
from edgekit.graph import facts, source

Array = NDArray[Any]
Masks = Mapping[str, NDArray[np.bool_]]
"""Weight, by the name of its initializer -> which of its elements stay."""
Sparsity = float | Literal["2:4"]

NO_MASKS: Masks = {}
ROW, STAY = 4, 2  # of 2:4
RECURRENT = frozenset({"LSTM", "GRU", "RNN"})


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A weight, and the first node that multiplies by it. axis: what the node sums over, besides a kernel's places."""

    weight: ir.Value
    array: Array
    node: ir.Node
    axis: int


@dataclass(frozen=True)
class Dense:
    """A layer that the pattern does not fit. why: completes "... stays dense, because"."""

    name: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Sparse:
    """graph: with zeros in it; masks: where they are not; dense: layers without."""

    graph: ir.Model
    masks: Masks
    dense: tuple[Dense, ...] = ()


def sparsify(graph: ir.Model, sparsity: Sparsity) -> Sparse:
    """graph: a simplified float graph. Raises EK308 where no weight can go."""
    found = list(layers(graph))
    dense: tuple[Dense, ...] = ()
    if isinstance(sparsity, str):
        dense = tuple(Dense(source.describe(each.node), why) for each in found if (why := _unfit(each)) is not None)
        masks = {each.weight.name or "": _two_of_four(each) for each in found if _unfit(each) is None}
    else:
        masks = _largest(found, 1 - sparsity)
    if not masks:
        raise _nothing_to_empty(sparsity, dense)
    return Sparse(graph=masked(graph, masks), masks=masks, dense=dense)


def masked(graph: ir.Model, masks: Masks) -> ir.Model:
    graph = graph.clone()
    for name, stays in masks.items():
        value = graph.graph.initializers[name]
        array = facts.constant(value)
        assert array is not None
        value.const_value = ir.tensor(np.where(stays, array, np.zeros((), array.dtype)), name=name)
    return graph


def zeros(graph: ir.Model) -> tuple[int, int]:
    """(weights of layers that are zero, all of them)."""
    found = [layer.array for layer in layers(graph)]
    return sum(int(np.sum(array == 0)) for array in found), sum(array.size for array in found)


def layers(graph: ir.Model) -> Iterator[Layer]:
    """In the order of the graph; a weight that several nodes share is one layer."""
    seen: set[ir.Value] = set()
    for node in graph.graph:
        for position, axis in _weights(node):
            weight = node.inputs[position]
            array = facts.constant(weight)
            if weight is None or array is None or weight in seen or weight.name not in graph.graph.initializers:
                continue
            seen.add(weight)
            if array.dtype.kind == "f" and array.ndim > 1:
                yield Layer(weight=weight, array=array, node=node, axis=axis % array.ndim)


def _weights(node: ir.Node) -> tuple[tuple[int, int], ...]:
    """(position, axis that is summed over) of what a node multiplies by."""
    match node.op_type:
        case "Conv":
            return ((1, 1),)
        case "ConvTranspose":
            return ((1, 0),)
        case "Gemm":
            return ((1, 1 if facts.attribute(node, "transB", 0) else 0),)
        case "MatMul":
            return ((1, -2), (0, -1))
        case op if op in RECURRENT:
            return ((1, 2), (2, 2))
        case _:
            return ()


def _largest(found: list[Layer], share: float) -> dict[str, NDArray[np.bool_]]:
    """Of all weights together."""
    scores = [_scores(layer.array.reshape(-1)) for layer in found]
    whole = np.concatenate(scores) if scores else np.zeros(0)
    stays = np.ones(len(whole), np.bool_)
    stays[np.argsort(whole, kind="stable")[: len(whole) - round(share * len(whole))]] = False
    parts = np.split(stays, np.cumsum([len(each) for each in scores])[:-1])
    return {layer.weight.name or "": part.reshape(layer.array.shape) for layer, part in zip(found, parts, strict=False)}


def _scores(weights: Array) -> NDArray[np.float64]:
    squares = np.square(weights.astype(np.float64))
    order = np.argsort(squares, kind="stable")
    behind = np.cumsum(squares[order][::-1])[::-1]
    scores = np.empty(len(squares))
    scores[order] = squares[order] / np.where(behind > 0, behind, 1.0)
    return scores


def _unfit(layer: Layer) -> str | None:
    op, count = layer.node.op_type, layer.array.shape[layer.axis]
    if op in RECURRENT or op == "ConvTranspose":
        return f"sparse tensor cores are for convolutions and products of matrices, not for {op}"
    if count % ROW:
        return f"it sums over {units.plural(count, 'channel')}, no multiple of {ROW}"
    return None


def _two_of_four(layer: Layer) -> NDArray[np.bool_]:
    """The larger ones of each row; of equal ones the first."""
    last = np.moveaxis(layer.array, layer.axis, -1)
    rows = np.abs(last.reshape(*last.shape[:-1], -1, ROW))
    order = np.argsort(-rows, axis=-1, kind="stable")
    stays = np.zeros(rows.shape, np.bool_)
    np.put_along_axis(stays, order[..., :STAY], True, axis=-1)
    return np.ascontiguousarray(np.moveaxis(stays.reshape(last.shape), -1, layer.axis))


def _nothing_to_empty(sparsity: Sparsity, dense: tuple[Dense, ...]) -> EdgekitError:
    why = "; ".join(dict.fromkeys(each.why for each in dense)) or "the model has no layers with weights of their own"
    asked = sparsity if isinstance(sparsity, str) else f"{sparsity:.0%}"
    return EdgekitError(
        "EK308",
        f"cannot set weights to zero by --sparsity {asked}",
        why,
        "give a share, such as --sparsity 50%" if dense else "leave --sparsity out",
    )
