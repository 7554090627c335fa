"""Outputs that appear together or not at all.

Files are written into a hidden folder in the output folder and moved up when everything has succeeded. What is
interrupted, by an error or by Ctrl-C, leaves the output folder as it was.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import EdgekitError

PREFIX = ".edgekit-"  # of the folders to write into, which only a killed process leaves behind


def _unseen(folder: Path) -> None:
    """Nobody looks at the files before they are moved."""


@dataclass(frozen=True)
class Placing:
    """How files come to their place. replaceable: names that may be taken already; before: given the folder with the
    files, whole, before the first is moved; fix: what to do about a file that is in the way."""

    replaceable: frozenset[str] = frozenset()
    before: Callable[[Path], None] = _unseen
    fix: str = "add --overwrite, or choose another folder with -o"


ANEW = Placing()


def refuse_existing(directory: Path, names: Sequence[str], overwrite: bool, placing: Placing = ANEW) -> None:
    """Raise EK195 before any work is done where an output is in the way. names: the files that will be written."""
    for name in names:
        if (directory / name).is_dir():
            raise EdgekitError(
                "EK195",
                f"will not overwrite '{directory / name}'",
                "it is a folder, and the output is a file",
                "choose another folder with -o",
            )
    taken = [name for name in names if name not in placing.replaceable and (directory / name).exists()]
    if taken and not overwrite:
        raise EdgekitError(
            "EK195",
            f"will not overwrite '{directory / taken[0]}'",
            f"{len(taken)} of the {len(names)} outputs exist already",
            placing.fix,
        )


@contextmanager
def staged(directory: Path, placing: Placing = ANEW) -> Iterator[Path]:
    """A folder to write into, whose files are moved into `directory` at the end of the block; folders in it are not."""
    made: list[Path] = []
    try:
        made = _missing_parents(directory)
        directory.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=directory))
    except OSError as error:
        _remove_empty(made)
        raise EdgekitError(
            "EK196",
            f"cannot write to '{directory}'",
            error.strerror or str(error),
            "choose a folder that you may write to with -o",
        ) from None
    try:
        yield folder
        placing.before(folder)
        for path in sorted(path for path in folder.iterdir() if path.is_file()):
            path.replace(directory / path.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _remove_empty(made)


def _remove_empty(made: list[Path]) -> None:
    """Of the folders that this run made, those that stayed empty."""
    for parent in made:
        if parent.is_dir() and not any(parent.iterdir()):
            parent.rmdir()


def _missing_parents(directory: Path) -> list[Path]:
    """The folders that making `directory` will make, innermost first."""
    return [path for path in (directory, *directory.parents) if not path.exists()]
