"""Files that no tool should be given, each named after what is wrong with it, and the good ones they are next to."""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

CANARY = "canary"  # what code hidden in a model would write, where edgekit runs
CLASSES = 3
ESCAPE = "\x1b[31m"  # turns a terminal red
FACTORY = """
import torch
class Net(torch.nn.Sequential):
    def __init__(self, width=4):
        super().__init__(torch.nn.Conv2d(1, width, 3), torch.nn.Flatten(), torch.nn.Linear(width * 36, 3))
def wide(): return Net(8)
def broken(): raise RuntimeError('no GPU here')
def number(): return 7
def leaves(): raise SystemExit(0)
"""
BATCHES = """
import numpy as np
def endless_shapes():
    yield np.zeros((2, 1, 8, 8), np.float32)
    yield np.zeros((2, 1, 9, 9), np.float32)
def broken():
    yield np.zeros((2, 1, 8, 8), np.float32)
    raise OSError('the disk is gone')
def none(): return 7
"""


class Bomb:
    """A pickle that leaves a canary when it is loaded."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return exec, (f"open({CANARY!r}, 'w').close()",)


def write_all(folder: Path) -> None:
    """Every file that the table of bad inputs names."""
    for write in (_models, _onnx_models, _external_data, _arrays, _images, _recipes, _outputs):
        write(folder)


def images_and_labels(count: int = 24, shape: tuple[int, ...] = (1, 8, 8)) -> dict[str, NDArray[Any]]:
    generator = np.random.default_rng(3)
    return {
        "inputs": generator.standard_normal((count, *shape)).astype(np.float32),
        "labels": np.arange(count) % CLASSES,
    }


def classifier(name: str = "net", op: str = "Relu", domain: str = "", opset: int = 20) -> onnx.ModelProto:
    """A convolution, `op`, a global average and a linear layer on (batch, 1, 8, 8). name: of the first node.

    A determinant leaves one number per channel: then there is nothing to average.
    """
    generator = np.random.default_rng(5)
    weights = {"w": (4, 1, 3, 3), "b": (4,), "v": (CLASSES, 4), "c": (CLASSES,)}
    nodes = [
        helper.make_node("Conv", ["image", "w", "b"], ["conv"], name=name),
        helper.make_node(op, ["conv"], ["active"], domain=domain),
        *([] if op == "Det" else [helper.make_node("GlobalAveragePool", ["active"], ["pooled"])]),
        helper.make_node("Flatten", ["active" if op == "Det" else "pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "v", "c"], ["scores"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", CLASSES])],
        [
            numpy_helper.from_array(generator.standard_normal(shape).astype(np.float32), weight)
            for weight, shape in weights.items()
        ],
    )
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _models(folder: Path) -> None:
    import torch

    (folder / "empty.pt").touch()
    (folder / "text.pt").write_text("this is not a model\n")
    (folder / "code.py").write_text(FACTORY)
    (folder / "typo.py").write_text("def make(:\n")
    (folder / "batches.py").write_text(BATCHES)
    (folder / "folder.pt").mkdir()
    scope: dict[str, Any] = {"__name__": "code"}
    exec(FACTORY, scope)
    net = scope["Net"]()
    weights = net.state_dict()
    torch.save(weights, folder / "weights.pt")
    torch.save({"other." + name: tensor for name, tensor in weights.items()}, folder / "keys.pt")
    torch.save({**weights, "0.weight": torch.full_like(weights["0.weight"], float("nan"))}, folder / "nan.pt")
    torch.save(Bomb(), folder / "bomb.pt")
    torch.save({"state_dict": weights, "epoch": {"hook": [Bomb()]}}, folder / "nested_bomb.pt")
    torch.save({**weights, "more": Bomb()}, folder / "old_bomb.pt", _use_new_zipfile_serialization=False)
    (folder / "plain_bomb.pkl").write_bytes(pickle.dumps(Bomb()))
    whole = (folder / "weights.pt").read_bytes()
    (folder / "truncated.pt").write_bytes(whole[: len(whole) // 2])
    with zipfile.ZipFile(folder / "bomb.pt2", "w") as program:  # as torch.export writes it, as far as it is read
        program.writestr("net/archive_format", "pt2")
        program.writestr("net/version", "6\n")
        program.writestr("net/models/model.json", "{}")
        program.writestr("net/data/sample_inputs/model.pt", pickle.dumps(Bomb()))
    header = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    (folder / "truncated.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    (folder / "long_header.safetensors").write_bytes(struct.pack("<Q", 2**62) + header)
    huge = header.replace(b"[2]", b"[1000000000000]").replace(b"8]", b"4000000000000]")
    (folder / "huge.safetensors").write_bytes(struct.pack("<Q", len(huge)) + huge + bytes(8))


def words() -> onnx.ModelProto:
    """A model that takes indices."""
    table = numpy_helper.from_array(np.eye(7, 3, dtype=np.float32), "table")
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "word"], ["y"])],
        "words",
        [helper.make_tensor_value_info("word", onnx.TensorProto.INT64, ["batch", 5])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", 5, 3])],
        [table],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def _onnx_models(folder: Path) -> None:
    good = classifier()
    onnx.save(good, folder / "good.onnx")
    onnx.save(words(), folder / "words.onnx")
    rows = classifier()
    rows.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3
    onnx.save(rows, folder / "whole.onnx")
    whole = (folder / "good.onnx").read_bytes()
    (folder / "truncated.onnx").write_bytes(whole[: len(whole) // 2])
    (folder / "net.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(64))
    (folder / "photo.pt").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    onnx.save(classifier(opset=6), folder / "old.onnx")
    onnx.save(classifier(op="MyRelu", domain="com.example"), folder / "custom.onnx")
    onnx.save(classifier(name=f"{ESCAPE}net\u202e", op="Det"), folder / "escapes.onnx")
    onnx.save(good, folder / f"odd{ESCAPE}name.onnx")
    quantized = classifier()
    scale = [numpy_helper.from_array(np.float32(1), "s"), numpy_helper.from_array(np.int8(0), "z")]
    quantized.graph.initializer.extend(scale)
    quantized.graph.node[0].input[0] = "real"
    quantized.graph.node.insert(0, helper.make_node("DequantizeLinear", ["q", "s", "z"], ["real"]))
    quantized.graph.node.insert(0, helper.make_node("QuantizeLinear", ["image", "s", "z"], ["q"]))
    onnx.save(quantized, folder / "quantized.onnx")
    infinite = classifier()
    infinite.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.full((4, 1, 3, 3), np.inf, np.float32), "w"))
    onnx.save(infinite, folder / "infinite.onnx")
    huge = classifier()
    huge.graph.initializer[0].dims[:] = [10**6, 10**6, 1, 1]
    onnx.save(huge, folder / "huge_weight.onnx")
    wide = classifier()
    for dim, size in zip(wide.graph.input[0].type.tensor_type.shape.dim[2:], (10**6, 10**6), strict=True):
        dim.dim_value = size
    onnx.save(wide, folder / "huge_input.onnx")
    nan = classifier(op="Log")
    onnx.save(nan, folder / "logarithm.onnx")


def _external_data(folder: Path) -> None:
    (folder / "secret.bin").write_bytes(bytes(144))
    (folder / "model").mkdir()
    (folder / "model" / "link.bin").symlink_to(folder / "secret.bin")
    places = {
        "outside": "../secret.bin",
        "absolute": str(folder / "secret.bin"),
        "linked": "link.bin",
        "missing_data": "nowhere.bin",
    }
    for name, location in places.items():
        model = classifier()
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        (folder / "model" / f"{name}.onnx").write_bytes(model.SerializeToString())


def _arrays(folder: Path) -> None:
    good = images_and_labels()
    inputs, labels = good["inputs"], good["labels"]
    np.savez(folder / "good.npz", **good)
    whole = (folder / "good.npz").read_bytes()
    (folder / "truncated.npz").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.npz").touch()
    (folder / "text.npz").write_text("1,2,3\n")
    np.savez(folder / "many.npz", **images_and_labels(12000))
    np.savez(folder / "nothing.npz")
    np.savez(folder / "no_rows.npz", inputs=inputs[:0])
    np.savez(folder / "one.npz", inputs=images_and_labels(25)["inputs"][24:])  # none of the 24
    np.savez(folder / "words.npz", inputs=np.array(["cat", "dog"]))
    np.savez(folder / "objects.npz", inputs=np.array([Bomb(), None], dtype=object))
    np.savez(folder / "shape.npz", inputs=images_and_labels(8, (3, 9, 9))["inputs"])
    np.savez(folder / "two_inputs.npz", left=inputs, right=inputs)
    np.savez(folder / "short_labels.npz", inputs=inputs, labels=labels[:-1])
    np.savez(folder / "one_hot.npz", inputs=inputs, labels=np.eye(CLASSES)[labels])
    np.savez(folder / "negative_label.npz", inputs=inputs, labels=labels - 1)
    np.savez(folder / "far_label.npz", inputs=inputs, labels=labels + CLASSES)
    np.savez(folder / "not_a_number.npz", inputs=np.where(inputs > 3, np.nan, inputs), labels=labels)
    np.savez(folder / "zeros.npz", inputs=np.zeros_like(inputs), labels=labels)
    np.savez(folder / "escapes.npz", inputs=inputs, labels=labels, classes=np.array([ESCAPE, "\u202eb", "c"]))
    _npy_that_claims(folder / "huge.npy", (10**12,))
    _npy_that_claims(folder / "huge_row.npy", (1, 10**12))
    with zipfile.ZipFile(folder / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("inputs.npy", _npy_header((2**31,), "|u1") + bytes(2**20))
        bomb.getinfo("inputs.npy").file_size = 2**31  # what the archive's directory says


def _npy_header(shape: tuple[int, ...], dtype: str) -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def _npy_that_claims(path: Path, shape: tuple[int, ...]) -> None:
    path.write_bytes(_npy_header(shape, "<f4") + bytes(64))


def _images(folder: Path) -> None:
    from PIL import Image

    (folder / "no_images").mkdir()
    (folder / "no_images" / "notes.txt").write_text("nothing here\n")
    for name in ("good_images", "torn_images", "bomb_images", "leaving", "unlabelled", "sizes"):
        (folder / name).mkdir()
        for i, shade in enumerate((40, 200)):
            Image.new("L", (8, 8), shade).save(folder / name / f"{i}.png")
    whole = (folder / "torn_images" / "0.png").read_bytes()
    (folder / "torn_images" / "1.png").write_bytes(whole[:40])
    _png_that_claims(folder / "bomb_images" / "0.png", 60_000, 60_000)
    (folder / "leaving" / "labels.csv").write_text("file,label\n0.png,0\n../../etc/passwd.png,1\n")
    (folder / "unlabelled" / "labels.csv").write_text("name,class\n0.png,0\n")
    Image.new("L", (9, 8), 7).save(folder / "sizes" / "1.png")


def _png_that_claims(path: Path, width: int, height: int) -> None:
    """A whole PNG of 8x8 pixels whose header says another size, with the checksum that goes with it."""
    import zlib

    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)


def _recipes(folder: Path) -> None:
    model = "[model]\npath = 'good.onnx'\n[data]\ndata = 'good.npz'\n"
    for name, text in {
        "unknown_key": model + "calibration_cout = 8\n",
        "wrong_type": model + "calibration_count = 'eight'\n",
        "broken": "[model\npath = 'good.onnx'\n",
        "no_model": "[data]\ndata = 'good.npz'\n",
        "bad_device": "name = 'mine'\n",
    }.items():
        (folder / f"{name}.toml").write_text(text)
    (folder / "binary.toml").write_bytes(b"\xff\xfe\x00")


def _outputs(folder: Path) -> None:
    (folder / "file").write_text("a file where a folder is wanted\n")
    (folder / "taken").mkdir()
    (folder / "taken" / "good.int8.onnx").write_text("precious")
