"""What a person sees while they wait: bars and finished steps on a terminal, lines with --verbose, else nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from edgekit import units
from edgekit.plain import plain
from edgekit.progress import SILENT, Advance, Progress

if TYPE_CHECKING:  # rich takes a tenth of a second, which `edgekit --help` should not
    from rich.progress import Progress as Bars

WORTH_A_LINE_S = 0.2  # a finished step that took less leaves no line behind


@contextmanager
def watching(verbose: bool = False) -> Iterator[Progress]:
    """The progress that suits this process's stderr."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        console = Console(stderr=True, markup=False, highlight=False, emoji=False)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Bars(*columns, console=console, transient=True) as bars:
            yield _OnTerminal(bars)
    elif verbose:
        yield _Lines()
    else:
        yield SILENT


class _OnTerminal:
    """Bars for what is going on; a line for what is done."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars

    @contextmanager
    def step(self, title: str, total: int | None = None) -> Iterator[Advance]:
        title = plain(title)
        task = self._bars.add_task(title, total=total)
        start = time.perf_counter()
        try:
            yield lambda n: self._bars.advance(task, n)
        finally:
            self._bars.remove_task(task)
        if (took := time.perf_counter() - start) >= WORTH_A_LINE_S:
            self._bars.console.print(f"  {title}  {units.time(took)}", style="dim")

    def note(self, text: str) -> None:
        self._bars.console.print(f"  {plain(text)}")


class _Lines:
    """One line when a step begins."""

    def step(self, title: str, total: int | None = None) -> AbstractContextManager[Advance]:
        return self._step(f"{plain(title)} ({total})" if total is not None else plain(title))

    @contextmanager
    def _step(self, title: str) -> Iterator[Advance]:
        _print_line(title)
        yield _count_silently

    def note(self, text: str) -> None:
        _print_line(plain(text))


def _print_line(text: str) -> None:
    """In one write, which Ctrl-C cannot part: `print` makes two of it."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _count_silently(n: int) -> None:
    """Lines do not count."""
