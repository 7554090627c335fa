"""Nets as data become graphs that both formats can express and both runtimes run, of the shapes that they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter

from edgekit.lower.onnx import to_onnx
from edgekit.lower.tflite import to_tflite
from edgekit.profile.kernels import kernels_of
from edgekit.profile.sketch import Conv, Dense, Join, Net, Op, graph

POOL = Op(name="MaxPool", attributes=(("kernel_shape", [3, 3]), ("strides", [2, 2]), ("pads", [1, 1, 1, 1])))
GLOBAL = Op(name="GlobalAveragePool")
IMAGES = Net(
    name="image",
    shape=(1, 16, 8, 8),
    layers=(
        Conv(channels=16, taps=3, stride=2, relu=True),
        Join(name="Add", paths=((), (Conv(channels=16, taps=3, groups=0), Op(name="Relu")))),
        Join(name="Mul", paths=((), (GLOBAL, Conv(channels=16), Op(name="HardSigmoid")))),
        Op(name="HardSwish"),
        Op(name="Mul"),
        Op(name="Add"),
        Op(name="Relu", kept=True),
        Conv(channels=16, taps=3, groups=4),
        Join(name="Concat", paths=((), (Op(name="Slice", integers=(0, 8)),))),
        Op(name="Resize", attributes=(("mode", "nearest"),), floats=(2.0,)),
        Op(name="Pad", integers=(1,)),
        POOL,
        Conv(channels=8, taps=3, stride=2, transposed=True),
        Conv(channels=8, taps=2, stride=2, transposed=True),
        Conv(channels=8, taps=3, transposed=True),
    ),
)
TOKENS = Net(
    name="tokens",
    shape=(1, 6, 16),
    layers=(
        Op(name="LayerNormalization"),
        Dense(features=8),
        Op(name="Gelu"),
        Join(name="MatMul", paths=((), (Op(name="Transpose", attributes=(("perm", [0, 2, 1]),)),))),
        Op(name="Softmax", attributes=(("axis", -1),)),
        Op(name="ReduceMean", integers=(1,)),
        Op(name="Reshape", integers=(1, 6)),
        Dense(features=5),
    ),
)


@pytest.mark.parametrize("integers", [False, True])
@pytest.mark.parametrize(("net", "shape"), [(IMAGES, (1, 8, 20, 20)), (TOKENS, (1, 5))])
def test_runs_in_both_runtimes(net: Net, shape: tuple[int, ...], integers: bool) -> None:
    made = graph(net, integers=integers)
    file = to_onnx(ir.from_proto(made), activations=np.dtype(np.uint8), nhwc=False, io_int8=False, metadata={})
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(file.data, options, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": np.ones(net.shape, np.float32)})
    assert y.shape == shape
    data = to_tflite(ir.from_proto(made), nhwc=False, io_int8=False, metadata={}).data
    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.invoke()
    assert tuple(interpreter.get_output_details()[0]["shape"]) == shape


def kernels(net: Net, folder: Path, *, whole: bool = True) -> list[tuple[str, str]]:
    made = graph(net, integers=True, whole=whole)
    file = to_onnx(ir.from_proto(made), activations=np.dtype(np.uint8), nhwc=False, io_int8=False, metadata={})
    (folder / "net.onnx").write_bytes(file.data)
    return [(kernel.op, kernel.precision) for kernel in kernels_of(folder / "net.onnx")]


def test_all_of_it_is_in_integers(tmp_path: Path) -> None:
    found = kernels(TOKENS, tmp_path)
    assert ("Gemm", "int8") in found
    assert {precision for _, precision in found} == {"int8"}


def test_a_hard_swish_is_parted_where_that_is_faster(tmp_path: Path) -> None:
    net = Net(name="swish", shape=(1, 8, 4, 4), layers=(Op(name="HardSwish"),))
    assert ("HardSwish", "int8") in kernels(net, tmp_path)
    assert {("HardSigmoid", "int8"), ("Mul", "int8")} <= set(kernels(net, tmp_path, whole=False))


def test_an_activation_that_the_range_does_is_left_out(tmp_path: Path) -> None:
    layers = (Conv(channels=8, relu=True), Op(name="Relu"))
    assert "Relu" not in {op for op, _ in kernels(Net(name="relu", shape=(1, 8, 4, 4), layers=layers), tmp_path)}


def test_weights_pack_well() -> None:
    import zlib

    data = graph(Net(name="large", shape=(1, 256, 7, 7), layers=(Conv(channels=256, taps=3),)), integers=False)
    raw = data.SerializeToString()
    assert len(zlib.compress(raw, 1)) < len(raw) / 30


def test_an_op_whose_shape_nobody_knows() -> None:
    with pytest.raises(AssertionError, match="Tile"):
        graph(Net(name="tile", shape=(1, 8, 4, 4), layers=(Op(name="Tile", integers=(2,)),)), integers=False)
