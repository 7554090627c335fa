"""A piece of native code in a process of its own, so that its crash is an error message and not the end of the run.

The parent keeps a `Worker`; the child builds `make(*args)` and answers calls of its methods. Frames go over the child's
stdin and stdout (see frames).

Why not `multiprocessing`: spawn runs the user's script again in the child, which needs a `__main__` guard that a person
who calls the Python API has not written; fork copies a parent whose torch threads hold locks. What we gave up: `make`
must be importable by name. What would change our mind: a spawn that leaves `__main__` alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import IO, Any, BinaryIO, Self

from edgekit.errors import EdgekitError
from edgekit.run.frames import packed, read_frame, unpacked, write_frame
from edgekit.run.memory import trim

TAIL_BYTES = 4096  # of the child's stderr, shown when it dies
GRACE_S = 1.0  # for the child to go by itself once its stdin is closed

_SERVE = "import sys; sys.path[:] = {path!r}; from edgekit.run.worker import serve; serve()"


class Worker:
    """`make(*args)` in a child process.

    make: a callable that can be imported by name; what: what the child does, in the user's words ("running
    model.int8.tflite"). The child starts at once and is built while the parent goes on: a failure to build shows at
    `ready()` or at the first call. Calls from several threads wait for each other.
    """

    def __init__(self, make: Callable[..., object], *args: object, what: str) -> None:
        assert make.__module__ != "__main__", "the child cannot import what the user's script defines"
        build = packed((make, args))
        self._what = what
        self._lock = threading.Lock()
        self._ready = False
        self._failure: EdgekitError | None = None
        self._timed_out_s: float | None = None
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed by close)
        self._child = subprocess.Popen(
            [sys.executable, "-c", _SERVE.format(path=sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,  # Ctrl-C at the terminal reaches the parent only, and the parent ends the child
        )
        self._send(build)

    def become(self, make: Callable[..., object], *args: object, what: str) -> None:
        """Build another object in the same process: starting one costs half a second of a core."""
        with self._lock:
            self._await_built()
            self._what, self._ready = what, False
            self._send(packed((make, args)))

    @property
    def pid(self) -> int:
        return self._child.pid

    def ready(self) -> Self:
        """Wait until the child has built its object; raises what building raised."""
        with self._lock:
            self._await_built()
        return self

    def call(self, method: str, *args: object, timeout_s: float | None = None) -> Any:
        """What `method(*args)` returns in the child. timeout_s: after it the child is killed (EK904)."""
        request = packed((method, args))
        with self._lock:
            timer = self._started_timer(timeout_s)
            try:
                self._await_built()
                self._send(request)
                return self._answer()
            finally:
                timer.cancel()

    def close(self) -> None:
        """End the child: by itself where it is idle, else by force."""
        if self._child.poll() is None and self._lock.acquire(blocking=False):
            _close_quietly(self._stdin)
            self._lock.release()
            with contextlib.suppress(subprocess.TimeoutExpired):  # stuck: killed below
                self._child.wait(GRACE_S)
        self.kill()

    def kill(self) -> None:
        """End the child now, whatever it is doing, also while another thread waits for its answer."""
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()
        _close_quietly(self._stdin)
        with self._lock:  # a thread that was waiting has seen the end of the pipe by now
            _close_quietly(self._stdout)
            self._stderr.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.kill()

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._child.stdin is not None
        return self._child.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._child.stdout is not None
        return self._child.stdout

    def _await_built(self) -> None:
        if not self._ready:
            self._answer()
            self._ready = True

    def _send(self, parts: Sequence[bytes | memoryview]) -> None:
        if self._failure is not None:
            raise self._failure
        assert not self._stdin.closed, "the worker was closed"
        try:
            write_frame(self._stdin, parts)
        except OSError:
            raise self._died() from None
        except BaseException:  # half a frame is on its way: the two no longer understand each other
            self._child.kill()
            raise

    def _answer(self) -> Any:
        if self._failure is not None:
            raise self._failure
        try:
            parts = read_frame(self._stdout)
        except BaseException:  # Ctrl-C while the child computes
            self._child.kill()
            raise
        if parts is None:
            raise self._died()
        failed, value, trace = unpacked(parts)
        if failed:
            error = told(value, trace, self._what)
            if not self._ready:
                self._failure = error
            raise error
        return value

    def _died(self) -> EdgekitError:
        self._failure = death(self._what, self._child.wait(), tail(self._stderr), self._timed_out_s)
        return self._failure

    def _started_timer(self, timeout_s: float | None) -> threading.Timer:
        def kill() -> None:
            self._timed_out_s = timeout_s
            self._child.kill()

        timer = threading.Timer(timeout_s or 0, kill)
        timer.daemon = True
        if timeout_s is not None:
            timer.start()
        return timer


def told(error: EdgekitError, trace: str, what: str) -> EdgekitError:
    """A child's own error, its place filled in and its traceback kept for a report of a bug."""
    if error.code in {"EK902", "EK903"}:
        error = EdgekitError(error.code, f"{what} failed", error.why, error.fix)
    error.add_note(trace)
    return error


