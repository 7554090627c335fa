"""Samples: what a model is calibrated and judged on, from a file, a folder, the user's code or memory.

Peak memory does not grow with their number: arrays are read row by row, images are decoded when they are asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from edgekit import units
from edgekit.errors import EdgekitError
from edgekit.preprocess import Preprocess
from edgekit.samples.batches import as_array, from_batches, parted
from edgekit.samples.folder import listed
from edgekit.samples.images import Images
from edgekit.samples.npz import from_npy, from_npz
from edgekit.samples.rows import MemoryRows
from edgekit.samples.split import choose, disjoint, split
from edgekit.samples.table import Table
from edgekit.samples.view import Batch, Samples, Source
from edgekit.user_code import Place, called, failed, importable, place

__all__ = ["Batch", "Samples", "choose", "disjoint", "load_samples", "split"]

IN_MEMORY = "samples in memory"


def load_samples(what: Any, preprocess: Preprocess | None = None, where: str = IN_MEMORY) -> Samples:
    """The samples that `what` stands for.

    what: a path (.npz, .npy, folder of images) or 'file.py:factory'; or, in Python, an array, a dict of arrays, a pair
    (inputs, labels or targets), or an iterable of such batches. A list is an iterable of batches, a tuple is a pair.
    where: what messages call samples that have no path.
    """
    contract = preprocess or Preprocess()
    source = _from_text(str(what), contract) if isinstance(what, str | Path) else _from_memory(what, where)
    _check_contract(source, contract)
    samples = Samples(source, contract, np.arange(len(source)), {name: name for name in source.names})
    # This reads one sample: that a contract does not fit is better known before the work than after.
    shapes = [shape for shape, _ in samples.signature.values()]
    if contract.layout == "nhwc" and not any(len(shape) == 3 for shape in shapes):
        raise EdgekitError(
            "EK132",
            f"the samples of '{source.where}' are not NHWC",
            f"a sample is {units.shape(shapes[0])}; height, width and channels are needed",
            "leave --samples-layout out",
        )
    return samples


def _from_text(spec: str, preprocess: Preprocess) -> Source:
    if not Path(spec).exists() and (where := place(spec)) is not None:
        return _from_code(where)
    path = Path(spec)
    if not path.exists():
        raise EdgekitError("EK101", f"no samples at '{spec}'", "the path does not exist", "check the path")
    try:
        return _from_path(path, preprocess)
    except OSError as broken:
        raise EdgekitError(
            "EK121", f"cannot read '{spec}'", broken.strerror or str(broken), "make sure that it can be read"
        ) from broken


def _from_path(path: Path, preprocess: Preprocess) -> Source:
    if path.is_dir():
        return Images(path, listed(path), preprocess)
    if not path.is_file():
        raise EdgekitError("EK101", f"no samples at '{path}'", "it is neither a file nor a folder", "check the path")
    match path.suffix.lower():
        case ".npz":
            return from_npz(path, preprocess)
        case ".npy":
            return from_npy(path)
        case suffix:
            raise EdgekitError(
                "EK120",
                f"cannot read samples from '{path}'",
                f"it ends in '{suffix}'" if suffix else "it has no suffix",
                "give an .npz or .npy file, a folder of images, or file.py:factory",
            )


def _from_code(where: Place) -> Table:
    """A generator's own errors come while it is gone through, so that is guarded like the call."""
    made = called(where)
    with importable(where.file.resolve().parent if where.file else Path.cwd()), redirect_stdout(sys.stderr):
        try:
            return from_batches(_iterable(made, str(where)), str(where))
        except EdgekitError:
            raise
        except (Exception, SystemExit) as broken:
            raise failed(where, broken) from broken


def _from_memory(what: Any, where: str) -> Table:
    if isinstance(what, Mapping | tuple | np.ndarray) or hasattr(what, "numpy"):
        inputs, targets, labels = parted(what, where)
        return Table(
            where=where,
            inputs={name: MemoryRows(x) for name, x in inputs.items()},
            targets={name: MemoryRows(x) for name, x in targets.items()},
            labels=labels,
        )
    return from_batches(_iterable(what, where), where)


def _iterable(made: Any, where: str) -> Iterable[Any]:
    if isinstance(made, np.ndarray) or hasattr(made, "numpy"):
        return [as_array(made, where)]
    if isinstance(made, Mapping | tuple):
        return [made]
    if not hasattr(made, "__iter__"):
        raise EdgekitError(
            "EK133",
            f"'{where}' does not give batches",
            f"it is {type(made).__name__}, which cannot be gone through",
            "give arrays, a generator of batches, or a torch.utils.data.DataLoader",
        )
    batches: Iterable[Any] = made
    return batches


def _check_contract(source: Source, preprocess: Preprocess) -> None:
    """What cannot be done to this source is refused: doing less than was asked would go unnoticed."""
    if not source.images and (preprocess.resize is not None or preprocess.crop is not None):
        raise EdgekitError(
            "EK132",
            f"cannot resize or crop the samples of '{source.where}'",
            "--resize and --crop work on image files; these are arrays",
            "leave them out, or give a folder of images",
        )
    if source.images and preprocess.layout == "nchw":
        raise EdgekitError(
            "EK132",
            f"the samples of '{source.where}' are not NCHW",
            "they are image files, whose channels come last",
            "leave --samples-layout out",
        )
