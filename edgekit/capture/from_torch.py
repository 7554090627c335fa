"""An nn.Module or an ExportedProgram -> graph, through torch.export and torch's ONNX exporter.

One export in the good case: the batch is exported as a symbol from an example of two samples, and only where the model
does not allow that is it exported again with one sample. The exporter's own optimizer stays off: the simplify stage
runs the same passes once, on every graph, whatever it came from. What would change our mind: an exporter whose plain
output onnxscript's optimizer cannot fold.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from onnx_ir.passes import common
from torch import nn
from torch._export.converter import TS2EPConverter
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import TensorArgument
from torch.utils import _pytree as pytree

from edgekit import user_code
from edgekit.capture.called import parameters
from edgekit.capture.captured import BATCH, OPSET
from edgekit.capture.quiet import quiet
from edgekit.capture.shapes import Input
from edgekit.errors import EdgekitError

EXAMPLE_BATCH = 2  # torch.export takes sizes 0 and 1 for constants
# Position of the argument that says "training", for the operations that have one.
TRAINING_ARGUMENT = {
    "aten.dropout.default": 2,
    "aten.feature_dropout.default": 2,
    "aten.alpha_dropout.default": 2,
    "aten.batch_norm.default": 5,
    "aten.native_batch_norm.default": 5,
    "aten.native_dropout.default": 2,
}
IMAGE_CHANNELS = (1, 3, 4)
FIRST_LINES = 3  # of torch's message
NO_FORM = r"No ONNX function found for <OpOverload\(op='([\w.]+)'"  # how torch's exporter names what it does not know


def export(module: nn.Module, inputs: Sequence[Input], model: str) -> tuple[ExportedProgram, tuple[str, ...]]:
    """`module` as a program with a symbolic batch where it allows one, and notes."""
    try:
        with quiet():
            return _export(module, inputs, batch=EXAMPLE_BATCH), ()
    except Exception as refused:
        first = refused
    if _made_known(_run_once(module, inputs, model)):
        return export(module, inputs, model)
    try:
        with quiet():
            program = _export(module, inputs, batch=1)
    except Exception as broken:
        raise not_exportable(model, broken) from broken
    return program, (f"the batch is fixed at 1: the model does not export with any batch ({_why(first)})",)


def _export(module: nn.Module, inputs: Sequence[Input], batch: int) -> ExportedProgram:
    size = Dim(BATCH) if batch > 1 else None
    with torch.no_grad():
        return torch.export.export(
            module,
            examples(inputs, batch),
            # Nested once more where forward takes `*inputs`: torch.export names those by one tuple.
            dynamic_shapes=None if size is None else _dynamic(module, [{0: size}] * len(inputs)),
            strict=False,
        )


def _dynamic(module: nn.Module, dims: list[dict[int, Any]]) -> tuple[Any, ...]:
    return tuple(dims) if parameters(module)[0] else (tuple(dims),)


def examples(inputs: Sequence[Input], batch: int) -> tuple[torch.Tensor, ...]:
    """Contiguous tensors: noise for floats, and zeros for integers, which are an index into any table."""
    generator = torch.Generator().manual_seed(0)
    return tuple(_example((batch, *i.shape), getattr(torch, i.dtype), generator) for i in inputs)


def _example(shape: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator) -> torch.Tensor:
    if dtype.is_floating_point:
        return torch.rand(shape, dtype=dtype, generator=generator)
    return torch.zeros(shape, dtype=dtype)


def _run_once(module: nn.Module, inputs: Sequence[Input], model: str) -> Any:
    """Run the module as it is: inputs that the model cannot take are the user's to mend, not the export's."""
    try:
        with quiet(), torch.inference_mode():
            return module(*examples(inputs, 1))
    except Exception as broken:
        fed = ", ".join(f"{i.name} 1x{'x'.join(map(str, i.shape))} {i.dtype}" for i in inputs)
        raise EdgekitError(
            "EK204",
            f"'{model}' cannot run on the inputs given",
            f"fed {fed}: {type(broken).__name__}: {user_code.first_line(broken)}{user_code.at_line(broken)}",
            _what_to_feed(inputs),
        ) from broken


def _what_to_feed(inputs: Sequence[Input]) -> str:
    if last := [i for i in inputs if _looks_channels_last(i.shape)]:
        height, width, channels = last[0].shape
        return (
            f"if '{last[0].name}' are images with their channels last, say --samples-layout nhwc, or give the shape as "
            f"--input {last[0].name}=1x{channels}x{height}x{width}"
        )
    return (
        "give the shapes that it was trained with (--input NAME=1x3x224x224), or samples of the right type and "
        "layout (integers stay integers only from 16 bits up); an input whose batch is not its first axis, as a "
        "recurrent layer's states, must come batch first and be transposed in forward"
    )


def _looks_channels_last(shape: tuple[int, ...]) -> bool:
    """shape: of one sample, without the batch."""
    return len(shape) == 3 and shape[2] in IMAGE_CHANNELS and shape[0] not in IMAGE_CHANNELS


def _made_known(outputs: Any) -> bool:
    """Register the dataclasses among a model's outputs, which torch.export then flattens; False where none is."""
    kinds = {type(leaf) for leaf in pytree.tree_leaves(outputs) if dataclasses.is_dataclass(leaf)}
    for kind in kinds:
        torch.export.register_dataclass(kind)
    return bool(kinds)


