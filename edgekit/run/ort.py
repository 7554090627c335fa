"""ONNX Runtime on the CPU, and what it really executes.

ONNX Runtime rewrites the graph before it runs it: Q/DQ pairs become integer kernels where it has them, and silently
stay float where it has not (int8 activations on x86). `optimized` hands out the rewritten graph for the ledger to read.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state

from edgekit.artifact import Arrays
from edgekit.errors import EdgekitError

QUIET = 4  # log fatal errors only; failures come as exceptions
PROVIDERS = ["CPUExecutionProvider"]
OPEN_FILES = Path("/proc/self/fd")  # of this process, on Linux

# onnxruntime's own exceptions have no base class of their own; the first two are what its Python side raises.
_FAILURES = (
    ValueError,
    RuntimeError,
    onnxruntime_pybind11_state.EPFail,
    onnxruntime_pybind11_state.Fail,
    onnxruntime_pybind11_state.InvalidArgument,
    onnxruntime_pybind11_state.InvalidGraph,
    onnxruntime_pybind11_state.InvalidProtobuf,
    onnxruntime_pybind11_state.NoModel,
    onnxruntime_pybind11_state.NoSuchFile,
    onnxruntime_pybind11_state.NotImplemented,
    onnxruntime_pybind11_state.RuntimeException,
)
_NO_MEMORY = ("bad_alloc", "Failed to allocate memory")  # how onnxruntime says it; it has no exception for it


class Session:
    """An ONNX file in ONNX Runtime. model: the file's bytes, or its path.

    as_written: each Q and DQ is run as what it says, and the ops between them in float. Where scales are no constants
    there are integer kernels for few ops, and the whole is twice as fast without them (onnxruntime 1.31, VNNI).
    """

    def __init__(self, model: bytes | str, threads: int = 1, *, as_written: bool = False) -> None:
        self._title = _title(model)
        self._session = _opened(model, _options(threads, as_written))
        self.inputs = [value.name for value in self._session.get_inputs()]
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Arrays) -> Arrays:
        """inputs, outputs: by the file's tensor names, in the file's layout and types."""
        try:
            return dict(zip(self._outputs, self._session.run(None, inputs), strict=True))
        except _FAILURES as error:
            if any(sign in str(error) for sign in _NO_MEMORY):
                raise MemoryError(_one_line(error)) from None
            raise EdgekitError(
                "EK906",
                f"onnxruntime cannot run {self._title}",
                _one_line(error),
                "give inputs of the shapes and types that `edgekit inspect` shows",
            ) from None

    def prepared(self, inputs: Arrays) -> Callable[[], object]:
        """A run with its inputs already in place, for measuring."""
        session = self._session
        return lambda: session.run(None, inputs)


def optimized(model: bytes | str, *, as_written: bool = False) -> bytes:
    """The ONNX file of the graph that a `Session` executes, as ONNX Runtime saves it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        options = _options(threads=1, as_written=as_written)
        options.optimized_model_filepath = str(path)
        _opened(model, options)
        return path.read_bytes()


def version() -> str:
    return f"onnxruntime {onnxruntime.__version__}"


def _options(threads: int, as_written: bool) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = QUIET
    options.use_deterministic_compute = True
    options.add_session_config_entry("session.disable_quant_qdq", "1" if as_written else "0")
    return options


def _opened(model: bytes | str, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    try:
        if isinstance(model, str):
            return onnxruntime.InferenceSession(model, options, providers=PROVIDERS)
        with _file_of(model) as path:
            return onnxruntime.InferenceSession(path, options, providers=PROVIDERS)
    except _FAILURES as error:
        raise EdgekitError(
            "EK905",
            f"onnxruntime cannot load {_title(model)}",
            _one_line(error),
            "check the file with `edgekit inspect`, and the runtime's version with `edgekit doctor`",
        ) from None


@contextmanager
def _file_of(model: bytes) -> Iterator[str]:
    """The path of a file with these bytes, of which a session would keep a copy.

    On Linux the file has no name, and goes with this process, however that ends.
    """
    nameless = OPEN_FILES.is_dir()
    with tempfile.TemporaryFile() if nameless else tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        file.write(model)
        file.flush()
        yield str(OPEN_FILES / str(file.fileno())) if nameless else file.name


def _title(model: bytes | str) -> str:
    return f"'{Path(model).name}'" if isinstance(model, str) else "the model"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:500]
