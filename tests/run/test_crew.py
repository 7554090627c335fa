"""Tests of edgekit/run/crew.py."""

from __future__ import annotations

from edgekit.run.crew import SIZE, crew, rest
from tests.run.targets import Alone


def test_a_crew_is_there_before_its_work() -> None:
    with crew() as workers:
        assert len({worker.pid for worker in workers}) == SIZE


def test_who_rests_holds_nothing() -> None:
    with crew() as workers:
        for worker in workers:
            worker.become(Alone, bytes(9), what="running a model")
        rest(workers)
        workers[0].become(Alone, bytes(9), what="running another")
        assert workers[0].call("company") == 0
