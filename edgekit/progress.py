"""How a stage says what it is doing, without knowing whether anybody watches.

A stage takes a `Progress` and opens a step around work that may last over a second; what becomes of it (a bar, a line,
nothing) is the command line's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import perf_counter
from typing import Protocol

Advance = Callable[[int], None]
"""Tells a step that n more of its `total` units are done."""


class Progress(Protocol):
    """Somebody who may be watching."""

    def step(self, title: str, total: int | None = None) -> AbstractContextManager[Advance]:
        """Open a step. title: what is being done, in the user's words; total: units of work, None where unknown."""

    def note(self, text: str) -> None:
        """Say something worth knowing now; whatever must also be in the report goes there too."""


class _Silent:
    """Nobody is watching."""

    def step(self, title: str, total: int | None = None) -> AbstractContextManager[Advance]:  # noqa: ARG002
        return nullcontext(_ignore)

    def note(self, text: str) -> None:
        pass


def _ignore(n: int) -> None:
    pass


SILENT: Progress = _Silent()


class Timed:
    """Passes everything on to another Progress and keeps how long each step took.

    seconds: wall-clock time by title, in the order of the steps' ends; a step taken twice adds up.
    """

    def __init__(self, watched: Progress) -> None:
        self._watched = watched
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, title: str, total: int | None = None) -> Iterator[Advance]:
        start = perf_counter()
        with self._watched.step(title, total) as advance:
            yield advance
        self.seconds[title] = self.seconds.get(title, 0.0) + perf_counter() - start

    def note(self, text: str) -> None:
        self._watched.note(text)
