"""`edgekit inspect FILE`: what is this file?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit import units
from edgekit.cli import options
from edgekit.plain import plain

if TYPE_CHECKING:
    from edgekit.report.inspect import FileIdentity
    from edgekit.report.inspect.contents import Tensor

File = Annotated[Path, typer.Argument(help="A model or sample file.", show_default=False)]

_TENSORS_SHOWN = 12


def inspect(file: File, json: options.Json = False) -> None:
    """Say what a file holds, without running any of it.

    Inputs, outputs, ops, parameters, MACs, size, hash; ONNX, TFLite, PyTorch, safetensors, .npz and .npy.
    """
    from edgekit.report.inspect import inspect as read

    found = read(file)
    if json:
        from edgekit.report.json import to_json

        print(to_json(found))
    else:
        from edgekit.report.summary import memory_in_words

        memory = found.contents.memory
        print("\n".join(_lines(found, "" if memory is None else memory_in_words(memory))))


def _lines(found: FileIdentity, memory: str) -> list[str]:
    """memory: what a run needs, in words; empty where that is not known."""
    contents = found.contents
    rows = [("file", plain(found.path)), ("kind", plain(contents.kind)), ("size", units.size(found.size_bytes))]
    rows.append(("sha256", found.sha256))
    rows += [("input", _tensor(tensor)) for tensor in contents.inputs]
    rows += [("output", _tensor(tensor)) for tensor in contents.outputs]
    if contents.parameters is not None:
        rows.append(("parameters", units.count(contents.parameters)))
    if contents.macs is not None:
        rows.append(("MACs", f"{units.count(contents.macs)} per sample"))
    if memory:
        rows.append(("memory", plain(memory)))
    if contents.ops:
        rows.append(("ops", ", ".join(f"{times} {plain(op)}" for op, times in contents.ops.items())))
    rows += [("tensor", _tensor(tensor)) for tensor in contents.tensors[:_TENSORS_SHOWN]]
    if (hidden := len(contents.tensors) - _TENSORS_SHOWN) > 0:
        rows.append(("", f"and {units.plural(hidden, 'more tensor')} (--json lists all)"))
    rows += [(plain(key), plain(value)) for key, value in contents.details.items() if value]
    width = max(len(key) for key, _ in rows)
    return [f"{key:<{width}}  {value}" for key, value in rows]


def _tensor(tensor: Tensor) -> str:
    stands_for = "" if tensor.scale is None else f", scale {tensor.scale:.9g}, zero point {tensor.zero_point}"
    return f"{plain(tensor.name)}  {plain(tensor.dtype)} {units.shape(tensor.shape)}{stands_for}"
