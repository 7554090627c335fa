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
            try:
                yield _received(pid, pipe, stderr, what)
            finally:
                with suppress(ProcessLookupError, ChildProcessError):  # it is gone, and was waited for
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)


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


def _received(pid: int, pipe: IO[bytes], stderr: IO[bytes], what: str) -> Iterator[T]:
    while (parts := read_frame(pipe)) is not None:
        failed, value, trace = unpacked(parts)
        if failed:
            raise told(value, trace, what)
        if value is None:  # the end
            return
        yield value[0]
    _, status = os.waitpid(pid, 0)
    raise death(what, os.waitstatus_to_exitcode(status), tail(stderr))


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
    backlog = _Backlog()
    writer = threading.Thread(target=backlog.drain, args=(pipe,), daemon=True)
    writer.start()
    try:
        for value in make():
            backlog.put(packed((False, (value,), "")))
        backlog.put(packed((False, None, "")))
    except Exception as error:  # whatever it is, the parent shall hear of it
        backlog.put(packed((True, as_edgekit_error(error), traceback.format_exc())))
    backlog.put(None)
    writer.join()


class _Backlog:
    """Frames between the thread that makes them and the one that writes them, at most BACKLOG_BYTES."""

    def __init__(self) -> None:
        self._frames: deque[tuple[Parts | None, int]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()

    def put(self, frame: Parts | None) -> None:
        size = sum(memoryview(part).nbytes for part in frame or ())
        with self._changed:
            self._changed.wait_for(lambda: self._bytes < BACKLOG_BYTES)
            self._frames.append((frame, size))
            self._bytes += size
            self._changed.notify_all()

    def drain(self, pipe: IO[bytes]) -> None:
        """Write frames until None; the process ends where nobody reads them any more."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._frames))
                frame, size = self._frames.popleft()
                self._bytes -= size
                self._changed.notify_all()
            if frame is None:
                return
            try:
                write_frame(pipe, frame)
            except BrokenPipeError:
                os._exit(0)
