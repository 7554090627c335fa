from __future__ import annotations

import struct
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekit.lower.tflite import to_tflite
from edgekit.profile.flow import read_flow
from tests.lower.tflite.cases import cases
from tests.lower.tflite.graphs import as_ir, quantized
from tests.profile.flows import tensor


def packed(model: Any) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def model(*ops: Any, tensors: int = 2, graphs: int = 1) -> Any:
    """Tensors of 2x3 float32, the first of which is the input and the last the output."""
    code = schema.OperatorCodeT(builtinCode=schema.BuiltinOperator.CUSTOM, customCode="mine")
    made = schema.ModelT(version=3, operatorCodes=[code], buffers=[schema.BufferT()])
    made.subgraphs = []
    for _ in range(graphs):
        graph = schema.SubGraphT(inputs=[0], outputs=[tensors - 1], operators=list(ops))
        graph.tensors = [schema.TensorT(shape=[2, 3], name=f"t{i}") for i in range(tensors)]
        made.subgraphs.append(graph)
    return made


def op(inputs: list[int], outputs: list[int], code: int = 0) -> Any:
    return schema.OperatorT(opcodeIndex=code, inputs=inputs, outputs=outputs)


def test_a_convolution() -> None:
    case = next(case for name, case in cases().items() if name.startswith("conv-k3-s1-same"))
    read = read_flow(to_tflite(as_ir(quantized(case)), nhwc=True, io_int8=True, metadata={}).data)
    (conv,) = [op for op in read.ops if op.kind == "CONV_2D"]
    image, weights, bias = read.of(conv.inputs)
    (made,) = read.of(conv.outputs)
    assert not image.constant
    assert not made.constant
    assert weights.constant
    assert bias.constant
    assert (image.dtype, weights.dtype, bias.dtype) == ("int8", "int8", "int32")
    assert image.scales == 1
    assert weights.scales == weights.shape[0]
    assert bias.size_bytes == 4 * bias.elements
    assert read.graphs == 1


def test_optional_inputs_and_custom_ops() -> None:
    read = read_flow(packed(model(op([0, -1], [1]))))
    (custom,) = read.ops
    assert custom.kind == "custom mine"
    assert custom.inputs == (0,)
    assert read.tensors[0].size_bytes == 24


def test_sizes() -> None:
    assert tensor("x", 3, dtype="int4").size_bytes == 2
    assert tensor("x", dtype="float32").size_bytes == 4
    assert tensor("x", 3, dtype="string").size_bytes == 0, "it has no fixed size"
    assert tensor("x", 0, 3).size_bytes == 0


def test_an_op_that_the_schema_does_not_know() -> None:
    made = model(op([0], [1]))
    made.operatorCodes[0].builtinCode = 100_000
    assert read_flow(packed(made)).ops[0].kind == "op 100000"


def test_dynamic_axes_count_once() -> None:
    made = model()
    made.subgraphs[0].tensors[0].shape = [-1, 3]
    assert read_flow(packed(made)).tensors[0].shape == (1, 3)


@pytest.mark.parametrize(("broken", "told"), [
    (model(op([5], [1])), "entry 5 of 2"),
    (model(op([-2], [1])), "entry -2 of 2"),
    (model(op([0], [1], code=3)), "entry 3 of 1"),
    (model(graphs=0), "no graph"),
])  # fmt: skip
def test_indices_that_lead_nowhere(broken: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_flow(packed(broken))


def test_a_buffer_that_is_not_there() -> None:
    made = model()
    made.subgraphs[0].tensors[0].buffer = 9
    with pytest.raises(ValueError, match="entry 9 of 1"):
        read_flow(packed(made))


@pytest.mark.parametrize(("found", "told"), [
    ((2, 2, 3), "a tensor has 2147483648 axes"),  # a shape: its length, then its axes
    ((3, 0, 0, 0), "announces 2147483649 entries"),  # the inputs of the op, and its output
])  # fmt: skip
def test_an_impossible_length(found: tuple[int, ...], told: str) -> None:
    """A list that announces more than the file holds must not be walked."""
    data = bytearray(packed(model(op([0, 0, 0], [1]))))
    place = data.index(struct.pack(f"<I{len(found) - 1}i", *found))
    data[place : place + 4] = struct.pack("<I", 2**31)
    with pytest.raises(ValueError, match=told):
        read_flow(bytes(data))


def shared_list(made: Any, longest: bytes, shorter: bytes) -> bytes:
    """The file with every offset to a list that begins like `shorter` turned towards the longest one."""
    data = bytearray(packed(made))
    target, places = data.index(longest), []
    start = data.find(shorter)
    while start >= 0:
        places.append(start)
        start = data.find(shorter, start + 1)
    for at in range(0, len(data) - 4, 4):
        (offset,) = struct.unpack_from("<I", data, at)
        if at + offset in places and target > at:
            struct.pack_into("<I", data, at, target - at)
    return bytes(data)


def test_lists_that_are_shared_to_no_end() -> None:
    """A small file whose tables all point at its one long list would take hours to walk."""
    many = [op([0] * 7, [1]) for _ in range(300)]
    made = model(op([0] * 3000, [1]), *many)  # the first is written last in the file
    longest, shorter = struct.pack("<I", 3000), struct.pack("<I7i", 7, *[0] * 7)
    with pytest.raises(ValueError, match=r"announces \d+ entries"):
        read_flow(shared_list(made, longest, shorter))


def test_names_that_are_shared_to_no_end() -> None:
    made = model(tensors=100)
    made.subgraphs[0].tensors[0].name = "x" * 4000
    for other in made.subgraphs[0].tensors[1:]:
        other.name = "short"
    with pytest.raises(ValueError, match="its names are longer than"):
        read_flow(shared_list(made, struct.pack("<I", 4000) + b"xxxx", struct.pack("<I", 5) + b"short"))


def test_content_outside_of_the_flatbuffer_is_constant() -> None:
    made = model()
    made.buffers.append(schema.BufferT(offset=4096, size=24))
    made.subgraphs[0].tensors[1].buffer = 1
    assert [t.constant for t in read_flow(packed(made)).tensors] == [False, True]
    made.buffers[1] = schema.BufferT(data=np.zeros(24, np.uint8))
    assert [t.constant for t in read_flow(packed(made)).tensors] == [False, True]
