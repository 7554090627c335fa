"""A float graph as a torch.export archive (.pt2): the program of its view in PyTorch, batch open where the graph's is.

The same graph gives the same bytes: where in edgekit's code an op was made is left out, as are the inputs that torch
keeps as an example.
"""

from __future__ import annotations

import inspect
import io
import keyword
import re
import warnings
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from edgekit.errors import EdgekitError
from edgekit.graph import facts
from edgekit.run.torch_view import TorchView, to_torch

SAMPLES = 2  # of the example: torch takes a batch of 1 for one that is always 1
Parameter = inspect.Parameter


@dataclass(frozen=True)
class Program:
    """batched: any number of samples, else one."""

    data: bytes
    batched: bool


def to_program(graph: ir.Model) -> Program:
    """Raises EK911 for an op that the view cannot compute, EK507 where torch.export cannot follow it."""
    model = _named(to_torch(graph))
    open_batch = all(not isinstance(facts.shape(value)[0], int) for value in graph.graph.inputs)
    refused: Exception | None = None
    for count in (SAMPLES, 1) if open_batch else (1,):
        try:
            program = _exported(model, tuple(_zeros(value, count) for value in graph.graph.inputs), count > 1)
        except Exception as error:  # whatever torch raises for what it cannot follow
            refused = error
            continue
        return Program(_saved(program), batched=count > 1)
    raise EdgekitError(
        "EK507",
        "cannot write the model as a torch.export program",
        str(refused).partition("\n")[0],
        "take the ONNX file, which holds the same model",
    ) from refused


def _named(view: TorchView) -> nn.Module:
    """A module with the graph's inputs as parameters, and its output, or its outputs as a tuple."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.program = view

        def forward(self, *given: Tensor) -> Tensor | tuple[Tensor, ...]:
            found = self.program(dict(zip(view.inputs, given, strict=True)))
            outputs = tuple(found[name] for name in view.outputs)
            return outputs[0] if len(outputs) == 1 else outputs

    parameters = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in ("self", *_identifiers(view.inputs))]
    Model.forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return Model().eval()


def _identifiers(names: list[str]) -> list[str]:
    """'input.1' -> 'input_1', each another one."""
    found: list[str] = []
    for name in names:
        word = re.sub(r"\W", "_", name, flags=re.ASCII)
        word = f"_{word}" if not word.isidentifier() or keyword.iskeyword(word) or word == "self" else word
        while word in found:
            word += "_"
        found.append(word)
    return found


def _zeros(value: ir.Value, count: int) -> Tensor:
    assert value.dtype is not None
    shape = facts.static_shape(value, count)
    return torch.zeros(shape, dtype=torch.from_numpy(value.dtype.numpy().type(0).reshape(1)).dtype)


def _exported(model: nn.Module, example: tuple[Tensor, ...], batched: bool) -> ExportedProgram:
    batch = Dim("batch")
    dims: Any = tuple({0: batch} for _ in example) if batched else None
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of torch's own parts about each other
        return torch.export.export(model, example, dynamic_shapes=dims, strict=False)


def _saved(program: ExportedProgram) -> bytes:
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    program.example_inputs = None  # of an image's size, they may be larger than the weights
    with io.BytesIO() as file:
        torch.export.save(program, file)
        return file.getvalue()
