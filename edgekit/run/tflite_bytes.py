"""A TFLite model in the schema's classes as the bytes of a file. The same model gives the same bytes."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 16  # bytes; kernels read constants in place with vector loads
TABLE_BYTES = 512  # of a tensor or an op, about; the builder grows where it is more
IDENTIFIER = b"TFL3"


class _AlignedBuilder(flatbuffers.Builder):  # type: ignore[misc]
    """A builder that puts byte vectors (constants) on aligned addresses."""

    head: int

    def CreateNumpyVector(self, x: NDArray[Any]) -> int:  # noqa: N802
        if x.dtype != np.uint8:
            offset: int = super().CreateNumpyVector(x)
            return offset
        self.StartVector(1, x.size, ALIGNMENT)
        self.head -= x.size
        self.Bytes[self.head : self.head + x.size] = x.tobytes()
        end: int = self.EndVector()
        return end


def tflite_bytes(model: Any) -> bytes:
    """model: a ModelT whose buffers hold arrays of bytes."""
    held = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    tables = sum(len(graph.tensors) + len(graph.operators) for graph in model.subgraphs)
    builder = _AlignedBuilder(held + TABLE_BYTES * tables + 4096)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())