def not_exportable(model: str, broken: BaseException) -> EdgekitError:
    return EdgekitError(
        "EK203",
        f"torch cannot export '{model}'",
        f"{_why(broken)}{_line_of(broken)}",
        "make that line traceable (no Python branch on a tensor's value, no NumPy or .item() in forward), "
        "or export the model to ONNX yourself and give that file",
    )


def _not_translatable(program: ExportedProgram, model: str, broken: Exception) -> EdgekitError:
    """An operation without an ONNX form, by its name and the user's line."""
    named = re.search(NO_FORM, str(_root(broken)))
    if named is None:
        return not_exportable(model, broken)
    return EdgekitError(
        "EK203",
        f"torch cannot export '{model}'",
        f"torch has no ONNX form of {named[1]}{_line_of_op(program, named[1])}",
        "write that line in other operations, or export the model to ONNX yourself and give that file",
    )


def _line_of_op(program: ExportedProgram, op: str) -> str:
    """Of the op itself, or of the one that torch took apart into it and others ('aten.rrelu_with_noise')."""
    targets = {str(node.target).removesuffix(".default"): node for node in program.graph.nodes}
    near = max((target for target in targets if op.startswith(target)), key=len, default=None)
    return "" if near is None else _told_line(str(targets[near].meta.get("stack_trace")))


def _root(broken: BaseException) -> BaseException:
    """What torch's exporter ran into; its own error only says which of its steps that was."""
    while isinstance(broken, torch.onnx.OnnxExporterError) and broken.__cause__ is not None:
        broken = broken.__cause__
    return broken


def _why(broken: BaseException) -> str:
    root = _root(broken)
    lines = [line.strip() for line in str(root).splitlines() if line.strip()]
    return f"{type(root).__name__}: {' '.join(lines[:FIRST_LINES])[:400]}"


def _line_of(broken: BaseException) -> str:
    """The innermost line of the user's among the tracebacks and torch's own account of where it was."""
    cause: BaseException | None = broken
    while cause is not None:
        if found := user_code.at_line(cause):
            return found
        cause = cause.__cause__ or cause.__context__
    return _told_line(str(broken))


def _told_line(trace: str) -> str:
    told = re.findall(r'File "([^"]+)", line (\d+), in (\w+)', trace)
    mine = [(Path(file).name, line, name) for file, line, name in told if user_code.is_users(file)]
    return " ({}:{}, in {})".format(*mine[-1]) if mine else ""


def traceable(module: nn.Module, inputs: Sequence[Input], model: str) -> nn.Module:
    """The module as torch.export takes it: TorchScript is turned into a module of plain torch operations first."""
    if not isinstance(module, torch.jit.ScriptModule):
        return module
    try:
        with quiet():
            converted: nn.Module = TS2EPConverter(module, examples(inputs, EXAMPLE_BATCH)).convert().module()
    except Exception as broken:
        _run_once(module, inputs, model)
        raise not_exportable(model, broken) from broken
    return converted


