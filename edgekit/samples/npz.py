"""Samples from `.npz` and `.npy` files, which are never trusted and never held.

An uncompressed member is read where it lies, a deflated one is inflated once into a temporary file without a name.
Every size is checked against the bytes that are really there before anything is allocated.
"""

from __future__ import annotations

import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from edgekit import units
from edgekit.errors import EdgekitError
from edgekit.preprocess import Preprocess
from edgekit.samples.labels import as_class_names, as_labels
from edgekit.samples.packed import PackedImages
from edgekit.samples.rows import FileRows, Handle, Spool, check_dtype, check_row
from edgekit.samples.table import Table

Array = NDArray[Any]
SPECIAL = ("labels", "targets", "classes")
CHUNK = 2**20
# Real samples rarely deflate beyond 20:1. A small member that claims gigabytes is meant to fill a disk.
BOMB_BYTES, BOMB_RATIO = 2**30, 100


@dataclass(frozen=True)
class Header:
    """What an npy header says. n_bytes: of the data; start: where the data begins after the header's first byte."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    start: int

    @property
    def n_bytes(self) -> int:
        n = self.dtype.itemsize
        for dim in self.shape:
            n *= dim
        return n


def from_npy(path: Path) -> Table:
    """One array, the inputs."""
    return Table(where=str(path), inputs={"inputs": _plain_rows(path)}, targets={})


def from_npz(path: Path, preprocess: Preprocess) -> Table | PackedImages:
    """`inputs`, or one array per input name; `labels`, `targets` (or `targets.<output>`), `classes`; or the files of
    images in `data`, parted at `offsets`."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, path)
            if _is_packed(archive, members, path):
                return _packed(archive, members, path, preprocess)
            return _table(archive, members, path)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError) as broken:
        # RuntimeError: an encrypted member; NotImplementedError: a compression that Python does not know.
        raise _damaged(str(path), str(broken) or type(broken).__name__) from broken


def _members(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    members = {info.filename.removesuffix(".npy"): info for info in archive.infolist() if not info.is_dir()}
    for name, info in members.items():
        if info.file_size > BOMB_BYTES and info.file_size > BOMB_RATIO * max(info.compress_size, 1):
            raise EdgekitError(
                "EK124",
                f"'{path}: {name}' would not stop growing",
                f"{units.size(info.compress_size)} would unpack to {units.size(info.file_size)}",
                "save real samples, or save them uncompressed with numpy.savez",
            )
    return members


def _is_packed(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], path: Path) -> bool:
    """True for the bytes of image files one after another in `data`, parted at `offsets`: no model takes these two."""
    if "inputs" in members or not {"data", "offsets"} <= members.keys():
        return False
    with archive.open(members["data"]) as data, archive.open(members["offsets"]) as offsets:
        bytes_, places = _header(data, f"{path}: data"), _header(offsets, f"{path}: offsets")
    flat = len(bytes_.shape) == 1 and len(places.shape) == 1 and bytes_.shape != places.shape
    return flat and bytes_.dtype == np.uint8 and places.dtype.kind in "iu"


def _packed(
    archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], path: Path, preprocess: Preprocess
) -> PackedImages:
    data, places = _member_rows(archive, members["data"], path), _whole(archive, members["offsets"], path)
    known = ("data", "offsets", "labels", "classes")
    if places.size < 2 or np.any(np.diff(places.astype(np.int64)) < 1) or places[0] < 0 or places[-1] > len(data):
        raise _damaged(
            f"{path}: offsets", f"they must rise within the {len(data)} bytes of `data`, one more than images"
        )
    labels, classes = _labels(archive, members, path)
    if labels is not None and len(labels) != len(places) - 1:
        raise EdgekitError(
            "EK129",
            f"the arrays of '{path}' do not belong together",
            f"they count {len(places) - 1} images and {len(labels)} labels",
            "save one label per image, and one offset more than images",
        )
    return PackedImages(
        path, data, places.astype(np.int64), preprocess, labels, classes, tuple(n for n in members if n not in known)
    )


def _labels(
    archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], path: Path
) -> tuple[NDArray[np.int64] | None, tuple[str, ...] | None]:
    classes = as_class_names(_whole(archive, members["classes"], path), str(path)) if "classes" in members else None
    labels = _whole(archive, members["labels"], path) if "labels" in members else None
    return (None if labels is None else as_labels(labels, classes, str(path))), classes


def _table(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], path: Path) -> Table:
    single = "inputs" in members
    inputs = ["inputs"] if single else [name for name in members if name not in SPECIAL and not _is_target(name)]
    targets = [name for name in members if name == "targets" or _is_target(name)]
    ignored = tuple(name for name in members if name not in (*inputs, *targets, *SPECIAL))
    labels, classes = _labels(archive, members, path)
    return Table(
        where=str(path),
        inputs={name: _member_rows(archive, members[name], path) for name in inputs},
        targets={name.removeprefix("targets."): _member_rows(archive, members[name], path) for name in targets},
        labels=labels,
        class_names=classes,
        ignored=ignored,
    )


