"""Rows of an array that is too large to hold: in memory, in a file, or in a temporary file that has no name.

A row is one sample of one input. Nothing here is mapped into memory, so that what a pass touches does not add up.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit import units
from edgekit.errors import EdgekitError

Array = NDArray[Any]
KINDS = "biuf"  # bool, signed, unsigned, float: what a model can take
LARGEST_ROW = 2**30  # bytes of one sample; a header may claim anything


class Rows(Protocol):
    """shape: of one row; dtype: in the machine's byte order."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __len__(self) -> int: ...
    def read(self, indices: Sequence[int]) -> Array:
        """(len(indices), *shape), a copy."""


@dataclass(frozen=True, eq=False)
class MemoryRows:
    """An array that the caller holds anyway."""

    array: Array

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype.newbyteorder("=")

    def __len__(self) -> int:
        return len(self.array)

    def read(self, indices: Sequence[int]) -> Array:
        return self.array[np.asarray(indices, np.int64)].astype(self.dtype, copy=False)


class Handle:
    """An open file, closed when nobody reads from it any more."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        weakref.finalize(self, file.close)


@dataclass(frozen=True, eq=False)
class FileRows:
    """Rows that lie one after another in a file. stored: the dtype as in the file; offset: of row 0, in bytes."""

    handle: Handle
    offset: int
    count: int
    shape: tuple[int, ...]
    stored: np.dtype[Any]
    name: str

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.stored.newbyteorder("=")

    def __len__(self) -> int:
        return self.count

    def read(self, indices: Sequence[int]) -> Array:
        rows = np.empty((len(indices), *self.shape), self.stored)
        flat = rows.reshape(len(indices), -1).view(np.uint8) if rows.nbytes else rows
        row_bytes = rows.nbytes // max(len(indices), 1)
        for first, last in _runs(indices):
            self._fill(flat[first:last].reshape(-1).data, self.offset + indices[first] * row_bytes)
        return rows.astype(self.dtype, copy=False)

    def span(self, first: int, last: int) -> Array:
        """Rows [first, last), in one read."""
        rows = np.empty((last - first, *self.shape), self.stored)
        if rows.nbytes:
            self._fill(rows.reshape(-1).view(np.uint8).data, self.offset + first * (rows.nbytes // len(rows)))
        return rows.astype(self.dtype, copy=False)

    def _fill(self, view: memoryview, offset: int) -> None:
        """Without the file's own position, which threads and forked processes share."""
        while view:
            n = os.preadv(self.handle.file.fileno(), [view], offset)
            if not n:
                raise EdgekitError(
                    "EK121",
                    f"cannot read '{self.name}' to its end",
                    "the file became shorter while it was read",
                    "make sure that nothing writes to it meanwhile",
                )
            view, offset = view[n:], offset + n


def _runs(indices: Sequence[int]) -> list[tuple[int, int]]:
    """Stretches of consecutive indices, as positions [first, last): one read each."""
    starts = [i for i in range(len(indices)) if i == 0 or indices[i] != indices[i - 1] + 1]
    return list(zip(starts, [*starts[1:], len(indices)], strict=True))


class Spool:
    """Collects rows in a temporary file that has no name, so that nothing is left whatever happens."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.handle = Handle(tempfile.TemporaryFile(buffering=0))  # noqa: SIM115  (the handle closes it)
        self.n_bytes = 0

    def write(self, data: Any) -> None:
        view = memoryview(data).cast("B") if len(data) else memoryview(b"")
        try:
            while view:
                n = self.handle.file.write(view)
                view = view[n:]
                self.n_bytes += n
        except OSError as full:
            raise EdgekitError(
                "EK136",
                f"no room for the samples of '{self.name}'",
                f"{units.size(self.n_bytes)} were written to {tempfile.gettempdir()}, then: {full.strerror}",
                "set TMPDIR to a folder on a larger disk, or give fewer samples",
            ) from full

    def rows(self, count: int, shape: tuple[int, ...], stored: np.dtype[Any], offset: int = 0) -> FileRows:
        return FileRows(self.handle, offset, count, shape, stored, self.name)


def check_dtype(dtype: np.dtype[Any], name: str) -> None:
    """Only numbers. Objects are pickles, which run code when they are read."""
    if dtype.hasobject:
        raise EdgekitError(
            "EK123",
            f"'{name}' holds Python objects",
            "reading them means unpickling, which can run any code",
            "save plain numbers: numpy.stack(rows).astype('float32') instead of an array of arrays",
        )
    if dtype.kind not in KINDS or dtype.itemsize > 8:
        raise EdgekitError(
            "EK122",
            f"'{name}' does not hold numbers that a model can take",
            f"its type is {dtype}; allowed are bool, integers and floats of up to 8 bytes",
            "convert it, for example with array.astype('float32')",
        )


def check_row(shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> None:
    """A header can claim any shape: refuse before allocating."""
    n_bytes = dtype.itemsize
    for dim in shape:
        n_bytes *= dim
    if n_bytes > LARGEST_ROW:
        raise EdgekitError(
            "EK124",
            f"one sample of '{name}' is too large",
            f"its header says {units.size(n_bytes)}; at most {units.size(LARGEST_ROW)} are read",
            "check that the first axis counts the samples",
        )
    if n_bytes == 0:
        raise EdgekitError(
            "EK125", f"the samples of '{name}' hold nothing", f"one has the shape {shape}", "save samples with elements"
        )