def check_inference(program: ExportedProgram, model: str) -> None:
    """No dropout and no batch statistics: a program traced in training mode cannot be turned into one for inference.

    Weights may be normalized by themselves (weight standardization): those are the same numbers every time.
    """
    varying = set(program.graph_signature.user_inputs)
    for node in program.graph.nodes:
        if not any(source.name in varying for source in node.all_input_nodes):
            continue
        varying.add(node.name)
        trains = TRAINING_ARGUMENT.get(str(node.target))
        if trains is not None and len(node.args) > trains and node.args[trains] is True:
            raise EdgekitError(
                "EK205",
                f"'{model}' computes as in training",
                f"'{node.name}' ({node.target}) drops values or normalizes by the batch, whatever the mode",
                "call model.eval() before tracing or exporting; in code, write F.dropout(x, training=self.training)",
            )


def to_graph(program: ExportedProgram, inputs: Sequence[Input], model: str) -> ir.Model:
    """The program as an ONNX graph: inputs under the model's names, the batch called 'batch', outputs named."""
    try:
        with quiet():
            exported = torch.onnx.export(program, dynamo=True, optimize=False, verbose=False, opset_version=OPSET)
    except Exception as broken:
        raise _not_translatable(program, model, broken) from broken
    assert exported is not None
    graph: ir.Model = exported.model
    if graph.functions:
        graph = ir.passes.Sequential(common.InlinePass(), common.NameFixPass())(graph).model
    common.OutputFixPass()(graph)  # an input, or one value twice, as output
    _name_batch(graph.graph)
    _name_ends(graph.graph, [i.name for i in inputs], output_names(program))
    return graph


def output_names(program: ExportedProgram) -> list[str]:
    """'output' for the only one; else the keys and fields that lead to it ('boxes_0'), 'output_0' in a tuple."""
    specs = program.graph_signature.output_specs
    kept = [isinstance(spec.arg, TensorArgument) for spec in specs if spec.kind.name == "USER_OUTPUT"]
    spec = program.call_spec.out_spec
    assert spec is not None
    paths, _ = pytree.tree_flatten_with_path(pytree.tree_unflatten(range(spec.num_leaves), spec))
    names = ["_".join(str(_step(key)) for key in path) for path, _ in paths]
    named = [name if not name[:1].isdigit() else f"output_{name}" for name in names]
    return [name or "output" for name, tensor in zip(named, kept, strict=True) if tensor]


def _step(key: Any) -> object:
    match key:
        case pytree.SequenceKey():
            return key.idx
        case pytree.MappingKey():
            return key.key
        case _:
            return key.name


def _name_batch(graph: ir.Graph) -> None:
    """The symbol of the inputs' first axis, everywhere it stands, becomes 'batch'."""
    symbols = {
        str(v.shape[0]) for v in graph.inputs if v.shape is not None and v.shape.rank() and not v.shape.is_static(0)
    }
    if not symbols:
        return
    word = re.compile(rf"\b({'|'.join(map(re.escape, symbols))})\b")
    values = {*graph.inputs, *(out for node in graph.all_nodes() for out in node.outputs)}
    for value in values:
        if value.shape is not None and not value.shape.is_static():
            value.shape = ir.Shape([d if isinstance(d, int) else word.sub(BATCH, str(d)) for d in value.shape])


def _name_ends(graph: ir.Graph, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Give the inputs and outputs these names; whatever else has one of them gets a number behind it."""
    ends = [*graph.inputs, *graph.outputs]
    made = [*graph.initializers.values(), *(v for node in graph.all_nodes() for v in node.outputs)]
    inner = [value for value in made if value not in ends]
    taken = {str(v.name) for v in inner} | {*inputs, *outputs}
    names: list[str] = []
    for name in [*inputs, *outputs]:
        names.append(_free(name, taken) if name in names else name)
    for value in inner:
        if value.name in names:
            value.name = _free(str(value.name), taken)
    for value, name in zip(ends, names, strict=True):
        value.name = name


def _free(name: str, taken: set[str]) -> str:
    """`name` with the first number behind it that makes it new; it is taken from then on."""
    free = next(f"{name}_{count}" for count in itertools.count() if f"{name}_{count}" not in taken)
    taken.add(free)
    return free
