"""A model that PyTorch knows, in any form -> the graph, and the model itself to compare it with."""

from __future__ import annotations

import copy
import gc
import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from torch.export import ExportedProgram

from edgekit.capture import exported_file, factory, from_torch, shapes, torch_file
from edgekit.capture.captured import Captured, Source, sha256_of
from edgekit.capture.sniff import Form


def captured(source: Source, form: Form | None, signature: shapes.Signature | None) -> Captured:
    """form: of the file; None where the module is in memory or built by a factory."""
    path = Path(source.path)
    if source.module is not None:
        digest = _sha256_of_weights(source.module)
        module, notes = _own(source.module)
        return _from_module(module, source, "module in memory", digest, notes, signature)
    if form is None:
        return _from_factory(source, signature)
    if form == "torch.export":
        return _from_program(source, path, signature)
    module, kind, notes = _module(source, path, form)
    return _from_module(module, source, kind, sha256_of(path), notes, signature)


def _own(module: nn.Module) -> tuple[nn.Module, list[str]]:
    """A copy to change as we like, since the module is the user's; notes."""
    try:
        return copy.deepcopy(module), []
    except Exception as refused:  # whatever its attributes raise; torch's own for computed ones, as of weight_norm
        return module, [f"the module cannot be copied ({type(refused).__name__}): it is itself in evaluation mode now"]


def _module(source: Source, path: Path, form: Form) -> tuple[nn.Module, str, list[str]]:
    """The module in a file or around its weights, what the file is, and notes."""
    if form == "TorchScript":
        return torch_file.load_torchscript(path), "TorchScript", []
    if form == "safetensors":
        return _fitted(source, path, torch_file.load_safetensors(path), "safetensors")
    saved, trusted = torch_file.load_saved(path, source.trust_pickle)
    notes = [f"the pickle in '{path}' was trusted: loading it may have run code"] if trusted else []
    module = torch_file.module_in(saved)
    if module is not None and source.factory is None:
        return module, "pickled module", notes
    weights = dict(module.state_dict()) if module is not None else torch_file.weights_in(saved, path)
    fitted, kind, more = _fitted(source, path, weights, "state dict")
    return fitted, kind, notes + more


def _fitted(source: Source, path: Path, weights: torch_file.Weights, kind: str) -> tuple[nn.Module, str, list[str]]:
    if source.factory is None:
        raise torch_file.needs_factory(path, weights)
    module, place = factory.build(source.factory)
    return module, kind, torch_file.fit(module, weights, path, place)


def _from_factory(source: Source, signature: shapes.Signature | None) -> Captured:
    module, place = factory.build(source.path)
    code = place.file or Path(str(sys.modules[place.module].__file__))
    return _from_module(module, source, "factory", sha256_of(code), [], signature)


def _from_module(
    module: nn.Module, source: Source, kind: str, sha256: str, notes: list[str], signature: shapes.Signature | None
) -> Captured:
    module = module.eval()
    torch_file.check_finite(module, source.path)
    notes += torch_file.to_float32(module)
    names, required = from_torch.parameters(module)
    inputs = shapes.settle(source.path, names, required, source.inputs, signature)
    module = from_torch.taking(module, inputs, names)
    traceable = from_torch.traceable(module, inputs, source.path)
    with collector_paused():
        program, more = from_torch.export(traceable, inputs, source.path)
    return _captured(program, module, inputs, source, kind, sha256, (*notes, *more))


def _from_program(source: Source, path: Path, signature: shapes.Signature | None) -> Captured:
    """A .pt2 file is exported already; only where it leaves sizes open besides the batch, it is exported again."""
    program, trusted = exported_file.load(path, source.trust_pickle)
    notes = [f"the code in '{path}' was trusted"] if trusted else []
    module: nn.Module = program.module(check_guards=False)  # guards are code from the file; shapes are checked here
    torch_file.check_finite(module, source.path)
    held, fixed = exported_file.shapes_of(program, source.path)
    inputs, complete = shapes.complete(source.path, held, source.inputs, signature)
    more: tuple[str, ...] = (shapes.FIXED_AT_ONE,) if fixed else ()
    if not complete:
        module = from_torch.Spread(module, program.call_spec.in_spec)
        program, more = from_torch.export(module, inputs, source.path)
    return _captured(program, module, inputs, source, "torch.export program", sha256_of(path), (*notes, *more))


def _captured(
    program: ExportedProgram,
    module: nn.Module,
    inputs: tuple[shapes.Input, ...],
    source: Source,
    kind: str,
    sha256: str,
    notes: tuple[str, ...],
) -> Captured:
    from_torch.check_inference(program, source.path)
    with collector_paused():
        graph = from_torch.to_graph(program, inputs, source.path)
    names = [str(value.name) for value in graph.graph.outputs]
    reference = from_torch.reference_of(module, program.call_spec.in_spec, inputs, names)
    return Captured(graph=graph, reference=reference, kind=kind, sha256=sha256, notes=notes)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Exporting makes millions of small objects that live; looking through them for garbage takes a tenth of it."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _sha256_of_weights(module: nn.Module) -> str:
    """Of a module that has no file: the names and bytes of its tensors."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        if not isinstance(tensor, torch.Tensor):  # a module's extra state
            continue
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
