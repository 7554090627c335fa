"""A graph as the bytes of an ONNX file."""

from __future__ import annotations

import onnx_ir as ir


def to_bytes(graph: ir.Model) -> bytes:
    """ONNX protobuf; the same graph gives the same bytes."""
    data: bytes = ir.to_proto(graph).SerializeToString(deterministic=True)
    return data
