"""Every kind of file through the door, whole and damaged."""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edgekit.errors import EdgekitError
from edgekit.lower.tflite import to_tflite
from edgekit.profile.memory import plan
from edgekit.report.inspect import inspect

WEIGHTS = {"conv.weight": torch.zeros(8, 3, 3, 3), "conv.bias": torch.zeros(8, dtype=torch.float16)}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class Bomb:
    """Leaves a canary when anything unpickles it."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.canary,)


def onnx_file(path: Path) -> Path:
    weight = onnx.numpy_helper.from_array(np.zeros((8, 3, 3, 3), np.float32), "w")
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 3, 8, 8])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    conv = onnx.helper.make_node("Conv", ["x", "w"], ["c"])
    relu = onnx.helper.make_node("Relu", ["c"], ["y"])
    graph = onnx.helper.make_graph([conv, relu], "g", [x], [y], [weight])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)]), path)
    return path


@pytest.fixture(scope="module")
def tflite(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    float_file = onnx_file(tmp_path_factory.mktemp("tflite") / "a.onnx")
    inferred = onnx.shape_inference.infer_shapes(onnx.load(float_file))
    return to_tflite(ir.from_proto(inferred), nhwc=False, io_int8=False, metadata={}).data


def test_onnx(tmp_path: Path) -> None:
    found = inspect(onnx_file(tmp_path / "a.bin"))
    assert found.contents.kind == "ONNX"
    assert found.contents.inputs[0].shape == (None, 3, 8, 8)
    assert found.contents.inputs[0].dtype == "float32"
    assert found.contents.ops == {"Conv": 1, "Relu": 1}
    assert found.contents.parameters == 216
    assert found.contents.macs == 36 * 216, "shapes that the file leaves out are inferred"
    assert found.contents.details["opset"] == "20"
    assert len(found.sha256) == 64


@pytest.mark.parametrize(("noted", "found"), [
    ('{"io": {"x": {"scale": 0.5, "zero_point": -3, "dtype": "int8"}}}', (0.5, -3)),
    ('{"io": {"x": 7}}', (None, None)), ("[]", (None, None)), ("{", (None, None)),
])  # fmt: skip
def test_what_integers_stand_for(noted: str, found: tuple[float | None, int | None], tmp_path: Path) -> None:
    model = onnx.load(onnx_file(tmp_path / "a.onnx"))
    onnx.helper.set_model_props(model, {"edgekit": noted})
    onnx.save(model, tmp_path / "a.onnx")
    (x,) = inspect(tmp_path / "a.onnx").contents.inputs
    assert (x.scale, x.zero_point) == found


def test_state_dict_old_and_new(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "new.pt")
    torch.save(WEIGHTS, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    for name in ("new.pt", "old.pt"):
        contents = inspect(tmp_path / name).contents
        assert contents.kind == "state dict"
        assert [(t.name, t.dtype, t.shape) for t in contents.tensors] == [
            ("conv.weight", "float32", (8, 3, 3, 3)),
            ("conv.bias", "float16", (8,)),
        ]
        assert contents.parameters == 224


def test_checkpoint_and_module(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "model": WEIGHTS, "history": [1.0]}, tmp_path / "check.pt")
    torch.save(Net(), tmp_path / "module.pt")
    assert [t.name for t in inspect(tmp_path / "check.pt").contents.tensors] == ["model.conv.weight", "model.conv.bias"]
    module = inspect(tmp_path / "module.pt").contents
    assert module.kind.endswith("Net")
    assert [t.name for t in module.tensors] == ["conv.weight", "conv.bias"]
    assert "Net" in module.details["needs"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.jit.script is deprecated; files made by it are not
def test_torchscript_and_exported(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(Net()), tmp_path / "script.pt")
    script = inspect(tmp_path / "script.pt").contents
    assert script.kind == "TorchScript"
    assert script.parameters == 224
    torch.export.save(torch.export.export(Net(), (torch.zeros(1, 3, 8, 8),)), tmp_path / "net.pt2")
    assert inspect(tmp_path / "net.pt2").contents.kind == "torch.export program"


def test_safetensors_and_arrays(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(2, 3)}, tmp_path / "a.safetensors")
    np.savez(tmp_path / "a.npz", inputs=np.zeros((4, 8, 8), np.uint8), labels=np.zeros(4))
    np.save(tmp_path / "a.npy", np.zeros((2, 2)))
    assert inspect(tmp_path / "a.safetensors").contents.parameters == 6
    assert [(t.name, t.shape) for t in inspect(tmp_path / "a.npz").contents.tensors] == [
        ("inputs", (4, 8, 8)),
        ("labels", (4,)),
    ]
    assert inspect(tmp_path / "a.npy").contents.tensors[0].dtype == "float64"


@pytest.mark.parametrize("new", [True, False])
def test_nothing_in_a_pickle_runs(tmp_path: Path, new: bool) -> None:
    canary = tmp_path / "canary"
    torch.save({"w": torch.zeros(2), "bomb": Bomb(canary)}, tmp_path / "b.pt", _use_new_zipfile_serialization=new)
    contents = inspect(tmp_path / "b.pt").contents
    assert not canary.exists()
    assert [t.name for t in contents.tensors] == ["w"]
    assert "Path.touch" in contents.details["needs"] or "getattr" in contents.details["needs"]


def test_shared_parts_do_not_multiply(tmp_path: Path) -> None:
    nested: list[object] = [torch.zeros(1)]
    for _ in range(50):
        nested = [nested, nested]
    torch.save(nested, tmp_path / "laughs.pt")
    assert len(inspect(tmp_path / "laughs.pt").contents.tensors) == 1


def _zip(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def test_files_of_no_known_kind(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello, this is text")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "pickle").write_bytes(pickle.dumps({"a": 1}))
    _zip(tmp_path / "zip", {"a/readme": b"x"})
    for name in ("text", "empty", "pickle", "zip"):
        with pytest.raises(EdgekitError, match=r"EK19[23]"):
            inspect(tmp_path / name)
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(EdgekitError, match="EK101"):
            inspect(path)


def test_damaged_headers(tmp_path: Path) -> None:
    header = b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,9999]}}'
    files = {
        "short": struct.pack("<Q", 4000) + header,
        "outside": struct.pack("<Q", len(header)) + header,
        "no json": struct.pack("<Q", 5) + b"{]]]]" + b" " * 8,
        "list": struct.pack("<Q", 3) + b"{1}" + b" " * 8,
        "npy": b"\x93NUMPY\x01\x00\x08\x00{broken}",
        "old pickle": b"\x80\x02" + b"\xff" * 40,
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(EdgekitError, match="EK193"):
            inspect(tmp_path / name)
    _zip(tmp_path / "a.npz", {"x.npy": b"\x93NUMPY\x09\x00"})
    _zip(tmp_path / "a.pt", {"a/data.pkl": b"\x80\x02cos\nsystem\n."[:-3], "a/version": b"3"})
    for name in ("a.npz", "a.pt"):
        with pytest.raises(EdgekitError, match="EK193"):
            inspect(tmp_path / name)


def test_every_cut_and_flip_of_a_file_is_an_error_or_an_answer(tmp_path: Path, tflite: bytes) -> None:
    """What a broken disk can do to a file ends in an EdgekitError, quickly, or in other contents."""
    torch.save(WEIGHTS, tmp_path / "a.pt")
    save_file({"w": torch.zeros(2, 3)}, tmp_path / "a.safetensors")
    np.savez(tmp_path / "a.npz", inputs=np.zeros((4, 8), np.uint8))
    whole = [onnx_file(tmp_path / "a.onnx").read_bytes(), tflite]
    whole += [(tmp_path / name).read_bytes() for name in ("a.pt", "a.safetensors", "a.npz")]
    rng = np.random.default_rng(0)
    broken = tmp_path / "broken"
    for data in whole:
        for _ in range(30):
            harmed = bytearray(data[: int(rng.integers(12, len(data)))] if rng.random() < 0.5 else data)
            for place in rng.integers(12, len(harmed), 4) if len(harmed) > 12 else []:
                harmed[place] = int(rng.integers(0, 256))
            broken.write_bytes(harmed)
            try:
                inspect(broken)
            except EdgekitError as error:
                assert error.code in {"EK192", "EK193"}


def test_tflite(tmp_path: Path, tflite: bytes) -> None:
    (tmp_path / "a.tflite").write_bytes(tflite)
    contents = inspect(tmp_path / "a.tflite").contents
    assert contents.kind == "TFLite"
    assert contents.ops
    assert contents.inputs
    assert contents.macs
    assert contents.parameters
    assert contents.memory == plan(tmp_path / "a.tflite")
    assert contents.memory.peak_op == "TRANSPOSE"


def test_tflite_with_an_impossible_length(tmp_path: Path) -> None:
    (tmp_path / "a.tflite").write_bytes(struct.pack("<I4s", 8, b"TFL3") + b"\xff" * 64)
    with pytest.raises(EdgekitError, match="EK193"):
        inspect(tmp_path / "a.tflite")
