"""The door of the command line. It loads the commands inside, so that Ctrl-C is answered from the first moment on."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
from typing import NoReturn

from edgekit.cli.interruption import terminate, told

COLLECTED_AT = 20_000  # new objects; Python's 700 make a fifth of the time that torch takes to import


def main() -> None:
    """What the `edgekit` script calls."""
    signal.signal(signal.SIGTERM, terminate)
    gc.set_threshold(COLLECTED_AT)
    try:
        from edgekit.cli.commands import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt as stop:  # before the commands were there
        code = told(stop)
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End at once: taking down torch object by object costs two seconds, and the system does it in no time."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError):  # the reader has gone, and was told so by the exit code
            stream.flush()
    os._exit(code)
