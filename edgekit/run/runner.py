"""Runs an artifact in a worker process, in the model's own terms.

As many samples at a time as the file takes, one but for a TFLite file made for more: what a device does.
Layout and integers are translated inside the worker, so that several runners keep several cores busy.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from edgekit.artifact import Arrays, Artifact
from edgekit.errors import EdgekitError
from edgekit.run import timing
from edgekit.run.worker import Worker

if TYPE_CHECKING:  # the runtimes themselves are imported in the worker, each only where its file is run
    from edgekit.run import litert, ort
    from edgekit.run.litert import Kernel


class Runner:
    """An artifact that answers. threads: of the runtime; reference_kernels: TFLite's plain kernels, no delegate."""

    def __init__(self, artifact: Artifact, threads: int = 1, reference_kernels: bool = False) -> None:
        if threads < 1:
            raise EdgekitError(
                "EK701",
                f"cannot run '{artifact.path.name}'",
                f"{threads} threads were asked for",
                "give --threads 1 or more",
            )
        self.artifact, self.threads = artifact, threads
        self._worker = Worker(OpenFile, artifact, threads, reference_kernels, what=f"running '{artifact.path.name}'")

    def run(self, inputs: Arrays) -> Arrays:
        """inputs: by the model's names, batch first, any batch; outputs likewise, also those that the file gives
        without a batch axis."""
        wanted = {spec.name for spec in self.artifact.inputs}
        if missing := sorted(wanted - inputs.keys()):
            raise EdgekitError(
                "EK907",
                f"'{self.artifact.path.name}' wants an input '{missing[0]}'",
                f"the samples have {', '.join(sorted(inputs)) or 'none'}",
                "name the arrays of the samples after the model's inputs, as `edgekit inspect` shows them",
            )
        return cast(Arrays, self._worker.call("run", {name: inputs[name] for name in wanted}))

    def runtime(self) -> str:
        """The runtime's name and version."""
        return cast(str, self._worker.call("runtime"))

    def load_s(self) -> float:
        """Seconds from the file to a runtime that can run it."""
        return cast(float, self._worker.call("load_s"))

    def optimized(self) -> bytes:
        """ONNX only: the graph that ONNX Runtime executes, as an ONNX file."""
        return cast(bytes, self._worker.call("optimized"))

    def kernels(self) -> tuple[Kernel, ...]:
        """TFLite only: the ops that the interpreter executes."""
        return cast("tuple[Kernel, ...]", self._worker.call("kernels"))

    def prepare(self, sample: Arrays) -> None:
        """Set the inputs for `warm_up` and `time_runs`. sample: batch 1."""
        self._worker.call("prepare", sample)

    def warm_up(self) -> timing.Warmth:
        return cast(timing.Warmth, self._worker.call("warm_up"))

    def time_runs(self, count: int) -> timing.Timed:
        return cast(timing.Timed, self._worker.call("time_runs", count))

    def close(self) -> None:
        self._worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.__exit__(kind, error, trace)


def _joined(answers: list[NDArray[Any]], at_once: int) -> NDArray[Any]:
    """The answers of all runs, samples first. An output without a batch axis gets one: each run is of one sample."""
    if any(y.shape[:1] != (at_once,) for y in answers):
        return np.stack(answers)
    return np.concatenate(answers)


class OpenFile:
    """An artifact in its runtime: what lives in the worker."""

    def __init__(self, artifact: Artifact, threads: int, reference_kernels: bool) -> None:
        self._artifact = artifact
        if artifact.format == "onnx":
            from edgekit.run import ort  # not at the top: a device has one runtime, and each is slow to import

            start = time.perf_counter()
            self._session: ort.Session | litert.Interpreter = ort.Session(str(artifact.path), threads)
            self._load_s, self._runtime = time.perf_counter() - start, ort.version()
        else:
            from edgekit.run import litert

            start = time.perf_counter()
            self._session = litert.Interpreter(str(artifact.path), threads, reference_kernels)
            self._load_s, self._runtime = time.perf_counter() - start, litert.version()
        self._prepared: timing.Run | None = None

    def run(self, inputs: Arrays) -> Arrays:
        count, at_once = len(next(iter(inputs.values()))), self._artifact.batch
        rows = [
            self._run_one({name: x[i : i + at_once] for name, x in inputs.items()}) for i in range(0, count, at_once)
        ]
        return {name: _joined([row[name] for row in rows], at_once)[:count] for name in rows[0]}

    def runtime(self) -> str:
        return self._runtime

    def load_s(self) -> float:
        return self._load_s

    def prepare(self, sample: Arrays) -> None:
        self._prepared = self._session.prepared(self._artifact.to_file(sample))

    def warm_up(self) -> timing.Warmth:
        assert self._prepared is not None
        return timing.warm_up(self._prepared)

    def time_runs(self, count: int) -> timing.Timed:
        assert self._prepared is not None
        return timing.time_runs(self._prepared, count)

    def optimized(self) -> bytes:
        from edgekit.run import ort

        return ort.optimized(str(self._artifact.path))

    def kernels(self) -> tuple[Kernel, ...]:
        return cast("litert.Interpreter", self._session).ops()

    def _run_one(self, sample: Arrays) -> Arrays:
        outputs = self._session.run(self._artifact.to_file(sample))
        return {spec.name: spec.from_file(outputs[spec.name]) for spec in self._artifact.outputs}
