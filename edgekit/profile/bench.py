"""One model file in a runtime, in a process of its own, which does what the agent asks. Runs on the device.

Part of the agent: Python 3.8, and numpy and a runtime once a file is opened.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import sys
import tempfile
import time
import zipfile
from typing import Any, Callable, Dict, List, Optional

from edgekit.profile import ops, packages

Json = Dict[str, Any]
FEWEST_RUNS = 4  # of a burst, the first of which does not count


class Failure(Exception):  # noqa: N818  (it is an answer)
    """What the other side is told. kind: a word that edgekit knows; artifact: which file it was about."""

    def __init__(self, kind: str, text: str, artifact: Optional[int] = None) -> None:
        super().__init__(text)
        self.kind, self.text, self.artifact = kind, text, artifact

    def as_json(self) -> Json:
        return {"kind": self.kind, "text": self.text[:2000], "artifact": self.artifact}


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
        self._run, self._outputs, self._per_op = load(artifact["path"], int(artifact["threads"]), inputs)
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

    def spin(self, seconds: float) -> None:
        """Run it without a clock, and without a pause."""
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            self._run()

    def burst(self, asked: Json) -> Json:
        """A small file out of an archive, run for a moment and forgotten again.

        asked: archive, name, format, shapes (of its inputs, in float32), threads, burst_s (to run for), evict_bytes
        (written between two runs, so that a run finds the caches as it does behind many others; 0: as it left them).
        Gives runtime, version, and the median seconds of a run: with one thread, by the processor's time where that is
        less, so that a run which others interrupt counts what it did.
        """
        np = _numpy()
        load, name, version = RUNTIMES[asked["format"]]()
        noise = np.random.RandomState(0)
        inputs = [noise.standard_normal(shape).astype(np.float32) for shape in asked["shapes"]]
        with tempfile.TemporaryDirectory(dir=".") as folder:
            with zipfile.ZipFile(asked["archive"]) as archive:
                path = archive.extract(asked["name"], folder)
            run, _, _ = load(path, int(asked["threads"]), inputs)
        self._attempt(run)
        others, alone = np.zeros(asked["evict_bytes"] // 8), int(asked["threads"]) == 1
        times: List[float] = []
        until = time.perf_counter() + asked["burst_s"]
        while len(times) < FEWEST_RUNS or time.perf_counter() < until:
            np.add(others, 1.0, out=others)
            begin, busy = time.perf_counter(), time.process_time()
            run()
            busy, wall = time.process_time() - busy, time.perf_counter() - begin
            times.append(min(wall, busy or wall) if alone else wall)
        return {"runtime": name, "version": version, "seconds": sorted(times[1:])[(len(times) - 1) // 2]}

    def per_op(self, _: None) -> Optional[List[Json]]:
        """None where the runtime does not tell."""
        found: Optional[List[Json]] = self._attempt(self._per_op) if self._per_op is not None else None
        return found

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
            raise Failure("run", one_line(error)) from None


def _numpy() -> Any:
    try:
        import numpy
    except Exception as error:  # a broken installation raises whatever it breaks on
        raise Failure("numpy", one_line(error)) from None
    return numpy


def _tflite() -> Any:
    """A function that loads a TFLite file, and the name and version of the runtime."""
    make, name = tflite_interpreter()
    return lambda *arguments: _loaded_tflite(make, *arguments), name, packages.version(name)


def tflite_interpreter() -> Any:
    """The class of interpreters that this device has, and the name of its package."""
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
            tried.append(one_line(error))
            continue
        return Interpreter, name
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
        raise Failure("load", one_line(error)) from None
    results = [detail["index"] for detail in interpreter.get_output_details()]
    return interpreter.invoke, lambda: [interpreter.get_tensor(place) for place in results], None


def _onnx() -> Any:
    """The same for ONNX."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # since 1.31 it reports its use to its maker
    try:
        import onnxruntime
    except Exception as error:
        raise Failure("runtime", one_line(error)) from None
    return lambda *arguments: _loaded_onnx(onnxruntime, *arguments), "onnxruntime", onnxruntime.__version__


def _loaded_onnx(onnxruntime: Any, path: str, threads: int, inputs: List[Any]) -> Any:
    def opened(options: Any) -> Any:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    try:
        session = opened(_options(onnxruntime, threads))
        names = [value.name for value in session.get_inputs()]
        _check_count(names, inputs)
    except Failure:
        raise
    except Exception as error:  # onnxruntime's exceptions have no base class of their own
        raise Failure("load", one_line(error)) from None
    feed = dict(zip(names, inputs))
    run = lambda: session.run(None, feed)  # noqa: E731  (like its neighbour)
    return run, run, lambda: ops.of_onnx(opened, _options(onnxruntime, threads), feed)


def _options(onnxruntime: Any, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # fatal errors only; failures come as exceptions
    options.use_deterministic_compute = True
    return options


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


def serve(bench: Any) -> None:
    """Answer the parent until it closes its end. bench: has the methods that it asks for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what native code prints must not fall into an answer
    for line in sys.stdin.buffer:
        do, argument = json.loads(line.decode())
        try:
            answer: Json = {"value": getattr(bench, do)(argument)}
        except Exception as error:  # whatever it is, edgekit shall hear of it
            answer = told(error)
        try:
            answers.write(json.dumps(answer).encode() + b"\n")
            answers.flush()
        except BrokenPipeError:  # the parent has gone
            break
    os._exit(0)  # at once: a runtime's own teardown is of no use to anybody


def told(error: Exception) -> Json:
    if not isinstance(error, Failure):
        error = Failure("memory" if isinstance(error, MemoryError) else "crash", one_line(error))
    return {"failure": error.as_json()}


def one_line(error: BaseException) -> str:
    said = " ".join(str(error).split())
    return "{}: {}".format(type(error).__name__, said)[:1000] if said else type(error).__name__
