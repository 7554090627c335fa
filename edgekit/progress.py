"""How a stage says what it is doing, without knowing whether anybody watches.

A stage takes a `Progress` and opens a step around work that may last over a second; what becomes of it (a bar, a line,
nothing) is the command line's business.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
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
