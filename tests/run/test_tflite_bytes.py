from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.run.tflite_bytes import ALIGNMENT, IDENTIFIER, tflite_bytes


def test_constants_stand_on_aligned_addresses() -> None:
    held = [np.full(size, 7, np.uint8) for size in (1, 3, 64)]
    graph = schema.SubGraphT(name="main", tensors=[], operators=[], inputs=[], outputs=[])
    buffers = [schema.BufferT(), *(schema.BufferT(data=x) for x in held)]
    model = schema.ModelT(version=3, subgraphs=[graph], operatorCodes=[], buffers=buffers)
    data = tflite_bytes(model)
    assert data == tflite_bytes(model)
    assert data[4:8] == IDENTIFIER
    read = schema.Model.GetRootAsModel(data, 0)
    for number, x in enumerate(held, 1):
        buffer = read.Buffers(number)
        np.testing.assert_array_equal(buffer.DataAsNumpy(), x)
        assert buffer._tab.Vector(buffer._tab.Offset(4)) % ALIGNMENT == 0
