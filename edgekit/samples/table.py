"""A source of samples whose inputs are rows of arrays, whatever they were read from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.artifact import Arrays
from edgekit.errors import EdgekitError
from edgekit.samples.rows import Rows, check_dtype, check_row

Labels = NDArray[np.int64]
DIGEST_BYTES = 16  # 128 bits: two of a million samples collide with a chance of 1e-27


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """where: the user's name for it; inputs, targets: rows by name; ignored: arrays that are there but are not used."""

    where: str
    inputs: Mapping[str, Rows]
    targets: Mapping[str, Rows]
    labels: Labels | None = None
    class_names: tuple[str, ...] | None = None
    ignored: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    images: bool = False

    def __post_init__(self) -> None:
        counts = {name: len(rows) for name, rows in {**self.inputs, **self.targets}.items()}
        if self.labels is not None:
            counts["labels"] = len(self.labels)
        if not self.inputs:
            raise EdgekitError(
                "EK125",
                f"no samples in '{self.where}'",
                f"it holds {', '.join(counts) or 'no array'}, and nothing that could be an input",
                "save the samples as `inputs`, or under the names of the model's inputs",
            )
        if len(set(counts.values())) > 1:
            raise EdgekitError(
                "EK129",
                f"the arrays of '{self.where}' do not belong together",
                "they count " + ", ".join(f"{n} {name}" for name, n in counts.items()),
                "save one row per sample in each; name a single input `inputs`, and other arrays are left out",
            )
        if not len(self):
            raise EdgekitError("EK125", f"no samples in '{self.where}'", "its arrays have 0 rows", "give at least one")
        for name, rows in {**self.inputs, **self.targets}.items():
            check_dtype(rows.dtype, f"{self.where}: {name}")
            check_row(rows.shape, rows.dtype, f"{self.where}: {name}")

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.inputs)

    @property
    def target_names(self) -> tuple[str, ...]:
        return tuple(self.targets)

    def title(self, index: int) -> str:
        return f"sample {index} of '{self.where}'"

    def read(self, indices: Sequence[int], names: Sequence[str]) -> tuple[Arrays, Arrays]:
        """The inputs `names` and the targets of some samples, batch first."""
        return (
            {name: self.inputs[name].read(indices) for name in names},
            {name: rows.read(indices) for name, rows in self.targets.items()},
        )

    def digests(self, indices: Sequence[int]) -> list[str]:
        """Hashes of the inputs alone: the same input with two labels is still the same content.

        An only input counts without its name, so that files that call it differently can be compared.
        """
        named = len(self.inputs) > 1
        columns = [
            (stamp(name if named else "", rows.dtype, rows.shape), rows.read(indices))
            for name, rows in sorted(self.inputs.items())
        ]
        hashes = [hashlib.blake2b(digest_size=DIGEST_BYTES) for _ in indices]
        for head, rows in columns:
            for one, row in zip(hashes, rows, strict=True):
                one.update(head)
                one.update(np.ascontiguousarray(row).data if row.ndim else row.tobytes())
        return [one.hexdigest() for one in hashes]


def stamp(name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """What stands before a sample's bytes in its hash."""
    return f"{name}|{dtype.str}|{shape}|".encode()
