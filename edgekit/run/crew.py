"""A few workers that are there before there is work for them.

Capturing a model keeps one core busy for seconds; meanwhile the crew starts and loads ONNX Runtime on another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from edgekit.run.worker import Worker

SIZE = 2  # results do not depend on it


class Idle:
    """Nothing yet but the imports."""

    def __init__(self) -> None:
        import edgekit.run.ort  # noqa: F401  (the import is the work)


@contextmanager
def crew() -> Iterator[list[Worker]]:
    """Workers to give objects to, with `become`."""
    with ExitStack() as stack:
        yield [stack.enter_context(Worker(Idle, what="starting ONNX Runtime")) for _ in range(SIZE)]


def rest(workers: Sequence[Worker]) -> None:
    """Let go of what they hold: before the next model is written down, its room is worth more than the last one."""
    for worker in workers:
        worker.become(Idle, what="starting ONNX Runtime")
