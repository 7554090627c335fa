"""What is captured and what comes of it, whatever the model was written with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.artifact import Arrays
from edgekit.errors import EdgekitError
from edgekit.progress import Advance

if TYPE_CHECKING:
    from torch import nn

Run = Callable[[Arrays], list[NDArray[Any]]]
BATCH = "batch"  # what the graph calls an open batch
OPSET = 20  # of the graph, at least


@dataclass(frozen=True, kw_only=True)
class Source:
    """What the user gave.

    path: a file, or 'file.py:factory'; factory: --model; inputs: --input, with the batch; module: the model itself,
    where the Python API has it in memory, and path is only its name.
    """

    path: str
    factory: str | None = None
    inputs: Mapping[str, tuple[int, ...]]
    trust_pickle: bool = False
    module: nn.Module | None = None


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model in memory, which is not a graph yet.

    inputs: their names, in order; run: the torch model: arrays by input name in, the outputs in order out, None for
    ONNX; synthesize: that many made-up samples, by input name (EK413 where none can be made up); graph: makes the graph
    and notes on it, in seconds; kind, sha256, notes: see Captured.
    """

    inputs: tuple[str, ...]
    run: Run | None
    synthesize: Callable[[int, Advance], Arrays]
    graph: Callable[[], tuple[ir.Model, tuple[str, ...]]]
    kind: str
    sha256: str
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Captured:
    """A model as a graph.

    graph: float32, not simplified, its batch called 'batch' where the model allows any; kind: 'state dict',
    'ONNX', ...; sha256: of the file; notes: for the report.
    """

    graph: ir.Model
    kind: str
    sha256: str
    notes: tuple[str, ...]


def no_factory(source: Source, what: str) -> None:
    if source.factory is not None:
        raise EdgekitError(
            "EK111",
            f"--model {source.factory} is not needed for '{source.path}'",
            f"the model is {what}, which carries its own structure",
            "leave --model out",
        )


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def not_finite(path: str, name: str, count: int, total: int) -> EdgekitError:
    return EdgekitError(
        "EK110",
        f"the weights in '{path}' are not finite",
        f"'{name}' holds {count} NaN or infinite values of {total}",
        "give a checkpoint from before the training diverged",
    )
