"""A function that stays and ranges that do not: channels between consecutive convolutions, rescaled by 2^U(-5, 5).

    python benchmarks/uneven.py [MODEL ...]

Per model: ReLU6 becomes ReLU, then each channel between two convolutions is multiplied and divided by a random factor.
Both ONNX files go through `edgekit quantize` by default settings; drop: points of top-1 of each INT8 file, beyond: how
much more the rescaled model loses (bar: 0.3 points). float: largest difference of the two float models' outputs,
relative to the largest output.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from shared_models import MODELS, Model, require
from street import ran

NAMES = ("cifar_resnet20_jpegft", "imagenet_mobilenetv1_025_224")
LOG2_RANGE = 5.0
OVER = {"Relu", "MaxPool", "AveragePool"}  # a positive factor passes through


def main(names: list[str]) -> None:
    require()
    for model in MODELS:
        if model.name in (names or NAMES):
            with tempfile.TemporaryDirectory() as folder:
                show(model, Path(folder))


def show(model: Model, folder: Path) -> None:
    plain = onnx.load(exported(model, folder))
    clips_to_relus(plain)
    onnx.save(plain, folder / "plain.onnx")
    rescaled = onnx.load(folder / "plain.onnx")
    count = rescale(rescaled, np.random.default_rng(0))
    onnx.save(rescaled, folder / "rescaled.onnx")
    print(f"{model.name}: {count} links rescaled, float difference {difference(plain, rescaled):.0e}")
    drops = []
    for name in ("plain", "rescaled"):
        report = ran([str(folder / f"{name}.onnx"), *model.command()[3:]], folder / name)
        scores = report["verification"]["scores"]
        drops.append({s["label"]: 100 * s["drop"] for s in scores if s["label"].startswith("INT8")})
    for label, drop in drops[1].items():
        beyond = drop - drops[0][label]
        print(f"  {label:12} drop {drops[0][label]:6.2f} plain {drop:6.2f} rescaled, beyond {beyond:6.2f}", flush=True)


def exported(model: Model, folder: Path) -> Path:
    command = [*model.command()[:3], "--format", "onnx", *model.command()[3:], "-o", str(folder / "float")]
    words = [word for word in command if word not in ("--calib-count", "64")]
    if "--calib" in words:
        at = words.index("--calib")
        del words[at : at + 2]
    subprocess.run([sys.executable, "-m", "edgekit", "convert", *words], check=True, capture_output=True)
    return next((folder / "float").glob("*.onnx"))


def clips_to_relus(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        if node.op_type == "Clip":
            node.CopyFrom(helper.make_node("Relu", node.input[:1], node.output, name=node.name))


def rescale(model: onnx.ModelProto, generator: np.random.Generator) -> int:
    """In place; the number of links between two convolutions."""
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    links = 0
    for node in graph.node:
        if node.op_type != "Conv":
            continue
        reader = only(readers, node.output[0])
        while reader is not None and reader.op_type in OVER:
            reader = only(readers, reader.output[0])
        if reader is None or reader.op_type != "Conv":
            continue
        links += 1
        channels = weights[node.input[1]].dims[0]
        factors = (2.0 ** generator.uniform(-LOG2_RANGE, LOG2_RANGE, channels)).astype(np.float32)
        for name in node.input[1:]:
            scale(weights[name], factors, 0)
        grouped = weights[reader.input[1]].dims[1] == 1
        scale(weights[reader.input[1]], 1 / factors, 0 if grouped else 1)
    return links


def only(readers: dict[str, list[onnx.NodeProto]], name: str) -> onnx.NodeProto | None:
    found = readers.get(name, [])
    return found[0] if len(found) == 1 else None


def scale(tensor: onnx.TensorProto, factors: np.ndarray, axis: int) -> None:
    array = numpy_helper.to_array(tensor)
    shape = [-1 if i == axis else 1 for i in range(array.ndim)]
    tensor.CopyFrom(numpy_helper.from_array(array * factors.reshape(shape), tensor.name))


def difference(first: onnx.ModelProto, second: onnx.ModelProto) -> float:
    sessions = [onnxruntime.InferenceSession(model.SerializeToString()) for model in (first, second)]
    given = sessions[0].get_inputs()[0]
    x = np.random.default_rng(1).normal(size=[d if isinstance(d, int) else 4 for d in given.shape]).astype(np.float32)
    a, b = (session.run(None, {given.name: x})[0] for session in sessions)
    return float(np.abs(a - b).max() / np.abs(a).max())


if __name__ == "__main__":
    main(sys.argv[1:])
