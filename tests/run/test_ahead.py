"""Tests of edgekit/run/ahead.py."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import EdgekitError
from edgekit.run import ahead as room
from edgekit.run.ahead import ahead

WHAT = "running the model"
linux = pytest.mark.skipif(not room.FORKS, reason="values are made ahead on Linux only")


def taken(make: Callable[[], Any], **options: Any) -> list[Any]:
    with ahead(make, WHAT, **options) as values:
        return list(values)


@pytest.mark.parametrize("forks", [False, pytest.param(True, marks=linux)])
def test_values_come_in_order(forks: bool) -> None:
    arrays = taken(lambda: (np.full(70_000, i) for i in range(9)), forks=forks)
    assert [array[0] for array in arrays] == list(range(9))
    assert taken(lambda: iter([None]), forks=forks) == [None]


@linux
def test_they_are_made_in_another_process() -> None:
    held = object()  # no pickle carries it
    assert taken(lambda: [(os.getpid(), id(held))])[0] != (os.getpid(), id(held))
    assert taken(lambda: [os.getpid()], forks=False) == [os.getpid()]


@linux
def test_an_error_comes_after_the_values_before_it() -> None:
    def make() -> Iterator[int]:
        yield 1
        raise EdgekitError("EK131", "no", "one", "shape")

    with ahead(make, WHAT) as values:
        assert next(values) == 1
        with pytest.raises(EdgekitError, match="EK131"):
            next(values)


@linux
def test_any_other_exception_is_an_error_of_the_model() -> None:
    def make() -> Iterator[int]:
        yield 1 // 0

    with pytest.raises(EdgekitError) as caught:
        taken(make)
    assert (caught.value.code, caught.value.what) == ("EK902", f"{WHAT} failed")
    assert "ZeroDivisionError" in caught.value.why


@linux
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, "EK903"), (signal.SIGSEGV, "EK901")])
def test_death_is_an_error(number: int, code: str) -> None:
    def make() -> Iterator[int]:
        print("last words", flush=True)
        os.kill(os.getpid(), number)
        yield 1

    with pytest.raises(EdgekitError) as caught:
        taken(make)
    assert caught.value.code == code
    assert "last words" in caught.value.why


@linux
def test_what_is_printed_stays_inside(capfd: pytest.CaptureFixture[str]) -> None:
    def make() -> Iterator[int]:
        print("out")
        print("err", file=sys.stderr)
        os.write(1, b"raw")
        yield 1

    assert taken(make) == [1]
    assert capfd.readouterr() == ("", "")


@linux
def test_only_so_much_is_made_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "BACKLOG_BYTES", 1)
    made = tmp_path / "made"

    def make() -> Iterator[bytes]:
        for _ in range(50):
            with made.open("a") as file:
                file.write(".")
            yield bytes(1 << 20)  # more than a pipe holds

    with ahead(make, WHAT) as values:
        next(values)
        time.sleep(0.2)
        waiting = len(made.read_text())
        assert waiting < 10
        assert len(list(values)) == 49


@linux
def test_leaving_early_ends_the_copy() -> None:
    def make() -> Iterator[int]:
        yield os.getpid()
        time.sleep(600)

    with ahead(make, WHAT) as values:
        pid = next(values)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@linux
def test_torch_runs_in_the_copy() -> None:
    """After the parent has used all its threads."""
    import torch

    x = torch.rand(256, 256)
    here = float((x @ x).sum())

    def make() -> Iterator[float]:
        torch.set_num_threads(1)
        yield float((x @ x).sum())

    assert taken(make)[0] == pytest.approx(here, rel=1e-4)


@linux
def test_a_copy_that_is_through_ends_before_its_values_are_taken() -> None:
    with ahead(lambda: [os.getpid()] * 9, WHAT) as values:
        pid = next(values)
        for _ in range(200):
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                break
            time.sleep(0.05)
        else:
            pytest.fail("it is still there")
        assert list(values) == [pid] * 8
