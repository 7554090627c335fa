"""The nodes that replace one node, while they are written: names, provenance and shapes are filled in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.graph import edit, marks, source

Dim = int | ir.SymbolicDim | None
STATE = "part of a recurrent cell, whose state is rounded at every step: the errors would add up"


class Tape:
    """like: the recurrent node that is being replaced; batch: its batch, a number or the graph's symbol."""

    def __init__(self, graph: ir.Model, like: ir.Node, batch: Dim) -> None:
        self.graph, self.like, self.batch = graph, like, batch
        self.nodes: list[ir.Node] = []

    def linear(
        self, op: str, label: str, inputs: Sequence[ir.Value], shape: Sequence[Dim], **attributes: Any
    ) -> ir.Value:
        """A matrix product, which may run in INT8."""
        return self._add(op, label, inputs, [shape], attributes)[0]

    def real(
        self, op: str, label: str, inputs: Sequence[ir.Value], shape: Sequence[Dim], **attributes: Any
    ) -> ir.Value:
        """Anything else of the cell."""
        (value,) = self._add(op, label, inputs, [shape], attributes)
        marks.keep_float(self.nodes[-1], STATE)
        return value

    def split(self, label: str, x: ir.Value, parts: int) -> list[ir.Value]:
        """(B, parts * n) -> parts x (B, n)."""
        if parts == 1:
            return [x]
        width = self.width(x) // parts
        values = self._add("Split", label, [x], [[self.batch, width]] * parts, {"axis": 1, "num_outputs": parts})
        marks.keep_float(self.nodes[-1], STATE)
        return values

    def reshape(self, label: str, x: ir.Value, shape: Sequence[int]) -> ir.Value:
        """shape: with -1 for the batch."""
        target = self.constant(f"{label}_shape", np.asarray(shape, np.int64))
        return self.real("Reshape", label, [x, target], [self.batch if size == -1 else size for size in shape])

    def family(self, value: ir.Value, name: str) -> ir.Value:
        """One scale for this value at every step."""
        producer = value.producer()
        assert producer is not None
        marks.share_scale(producer, f"{self.like.name}_{name}")
        return value

    def constant(self, label: str, array: NDArray[Any]) -> ir.Value:
        return edit.add_constant(self.graph, f"{self.like.name}_{label}", array)

    @staticmethod
    def width(value: ir.Value) -> int:
        assert value.shape is not None
        size = value.shape[-1]
        assert isinstance(size, int)
        return size

    def _add(
        self,
        op: str,
        label: str,
        inputs: Sequence[ir.Value],
        shapes: Sequence[Sequence[Dim]],
        attributes: dict[str, Any],
    ) -> list[ir.Value]:
        name = f"{self.like.name}_{label}"
        names = [name] if len(shapes) == 1 else [f"{name}_{i}" for i in range(len(shapes))]
        outputs = [
            ir.Value(name=one, shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.FLOAT))
            for one, shape in zip(names, shapes, strict=True)
        ]
        props = source.traced(self.like)
        self.nodes.append(ir.node(op, list(inputs), attributes, outputs=outputs, name=name, metadata_props=props))
        return outputs
