"""A small convolutional classifier, float and quantized, as every file that verifying and measuring meet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgekit import affine
from edgekit.artifact import Artifact, TensorSpec
from edgekit.lower.tflite import to_tflite
from edgekit.samples import Samples, load_samples

CLASSES = 4
OUTPUT_SCALE = 0.25


def memory(x: NDArray[Any], labels: Any = None, targets: Any = None, name: str = "x") -> Samples:
    given = {name: x, "labels": labels, "targets": targets}
    return load_samples({key: array for key, array in given.items() if array is not None})


class _Writer:
    """Writes the net's nodes; quantized: int8, uint8 or None for the float model."""

    def __init__(self, quantized: Any) -> None:
        self.quantized = quantized
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.random = np.random.default_rng(7)

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.initializers.append(numpy_helper.from_array(value, name))
        return name

    def node(self, op: str, inputs: list[str], output: str, name: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(op, inputs, [output], name=name, **attributes))

    def weight(self, name: str, shape: tuple[int, ...], input_scale: float) -> list[str]:
        """A weight and a bias that the integers hold exactly."""
        q = self.random.integers(-127, 128, shape).astype(np.int8)
        scale = np.full(shape[0], 2.0**-7, np.float32)
        bias = self.random.integers(-300, 300, shape[0]).astype(np.int32)
        if self.quantized is None:
            return [
                self.constant(name, q * scale[0]),
                self.constant(name + "_bias", (bias * (scale[0] * np.float32(input_scale))).astype(np.float32)),
            ]
        for part, integers, step in ((name, q, scale), (name + "_bias", bias, scale * np.float32(input_scale))):
            zero = np.zeros(shape[0], integers.dtype)
            parts = [self.constant(part + end, x) for end, x in (("_q", integers), ("_s", step), ("_z", zero))]
            self.node("DequantizeLinear", parts, part, part + "_dq", axis=0)
        return [name, name + "_bias"]

    def quantize(self, value: str, scale: float, zero_point: int) -> None:
        """zero_point: for int8."""
        if self.quantized is not None:
            shift = 128 if self.quantized == np.uint8 else 0
            self.constant(value + "_s", np.asarray(scale, np.float32))
            self.constant(value + "_z", np.asarray(zero_point + shift).astype(self.quantized))
            self.node("QuantizeLinear", [value, value + "_s", value + "_z"], value + "_q", value + "_quantize")

    def use(self, value: str, reader: str) -> str:
        if self.quantized is None:
            return value
        real = f"{value}_for_{reader}"
        self.node("DequantizeLinear", [value + "_q", value + "_s", value + "_z"], real, real + "_dq")
        return real


def net(quantized: Any = None) -> onnx.ModelProto:
    """Conv, Relu, depthwise Conv, Add, Sigmoid x Mul, pool, Gemm."""
    w = _Writer(quantized)
    w.quantize("x", 2.0**-6, 0)
    hidden = "conv" if quantized is not None else "conv_before_relu"
    w.node("Conv", [w.use("x", "conv"), *w.weight("w1", (8, 3, 3, 3), 2.0**-6)], hidden, "conv", pads=[1] * 4)
    if quantized is None:  # the quantized range starts at 0, which saturates the Relu away
        w.node("Relu", ["conv_before_relu"], "conv", "relu")
    w.quantize("conv", 2.0**-5, -128)
    dw = [w.use("conv", "dw"), *w.weight("w2", (8, 1, 3, 3), 2.0**-5)]
    w.node("Conv", dw, "dw", "dw", group=8, pads=[1] * 4)
    w.quantize("dw", 2.0**-4, 3)
    w.node("Add", [w.use("dw", "add"), w.use("conv", "add")], "add", "add")
    w.quantize("add", 2.0**-3, 5)
    w.node("GlobalAveragePool", [w.use("add", "pool")], "pool", "pool")
    w.quantize("pool", 2.0**-4, 0)
    w.constant("flat_shape", np.array([-1, 8], np.int64))
    w.node("Reshape", [w.use("pool", "flat"), "flat_shape"], "flat", "flat")
    w.quantize("flat", 2.0**-4, 0)
    logits = "logits" if quantized is None else "logits_unquantized"
    w.node("Gemm", [w.use("flat", "fc"), *w.weight("w3", (CLASSES, 8), 2.0**-4)], logits, "fc", transB=1)
    w.quantize(logits, OUTPUT_SCALE, 0)
    if quantized is not None:
        ends = [logits + end for end in ("_q", "_s", "_z")]
        w.node("DequantizeLinear", ends, "logits", "logits_dq")
    graph = helper.make_graph(
        w.nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", CLASSES])],
        w.initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)


def float_graph() -> ir.Model:
    graph = ir.from_proto(net())
    for node in graph.graph:
        node.metadata_props["pkg.torch.onnx.stack_trace"] = f'File "/home/me/model.py", line {len(node.name or "")}'
    return graph


def onnx_artifact(folder: Path, precision: str, quantized: Any) -> Artifact:
    path = folder / f"net.{precision}.{np.dtype(quantized).name if quantized else 'float'}.onnx"
    path.write_bytes(net(quantized).SerializeToString())
    return Artifact(
        path=path,
        format="onnx",
        precision=precision,  # type: ignore[arg-type]
        inputs=(TensorSpec(name="x", dtype="float32", shape=(None, 3, 8, 8)),),
        outputs=(TensorSpec(name="logits", dtype="float32", shape=(None, CLASSES)),),
    )


def tflite_artifact(folder: Path) -> Artifact:
    file = to_tflite(ir.from_proto(net(np.int8)), nhwc=True, io_int8=False, metadata={})
    path = folder / "net.int8.tflite"
    path.write_bytes(file.data)
    return Artifact(path=path, format="tflite", precision="int8", inputs=file.inputs, outputs=file.outputs)


def images(count: int, seed: int = 0) -> NDArray[np.float32]:
    """(count, 3, 8, 8): pictures whose classes differ, since each has a colour of its own."""
    random = np.random.default_rng(seed)
    colours = random.normal(0, 0.7, (count, 3, 1, 1))
    x = (colours + random.normal(0, 0.3, (count, 3, 8, 8))).astype(np.float32)
    return affine.dequantize(
        affine.quantize(x, affine.QParams(np.asarray(np.float32(2.0**-6)), 0, np.dtype(np.int8))),
        affine.QParams(np.asarray(np.float32(2.0**-6)), 0, np.dtype(np.int8)),
    )