def _is_target(name: str) -> bool:
    return name.startswith("targets.")


def _whole(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> Array:
    """A small array: labels, names of classes."""
    name = f"{path}: {info.filename.removesuffix('.npy')}"
    with archive.open(info) as stream:
        header = _header(stream, name)
        if header.dtype.hasobject:
            check_dtype(header.dtype, name)
        _check_length(header, info.file_size, name)
        data = stream.read(header.n_bytes)
    return np.frombuffer(data, header.dtype).reshape(header.shape, order="F" if header.fortran else "C")


def _member_rows(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> FileRows:
    name = f"{path}: {info.filename.removesuffix('.npy')}"
    with archive.open(info) as stream:
        header = _header(stream, name)
        _check_length(header, info.file_size, name)
        if info.compress_type == zipfile.ZIP_STORED:
            start = _data_offset(path, info) + header.start
            return _in_file(_opened(path), start, header, name)
        spool = Spool(name)
        while chunk := stream.read(CHUNK):  # at its end, zipfile has checked the CRC
            spool.write(chunk)
    return _in_file(spool.handle, 0, header, name)


def _data_offset(path: Path, info: zipfile.ZipInfo) -> int:
    """Where a member's data begins: its local header (30 bytes; APPNOTE.TXT 4.3.7) has its own name and extra field."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        name_bytes, extra_bytes = struct.unpack("<26xHH", file.read(30))
    return int(info.header_offset) + 30 + int(name_bytes) + int(extra_bytes)


def _plain_rows(path: Path) -> FileRows:
    handle = _opened(path)
    header = _header(handle.file, str(path))
    _check_length(header, path.stat().st_size, str(path))
    return _in_file(handle, header.start, header, str(path))


def _opened(path: Path) -> Handle:
    return Handle(path.open("rb", buffering=0))


def _in_file(handle: Handle, start: int, header: Header, name: str) -> FileRows:
    check_dtype(header.dtype, name)
    if not header.shape:
        raise EdgekitError(
            "EK129",
            f"'{name}' is a single number",
            "an array of samples has an axis that counts them",
            "save one row per sample",
        )
    count, shape = header.shape[0], header.shape[1:]
    if count:
        check_row(shape, header.dtype, name)
    if header.fortran and shape:
        return _rows_from_columns(handle, start, header, name)
    return FileRows(handle, start, count, shape, header.dtype, name)


def _rows_from_columns(handle: Handle, start: int, header: Header, name: str) -> FileRows:
    """A Fortran-ordered array has its samples last: bring them first, some samples at a time."""
    count, shape = header.shape[0], header.shape[1:]
    columns = math.prod(shape)
    block = max(1, CHUNK // (header.dtype.itemsize * columns))
    spool = Spool(name)
    for first in range(0, count, block):
        n = min(block, count - first)
        part = np.empty((columns, n), header.dtype)
        for i in range(columns):
            offset = start + (i * count + first) * header.dtype.itemsize
            part[i] = FileRows(handle, offset, 1, (n,), header.dtype, name).read([0])[0]
        rows = part.T.reshape((n, *shape), order="F")
        spool.write(np.ascontiguousarray(rows).tobytes())
    return spool.rows(count, shape, header.dtype)


def _header(stream: IO[bytes], name: str) -> Header:
    """Read as numpy reads it, but nothing else is read, and no pickle ever."""
    try:
        match npy.read_magic(stream):
            case (1, 0):
                shape, fortran, dtype = npy.read_array_header_1_0(stream)
            case (2, 0):
                shape, fortran, dtype = npy.read_array_header_2_0(stream)
            case version:
                raise ValueError(f"npy version {version} holds structured arrays")
    except (ValueError, EOFError, SyntaxError, TypeError, UnicodeDecodeError, tokenize.TokenError) as broken:
        raise _damaged(name, (str(broken) or type(broken).__name__).splitlines()[0]) from broken
    if any(dim < 0 for dim in shape):
        raise _damaged(name, f"its header says the shape {shape}")
    return Header(tuple(shape), bool(fortran), dtype, stream.tell())


def _check_length(header: Header, file_bytes: int, name: str) -> None:
    there = file_bytes - header.start
    if there < header.n_bytes and not header.dtype.hasobject:
        raise _damaged(
            name, f"its header says {units.size(header.n_bytes)} of data; there are {units.size(max(there, 0))}"
        )


def _damaged(name: str, why: str) -> EdgekitError:
    return EdgekitError("EK121", f"cannot read '{name}'", why, "save it again with numpy.savez or numpy.save")
