"""The door of lower: a graph becomes a file that a runtime runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx_ir as ir

from edgekit.artifact import METADATA_KEY, Artifact, Format, Precision
from edgekit.lower import tensorrt
from edgekit.lower.batch import at_batch
from edgekit.lower.half import halve_weights
from edgekit.lower.onnx import to_onnx
from edgekit.lower.tflite import to_tflite
from edgekit.lower.weights import widen_at_load


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """How a file should look. activations: the integers of an INT8 ONNX file; nhwc: images channels last; io_int8: take
    and give integers; tensorrt: an INT8 ONNX file keeps TensorRT's rules; batch: samples per run of a TFLite file;
    metadata: JSON-able, what travels in the file."""

    activations: Literal["uint8", "int8"]
    nhwc: bool
    io_int8: bool
    tensorrt: bool = False
    batch: int = 1
    metadata: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Lowered:
    """transposes, transposed_bytes: layout changes left in a TFLite file and what they write in one run; None for ONNX,
    whose runtime places its own; notes: what its target may not do with the file, in whole sentences."""

    artifact: Artifact
    transposes: int | None = None
    transposed_bytes: int | None = None
    notes: tuple[str, ...] = ()


def lower(graph: ir.Model, format: Format, precision: Precision, path: Path, wishes: Wishes) -> Lowered:
    """Write the graph to `path`. Raises EK5xx for an op that the format cannot express."""
    if precision == "float16":
        graph = halve_weights(graph)
    if precision == "int8-dynamic" and format == "onnx":
        graph = widen_at_load(graph)
    metadata = {**wishes.metadata, "precision": precision}
    notes: tuple[str, ...] = ()
    if format == "onnx":
        file = to_onnx(
            graph,
            activations=np.dtype(wishes.activations),
            nhwc=wishes.nhwc,
            io_int8=wishes.io_int8,
            metadata=metadata,
            plain=wishes.tensorrt,
        )
        data, inputs, outputs = file.data, file.inputs, file.outputs
        notes = tensorrt.check(data) if wishes.tensorrt and precision == "int8" else ()
        transposes = transposed_bytes = None
    else:
        text = {METADATA_KEY: json.dumps({**metadata, "batch": wishes.batch}, sort_keys=True)}
        graph = at_batch(graph, wishes.batch) if wishes.batch > 1 else graph
        made = to_tflite(graph, nhwc=wishes.nhwc, io_int8=wishes.io_int8, metadata=text)
        data, inputs, outputs = made.data, made.inputs, made.outputs
        transposes, transposed_bytes = made.transposes, made.transposed_bytes
    path.write_bytes(data)
    batch = 1 if format == "onnx" else wishes.batch
    artifact = Artifact(path=path, format=format, precision=precision, inputs=inputs, outputs=outputs, batch=batch)
    return Lowered(artifact=artifact, transposes=transposes, transposed_bytes=transposed_bytes, notes=notes)
