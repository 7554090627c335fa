"""The tensors that a pickle describes, without unpickling it into anything that can act.

Python's unpickler is given stand-ins for every class that the pickle names, so that no module is imported and nothing
of the file's choosing is called; what remains is data: dictionaries, lists, and records of "a tensor of this shape".
"""

from __future__ import annotations

import io
import math
import pickle
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from edgekit.report.inspect.contents import Contents, Tensor, damaged, unknown

_TORCH_MAGIC = 0x1950A86A20F9469CFC6C  # torch.serialization.MAGIC_NUMBER, before archives (PyTorch 1.5 and older)
_HOLDERS = frozenset({"_parameters", "_buffers", "_modules"})  # nn.Module's own dictionaries say nothing to the user
_NESTING_MAX = 60


@dataclass(frozen=True, kw_only=True)
class Found:
    """kind: what the top of the pickle is; classes: names that it asks for beyond what a tensor needs."""

    kind: str
    tensors: tuple[Tensor, ...]
    parameters: int
    classes: tuple[str, ...]


@dataclass(frozen=True)
class _Storage:
    dtype: str


class _StandIn:
    """Takes whatever a pickle gives to an object and does nothing with it."""

    name = ""

    def __new__(cls, *arguments: Any, **_: Any) -> _StandIn:
        made = super().__new__(cls)
        made.arguments, made.state, made.items = arguments, None, {}
        return made

    arguments: tuple[Any, ...]
    state: Any
    items: dict[Any, Any]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        pass

    def __call__(self, *arguments: Any, **_: Any) -> _StandIn:
        return _StandIn(*arguments)

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items[key] = value

    def append(self, value: Any) -> None:
        self.items[len(self.items)] = value


class _Reader(pickle.Unpickler):
    """An unpickler that knows no class but OrderedDict."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.asked: dict[str, type] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        full = f"{module}.{name}"
        if full not in self.asked:
            self.asked[full] = type("_StandIn", (_StandIn,), {"name": full})
        return self.asked[full]

    def persistent_load(self, pid: Any) -> Any:
        match pid:
            case ("storage", kind, *_):
                return _Storage(_dtype(str(getattr(kind, "name", kind))))
            case _:
                return pid


def tensors_in(data: bytes, path: Path) -> Found:
    """data: one pickle; path: the file to name in errors."""
    reader = _Reader(io.BytesIO(data))
    return _found(_load(reader, path), reader)


def read_pickle(path: Path) -> Contents:
    """A file that is a pickle itself: PyTorch's old format, or something else."""
    with path.open("rb") as file:
        reader = _Reader(file)
        top = _load(reader, path)
        if top != _TORCH_MAGIC:
            asked = f", and asks for {', '.join(sorted(reader.asked)[:5])}" if reader.asked else ""
            raise unknown(path, f"it is a pickle, but none that PyTorch wrote{asked}")
        for _ in range(2):  # the protocol's version, the machine's byte order
            _load(_Reader(file), path)
        reader = _Reader(file)
        found = _found(_load(reader, path), reader)
    details = {"needs": ", ".join(found.classes)} if found.classes else {}
    return Contents(kind=found.kind, parameters=found.parameters, tensors=found.tensors, details=details)


def _load(reader: _Reader, path: Path) -> Any:
    """A hostile pickle can make the unpickler raise nearly anything, but only raise."""
    try:
        return reader.load()
    except Exception as broken:
        raise damaged(path, f"its pickle cannot be read: {type(broken).__name__}: {broken}") from broken


def _found(top: Any, reader: _Reader) -> Found:
    tensors = tuple(_walk(top, "", set(), 0))
    parameters = sum(math.prod(dim for dim in tensor.shape if dim is not None) for tensor in tensors)
    classes = tuple(sorted(name for name in reader.asked if not _harmless(name)))
    return Found(kind=_kind(top), tensors=tensors, parameters=parameters, classes=classes)


def _kind(top: Any) -> str:
    if isinstance(top, _StandIn):
        return f"pickled {top.name}"
    if isinstance(top, dict) and top and all(_as_tensor(value) for value in top.values()):
        return "state dict"
    return "checkpoint" if isinstance(top, dict) else f"pickled {type(top).__name__}"


def _walk(value: Any, name: str, seen: set[int], depth: int) -> Iterator[Tensor]:
    """Every tensor under `value`; each object is entered once, so that shared parts do not multiply."""
    if (tensor := _as_tensor(value)) is not None:
        shape, dtype = tensor
        yield Tensor(name=name, dtype=dtype, shape=shape)
        return
    if id(value) in seen or depth > _NESTING_MAX:
        return
    seen.add(id(value))
    for key, inner in _children(value):
        yield from _walk(inner, name if key in _HOLDERS else f"{name}.{key}".lstrip("."), seen, depth + 1)


def _children(value: Any) -> list[tuple[str, Any]]:
    match value:
        case dict():
            return [(str(key), inner) for key, inner in value.items()]
        case list() | tuple():
            return [(str(index), inner) for index, inner in enumerate(value)]
        case _StandIn():
            state = value.state if isinstance(value.state, dict) else {}
            return [(str(key), inner) for key, inner in {**value.items, **state}.items()]
        case _:
            return []


def _as_tensor(value: Any) -> tuple[tuple[int, ...], str] | None:
    """Shape and type, where `value` stands for a tensor or a parameter."""
    if not isinstance(value, _StandIn):
        return None
    match value.name, value.arguments:
        case "torch._utils._rebuild_parameter", (data, *_):
            return _as_tensor(data)
        case "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor", (_Storage(dtype), _, tuple(shape), *_):
            if all(isinstance(dim, int) and dim >= 0 for dim in shape):
                return shape, dtype
    return None


def _dtype(storage: str) -> str:
    """'torch.FloatStorage' -> 'float32'."""
    return _DTYPES.get(storage.rpartition(".")[2].removesuffix("Storage"), storage)


_DTYPES = {
    "Float": "float32",
    "Double": "float64",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
}


def _harmless(name: str) -> bool:
    """What every pickle of tensors asks for."""
    return name.startswith(("torch._utils._rebuild_", "torch.Size", "torch.device")) or name.endswith("Storage")
