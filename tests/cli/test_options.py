"""Every option of `edgekit quantize` and `convert` that changes a file, end to end on a small ONNX model."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekit import api
from edgekit.artifact import Arrays, Artifact
from edgekit.cli.commands import app
from edgekit.device import load_device
from edgekit.run.runner import Runner
from edgekit.run.signature import opened
from tests.models import graph, node, run, weights

COUNT = 40
QUANTIZED_LOSS = 0.1  # of the largest output, for a net of random weights
ENTROPY_LOSS = 0.2  # entropy cuts tails off, which costs more where every range is tight
HALF_LOSS = 1e-2
SHIPPED = sorted(path.stem for path in (Path(__file__).resolve().parents[2] / "devices").glob("*.toml"))


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """net.onnx, a small residual CNN with a hard swish, beside samples.npz, which its own answers label."""
    folder = tmp_path_factory.mktemp("net")
    model = graph(
        {"image": (1, 3, 8, 8)},
        [
            node("Conv", ["image", "w1"], "a", pads=[1, 1, 1, 1]),
            node("HardSwish", ["a"], "b"),
            node("Conv", ["b", "w2"], "c", pads=[1, 1, 1, 1], group=6),
            node("Add", ["b", "c"], "d"),
            node("Relu", ["d"], "e"),
            node("GlobalAveragePool", ["e"], "f"),
            node("Flatten", ["f"], "g"),
            node("Gemm", ["g", "w3"], "y", transB=1),
        ],
        {"w1": weights(6, 3, 3, 3), "w2": weights(6, 1, 3, 3), "w3": weights(5, 6, scale=2)},
    )
    onnx.save(ir.to_proto(model), folder / "net.onnx")
    x = np.random.default_rng(0).normal(0, 1, (COUNT, 3, 8, 8)).astype(np.float32)
    np.savez(folder / "samples.npz", inputs=x, labels=run(model, {"image": x})["y"].argmax(1), spare=x[:, 0])
    return folder


@functools.cache
def edgekit(net: Path, command: str, *options: str) -> tuple[dict[str, Any], dict[str, Artifact]]:
    """The report and the files, by format for those of the precision that was asked for."""
    out = net / "-".join([command, *options]).replace("/", "_")
    said = [command, str(net / "net.onnx"), "--data", str(net / "samples.npz"), "-o", str(out)]
    app()([*said, *options], standalone_mode=False)
    report = json.loads((out / "report.json").read_text())
    made = [opened(Path(file["path"])) for file in report["files"] if command == "convert" or ".int8." in file["path"]]
    return report, {artifact.format: artifact for artifact in made}


def answers(artifact: Artifact, x: np.ndarray) -> np.ndarray:
    with Runner(artifact) as runner:
        return runner.run({"image": x})["y"]


def images(net: Path) -> np.ndarray:
    return np.load(net / "samples.npz")["inputs"]


def expected(net: Path) -> np.ndarray:
    model: Arrays = run((net / "net.onnx").read_bytes(), {"image": images(net)})
    return model["y"]


def check_int8(net: Path, files: dict[str, Artifact], loss: float = QUANTIZED_LOSS) -> None:
    exact = expected(net)
    for artifact in files.values():
        assert artifact.precision == "int8"
        apart = np.abs(answers(artifact, images(net)) - exact).max()
        assert apart <= loss * np.abs(exact).max(), artifact.label


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", "minmax", "percentile", "mse", "entropy"])
def test_ranges(net: Path, method: str) -> None:
    report, files = edgekit(net, "quantize", "--ranges", method)
    assert report["quantization"]["ranges"] == method
    if method != "auto":
        assert report["quantization"]["chosen"].keys() <= {method, "fixed"}
    check_int8(net, files, ENTROPY_LOSS if method == "entropy" else QUANTIZED_LOSS)


@pytest.mark.slow
@pytest.mark.parametrize("device", SHIPPED)
def test_devices(net: Path, device: str) -> None:
    _, files = edgekit(net, "quantize", "--device", device)
    asked = load_device(device)
    assert tuple(files) == (("tflite",) if asked.formats == ("tflite",) else ("onnx", "tflite"))
    if "onnx" in files:
        model = onnx.load(files["onnx"].path)
        constants = {tensor.name: tensor for tensor in model.graph.initializer}
        kinds = {
            onnx.TensorProto.DataType.Name(constants[n.input[2]].data_type).lower()
            for n in model.graph.node
            if n.op_type == "QuantizeLinear"
        }
        assert kinds == {asked.onnx_activations}
    assert ("HARD_SWISH" in tflite_ops(files["tflite"].path)) == (asked.hard_swish == "whole")
    assert {spec.dtype for spec in files["tflite"].inputs} == {asked.io}
    check_int8(net, files)


@pytest.mark.slow
@pytest.mark.parametrize("formats", [("onnx",), ("tflite",), ("onnx", "tflite")], ids="+".join)
def test_formats(net: Path, formats: tuple[str, ...]) -> None:
    report, files = edgekit(net, "quantize", *(word for name in formats for word in ("--format", name)))
    assert tuple(files) == formats
    assert any("spare" in note for note in report["notes"]), "an array of the samples that no input is named after"
    check_int8(net, files)


def test_io_int8(net: Path) -> None:
    """Integers in and out: the same integers that the float files compute inside."""
    _, floats = edgekit(net, "quantize")
    report, integers = edgekit(net, "quantize", "--io", "int8")
    for format, artifact in integers.items():
        for spec in (*artifact.inputs, *artifact.outputs):
            assert spec.dtype in {"int8", "uint8"}
            assert spec.qparams is not None
        assert np.array_equal(answers(artifact, images(net)), answers(floats[format], images(net))), format
    assert [ledger["int8_macs_share"] for ledger in report["verification"]["ledgers"]] == [1, 1]


def test_layout_nhwc(net: Path) -> None:
    """The same numbers from channels-last inputs, and nothing left to transpose."""
    _, kept = edgekit(net, "quantize")
    _, last = edgekit(net, "quantize", "--layout", "nhwc")
    for format, artifact in last.items():
        assert artifact.inputs[0].shape[1:] == (8, 8, 3)
        assert np.array_equal(answers(artifact, images(net)), answers(kept[format], images(net))), format
    assert "TRANSPOSE" not in tflite_ops(last["tflite"].path)


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["top1", "top5", "sqnr"])
def test_metrics(net: Path, metric: str) -> None:
    report, _ = edgekit(net, "quantize", "--format", "onnx", "--metric", metric)
    assert report["verification"]["metric"] == metric


@pytest.mark.slow
def test_layers(net: Path) -> None:
    report, _ = edgekit(net, "quantize", "--layers")
    layers = report["verification"]["layers"]
    assert {layer["label"] for layer in layers} == {"INT8 ONNX", "INT8 TFLite"}
    assert min(layer["sqnr_db"] for layer in layers) > 15


@pytest.mark.parametrize(("precision", "loss"), [("float32", 1e-5), ("float16", HALF_LOSS)])
def test_convert(net: Path, precision: str, loss: float) -> None:
    _, files = edgekit(net, "convert", "--precision", precision)
    exact = expected(net)
    assert files.keys() == {"onnx", "tflite"}
    for artifact in files.values():
        apart = np.abs(answers(artifact, images(net)) - exact).max()
        assert apart <= loss * np.abs(exact).max(), artifact.path.name


def test_samples_for_one_side_beside_data(net: Path) -> None:
    """eval in memory beside data on disk: what is judged on is not calibrated on."""
    with np.load(net / "samples.npz") as arrays:
        half = {"inputs": arrays["inputs"][::2], "labels": arrays["labels"][::2]}
    made = api.quantize(net / "net.onnx", net / "samples.npz", eval=half, out=net / "beside", format=["onnx"])
    assert made.data is not None
    assert made.data.evaluation_count == COUNT // 2
    assert made.data.overlap + made.data.calibration_count == COUNT // 2
    assert made.data.overlap > 0


def tflite_ops(path: Path) -> list[str]:
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    names = {value: name for name, value in vars(schema.BuiltinOperator).items()}
    return [names[model.operatorCodes[op.opcodeIndex].builtinCode] for op in model.subgraphs[0].operators]
