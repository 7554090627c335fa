"""Models for tests, built in code: ONNX graphs of a few nodes on random weights, and what runs them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.artifact import Arrays
from edgekit.graph import facts, files
from tests.lower.tflite.graphs import Graph, node, run_onnx

__all__ = ["feeds", "graph", "histogram", "node", "ops", "run", "weights"]


def graph(
    inputs: Mapping[str, tuple[int, ...]],
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, NDArray] | None = None,
    outputs: Sequence[str] = ("y",),
) -> ir.Model:
    """A graph with a dynamic batch. inputs: name -> shape with any batch; nodes in order."""
    return ir.from_proto(Graph(dict(inputs), list(nodes), dict(constants or {}), tuple(outputs)).model())


def weights(*shape: int, seed: int = 0, scale: float = 0.5) -> NDArray[np.float32]:
    return np.random.default_rng([seed, *shape]).normal(0, scale, shape).astype(np.float32)


def feeds(model: ir.Model, batch: int = 2, seed: int = 0) -> Arrays:
    """Random inputs for every input of the graph."""
    rng = np.random.default_rng(seed)
    return {
        value.name or "": rng.normal(0, 1.5, facts.static_shape(value, batch)).astype(np.float32)
        for value in model.graph.inputs
    }


def run(model: ir.Model | bytes, inputs: Arrays, fuse: bool = True) -> Arrays:
    """In ONNX Runtime; fuse: with its optimizations."""
    data = model if isinstance(model, bytes) else files.to_bytes(model)
    return run_onnx(onnx.load_from_string(data), inputs, fuse)


def ops(model: ir.Model) -> list[str]:
    """The op types, in order."""
    return [node.op_type for node in model.graph]


def histogram(model: ir.Model) -> dict[str, int]:
    return dict(Counter(ops(model)))
