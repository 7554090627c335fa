"""Files that list their arrays: zip archives (.npz, .pt, .pt2, TorchScript), .npy and safetensors."""

from __future__ import annotations

import json
import math
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

from numpy.lib import format as npy

from edgekit.report.inspect.contents import Contents, Tensor, damaged, unknown
from edgekit.report.inspect.pickled import tensors_in

# What the zipfile module lets through when an archive's own numbers are wrong.
_BROKEN_ZIP = (
    EOFError,
    IndexError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
_PICKLE_MAX = 256 * 2**20  # a pickle of names and shapes is small; a larger one is no model that we know


def read_zip(path: Path) -> Contents:
    """.npz, or one of PyTorch's archives."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _archive(path, archive)
    except _BROKEN_ZIP as broken:
        raise damaged(path, f"it starts as a zip archive, but: {broken}") from broken


def _archive(path: Path, archive: zipfile.ZipFile) -> Contents:
    names = archive.namelist()
    members = {name.partition("/")[2]: name for name in names}
    if names and all(name.endswith(".npy") for name in names):
        return _npz(path, archive)
    if "archive_format" in members and any(name.startswith("models/") for name in members):
        return Contents(kind="torch.export program", details=_exported(archive, members))
    if "data.pkl" not in members:
        raise unknown(path, f"it is a zip archive of {len(names)} files, none of which is a model")
    if archive.getinfo(members["data.pkl"]).file_size > _PICKLE_MAX:
        raise damaged(path, f"its index is larger than {_PICKLE_MAX} bytes")
    found = tensors_in(archive.read(members["data.pkl"]), path)
    scripted = any(name.startswith("code/") for name in members)
    kind = "TorchScript" if scripted else found.kind
    details = {"needs": ", ".join(found.classes)} if found.classes and not scripted else {}
    return Contents(kind=kind, parameters=found.parameters, tensors=found.tensors, details=details)


def _exported(archive: zipfile.ZipFile, members: dict[str, str]) -> dict[str, str]:
    weights = [archive.getinfo(full).file_size for name, full in members.items() if name.startswith("data/weights/")]
    return {"weights": f"{sum(weights)} bytes in {len(weights)} files"}


def _npz(path: Path, archive: zipfile.ZipFile) -> Contents:
    tensors = []
    for name in archive.namelist():
        with archive.open(name) as file:
            tensors.append(_npy_header(path, name.removesuffix(".npy"), file))
    return Contents(kind="NumPy arrays (.npz)", tensors=tuple(tensors))


def read_npy(path: Path) -> Contents:
    with path.open("rb") as file:
        return Contents(kind="NumPy array (.npy)", tensors=(_npy_header(path, path.stem, file),))


def _npy_header(path: Path, name: str, file: IO[bytes]) -> Tensor:
    """Shape and type of an array; its elements are not read."""
    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(file)
    except (ValueError, EOFError) as broken:
        raise damaged(path, f"the header of '{name}' cannot be read: {str(broken).splitlines()[0]}") from broken
    return Tensor(name=name, dtype=str(dtype), shape=tuple(shape))


def read_safetensors(path: Path) -> Contents:
    """8 bytes of header length, a JSON object, the data. Source: safetensors format description."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > size - 8:
            raise damaged(path, f"its safetensors header announces {length} bytes, the file has {size}")
        header = _json_object(path, file.read(length))
    header.pop("__metadata__", None)
    tensors = tuple(_safetensor(path, name, entry, size - 8 - length) for name, entry in header.items())
    parameters = sum(math.prod(_known(tensor.shape)) for tensor in tensors)
    return Contents(kind="safetensors", parameters=parameters, tensors=tensors)


def _json_object(path: Path, text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as broken:
        raise damaged(path, "it starts as a safetensors file, but its header is not JSON") from broken
    if not isinstance(header, dict):
        raise damaged(path, "its safetensors header is no JSON object")
    return header


def _safetensor(path: Path, name: str, entry: object, size: int) -> Tensor:
    match entry:
        case {"dtype": str(dtype), "shape": [*dims], "data_offsets": [int(start), int(end)]} if (
            0 <= start <= end <= size and all(isinstance(dim, int) and dim >= 0 for dim in dims)
        ):
            return Tensor(name=name, dtype=dtype, shape=tuple(dims))
    raise damaged(path, f"the entry of tensor '{name}' points outside of the file or is not one")


def _known(shape: tuple[int | None, ...]) -> tuple[int, ...]:
    return tuple(dim for dim in shape if dim is not None)
