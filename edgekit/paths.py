"""Where edgekit's own files are, and how a file is written so that nobody ever sees half of it."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekit.errors import EdgekitError

PACKAGE = Path(__file__).resolve().parent
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def recipes_folder() -> Path:
    return _carried("recipes")


def devices_folder() -> Path:
    return _carried("devices")


def _carried(name: str) -> Path:
    """A folder that the wheel carries inside of the package, and a checkout beside it."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary name in the folder of `path` to write to; it becomes `path` when the block ends, and is gone when
    the block raises or is interrupted. Missing folders are made. Whether `path` may be replaced is the caller's to ask.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as refused:
        raise _cannot_write(path, refused) from refused
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
        part.replace(path)
    except OSError as refused:
        if refused.errno in FULL or refused.filename == name:
            raise _cannot_write(path, refused) from refused
        raise
    finally:
        part.unlink(missing_ok=True)


def _umask() -> int:
    """It can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _cannot_write(path: Path, refused: OSError) -> EdgekitError:
    return EdgekitError(
        "EK196",
        f"cannot write '{path}'",
        refused.strerror or str(refused),
        "give a folder with -o that you may write to, on a disk with room",
    )
