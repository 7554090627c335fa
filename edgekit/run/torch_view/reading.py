"""What rows of the table read off a node: settings that are constants as a rule, and values where they are computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir
from torch import Tensor

from edgekit.graph import facts

Function = Callable[..., Tensor | tuple[Tensor, ...]]
"""A node's inputs in order (None where one is left out) -> its output or outputs."""

Integers = Callable[[Sequence[Tensor | None]], list[int] | None]
"""A node's inputs in order -> the integers that one of them holds, None where it is left out."""


def given(node: ir.Node, position: int) -> bool:
    return len(node.inputs) > position and node.inputs[position] is not None


def integers(node: ir.Node, position: int, attribute: str | None = None) -> Integers:
    """Of an input, or of the attribute that older opsets had in its place."""
    old = facts.attribute(node, attribute) if attribute is not None else None
    if old is not None:
        return lambda _: [int(i) for i in ([old] if isinstance(old, int) else old)]
    if not given(node, position):
        return lambda _: None
    array = facts.constant(node.inputs[position])
    if array is None:
        return lambda inputs: _listed(inputs[position])
    fixed = [int(i) for i in array.reshape(-1)]
    return lambda _: fixed


def _listed(tensor: Tensor | None) -> list[int]:
    assert tensor is not None
    return [int(i) for i in tensor.reshape(-1).tolist()]
