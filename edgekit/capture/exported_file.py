"""A torch.export archive (.pt2) -> ExportedProgram, with nothing run that the file brings along.

torch.export.load would run code from a file in four ways (torch 2.13, torch/export/pt2_archive/_package.py): it
unpickles tensors and objects that the archive marks so, falls back to a full unpickle of the sample inputs, loads
compiled libraries under data/aotinductor, and hands symbolic sizes to sympy's eval. All four are looked for here first.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import TensorArgument
from torch.export.pt2_archive._package import PT2ArchiveReader, load_pt2
from torch.export.pt2_archive.constants import (
    AOTINDUCTOR_DIR,
    CONSTANTS_DIR,
    CUSTOM_OBJ_FILENAME_PREFIX,
    MODELS_DIR,
    OPAQUE_OBJ_FILENAME_PREFIX,
    SAMPLE_INPUTS_DIR,
    WEIGHTS_DIR,
)

from edgekit.capture import shapes, torch_file
from edgekit.capture.quiet import quiet
from edgekit.errors import EdgekitError

# What a size may be made of (sympy's own notation): numbers, names, quoted names, operators. No attribute, subscript or
# lambda can be written so, and the names are these.
SIZE = re.compile(r"(?:\d+(?:\.\d+)?|[A-Za-z]\w*|'[A-Za-z]\w*'|[-+*/%(),<>=&|~\s])*")
SIZE_NAMES = re.compile(
    r"[a-z]+\d+|Symbol|Integer|Float|Rational|positive|nonnegative|integer|precision|true|false|True|False|oo|int_oo"
    r"|Add|Mul|Pow|Max|Min|Mod|PythonMod|FloorDiv|CleanDiv|CeilDiv|ModularIndexing|Where|Abs|floor|ceiling|And|Or|Not"
    r"|Eq|Ne|Lt|Le|Gt|Ge|Equality|Unequality|StrictLessThan|LessThan|StrictGreaterThan|GreaterThan"
    r"|ToFloat|TruncToInt|RoundToInt|FloorToInt|CeilToInt|IntTrueDiv|FloatTrueDiv|PowByNatural"
)
# Operators are reached by these; another dotted path below `torch` may end in a function of anybody's choice.
TARGET = re.compile(r"torch\.ops\.\w+\.\w+(\.\w+)?|_operator\.\w+|math\.\w+|torch\.(_sym_\w+|sym_\w+)")
PATHS = ("torch", "#", "_operator", "math")  # what torch takes for a path; anything else stays a string
CONTAINERS = {None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"}


def load(path: Path, trust: bool) -> tuple[ExportedProgram, bool]:
    """The program, and whether code in the file had to be trusted for it."""
    try:
        archive = PT2ArchiveReader(str(path))
        unsafe = list(dict.fromkeys(_unsafe(archive)))
    except (RuntimeError, AssertionError, ValueError, KeyError) as broken:
        raise torch_file.damaged(path, broken) from broken
    if unsafe and not trust:
        raise torch_file.refused_pickle(path, unsafe)
    try:
        with quiet():
            programs = load_pt2(str(path)).exported_programs
    except Exception as broken:
        raise torch_file.damaged(path, broken) from broken
    if len(programs) != 1:
        raise EdgekitError(
            "EK102",
            f"'{path}' is not one model",
            f"the archive holds {len(programs)} programs ({', '.join(programs) or 'none'}); one is needed",
            "save the program alone with torch.export.save",
        )
    program = next(iter(programs.values()))
    program._guards_code = []  # Python source from the file, which decomposing the program would execute
    return program, bool(unsafe)


def _unsafe(archive: PT2ArchiveReader) -> Iterator[str]:
    """The names of what could run code, read with the reader that torch loads with."""
    for name in archive.get_file_names():
        base = name.rpartition("/")[2]
        if name.startswith(AOTINDUCTOR_DIR):
            yield f"the compiled code {name}"
        elif name.startswith(CONSTANTS_DIR) and base.startswith(
            (CUSTOM_OBJ_FILENAME_PREFIX, OPAQUE_OBJ_FILENAME_PREFIX)
        ):
            yield f"the pickled object {name}"
        elif name.startswith(SAMPLE_INPUTS_DIR) or (
            name.startswith((WEIGHTS_DIR, CONSTANTS_DIR)) and name.endswith(".pt")
        ):
            yield from _unsafe_pickle(archive.read_bytes(name))
        elif name.startswith((WEIGHTS_DIR, CONSTANTS_DIR)) and name.endswith("config.json"):
            for entry in json.loads(archive.read_bytes(name))["config"].values():
                if entry["use_pickle"] and entry["tensor_meta"] is not None:
                    yield from _unsafe_pickle(archive.read_bytes(f"{name.rpartition('/')[0]}/{entry['path_name']}"))
        elif name.startswith(MODELS_DIR):
            yield from _unsafe_text(json.loads(archive.read_bytes(name)))


def _unsafe_pickle(data: bytes) -> Iterator[str]:
    if not data:
        return
    try:
        with quiet():
            torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception:
        yield from torch_file.unsafe_globals(data) or ["an unreadable pickle"]


def _unsafe_text(node: Any) -> Iterator[str]:
    """Sizes that are more than arithmetic, operators that are none and foreign containers, in the program's JSON."""
    match node:
        case dict():
            for key, value in node.items():
                match key, value:
                    case "expr_str", _ if not _is_size(value):
                        yield f"the size {str(value)[:80]!r}"
                    case "target" | "as_operator", str() if value.startswith(PATHS) and not TARGET.fullmatch(value):
                        yield f"the function {value}"
                    case "in_spec" | "out_spec", str():
                        yield from _foreign_containers(json.loads(value)[1])
                    case _:
                        yield from _unsafe_text(value)
        case list():
            for value in node:
                yield from _unsafe_text(value)


