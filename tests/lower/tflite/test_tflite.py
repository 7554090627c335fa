"""The file itself: bytes, names, signature, metadata, borders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import helper

from edgekit.lower.tflite import TFLiteFile, to_tflite
from edgekit.run.litert import Interpreter
from tests.lower.tflite.cases import IMAGE, cases, weights
from tests.lower.tflite.graphs import Graph, as_ir, node, quantized, run_onnx, steps
from tests.lower.tflite.test_layout import residual


def lowered(case: Graph, **options: Any) -> TFLiteFile:
    return to_tflite(as_ir(quantized(case)), **{"nhwc": True, "io_int8": False, "metadata": {}, **options})


def parsed(file: TFLiteFile) -> Any:
    return schema.ModelT.InitFromPackedBuf(file.data)


def test_same_bytes() -> None:
    assert lowered(residual()).data == lowered(residual()).data


def test_input_is_not_changed() -> None:
    graph = as_ir(quantized(residual()))
    before = str(graph)
    to_tflite(graph, nhwc=True, io_int8=False, metadata={})
    assert str(graph) == before


def test_signature_and_metadata() -> None:
    file = lowered(residual(), metadata={"edgekit": '{"labels": ["a"]}'})
    model = parsed(file)
    signature = model.signatureDefs[0]
    assert signature.signatureKey == b"serving_default"
    assert [t.name for t in signature.inputs] == [b"x"]
    assert [t.name for t in signature.outputs] == [b"y"]
    assert model.metadata[0].name == b"edgekit"
    assert model.buffers[model.metadata[0].buffer].data.tobytes() == b'{"labels": ["a"]}'
    assert model.description == b"edgekit"


def test_names_are_unique_and_the_models() -> None:
    names = [tensor.name.decode() for tensor in parsed(lowered(residual())).subgraphs[0].tensors]
    assert len(names) == len(set(names))
    assert {"x", "e", "f", "s", "c", "m", "v", "u", "t", "y"} <= set(names)


def test_constants_are_aligned() -> None:
    file = lowered(residual())
    for buffer in parsed(file).buffers:
        if buffer.data is not None and len(buffer.data) > 64:
            assert file.data.find(buffer.data.tobytes()) % 16 == 0


def test_equal_constants_are_stored_once() -> None:
    nodes = [
        node("Conv", ["x", "w"], ["a"], kernel_shape=[1, 1]),
        node("Conv", ["a", "v"], ["y"], kernel_shape=[1, 1]),
    ]
    same = weights(6, 6, 1, 1)
    case = Graph({"x": IMAGE}, nodes, {"w": same, "v": same})
    model = parsed(to_tflite(as_ir(case.model()), nhwc=True, io_int8=False, metadata={}))
    assert sum(tensor.buffer != 0 for tensor in model.subgraphs[0].tensors) == 2  # weights and zero bias


@pytest.mark.parametrize("nhwc", [False, True])
def test_int8_borders(nhwc: bool) -> None:
    case = residual()
    sample = case.samples(3)[0]
    file = lowered(case, io_int8=True, nhwc=nhwc)
    assert (file.inputs[0].dtype, file.outputs[0].dtype) == ("int8", "int8")
    interpreter = Interpreter(file.data)
    assert not {"QUANTIZE", "DEQUANTIZE"} & {kernel.op for kernel in interpreter.ops()}
    outputs = interpreter.run({"x": file.inputs[0].to_file(sample["x"])})
    expected = run_onnx(quantized(case, np.dtype(np.uint8)), sample)["y"]
    assert np.abs(file.outputs[0].from_file(outputs["y"]) - expected).max() <= 1.01 * steps(case)["y"]


def test_float16_weights() -> None:
    case = residual()
    halves = {k: v for k, v in case.constants.items() if v.dtype == np.float32}
    nodes = [helper.make_node("Cast", [f"{k}_half"], [k], to=1) for k in halves]
    constants = {**case.constants, **{f"{k}_half": v.astype(np.float16) for k, v in halves.items()}}
    half = Graph(case.inputs, [*nodes, *case.nodes], {k: v for k, v in constants.items() if k not in halves})
    file = to_tflite(as_ir(half.model()), nhwc=True, io_int8=False, metadata={})
    sample = case.samples(3)[0]
    found = Interpreter(file.data).run({"x": file.inputs[0].to_file(sample["x"])})["y"]
    np.testing.assert_allclose(found, run_onnx(half.model(), sample)["y"], rtol=0, atol=1e-5)
    types = [tensor.type for tensor in parsed(file).subgraphs[0].tensors if tensor.buffer]
    assert types.count(schema.TensorType.FLOAT16) >= 4


def test_requantizes_where_a_kernel_wants_one_scale() -> None:
    """A concat, a max pool and a sigmoid whose scales in the graph are not those that TFLite's kernels keep."""
    nodes = [
        node("Concat", ["x", "z"], ["c"], axis=1),
        node("MaxPool", ["c"], ["m"], kernel_shape=[2, 2]),
        node("Sigmoid", ["m"], ["y"]),
    ]
    case = Graph({"x": IMAGE, "z": IMAGE}, nodes)
    model = quantized(case, np.dtype(np.int8))
    reference = quantized(case, np.dtype(np.uint8))
    for proto, shift in ((model, 0), (reference, 128)):
        for tensor in proto.graph.initializer:
            if tensor.name in ("x_scale", "m_scale", "y_scale"):
                scale = np.float32({"x_scale": 0.031, "m_scale": 0.052, "y_scale": 1 / 200}[tensor.name])
                tensor.raw_data = scale.tobytes()
            if tensor.name == "y_zero":
                tensor.raw_data = np.asarray(shift - 128, np.uint8 if shift else np.int8).tobytes()
    file = to_tflite(as_ir(model), nhwc=True, io_int8=False, metadata={})
    sample = case.samples(5)[0]
    found = Interpreter(file.data).run({spec.name: spec.to_file(sample[spec.name]) for spec in file.inputs})["y"]
    expected = run_onnx(reference, sample)["y"]
    assert np.abs(file.outputs[0].from_file(found) - expected).max() <= 1.01 / 200


def test_values_quantized_but_not_to_an_int8_kernel_run_in_float() -> None:
    file = lowered(cases()["sqrt"])
    kernels = {kernel.op: kernel.operand_dtypes[0] for kernel in Interpreter(file.data).ops()}
    assert kernels["SQRT"] == "float32"
