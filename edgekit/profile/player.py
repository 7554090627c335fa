"""A process beside the agent that does as it is asked, one thing at a time. Runs on the device.

Part of the agent: Python 3.8.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any, Callable, Optional

from edgekit.profile.bench import Failure, Json
from edgekit.profile.power import Watch

LOOK_S = 0.2  # between two looks at the power meters, and at the clock
FIRST_LOOK_S = 0.02  # turns of a small model are short
FILE, OPS = "--serve", "--serve-ops"
"""What such a process serves: a file as a whole, or single ops of it."""


class Player:
    """A model file in a process of its own, or its ops, or no file yet."""

    def __init__(
        self, index: int, artifact: Optional[Json], job: Json, tick: Callable[[], None], serving: str = FILE
    ) -> None:
        self._index, self._tick = index, tick
        self._limit_s = float(job.get("limit_s", 600.0))
        self._rest = b""
        self.watch = Watch([])
        self._child = subprocess.Popen(
            [sys.executable, sys.argv[0], serving], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self.opened: Json = {}
        if artifact is None:
            return
        try:
            self.opened = self.ask("open", dict(artifact, threads=job["threads"]))
        except Failure:
            self.close()
            raise

    def ask(self, do: str, argument: Any = None) -> Any:
        """What the child answers. Meters are looked at meanwhile."""
        assert self._child.stdin is not None and self._child.stdout is not None
        try:
            self._child.stdin.write(json.dumps([do, argument]).encode() + b"\n")
        except OSError:
            raise self._died() from None
        start, wait_s = time.monotonic(), FIRST_LOOK_S
        while b"\n" not in self._rest:
            if not select.select([self._child.stdout], [], [], wait_s)[0]:
                wait_s = LOOK_S
                self.watch.look()
                self._tick()
                if time.monotonic() - start > self._limit_s:
                    raise Failure(
                        "time", "no answer within {:g} s while it had to {}".format(self._limit_s, do), self._index
                    )
                continue
            read = os.read(self._child.stdout.fileno(), 2**20)
            if not read:
                raise self._died()
            self._rest += read
        line, _, self._rest = self._rest.partition(b"\n")
        answer = json.loads(line.decode())
        if "failure" in answer:
            raise Failure(answer["failure"]["kind"], answer["failure"]["text"], self._index)
        return answer["value"]

    @property
    def alive(self) -> bool:
        return self._child.poll() is None

    def time_runs(self, count: int) -> Json:
        self.watch.start()
        start = time.monotonic()
        timed: Json = self.ask("time_runs", count)
        self.watch.stop(time.monotonic() - start)
        return timed

    def close(self) -> None:
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout):
            assert stream is not None
            stream.close()

    def _died(self) -> Failure:
        status = self._child.wait()
        if status == -signal.SIGKILL:
            return Failure("memory", "killed by SIGKILL, which the kernel sends when memory runs out", self._index)
        if status < 0:
            return Failure("crash", "ended by {}".format(_signal_name(-status)), self._index)
        return Failure("crash", "ended with status {}".format(status), self._index)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return "signal {}".format(number)
