"""What to say when TFLite has no form for something in the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from edgekit.errors import EdgekitError
from edgekit.graph import source
from edgekit.lower.tflite.ops import Node, Op

RECURRENT = frozenset({"LSTM", "GRU", "RNN"})
STEP_BY_STEP = (
    "give it a fixed number of steps, 512 at most, lengths that all are that number, constant weights and activations "
    "without alpha and beta; or export one step, its states as inputs and outputs"
)


def no_op(origin: ir.Node) -> EdgekitError:
    """An op that edgekit has no lowering for."""
    why, fix = f"edgekit knows no TFLite form of {origin.op_type}", "use --format onnx, or replace the op in the model"
    if origin.op_type in RECURRENT:
        why, fix = "it cannot be written step by step", STEP_BY_STEP
    return EdgekitError("EK501", f"cannot lower {source.describe(origin)} to TFLite", why, fix)


def no_form(node: Node, why: str, fix: str) -> EdgekitError:
    """An op, or a setting of it, that TFLite cannot express."""
    name = node.op if node.origin is None else source.describe(node.origin)
    return EdgekitError("EK501", f"cannot lower {name} to TFLite", why, fix)


def computed(node: Node, name: str) -> EdgekitError:
    """A setting that the file must hold and the model computes."""
    return no_form(node, f"its {name} would be computed at run time", f"give {name} as a constant")


def not_signed(origin: ir.Node, dtype: np.dtype[Any]) -> EdgekitError:
    """Integers that LiteRT's kernels would read as others."""
    return EdgekitError(
        "EK501",
        f"cannot lower {source.describe(origin)} to TFLite",
        f"it quantizes to {dtype}; TFLite's kernels compute in int8 and int16",
        "quantize to int8: from uint8 that is 128 less in every integer and zero point",
    )


def shifted_channels(origin: ir.Node) -> EdgekitError:
    """Zero points of channels: TFLite has but scales of channels."""
    return EdgekitError(
        "EK501",
        f"cannot lower {source.describe(origin)} to TFLite",
        "its channels have zero points other than 0",
        "quantize weights symmetrically",
    )


def no_kernel(op: Op, why: str) -> EdgekitError:
    """An op of the file that no kernel would run."""
    return EdgekitError(
        "EK501", f"cannot lower '{op.source}' to TFLite", why, "use --format onnx, or cast to float32 or int32 before"
    )


def no_elements(value: ir.Value) -> EdgekitError:
    """An output of which nothing is left."""
    return EdgekitError(
        "EK502",
        f"cannot lower value '{value.name}' to TFLite",
        f"it has no elements: its shape is {value.shape}",
        "leave that output out of the model",
    )