def _is_size(text: Any) -> bool:
    if not isinstance(text, str) or not SIZE.fullmatch(text):
        return False
    return all(SIZE_NAMES.fullmatch(name) for name in re.findall(r"[A-Za-z_]\w*", text))


def _foreign_containers(spec: dict[str, Any]) -> Iterator[str]:
    """Containers of inputs and outputs whose description would import a module: default dicts, enums as keys."""
    context = json.loads(spec["context"]) if isinstance(spec["context"], str) else spec["context"]
    if spec["type"] not in CONTAINERS or "__enum__" in json.dumps(context):
        yield f"the container {spec['type']}"
    for child in spec["children_spec"]:
        yield from _foreign_containers(child)


def shapes_of(program: ExportedProgram, model: str) -> tuple[dict[str, shapes.OpenShape], bool]:
    """(shape without the batch, dtype) by input name, None for sizes left open; and whether the batch is fixed."""
    held: dict[str, shapes.OpenShape] = {}
    fixed = False
    for name, tensor in program.state_dict.items():
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise shapes.not_float32(model, name, str(tensor.dtype).removeprefix("torch."))
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    for spec in program.graph_signature.input_specs:
        if spec.kind.name != "USER_INPUT":
            continue
        value = values.get(spec.arg.name)
        if not isinstance(spec.arg, TensorArgument) or not isinstance(value, torch.Tensor) or value.dim() == 0:
            raise shapes.no_batch(
                model,
                spec.arg.name,
                "a scalar" if value is None or isinstance(value, torch.Tensor) else type(value).__name__,
            )
        batch, *sizes = (int(size) if isinstance(size, int) else None for size in value.shape)
        if batch not in (None, 1):
            raise shapes.fixed_batch(model, spec.arg.name, batch)
        fixed |= batch == 1
        dtype = str(value.dtype).removeprefix("torch.")
        if value.is_floating_point() and value.dtype != torch.float32:
            raise shapes.not_float32(model, spec.arg.name, dtype)
        held[spec.arg.name] = (tuple(sizes), dtype)
    return held, fixed
