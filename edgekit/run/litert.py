"""Run a TFLite file: one shim over ai-edge-litert and, where that is what a device has, tflite-runtime 2.14.

This file also runs on the device's side, so it needs nothing but numpy, the standard library and edgekit.errors.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError

Arrays = dict[str, NDArray[Any]]
RuntimeName = Literal["ai-edge-litert", "tflite-runtime"]

SIGNATURE = "serving_default"
DELEGATE = "DELEGATE"


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """An op as the runtime executes it.

    inputs, outputs: tensor names; operand_dtypes, result_dtypes: numpy's names, in the same order; delegated: it runs
    inside the XNNPACK delegate, not as a builtin kernel.
    """

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    operand_dtypes: tuple[str, ...]
    result_dtypes: tuple[str, ...]
    delegated: bool


class Interpreter:
    """A loaded TFLite file. Inputs and outputs go by the names of its signature.

    model: the file's bytes, or its path; reference_kernels: the plain kernels, which a microcontroller's match;
    keep_tensors: do not reuse the memory of inner tensors, so that `real_values` can read them.
    """

    def __init__(
        self, model: bytes | str, threads: int = 1, reference_kernels: bool = False, keep_tensors: bool = False
    ) -> None:
        self.runtime, module = _runtime()
        self.version = importlib.metadata.version(self.runtime)
        self._title = "the TFLite file" if isinstance(model, bytes) else f"'{model}'"
        kinds = module.OpResolverType
        with _without_chatter(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*experimental_preserve_all_tensors")  # of its memory; it is asked for
            try:
                self._interpreter = module.Interpreter(
                    **({"model_content": model} if isinstance(model, bytes) else {"model_path": model}),
                    num_threads=threads,
                    experimental_op_resolver_type=kinds.BUILTIN_REF if reference_kernels else kinds.AUTO,
                    experimental_preserve_all_tensors=keep_tensors,
                )
                self._interpreter.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                raise EdgekitError(
                    "EK908",
                    f"{self.runtime} cannot load {self._title}",
                    _one_line(error),
                    "check that the file is a complete TFLite file, or install a newer runtime",
                ) from None
        self._inputs, self._outputs = self._signature()

    def run(self, inputs: Arrays) -> Arrays:
        """Arrays of exactly the file's shapes and types, batch 1."""
        self.prepared(inputs)()
        return {name: self._interpreter.get_tensor(index) for name, index in self._outputs.items()}

    def prepared(self, inputs: Arrays) -> Callable[[], object]:
        """A function that computes on these inputs and does nothing else: what a stopwatch wants."""
        try:
            for name, index in self._inputs.items():
                self._interpreter.set_tensor(index, inputs[name])
        except (KeyError, ValueError) as error:
            raise EdgekitError(
                "EK909",
                f"{self.runtime} cannot run {self._title}",
                _one_line(error),
                f"give the inputs {', '.join(self._inputs)} in the shapes and types that `edgekit inspect` shows",
            ) from None
        invoke: Callable[[], object] = self._interpreter.invoke
        return invoke

    def real_values(self) -> Arrays:
        """What the integer tensors of the last run stand for, by tensor name, constants and all; `keep_tensors` only.

        A result that is only dequantized for the user's sake counts too.
        """
        dequantized = {name for kernel in self.ops() if kernel.op == "DEQUANTIZE" for name in kernel.outputs}
        found = {}
        for tensor in self._tensors().values():
            (scale, zero_point), values = tensor["quantization"], self._interpreter.get_tensor(tensor["index"])
            if tensor["name"] in dequantized:
                found[tensor["name"]] = values
            elif values.dtype in (np.int8, np.int16) and scale:
                found[tensor["name"]] = (values.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
        return found

    def ops(self) -> tuple[Kernel, ...]:
        """What is executed, in order, and which of it the XNNPACK delegate took."""
        details = self._interpreter._get_ops_details()
        tensors = self._tensors()
        own = [op for op in details if op["op_name"] != DELEGATE]
        delegated = _delegated(own, [op for op in details if op["op_name"] == DELEGATE])

        def names(indices: NDArray[Any]) -> tuple[str, ...]:
            return tuple(tensors[i]["name"] if i in tensors else "" for i in indices)

        def dtypes(indices: NDArray[Any]) -> tuple[str, ...]:
            return tuple(np.dtype(tensors[i]["dtype"]).name if i in tensors else "" for i in indices)

        return tuple(
            Kernel(
                op=op["op_name"],
                inputs=names(op["inputs"]),
                outputs=names(op["outputs"]),
                operand_dtypes=dtypes(op["inputs"]),
                result_dtypes=dtypes(op["outputs"]),
                delegated=op["index"] in delegated,
            )
            for op in own
        )

    def _tensors(self) -> dict[int, dict[str, Any]]:
        """Details by index; inputs and outputs under their names in the signature."""
        known = {index: name for names in (self._inputs, self._outputs) for name, index in names.items()}
        details = self._interpreter.get_tensor_details()
        return {tensor["index"]: tensor | {"name": known.get(tensor["index"], tensor["name"])} for tensor in details}

    def _signature(self) -> tuple[dict[str, int], dict[str, int]]:
        """Tensor index by name; a file without a signature goes by its tensors' names."""
        signatures = self._interpreter._get_full_signature_list()
        if signatures:
            signature = signatures.get(SIGNATURE) or next(iter(signatures.values()))
            return dict(signature["inputs"]), dict(signature["outputs"])
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        return {t["name"]: t["index"] for t in inputs}, {t["name"]: t["index"] for t in outputs}


def version() -> str:
    """The runtime that is installed here: 'ai-edge-litert 2.3.0'."""
    name, _ = _runtime()
    return f"{name} {importlib.metadata.version(name)}"


def _delegated(own: list[dict[str, Any]], delegates: list[dict[str, Any]]) -> set[int]:
    """The ops that a delegate node replaced: those between its inputs and its outputs."""
    producers = {tensor: op for op in own for tensor in op["outputs"].tolist()}
    found: set[int] = set()
    for delegate in delegates:
        border, pending = set(delegate["inputs"].tolist()), delegate["outputs"].tolist()
        while pending:
            op = producers.get(pending.pop())
            if op is not None and op["index"] not in found:
                found.add(op["index"])
                pending += [tensor for tensor in op["inputs"].tolist() if tensor not in border]
    return found


def _runtime() -> tuple[RuntimeName, ModuleType]:
    try:
        from ai_edge_litert import interpreter
    except ModuleNotFoundError:
        try:
            from tflite_runtime import interpreter
        except ModuleNotFoundError:
            raise EdgekitError(
                "EK910",
                "no TFLite runtime is installed",
                "neither ai-edge-litert nor tflite-runtime can be imported",
                "pip install ai-edge-litert; where that has no wheel, pip install tflite-runtime==2.14.0 'numpy<2'",
            ) from None
        if not np.__version__.startswith("1."):
            raise EdgekitError(
                "EK910",
                "tflite-runtime cannot start here",
                f"it was built for NumPy 1, and NumPy {np.__version__} is installed",
                "pip install 'numpy<2' in an environment of its own, or pip install ai-edge-litert",
            ) from None
        return "tflite-runtime", interpreter
    return "ai-edge-litert", interpreter


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Keep the runtime's INFO lines off stderr; everything else it writes there is passed on."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            caught.seek(0)
            kept = [line for line in caught if not line.startswith(b"INFO:")]
            os.write(2, b"".join(kept))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