def tail(stderr: IO[bytes]) -> str:
    """The end of what a child said."""
    stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - TAIL_BYTES))
    return stderr.read().decode(errors="replace").strip()


def death(what: str, status: int, said: str, timed_out_s: float | None = None) -> EdgekitError:
    """The error for a child that is gone. status: as Popen.returncode, -N for signal N; said: the end of its stderr."""
    last_words = f"; its last words: {said}" if said else ""
    if timed_out_s is not None:
        return EdgekitError(
            "EK904",
            f"{what} took too long",
            f"no answer within {timed_out_s:g} s",
            "give fewer or smaller samples, or close other programs",
        )
    if status == -signal.SIGKILL:
        return EdgekitError(
            "EK903",
            f"{what} was killed",
            f"SIGKILL, which the kernel sends when memory runs out{last_words}",
            "close other programs, or use a smaller model or a machine with more memory",
        )
    if status < 0:
        ended = f"the process ended by {_signal_name(-status)}"
    else:
        ended = f"the process ended with status {status}"
    return EdgekitError(
        "EK901",
        f"{what} crashed",
        ended + last_words,
        "run `edgekit doctor`; if the runtimes are well, the model crashes the runtime: please report it",
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def _close_quietly(stream: IO[bytes]) -> None:
    """Close a pipe whose other end may be gone: what was buffered for a dead child is of no use to anybody."""
    with contextlib.suppress(OSError):
        stream.close()


# ---- the child -----------------------------------------------------------------------------------------------------


def serve() -> None:
    """Answer the parent until it closes its end. Never returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = _own_pipes()
    target: list[object] = []
    while (parts := read_frame(requests)) is not None:
        answer = _answered(parts, target)
        try:
            write_frame(answers, answer)
        except BrokenPipeError:
            break
    sys.stderr.flush()
    os._exit(0)  # at once: a runtime's own teardown is of no use to anybody


def _answered(parts: list[bytearray], target: list[object]) -> list[bytes | memoryview]:
    """parts: of a request, which are taken; target: the object that was built last, if any."""
    try:
        first, args = unpacked(parts)
        parts.clear()
        if not callable(first):
            return packed((False, getattr(target[0], first)(*args), ""))
        target.clear()  # before another is built: two models at once are one too many for a small machine
        trim()
        target.append(first(*args))
        trim()
        return packed((False, None, ""))
    except Exception as error:  # whatever it is, the parent shall hear of it
        return packed((True, as_edgekit_error(error), traceback.format_exc()))


def _own_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The two pipes on numbers of their own, so that what native code prints to fd 1 cannot fall into a frame."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123  (a device, not a path)
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return requests, answers


def as_edgekit_error(error: Exception) -> EdgekitError:
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    match error:
        case EdgekitError():
            return error
        case MemoryError():
            return EdgekitError("EK903", "", text, "use a smaller model or a machine with more memory")
        case _:
            return EdgekitError("EK902", "", text, "run `edgekit doctor`; if it finds nothing, please report this")
