"""Single ops of a TFLite file, each as a model of its own, in turns with the file. Runs on the device.

Part of the agent: Python 3.8, and numpy and a runtime once a file is opened. The runtimes of TFLite tell nobody in
Python what each op takes, so that each one is run alone. edgekit cuts them (`single_ops`); what is large in them is in
the file already, and is taken from there. Their inputs are what the file itself computes on the sample.

All ops of a file sit in one process, beside that of the file. One that crashes it is named, and the others are opened
again without it.
"""

from __future__ import annotations

import sys
from typing import Any, Callable, Dict, List, Optional

from edgekit.profile.bench import Failure, Json, one_line, tflite_interpreter
from edgekit.profile.player import OPS, Player

OPS_S = 2.0  # how long all ops of a file together shall run, where they are fast
WARM_S = 0.005  # of an op, which has little to warm up
MOST_CRASHES = 5  # then the runtime is broken, not the op


class Alone:
    """The child: ops of one file in its runtime."""

    def open(self, artifact: Json) -> Json:
        """The file as a whole, for what flows between its ops. Nothing is delegated, since that hides it."""
        import numpy as np

        self._make, _ = tflite_interpreter()
        with open(artifact["path"], "rb") as file, open(artifact["ops"]["path"], "rb") as cuts:  # noqa: PTH123
            self._sources = (cuts.read(), file.read())
        self._threads = int(artifact["threads"])
        self._ops: Dict[int, Any] = {}
        with np.load(artifact["inputs"], allow_pickle=False) as held:
            inputs = [held[str(i)] for i in range(len(held.files))]
        resolver = sys.modules[self._make.__module__].OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        self._whole = _attempt(
            lambda: self._make(
                model_content=self._sources[1],
                num_threads=self._threads,
                experimental_preserve_all_tensors=True,
                experimental_op_resolver_type=resolver,
            ),
            "load",
        )
        _attempt(lambda: _filled(self._whole, inputs), "load")
        _attempt(self._whole.invoke, "run")
        return {}

    def open_op(self, argument: Any) -> Json:
        """argument: the number by which it is called from now on, and the cut (`Row`). run_s: one warm run."""
        from edgekit.run import timing

        number, cut = argument
        content = b"".join(self._sources[source][begin : begin + size] for source, begin, size in cut["pieces"])
        made = _attempt(lambda: self._make(model_content=content, num_threads=self._threads), "load")
        _attempt(lambda: _filled(made, [self._whole.get_tensor(place) for place in cut["inputs"]]), "load")
        _attempt(made.invoke, "run")
        self._ops[number] = made
        return vars(timing.warm_up(made.invoke, WARM_S))

    def ready(self, _: None) -> None:
        """All ops are open: forget what flows between them."""
        self._whole, self._sources = None, (b"", b"")

    def time_op(self, argument: Any) -> Json:
        from edgekit.run import timing

        number, count = argument
        return vars(timing.time_runs(self._ops[number].invoke, count))


def _filled(interpreter: Any, inputs: List[Any]) -> None:
    """Ready to run on these inputs, in the file's order; one that left a size open gets theirs."""
    details = interpreter.get_input_details()
    if len(details) != len(inputs):
        raise ValueError("it has {} inputs, and {} were given".format(len(details), len(inputs)))
    for detail, x in zip(details, inputs):
        if list(detail["shape"]) != list(x.shape):
            interpreter.resize_tensor_input(detail["index"], x.shape)
    interpreter.allocate_tensors()
    for detail, x in zip(details, inputs):
        interpreter.set_tensor(detail["index"], x)


def _attempt(call: Callable[[], Any], kind: str) -> Any:
    try:
        return call()
    except Exception as error:  # whatever a runtime raises, it is about this op
        raise Failure(kind, one_line(error)) from None


class Row:
    """The parent's side: the ops of one file.

    artifact["ops"]: path, a file of what the cuts have of their own, and cuts [{pieces: [source, begin, size], one
    after the other the bytes of a model of one op, from that file (0) or from the model file itself (1); inputs:
    tensors of the model file, in the order of that model's inputs}].
    """

    def __init__(
        self, index: int, artifact: Json, job: Json, tick: Callable[[], None], opened: Callable[[], None]
    ) -> None:
        self._start: Callable[[], Player] = lambda: Player(index, artifact, job, tick, OPS)
        self._cuts: List[Json] = artifact["ops"]["cuts"]
        self._failures: Dict[int, str] = {}
        self._runs_s: Dict[int, float] = {}
        self._times: Dict[int, List[float]] = {}
        self._player: Optional[Player] = None
        crashes = 0
        while not self._open(opened):
            crashes += 1
            if crashes > MOST_CRASHES:
                self._give_up("not tried: {} others crashed the runtime".format(crashes))
                break

    def _open(self, opened: Callable[[], None]) -> bool:
        """False where an op ended the process, which is then named."""
        self.close()
        try:
            self._player = self._start()
        except Failure as failure:
            self._give_up("the file does not run op by op: {}".format(failure.text))
            return True
        self._runs_s.clear()
        for number, cut in enumerate(self._cuts):
            if number in self._failures:
                continue
            try:
                self._runs_s[number] = self._player.ask("open_op", [number, cut])["run_s"]
            except Failure as failure:
                self._failures[number] = failure.text
                if not self._player.alive:
                    return False
            opened()
        self._player.ask("ready")
        return True

    def _give_up(self, why: str) -> None:
        for number in range(len(self._cuts)):
            self._failures.setdefault(number, why)
        self._runs_s.clear()

    def time_round(self, rounds: int) -> None:
        """Each op in turn. rounds: how many of these there will be."""
        from edgekit.run import timing

        numbers = sorted(self._runs_s)
        planned, turns = timing.plan([self._runs_s[number] for number in numbers], OPS_S)
        for number, turn in zip(numbers, turns):
            assert self._player is not None
            try:
                timed = self._player.ask("time_op", [number, -(-planned * turn // rounds)])
            except Failure as failure:
                self._failures[number] = failure.text
                self._runs_s.pop(number)
                if not self._player.alive:
                    self._give_up("not measured: another op crashed the runtime")
                    return
                continue
            self._times.setdefault(number, []).extend(timed["times_s"])

    def results(self) -> List[Json]:
        """In the order of the cuts. median_s: over runs; failure: why there are none."""
        return [self._result(number) for number in range(len(self._cuts))]

    def _result(self, number: int) -> Json:
        times = sorted(self._times.get(number, []))
        if number in self._failures or not times:
            return {"median_s": None, "runs": 0, "failure": self._failures.get(number, "no run was timed")}
        return {"median_s": times[len(times) // 2], "runs": len(times), "failure": None}

    def close(self) -> None:
        if self._player is not None:
            self._player.close()
            self._player = None
