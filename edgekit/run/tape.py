"""What an iterator gives, kept in a temporary file so that it can be given again.

A model's answers are wanted once per file that is judged, but computed once. They go to the disk and not into memory,
since those of a detector or a segmentation net are larger than its samples.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

from edgekit.run.frames import packed, read_frame, unpacked, write_frame

T = TypeVar("T")


class Tape(Generic[T]):
    """Records `source` while it is played for the first time; one player at a time."""

    def __init__(self, source: Iterator[T]) -> None:
        self._source = source
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (closed by __exit__)
        self._end = 0  # of what is recorded

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self._file.close()

    def play(self) -> Iterator[T]:
        """From the beginning: what is recorded, then the rest of the source."""
        place = 0
        while True:
            if place == self._end:
                try:
                    self._record(next(self._source))
                except StopIteration:
                    return
            self._file.seek(place)
            parts = read_frame(self._file)
            assert parts is not None, "everything before the end was written"
            place = self._file.tell()
            yield unpacked(parts)

    def _record(self, value: T) -> None:
        self._file.seek(self._end)
        write_frame(self._file, packed(value))
        self._end = self._file.tell()
