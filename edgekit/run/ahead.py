"""Values that a forked copy of this process makes while this one does something else.

Unlike a Worker, the copy has all that is in memory: a model that no file holds, samples that the user's code made. A
fork is safe here for the reasons for which torch's DataLoader forks on Linux: the copy runs torch on one thread, so it
never waits for OpenMP threads that were not copied; it touches no terminal; and it leaves without anybody's exit
handlers. Elsewhere (macOS's libraries do not survive a fork) the values are made here, when they are asked for.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, NoReturn, TypeVar

from edgekit.run.frames import Parts, packed, read_frame, unpacked, write_frame
from edgekit.run.worker import as_edgekit_error, death, tail, told

T = TypeVar("T")
BACKLOG_BYTES = 64 << 20  # made and not yet taken: then the copy waits
FORKS = sys.platform == "linux"


@contextmanager
def ahead(make: Callable[[], Iterable[T]], what: str, forks: bool = FORKS) -> Iterator[Iterator[T]]:
    """The values of `make()`, in order. what: what the copy does, in the user's words ("running model.pt in PyTorch").

    Taking a value raises what making it raised, and EK901 or EK903 where the copy died.
    """
    if not forks:
        yield iter(make())
        return
    with tempfile.TemporaryFile() as stderr:
        pid, pipe = _forked(make, stderr)
        with pipe:
            backlog = _Backlog()
            reader = threading.Thread(target=backlog.fill, args=(pipe,), daemon=True)
            reader.start()
            try:
                yield _received(pid, backlog, stderr, what)
            finally:
                backlog.leave()
                with suppress(ProcessLookupError, ChildProcessError):  # it is gone, and was waited for
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                reader.join()  # the pipe's other end is closed


def _forked(make: Callable[[], Iterable[T]], stderr: IO[bytes]) -> tuple[int, IO[bytes]]:
    """The copy's process number, and the pipe on which its values come."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # Python 3.12 says of any thread what the module's head says
        pid = os.fork()
    if not pid:
        _serve(make, reading, writing, stderr)
    os.close(writing)
    return pid, os.fdopen(reading, "rb")


def _received(pid: int, backlog: _Backlog, stderr: IO[bytes], what: str) -> Iterator[T]:
    while (parts := backlog.take()) is not None:
        failed, value, trace = unpacked(parts)
        if failed:
            raise told(value, trace, what)
        if value is None:  # the end
            return
        yield value[0]
    _, status = os.waitpid(pid, 0)
    raise death(what, os.waitstatus_to_exitcode(status), tail(stderr))


class _Backlog:
    """Frames between the thread that reads them and the one that takes them, at most BACKLOG_BYTES.

    They wait here and not in the copy, so that it can end, and with it what the model takes, once it is through.
    """

    def __init__(self) -> None:
        self._frames: deque[tuple[list[bytearray] | None, int]] = deque()
        self._bytes = 0
        self._left = False
        self._changed = threading.Condition()

    def fill(self, pipe: IO[bytes]) -> None:
        """Read frames until there are no more of them, or nobody wants them."""
        frame: list[bytearray] | None = []
        while frame is not None and not self._left:
            frame = read_frame(pipe)
            size = sum(map(len, frame or ()))
            with self._changed:
                self._changed.wait_for(lambda: self._bytes < BACKLOG_BYTES or self._left)
                self._frames.append((frame, size))
                self._bytes += size
                self._changed.notify_all()

    def take(self) -> list[bytearray] | None:
        """The next one; None where the copy is gone."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._frames))
            frame, size = self._frames.popleft()
            self._bytes -= size
            self._changed.notify_all()
        return frame

    def leave(self) -> None:
        with self._changed:
            self._left = True
            self._changed.notify_all()


# ---- the copy ------------------------------------------------------------------------------------------------------


def _serve(make: Callable[[], Iterable[T]], reading: int, writing: int, stderr: IO[bytes]) -> NoReturn:
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends the copy
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.close(reading)
        os.dup2(stderr.fileno(), 1)
        os.dup2(stderr.fileno(), 2)
        # Not the parent's objects: their locks may have been held by a thread that was not copied.
        sys.stdout = sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        _produce(make, os.fdopen(writing, "wb"))
        status = 0
    finally:
        os._exit(status)


def _produce(make: Callable[[], Iterable[T]], pipe: IO[bytes]) -> None:
    try:
        for value in make():
            _write(pipe, packed((False, (value,), "")))
        end = packed((False, None, ""))
    except Exception as error:  # whatever it is, the parent shall hear of it
        end = packed((True, as_edgekit_error(error), traceback.format_exc()))
    _write(pipe, end)


def _write(pipe: IO[bytes], frame: Parts) -> None:
    """The process ends where nobody reads any more."""
    try:
        write_frame(pipe, frame)
    except BrokenPipeError:
        os._exit(0)
