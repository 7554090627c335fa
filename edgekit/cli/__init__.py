"""The door of the command line. It loads the commands inside, so that Ctrl-C is answered from the first moment on."""

from __future__ import annotations

import signal
import sys

from edgekit.errors import Exit

TERMINATED = 128 + signal.SIGTERM  # what shells report for it


def main() -> None:
    """What the `edgekit` script calls."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # an exception: what is open is closed and removed
    try:
        from edgekit.cli.commands import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # before the commands were there
        print("interrupted: nothing was written", file=sys.stderr)
        code = Exit.INTERRUPTED
    sys.exit(code)
