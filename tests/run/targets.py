"""What the tests of the worker put into it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import EdgekitError
from edgekit.run.micro import Arena, OpenFile


class Echo:
    """Answers, misbehaves and dies on request."""

    def __init__(self, greeting: str = "") -> None:
        self.greeting = greeting

    def back(self, value: Any) -> Any:
        return value

    def greet(self) -> str:
        return self.greeting

    def pid(self) -> int:
        return os.getpid()

    def path(self) -> list[str]:
        return sys.path

    def main_module(self) -> str | None:
        return getattr(sys.modules["__main__"], "__file__", None)

    def modules(self) -> set[str]:
        return set(sys.modules)

    def shout(self, text: str) -> None:
        """Print as native code does: to file descriptor 1."""
        os.write(1, text.encode())
        print(text)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def refuse(self) -> None:
        raise EdgekitError("EK101", "a", "b", "c")

    def stumble(self) -> None:
        raise KeyError("toe")

    def say_nothing(self) -> None:
        raise ValueError

    def starve(self) -> None:
        raise MemoryError("no room")

    def unpicklable(self) -> object:
        return lambda: None

    def abort(self) -> None:
        os.write(2, b"last words")
        os.abort()

    def segfault(self) -> None:
        ctypes.string_at(0)

    def leave(self, status: int) -> None:
        os._exit(status)

    def killed(self, number: int = signal.SIGKILL) -> None:
        os.kill(os.getpid(), number)

    def touch_and_sleep(self, path: str) -> None:
        Path(path).touch()
        time.sleep(60)

    def big(self, elements: int) -> np.ndarray[Any, Any]:
        return np.arange(elements, dtype=np.float32)


class Cannot:
    """Cannot be built."""

    def __init__(self) -> None:
        raise EdgekitError("EK101", "a", "b", "c")


class DiesWhileBuilt:
    def __init__(self) -> None:
        os._exit(3)


class Alone:
    """Counts how many of its kind are there."""

    living = 0

    def __init__(self, load: bytes) -> None:
        type(self).living += 1
        self.others, self.load = type(self).living - 1, load

    def __del__(self) -> None:
        type(self).living -= 1

    def company(self) -> int:
        return self.others


class MicroFiles:
    """One file after the other in TFLite Micro."""

    def arena(self, path: Path, arena_bytes: int) -> Arena:
        return OpenFile(path, arena_bytes).arena()
