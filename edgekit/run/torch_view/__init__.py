"""A graph, float or QDQ, as an `nn.Module` that computes what ONNX Runtime computes, with gradients.

    view = to_torch(graph)
    outputs = view(inputs)                              by name
    inner = view(inputs, [*view.outputs, "relu_3"])     also values inside
    part = view({"relu_3": x}, ["relu_9"])              only what lies between
    outputs = view(inputs, None, {"conv_3": function})  with something done to a value before it is read
    graph = to_graph(view, graph)                       with the parameters as training left them

Weights, biases, factors of norms and slopes are parameters under their initializers' names; other constants are
buffers. What is handed in may stand for any value of the graph, a constant too: so a block can be run with weights that
are being learned. Integer weights behind a DequantizeLinear stay the integers that they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgekit.errors import EdgekitError
from edgekit.graph import facts
from edgekit.run.torch_view.ops import row_of, trainable
from edgekit.run.torch_view.reading import Function

Tensors = dict[str, Tensor]
Behind = Callable[[Tensor], Tensor]
NOTHING: Mapping[str, Behind] = {}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One node: a function of values by name ("" where an input is left out)."""

    function: Function
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Program:
    """Steps in order, each with the values that nobody needs after it; the constants that they read."""

    steps: tuple[tuple[Step, tuple[str, ...]], ...]
    constants: tuple[str, ...]


class TorchView(nn.Module):
    """See the room's docstring. inputs, outputs: the graph's names, in its order."""

    def __init__(self, graph: ir.Model) -> None:
        super().__init__()
        self.inputs = [value.name or "" for value in graph.graph.inputs]
        self.outputs = [value.name or "" for value in graph.graph.outputs]
        self._places: dict[str, tuple[nn.Module, str]] = {}
        self._steps = tuple(_steps(graph))
        self._programs: dict[tuple[frozenset[str], tuple[str, ...]], Program] = {}
        for value in _constants(graph):
            array = facts.constant(value)
            assert array is not None
            tensor = torch.tensor(np.asarray(array))  # a copy: training must not reach the graph
            self._place(value.name or "", nn.Parameter(tensor) if trainable(value) else tensor)

    def forward(
        self, known: Mapping[str, Tensor], wanted: Sequence[str] | None = None, behind: Mapping[str, Behind] = NOTHING
    ) -> Tensors:
        """wanted: names of values, the graph's outputs if not said; known: values that all of them follow from; behind:
        what the values of these names, once computed, are given to, and replaced by what it returns."""
        names = tuple(self.outputs if wanted is None else wanted)
        program = self._program(frozenset(known), names)
        values: dict[str, Tensor | None] = {"": None, **known}
        for name in program.constants:
            values[name] = self._constant(name)
        for step, last_used in program.steps:
            made = step.function(*[values[name] for name in step.inputs])
            given = zip(step.outputs, made if isinstance(made, tuple) else (made,), strict=False)
            values.update(
                (name, behind[name](value) if name in behind else value)
                for name, value in given
                if name and name not in known
            )
            for name in last_used:
                values.pop(name, None)
        found = {name: values[name] for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def _place(self, name: str, tensor: Tensor) -> None:
        """Under its own name, "block.0.weight" being `weight` of the module `0` of `block`.

        Written past `register_parameter`, which refuses names that a module's own methods have.
        """
        *path, leaf = name.split(".")
        holder: nn.Module = self
        for part in path:
            holder = holder._modules.setdefault(part, nn.Module()) or holder
        if isinstance(tensor, nn.Parameter):
            holder._parameters[leaf] = tensor
        else:
            holder._buffers[leaf] = tensor
        self._places[name] = (holder, leaf)

    def _constant(self, name: str) -> Tensor | None:
        holder, leaf = self._places[name]
        return holder._parameters.get(leaf, holder._buffers.get(leaf))

    def _program(self, known: frozenset[str], wanted: tuple[str, ...]) -> Program:
        if (known, wanted) not in self._programs:
            self._programs[known, wanted] = self._written(known, wanted)
        return self._programs[known, wanted]

    def _written(self, known: frozenset[str], wanted: tuple[str, ...]) -> Program:
        """The steps that `wanted` needs beyond what is known."""
        needed = set(wanted) - known
        steps: list[tuple[Step, tuple[str, ...]]] = []
        kept = set(wanted) | {""}
        for step in reversed(self._steps):
            if needed.isdisjoint(step.outputs):
                continue
            needed.difference_update(step.outputs)
            needed.update(name for name in step.inputs if name not in known)
            unread = dict.fromkeys(name for name in (*step.inputs, *step.outputs) if name not in kept)
            kept.update(unread)
            steps.append((step, tuple(unread)))
        constants = tuple(name for name in needed if name in self._places)
        missing = sorted(needed.difference(constants, {""}))
        assert not missing, f"{missing} are neither known nor made from what is known"
        return Program(tuple(reversed(steps)), constants)


def to_torch(graph: ir.Model) -> TorchView:
    """The view of a checked graph. Raises EK911 for an op that it cannot compute."""
    return TorchView(graph)


def refusal(graph: ir.Model) -> EdgekitError | None:
    """The EK911 that a view of the graph would end in; None where there is one."""
    try:
        _steps(graph)
    except EdgekitError as refused:
        return refused
    return None


def to_graph(view: TorchView, graph: ir.Model) -> ir.Model:
    """The graph with the view's parameters. graph: the one that the view was made of."""
    graph = graph.clone()
    initializers = graph.graph.initializers
    for name, parameter in view.named_parameters():
        array: NDArray[np.generic] = parameter.detach().cpu().numpy()
        before = facts.constant(initializers[name])
        assert before is not None and before.shape == array.shape
        if before.tobytes() != array.tobytes():
            initializers[name].const_value = ir.tensor(array.copy(), name=name)
    return graph


def _constants(graph: ir.Model) -> list[ir.Value]:
    made = [value for node in graph.graph if node.op_type == "Constant" for value in node.outputs]
    return [*graph.graph.initializers.values(), *made]


def _steps(graph: ir.Model) -> list[Step]:
    """One per node. Equal DequantizeLinears, of which quantization writes one per reader, are computed once."""
    steps: list[Step] = []
    first: dict[tuple[str, ...], str] = {}
    for node in graph.graph:
        if node.op_type == "Constant":
            continue
        function = row_of(node)
        inputs = tuple("" if value is None else value.name or "" for value in node.inputs)
        outputs = tuple(value.name or "" for value in node.outputs)
        if node.op_type == "DequantizeLinear":
            known = first.setdefault((*inputs, str(facts.attribute(node, "axis", 1))), outputs[0])
            if known != outputs[0]:
                function, inputs = _same, (known,)
        steps.append(Step(function=function, inputs=inputs, outputs=outputs))
    return steps


def _same(x: Tensor) -> Tensor:
    return x
