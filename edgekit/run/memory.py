"""Memory that was freed, given back to the machine.

glibc keeps what small blocks leave behind: after a model's weights were freed, hundreds of megabytes. Other allocators
(macOS, musl) give it back by themselves.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any


def trim() -> None:
    """Takes milliseconds: for between two large pieces of work."""
    if (give_back := _malloc_trim()) is not None:
        give_back(0)


@cache
def _malloc_trim() -> Any:
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
