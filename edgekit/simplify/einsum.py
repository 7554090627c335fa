"""Einsum of one or two operands as Transpose, Reshape and MatMul.

Of two operands every letter is one of four kinds:

    both, and in the result        a batch of products
    both, not in the result        summed: columns of the first, rows of the second
    one, and in the result         rows of the first, columns of the second

so that the first becomes (batch..., rows, summed), the second (batch..., summed, columns), and their product, taken
apart, has its axes exchanged to the result's order. The merging of moves leaves little of that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from edgekit.graph import edit, facts
from edgekit.simplify import batch

Letters = tuple[str, ...]


def canonical_einsums(graph: ir.Model) -> ir.Model:
    """No Einsum, where its letters are of these kinds and its sizes are known."""
    graph = graph.clone()
    for node in list(graph.graph):
        if node.op_type == "Einsum" and (terms := _terms(node)) is not None:
            _write(graph, node, *terms)
    return graph


def _terms(node: ir.Node) -> tuple[list[Letters], Letters] | None:
    """The letters of the operands and of the result; None for a form that is left alone."""
    equation = facts.attribute(node, "equation", "").replace(" ", "")
    if "..." in equation or "->" not in equation or not all(map(batch.is_known, [*node.inputs, *node.outputs])):
        return None
    left, result = equation.split("->")
    operands = [tuple(term) for term in left.split(",")]
    if len(operands) > 2 or any(len(set(term)) < len(term) for term in [*operands, tuple(result)]):
        return None
    summed_alone = set().union(*operands) - set(result) - set.intersection(*map(set, operands))
    if len(operands) == 1:
        summed_alone = set(operands[0]) - set(result)
    sizes = [dict(zip(term, batch.sizes(v), strict=True)) for term, v in zip(operands, node.inputs, strict=True) if v]
    agree = len(sizes) < 2 or all(sizes[0][letter] == sizes[1][letter] for letter in sizes[0].keys() & sizes[1])
    return None if summed_alone or not agree else (operands, tuple(result))


@dataclass
class _Writer:
    """Nodes in front of the last one, named after it."""

    graph: ir.Model
    like: ir.Node
    nodes: list[ir.Node] = field(default_factory=list)

    def transpose(self, x: ir.Value, have: Letters, want: Letters) -> ir.Value:
        if have == want:
            return x
        perm = tuple(have.index(letter) for letter in want)
        shape = tuple(batch.sizes(x)[axis] for axis in perm)
        if (array := facts.constant(x)) is not None:
            return edit.add_constant(self.graph, f"{x.name}_transposed", np.ascontiguousarray(array.transpose(perm)))
        return self.add("Transpose", [x], shape, {"perm": perm})

    def reshape(self, x: ir.Value, shape: tuple[int, ...]) -> ir.Value:
        if batch.sizes(x) == shape:
            return x
        if (array := facts.constant(x)) is not None:
            return edit.add_constant(self.graph, f"{x.name}_reshaped", array.reshape(shape))
        return self.add("Reshape", [x, batch.target(self.graph, f"{self.like.name}_shape", shape)], shape)

    def add(
        self,
        op_type: str,
        inputs: list[ir.Value | None],
        shape: tuple[int, ...],
        attributes: dict[str, object] | None = None,
    ) -> ir.Value:
        node = edit.new_node(self.like, op_type, inputs, attributes)
        count = len(self.nodes)
        node.name, node.outputs[0].name = f"{self.like.name}_{count}", f"{self.like.outputs[0].name}_{count}"
        node.outputs[0].shape = batch.open_shape(shape)
        self.nodes.append(node)
        return node.outputs[0]


def _write(graph: ir.Model, node: ir.Node, operands: list[Letters], result: Letters) -> None:
    writer = _Writer(graph, node)
    values = [value for value in node.inputs if value is not None]
    have = operands[0]
    if len(operands) == 1:
        value = values[0]
    else:
        if facts.constant(values[0]) is not None:  # constants are the second operand of a layer
            values, operands = values[::-1], operands[::-1]
        value, have = _product(writer, values, operands, result)
    shape = batch.sizes(value)
    if have != result or not writer.nodes:
        perm = tuple(have.index(letter) for letter in result)
        last = edit.new_node(node, "Transpose", [value], {"perm": perm})
    else:
        last = edit.new_node(node, "Reshape", [value, batch.target(graph, f"{node.name}_shape", shape)])
    edit.replace(graph, node, [*writer.nodes, last])


def _product(
    writer: _Writer, values: list[ir.Value], operands: list[Letters], result: Letters
) -> tuple[ir.Value, Letters]:
    """The product with its axes apart, and their letters."""
    first, second = operands
    many = tuple(letter for letter in first if letter in second and letter in result)
    summed = tuple(letter for letter in first if letter in second and letter not in result)
    rows = tuple(letter for letter in first if letter not in second)
    columns = tuple(letter for letter in second if letter not in first)
    size = {
        letter: n
        for value, term in zip(values, operands, strict=True)
        for letter, n in zip(term, batch.sizes(value), strict=True)
    }

    def along(letters: Letters) -> tuple[int, ...]:
        return tuple(size[letter] for letter in letters)

    inner = math.prod(along(summed))
    # Without a batch of products the rows may stay apart: a matrix behind serves them all.
    rows_shape = along(rows) if rows and not many else (math.prod(along(rows)),)
    x = writer.transpose(values[0], first, (*many, *rows, *summed))
    x = writer.reshape(x, (*along(many), *rows_shape, inner))
    y = writer.transpose(values[1], second, (*many, *summed, *columns))
    y = writer.reshape(y, (*along(many), inner, math.prod(along(columns))))
    shape = (*along(many), *rows_shape, math.prod(along(columns)))
    product = writer.add("MatMul", [x, y], shape)
    letters = (*many, *rows, *columns)
    return writer.reshape(product, along(letters)), letters
