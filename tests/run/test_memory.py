"""Tests of edgekit/run/memory.py."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edgekit.run.memory import trim

BLOCKS, SIZE = 4000, 100_000  # below what glibc maps one by one


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_small_blocks_leave_is_given_back() -> None:
    blocks = [np.ones(SIZE, np.uint8) for _ in range(BLOCKS)]
    held = resident()
    last = blocks.pop()  # glibc gives back what is freed at the top of its heap, by itself; this is there
    del blocks
    trim()
    assert held - resident() > 0.8 * BLOCKS * SIZE
    assert last.all()
