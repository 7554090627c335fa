"""SHA-256 of files, remembered by what the file system says of them, as make and ninja go by times.

A hash is taken as known while the file's size, times and inode are what they were. One that changed shortly before it
was hashed is hashed again the next time: a second change within one tick of the clock would not show.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

SETTLED_NS = 2_000_000_000  # FAT keeps times of two seconds, the coarsest there are
Stamp = tuple[int, int, int, int]
"""Size in bytes, times of the last change of content and of anything (ns), inode."""


class Hashes:
    """known: path -> stamp and hash, from the last time; settled: what of it may be relied on the next time."""

    def __init__(self, known: Mapping[str, tuple[Stamp, str]] | None = None) -> None:
        self._known = dict(known or {})
        self.settled: dict[str, tuple[Stamp, str]] = {}

    def of(self, path: Path) -> str:
        """Raises OSError where the file cannot be read."""
        key, now_ns = os.path.abspath(path), time.time_ns()  # noqa: PTH100  (a link's own name, and quick)
        stamp = _stamp(path)
        known = self._known.get(key)
        found = known[1] if known is not None and known[0] == stamp else _sha256(path)
        self._known[key] = stamp, found
        if now_ns - max(stamp[1], stamp[2]) > SETTLED_NS:
            self.settled[key] = stamp, found
        return found

    def of_folder(self, folder: Path) -> str:
        """Of the names and contents of all files in it and below, but for hidden ones."""
        digest = hashlib.sha256()
        for path in sorted(_files(folder)):
            digest.update(
                f"{path.relative_to(folder).as_posix()}\0{self.of(path)}\n".encode("utf-8", "surrogateescape")
            )
        return digest.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        yield from (Path(parent) / name for name in files if not _is_hidden(name))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in ("__pycache__", "__MACOSX")


def _stamp(path: Path) -> Stamp:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
