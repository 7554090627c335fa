"""Being stopped from outside: Ctrl-C, and the SIGTERM of a build that ran out of time."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

from edgekit.errors import Exit

TERMINATED = 128 + signal.SIGTERM  # what shells report for it


class Terminated(KeyboardInterrupt):
    """SIGTERM. Not SystemExit, which a user's code may raise and which is then an error of that code."""


def terminate(*_: object) -> NoReturn:
    """The handler of SIGTERM: an exception, so that what is open is closed and removed."""
    raise Terminated


def told(stop: BaseException) -> int:
    """Say so, and give the exit code."""
    notes = "; ".join(note for note in getattr(stop, "__notes__", ()) if note)
    print(f"interrupted: nothing was written{f' but a checkpoint: {notes}' if notes else ''}", file=sys.stderr)
    return TERMINATED if isinstance(stop, Terminated) else Exit.INTERRUPTED


def too_late() -> None:
    """The files are in place, and what is left is to say so: an interruption would tell the opposite.

    Only in a process that is the command line's own.
    """
    if signal.getsignal(signal.SIGTERM) is not terminate:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
