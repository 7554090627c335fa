"""A model that PyTorch knows, in any form -> the model as it can be called, and the way to its graph.

What exports (from_torch, exported_file) is imported where it is needed: that takes a second, in which a model that is
loaded can already run beside.
"""

from __future__ import annotations

import copy
import gc
import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import onnx_ir as ir
import torch
from torch import nn

from edgekit.artifact import Arrays
from edgekit.capture import called, factory, shapes, torch_file
from edgekit.capture.captured import Loaded, Source, sha256_of
from edgekit.capture.quiet import quiet
from edgekit.capture.sniff import Form
from edgekit.progress import Advance

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def loaded(source: Source, form: Form | None, signature: shapes.Signature | None) -> Loaded:
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
        with quiet():
            return copy.deepcopy(module).cpu(), []
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


def _from_factory(source: Source, signature: shapes.Signature | None) -> Loaded:
    module, place = factory.build(source.path)
    code = place.file or Path(str(sys.modules[place.module].__file__))
    return _from_module(module, source, "factory", sha256_of(code), [], signature)


def _from_module(
    module: nn.Module, source: Source, kind: str, sha256: str, notes: list[str], signature: shapes.Signature | None
) -> Loaded:
    module = module.eval()
    torch_file.check_finite(module, source.path)
    notes += torch_file.to_float32(module)
    names, required = called.parameters(module)
    inputs = shapes.settle(source.path, names, required, source.inputs, signature)
    module = called.taking(module, inputs, names)

    def exported() -> tuple[ExportedProgram, tuple[str, ...]]:
        from edgekit.capture import from_torch

        return from_torch.export(from_torch.traceable(module, inputs, source.path), inputs, source.path)

    return _loaded(exported, module, inputs, source, kind, sha256, tuple(notes))


def _from_program(source: Source, path: Path, signature: shapes.Signature | None) -> Loaded:
    """A .pt2 file is exported already; only where it leaves sizes open besides the batch, it is exported again."""
    from edgekit.capture import exported_file

    program, trusted = exported_file.load(path, source.trust_pickle)
    notes = [f"the code in '{path}' was trusted"] if trusted else []
    module: nn.Module = program.module(check_guards=False)  # guards are code from the file; shapes are checked here
    torch_file.check_finite(module, source.path)
    held, fixed = exported_file.shapes_of(program, source.path)
    inputs, complete = shapes.complete(source.path, held, source.inputs, signature)
    assert program.call_spec.in_spec is not None
    module = called.Spread(module, program.call_spec.in_spec)

    def exported() -> tuple[ExportedProgram, tuple[str, ...]]:
        if complete:
            return program, (shapes.FIXED_AT_ONE,) if fixed else ()
        from edgekit.capture import from_torch

        return from_torch.export(module, inputs, source.path)

    return _loaded(exported, module, inputs, source, "torch.export program", sha256_of(path), tuple(notes), fixed)


def _loaded(
    exported: Callable[[], tuple[ExportedProgram, tuple[str, ...]]],
    module: nn.Module,
    inputs: tuple[shapes.Input, ...],
    source: Source,
    kind: str,
    sha256: str,
    notes: tuple[str, ...],
    fixed: bool = False,
) -> Loaded:
    """fixed: the module takes one sample at a time."""

    def graph() -> tuple[ir.Model, tuple[str, ...]]:
        with collector_paused():
            from edgekit.capture import from_torch

            program, more = exported()
            from_torch.check_inference(program, source.path)
            return from_torch.to_graph(program, inputs, source.path), more

    def synthesize(count: int, advance: Advance) -> Arrays:
        from edgekit.capture.synthesis import synthesized

        return synthesized(module, inputs, count, advance)

    names = tuple(i.name for i in inputs)
    run = called.runs(module, inputs)
    run = called.one_by_one(run) if fixed else run
    return Loaded(inputs=names, run=run, synthesize=synthesize, graph=graph, kind=kind, sha256=sha256, notes=notes)


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
