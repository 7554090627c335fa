"""Samples from batches: the user's `file.py:factory`, or an iterable given in Python.

The batches are gone through once, into a temporary file without a name. That costs disk, and wins three things: a
generator that works only once is as good as a list, a loader that shuffles cannot mix calibration with evaluation, and
memory stays flat. What would change our mind: sample sets larger than a disk.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit import units
from edgekit.artifact import Arrays
from edgekit.errors import EdgekitError
from edgekit.samples.labels import as_labels
from edgekit.samples.rows import FileRows, Spool, check_dtype, check_row
from edgekit.samples.table import Table

INPUT = "inputs"
KEEP_FREE = 0.05  # share of the disk that an endless factory must not fill
CHECK_EVERY = 64  # batches


class _Column:
    """One array, batch by batch."""

    def __init__(self, first: NDArray[Any], name: str, where: str) -> None:
        check_dtype(first.dtype, f"{where}: {name}")
        check_row(first.shape[1:], first.dtype, f"{where}: {name}")
        self.shape, self.dtype, self.name, self.where, self.count = first.shape[1:], first.dtype, name, where, 0
        self.spool = Spool(where)

    def add(self, x: NDArray[Any], batch: int) -> None:
        if x.shape[1:] != self.shape or x.dtype != self.dtype:
            raise EdgekitError(
                "EK131",
                f"the samples of '{self.where}' do not have one shape and type",
                f"'{self.name}' is {self.shape} {self.dtype} in batch 0 and {x.shape[1:]} {x.dtype} in batch {batch}",
                "yield every batch with the same shape and type but for its first axis",
            )
        self.spool.write(np.ascontiguousarray(x).reshape(-1).view(np.uint8))
        self.count += len(x)

    def rows(self) -> FileRows:
        return self.spool.rows(self.count, self.shape, self.dtype)


def from_batches(batches: Iterable[Any], where: str) -> Table:
    """where: the user's name for them. A batch is an array, a dict of arrays by input name (and labels, targets), or a
    pair (inputs, labels or targets)."""
    inputs: dict[str, _Column] = {}
    targets: dict[str, _Column] = {}
    labels: list[NDArray[np.int64]] = []
    for number, batch in enumerate(batches):
        some_inputs, some_targets, some_labels = parted(batch, where)
        if number == 0:
            inputs = {name: _Column(x, name, where) for name, x in some_inputs.items()}
            targets = {name: _Column(x, name, where) for name, x in some_targets.items()}
        if (some_labels is None) != (not labels) and number > 0:
            raise _bad_batch(where, f"only some batches have labels (batch {number} differs)")
        for columns, arrays in ((inputs, some_inputs), (targets, some_targets)):
            if columns.keys() != arrays.keys():
                raise _bad_batch(where, f"batch 0 has {_listed(columns)}, batch {number} has {_listed(arrays)}")
            for name, x in arrays.items():
                columns[name].add(x, number)
        if some_labels is not None:
            labels.append(some_labels)
        if number % CHECK_EVERY == 0:
            _check_disk(where, sum(column.spool.n_bytes for column in (*inputs.values(), *targets.values())))
    if not inputs:
        raise EdgekitError("EK125", f"no samples in '{where}'", "it gave no batch", "yield at least one batch")
    return Table(
        where=where,
        inputs={name: column.rows() for name, column in inputs.items()},
        targets={name: column.rows() for name, column in targets.items()},
        labels=np.concatenate(labels) if labels else None,
    )


def parted(batch: Any, where: str) -> tuple[Arrays, Arrays, NDArray[np.int64] | None]:
    """Inputs, targets and labels of one batch, every array with one row per sample."""
    inputs, rest = _as_pair(batch)
    arrays = _by_name(inputs, INPUT, where)
    labels = arrays.pop("labels", None)
    targets = {name: arrays.pop(name) for name in list(arrays) if name == "targets" or name.startswith("targets.")}
    if rest is not None:
        named = _by_name(rest, "targets", where)
        only = next(iter(named.values())) if len(named) == 1 else None
        if only is not None and only.dtype.kind in "iub" and only.ndim == 1:
            labels = only
        else:
            targets |= named
    _check_rows({**arrays, **targets, **({} if labels is None else {"labels": labels})}, where)
    found = None if labels is None else as_labels(labels, None, where)
    return arrays, {name.removeprefix("targets."): x for name, x in targets.items()}, found


def _as_pair(batch: Any) -> tuple[Any, Any]:
    """(inputs, labels or targets); a DataLoader collates a pair into a list."""
    if isinstance(batch, tuple | list) and len(batch) == 2 and not np.isscalar(batch[0]):
        return batch[0], batch[1]
    if isinstance(batch, tuple | list) and len(batch) == 1:
        return batch[0], None
    return batch, None


def _by_name(value: Any, name: str, where: str) -> Arrays:
    if isinstance(value, Mapping):
        return {str(key): as_array(x, f"{where}: {key}") for key, x in value.items()}
    return {name: as_array(value, f"{where}: {name}")}


def as_array(value: Any, name: str) -> NDArray[Any]:
    """A numpy array or anything that gives one; a torch tensor is known by what it can do, so torch stays unloaded."""
    for step in ("detach", "cpu", "numpy"):
        method = getattr(value, step, None)
        if callable(method):
            try:
                value = method()
            except (TypeError, RuntimeError) as broken:
                raise _bad_batch(name, f"{type(value).__name__}.{step}() failed: {broken}") from broken
    if not isinstance(value, np.ndarray):
        raise _bad_batch(name, f"it is {type(value).__name__}, not an array")
    check_dtype(value.dtype, name)
    return value


def _check_rows(arrays: Arrays, where: str) -> None:
    counts = {name: x.shape[0] if x.ndim else None for name, x in arrays.items()}
    if len(set(counts.values())) != 1 or None in counts.values():
        shapes = ", ".join(f"{name} {x.shape}" for name, x in arrays.items()) or "nothing"
        raise _bad_batch(where, f"a batch holds {shapes}; the first axis of each must count its samples")


def _check_disk(where: str, n_bytes: int) -> None:
    disk = shutil.disk_usage(tempfile.gettempdir())
    if disk.free < KEEP_FREE * disk.total:
        raise EdgekitError(
            "EK136",
            f"no room for the samples of '{where}'",
            f"{units.size(n_bytes)} were written to {tempfile.gettempdir()}, and {units.size(disk.free)} are free",
            "check that the factory ends, or set TMPDIR to a folder on a larger disk",
        )


def _bad_batch(where: str, why: str) -> EdgekitError:
    return EdgekitError(
        "EK133",
        f"cannot use the batches of '{where}'",
        why,
        "yield arrays with the batch axis first, dicts of them by input name, or pairs (inputs, labels);"
        " torch.utils.data.DataLoader(dataset, batch_size=32) makes batches of a dataset",
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
