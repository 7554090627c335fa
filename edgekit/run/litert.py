"""Run a TFLite file: one shim over ai-edge-litert and, where that is what a device has, tflite-runtime 2.14.

This file also runs on the device's side, so it needs nothing but numpy, the standard library and edgekit.errors.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError

RuntimeName = Literal["ai-edge-litert", "tflite-runtime"]
SIGNATURE = "serving_default"
DELEGATE = "DELEGATE"


@dataclass(frozen=True)
class Kernel:
    """An op as the runtime executes it. delegated: inside the XNNPACK partition, not a builtin kernel."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    dtype: str
    delegated: bool


class Interpreter:
    """A loaded TFLite file. Inputs and outputs go by the names of its signature."""

    def __init__(self, model: bytes | str, threads: int = 1, reference_kernels: bool = False) -> None:
        self.runtime, module = _runtime()
        self.version = importlib.metadata.version(self.runtime)
        kinds = module.OpResolverType
        self._interpreter = module.Interpreter(
            **({"model_content": model} if isinstance(model, bytes) else {"model_path": str(Path(model))}),
            num_threads=threads,
            experimental_op_resolver_type=kinds.BUILTIN_REF if reference_kernels else kinds.AUTO,
        )
        self._interpreter.allocate_tensors()
        self._runner: Any = self._interpreter.get_signature_runner(SIGNATURE)

    def run(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Arrays of exactly the file's shapes and types."""
        outputs: dict[str, NDArray[Any]] = self._runner(**inputs)
        return {name: np.array(value) for name, value in outputs.items()}


def _runtime() -> tuple[RuntimeName, Any]:
    try:
        from ai_edge_litert import interpreter
    except ImportError:
        try:
            from tflite_runtime import interpreter
        except ImportError:
            raise EdgekitError("EK901", "x", "y", "z") from None
        return "tflite-runtime", interpreter
    return "ai-edge-litert", interpreter
