"""The agent: measures model files on the machine that it runs on. A device needs Python 3.8, numpy and one runtime.

edgekit packs this file with `environment`, `power` and `run.timing` into one file that Python runs, `agent.pyz`:

    python3 agent.pyz < job.json            prints a JSON document
    python3 agent.pyz --remote job.json     ends when its stdin does, and frames what it prints

Each model file sits in a process of its own, so that a crash and a peak of memory have a name, and only one of them
runs at any time. What a job and an answer hold is said at `run` and `probe`; times are in seconds, sizes in bytes.

Why not edgekit's own runners: they need Python 3.11 and edgekit. Inputs and outputs go by their place in the file, not
by name, so that old runtimes without signatures do.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, Optional

from edgekit.profile import environment, packages
from edgekit.profile.power import Watch, meters

Json = Dict[str, Any]

SCHEMA = 1
LOOK_S = 0.2  # between two looks at the power meters, and at the clock
FIRST_LOOK_S = 0.02  # turns of a small model are short
ALIVE_S = 2.0  # between two signs of life
IDLE_S = 1.0  # how long the device is watched while nothing runs, where it has a power meter
POWER_S = 2.0  # a file runs at least as long where there is a power meter: many average over 0.1 s and more
GRACE_S = 2.0


class Failure(Exception):  # noqa: N818  (it is an answer)
    """What the other side is told. kind: a word that edgekit knows; artifact: which file it was about."""

    def __init__(self, kind: str, text: str, artifact: Optional[int] = None) -> None:
        super().__init__(text)
        self.kind, self.text, self.artifact = kind, text, artifact

    def as_json(self) -> Json:
        return {"kind": self.kind, "text": self.text[:2000], "artifact": self.artifact}


# ---- the parent: plays the files in turns ----------------------------------------------------------------------------


class Player:
    """A model file in a process of its own."""

    def __init__(self, index: int, artifact: Json, job: Json, tick: Callable[[], None]) -> None:
        self._index, self._tick = index, tick
        self._limit_s = float(job.get("limit_s", 600.0))
        self._rest = b""
        self.watch = Watch([])
        self._child = subprocess.Popen(
            [sys.executable, sys.argv[0], "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self.opened = self.ask("open", dict(artifact, threads=job["threads"]))

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


def run(job: Json, say: Callable[[str], None]) -> Json:
    """Measure the files of a job.

    job: artifacts [{path, format: onnx or tflite, inputs: an .npz with arrays "0", "1", ... in the file's order}],
    threads, runs (counted ones per file, null for as many as it takes), limit_s (for each answer of a file),
    outputs_bytes (outputs up to this size come along, of larger ones only the hash), root (of the system's files).
    """
    root = job.get("root", "/")
    tick = _heart(say)
    before = environment.snapshot(root)
    with contextlib.ExitStack() as stack:
        players = []
        for index, artifact in enumerate(job["artifacts"]):
            players.append(Player(index, artifact, job, tick))
            stack.callback(players[-1].close)
        rails = meters(root)
        idle = _idle(rails)
        for player in players:
            player.watch = Watch(rails)
        warmths = [player.ask("warm_up") for player in players]
        from edgekit.run import timing  # it needs numpy, whose absence is told by a child

        least_s = max(timing.FAST_S, POWER_S * len(players)) if rails else timing.FAST_S
        rounds, turns = timing.plan([warmth["run_s"] for warmth in warmths], least_s, job.get("runs"))
        timed: List[List[Json]] = [[] for _ in players]
        clocks = []
        for done in range(rounds):
            for player, turn, rows in zip(players, turns, timed):
                rows.append(player.time_runs(turn))
            clocks.append(environment.now(root))
            say("progress {} {}".format(done + 1, rounds))
        results = [_result(player, warmth, rows, job) for player, warmth, rows in zip(players, warmths, timed)]
    return {
        "system": environment.system(),
        "before": before,
        "during": clocks,
        "after": environment.snapshot(root),
        "idle": idle,
        "artifacts": results,
    }


def _result(player: Player, warmth: Json, rows: List[Json], job: Json) -> Json:
    """Of one file; times_s: of every counted run, in order."""
    return dict(
        player.opened,
        steady=warmth["steady"],
        times_s=[t for row in rows for t in row["times_s"]],
        cpu_share=sorted(row["cpu_share"] for row in rows)[len(rows) // 2],
        power=player.watch.means(),
        **player.ask("outputs", job.get("outputs_bytes", 0)),
    )


def _idle(rails: List[Any]) -> List[Json]:
    """What the meters show while nothing runs."""
    watch = Watch(rails)
    if rails:
        watch.start()
        start = time.monotonic()
        while time.monotonic() - start < IDLE_S:
            time.sleep(LOOK_S)
            watch.look()
        watch.stop(time.monotonic() - start)
    return watch.means()


def _heart(say: Callable[[str], None]) -> Callable[[], None]:
    """A function to call often, which gives a sign of life now and then."""
    last = [time.monotonic()]

    def tick() -> None:
        if time.monotonic() - last[0] > ALIVE_S:
            last[0] = time.monotonic()
            say("alive")

    return tick


def probe(job: Json) -> Json:
    """What this device has: system, sensors, Python and its packages. job: root, as for `run`."""
    root = job.get("root", "/")
    return {
        "system": environment.system(),
        "before": environment.snapshot(root),
        "power": [
            dict(meter.reading(), name=meter.name) if not meter.counts else {"name": meter.name, "source": meter.source}
            for meter in meters(root)
        ],
        "packages": packages.installed(),
        "installing": packages.installing(),
    }


# ---- the child: one model file ---------------------------------------------------------------------------------------


class Bench:
    """A model file in its runtime."""

    def open(self, artifact: Json) -> Json:
        """load_s: from the file to a runtime that can run it; first_s: its first run; rss: before the file was read."""
        np = _numpy()
        with np.load(artifact["inputs"], allow_pickle=False) as held:
            inputs = [held[str(i)] for i in range(len(held.files))]
        load, name, version = RUNTIMES[artifact["format"]]()
        base_rss = _memory("VmRSS")
        start = time.perf_counter()
        self._run, self._outputs = load(artifact["path"], int(artifact["threads"]), inputs)
        loaded = time.perf_counter()
        self._attempt(self._run)
        return {
            "runtime": name,
            "version": version,
            "numpy": np.__version__,
            "load_s": loaded - start,
            "first_s": time.perf_counter() - loaded,
            "base_rss_bytes": base_rss,
        }

    def warm_up(self, _: None) -> Json:
        from edgekit.run import timing

        return vars(timing.warm_up(self._run))

    def time_runs(self, count: int) -> Json:
        from edgekit.run import timing

        return vars(timing.time_runs(self._run, count))

    def outputs(self, most_bytes: int) -> Json:
        """sha256: of the raw bytes, little-endian, row after row; data: the same bytes in base64."""
        np, found = _numpy(), []
        for y in self._attempt(self._outputs):
            y = np.ascontiguousarray(y)
            raw = y.astype(y.dtype.newbyteorder("<")).tobytes()
            data = base64.b64encode(raw).decode() if len(raw) <= most_bytes else None
            sha256 = hashlib.sha256(raw).hexdigest()
            found.append({"dtype": y.dtype.name, "shape": list(y.shape), "sha256": sha256, "data": data})
        return {"outputs": found, "peak_rss_bytes": _memory("VmHWM")}

    def _attempt(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:  # runtimes have exceptions of their own, without a base class
            raise Failure("run", _one_line(error)) from None


def _numpy() -> Any:
    try:
        import numpy
    except Exception as error:  # a broken installation raises whatever it breaks on
        raise Failure("numpy", _one_line(error)) from None
    return numpy


def _tflite() -> Any:
    """A function that loads a TFLite file, and the name and version of the runtime."""
    tried = []
    for name in ("ai-edge-litert", "tflite-runtime"):
        if name == "tflite-runtime" and not _numpy().__version__.startswith("1."):
            tried.append("tflite-runtime was built for NumPy 1, and NumPy {} is here".format(_numpy().__version__))
            continue
        try:
            if name == "ai-edge-litert":
                from ai_edge_litert.interpreter import Interpreter
            else:
                from tflite_runtime.interpreter import Interpreter
        except Exception as error:  # no such module, or a library that is built for another system
            tried.append(_one_line(error))
            continue
        return lambda *arguments: _loaded_tflite(Interpreter, *arguments), name, packages.version(name)
    raise Failure("runtime", "; ".join(tried))


def _loaded_tflite(make: Any, path: str, threads: int, inputs: List[Any]) -> Any:
    try:
        interpreter = make(model_path=path, num_threads=threads)
        interpreter.allocate_tensors()
        places = [detail["index"] for detail in interpreter.get_input_details()]
        _check_count(places, inputs)
        for place, x in zip(places, inputs):
            interpreter.set_tensor(place, x)
    except (ValueError, RuntimeError) as error:
        raise Failure("load", _one_line(error)) from None
    results = [detail["index"] for detail in interpreter.get_output_details()]
    return interpreter.invoke, lambda: [interpreter.get_tensor(place) for place in results]


def _onnx() -> Any:
    """The same for ONNX."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # since 1.31 it reports its use to its maker
    try:
        import onnxruntime
    except Exception as error:
        raise Failure("runtime", _one_line(error)) from None
    return lambda *arguments: _loaded_onnx(onnxruntime, *arguments), "onnxruntime", onnxruntime.__version__


def _loaded_onnx(onnxruntime: Any, path: str, threads: int, inputs: List[Any]) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # fatal errors only; failures come as exceptions
    options.use_deterministic_compute = True
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        names = [value.name for value in session.get_inputs()]
        _check_count(names, inputs)
    except Failure:
        raise
    except Exception as error:  # onnxruntime's exceptions have no base class of their own
        raise Failure("load", _one_line(error)) from None
    feed = dict(zip(names, inputs))
    return lambda: session.run(None, feed), lambda: session.run(None, feed)


RUNTIMES = {"tflite": _tflite, "onnx": _onnx}


def _check_count(wanted: List[Any], given: List[Any]) -> None:
    if len(wanted) != len(given):
        raise Failure("load", "it has {} inputs, and {} were given".format(len(wanted), len(given)))


def _memory(key: str) -> Optional[int]:
    """Of this process in bytes: VmRSS, what it has now; VmHWM, the most that it ever had. None beyond Linux.

    Not getrusage: its peak begins with that of the process that started this one.
    """
    try:
        with open("/proc/self/status", "rb") as file:  # noqa: PTH123  (not a path of anybody's)
            lines = [line for line in file if line.startswith(key.encode())]
    except OSError:  # macOS
        return None
    return int(lines[0].split()[1]) * 1024 if lines else None


def serve() -> None:
    """Answer the parent until it closes its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what native code prints must not fall into an answer
    bench = Bench()
    for line in sys.stdin.buffer:
        do, argument = json.loads(line.decode())
        try:
            answer: Json = {"value": getattr(bench, do)(argument)}
        except Exception as error:  # whatever it is, edgekit shall hear of it
            answer = _told(error)
        try:
            answers.write(json.dumps(answer).encode() + b"\n")
            answers.flush()
        except BrokenPipeError:  # the parent has gone
            break
    os._exit(0)  # at once: a runtime's own teardown is of no use to anybody


def _told(error: Exception) -> Json:
    if not isinstance(error, Failure):
        error = Failure("memory" if isinstance(error, MemoryError) else "crash", _one_line(error))
    return {"failure": error.as_json()}


# ---- the door --------------------------------------------------------------------------------------------------------


def main(arguments: List[str]) -> None:
    if arguments == ["--serve"]:
        serve()
        return
    remote = arguments[:1] == ["--remote"]
    if remote:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    with _source(arguments[1:] if remote else arguments) as file:
        job = json.load(file)
    answer = _answer(job, _say if remote else _silent)
    document = json.dumps(answer).encode()
    if remote:
        _say("result {} {}".format(len(document), hashlib.sha256(document).hexdigest()))
    sys.stdout.buffer.write(document + b"\n")
    sys.stdout.buffer.flush()
    os._exit(0)


def _answer(job: Json, say: Callable[[str], None]) -> Json:
    answer: Json = {"schema": SCHEMA}
    try:
        answer.update(probe(job) if job.get("probe") else run(job, say))
    except Failure as failure:
        answer["failure"] = failure.as_json()
    except OSError as error:  # no room, no permission, no process left to be had
        answer["failure"] = Failure("system", _one_line(error)).as_json()
    return answer


@contextlib.contextmanager
def _source(arguments: List[str]) -> Iterator[Any]:
    if not arguments:
        yield sys.stdin
        return
    with open(arguments[0], encoding="utf-8") as file:  # noqa: PTH123  (Python 3.8 has no better)
        yield file


def _say(words: str) -> None:
    sys.stdout.write("edgekit-{}\n".format(words))
    sys.stdout.flush()


def _silent(words: str) -> None:
    """Nobody reads along."""


def _end_with_stdin() -> None:
    """Whoever asked has gone: end, and all children with it. They see the end of their own stdin."""
    while sys.stdin.buffer.read(1):
        pass
    os._exit(75)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return "signal {}".format(number)


def _one_line(error: BaseException) -> str:
    said = " ".join(str(error).split())
    return "{}: {}".format(type(error).__name__, said)[:1000] if said else type(error).__name__
