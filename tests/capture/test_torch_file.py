"""Weights and modules out of torch's files, and the pickles that are refused."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from edgekit.capture import torch_file
from edgekit.errors import EdgekitError, Exit
from tests.capture.conftest import IMAGE, Net, agrees, take

Refused = Callable[..., EdgekitError]


class Bomb:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, (f"open({str(self.canary)!r}, 'w').close()",))


def test_a_state_dict(weights: Path, factory: Path) -> None:
    captured = take(weights, factory=f"{factory}:make", inputs=IMAGE)
    assert captured.kind == "state dict"
    assert captured.notes == ()
    assert len(captured.sha256) == 64
    agrees(captured)


def test_safetensors(net: Net, factory: Path, tmp_path: Path, refused: Refused) -> None:
    file = tmp_path / "net.bin"
    safetensors.torch.save_file(net.state_dict(), file)
    assert take(file, factory=f"{factory}:make", inputs=IMAGE).kind == "safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    assert refused(file, factory=f"{factory}:make", inputs=IMAGE).code == "EK103"


@pytest.mark.parametrize("legacy", [False, True])
def test_a_bomb_does_not_go_off(tmp_path: Path, refused: Refused, legacy: bool) -> None:
    canary, file = tmp_path / "canary", tmp_path / "model.pt"
    torch.save({"weight": torch.zeros(2), "x": Bomb(canary)}, file, _use_new_zipfile_serialization=not legacy)
    error = refused(file, factory="networks.py:make")
    assert error.code == "EK104"
    assert error.exit == Exit.REFUSED
    assert "builtins.exec" in error.why or "__builtin__.exec" in error.why
    assert "--trust-pickle" in error.fix
    assert not canary.exists()


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_bare_bomb_does_not_go_off(tmp_path: Path, refused: Refused, protocol: int) -> None:
    canary, file = tmp_path / "canary", tmp_path / "model.pt"
    file.write_bytes(pickle.dumps(Bomb(canary), protocol=protocol))
    assert refused(file).code == "EK104"
    assert not canary.exists()


def test_a_pickled_module_needs_trust(net: Net, tmp_path: Path, refused: Refused) -> None:
    file = tmp_path / "net.pt"
    torch.save(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), file)
    error = refused(file, inputs=IMAGE)
    assert error.code == "EK104"
    assert "torch.nn.modules.container.Sequential" in error.why
    assert "OrderedDict" not in error.why
    captured = take(file, trust_pickle=True, inputs={"inputs": (1, 3, 8, 8)})
    assert captured.kind == "pickled module"
    assert "was trusted" in captured.notes[0]
    torch.save({"model": net, "epoch": 3}, file)
    assert torch_file.module_in(torch.load(file, weights_only=False)) is not None


def test_a_trusted_pickle_that_does_not_load(tmp_path: Path, refused: Refused) -> None:
    file = tmp_path / "net.pt"
    torch.save(Net(), file)
    file.write_bytes(file.read_bytes().replace(b"tests.capture.conftest", b"tests.capture.conftesx"))
    error = refused(file, trust_pickle=True)
    assert error.code == "EK103"
    assert "conftesx" in error.why


def test_a_damaged_pickle(tmp_path: Path, refused: Refused) -> None:
    file = tmp_path / "net.pt"
    torch.save({"w": torch.zeros(50)}, file, _use_new_zipfile_serialization=False)
    file.write_bytes(file.read_bytes()[:-90])
    assert refused(file, factory="networks.py:make").code == "EK103"


def test_weights_without_a_class_are_listed(weights: Path, refused: Refused) -> None:
    error = refused(weights)
    assert error.code == "EK105"
    assert "7 tensors: conv.weight 4x3x3x3, conv.bias 4" in error.why
    assert "--model path/to/file.py:factory" in error.fix


@pytest.mark.parametrize("key", ["state_dict", "model", "ema"])
def test_checkpoints_are_unwrapped(net: Net, key: str) -> None:
    found = torch_file.weights_in(
        {"epoch": 3, "lr": 0.1, key: net.state_dict(), "optimizer": {"state": {}}}, Path("a.pt")
    )
    assert set(found) == set(net.state_dict())


def test_a_checkpoint_around_something_else() -> None:
    weights = {"w": torch.zeros(1)}
    assert torch_file.weights_in({"epoch": 1, "mine": weights}, Path("a.pt")) == weights
    assert torch_file.weights_in({"w": weights["w"], "version": 2}, Path("a.pt")) == weights
    assert set(torch_file.weights_in({"model": nn.Linear(1, 1)}, Path("a.pt"))) == {"weight", "bias"}
    for empty in ({}, {"epoch": 3}, [1, 2], torch.zeros(3), {"a": {"x": 1}, "b": {"y": 2}}):
        with pytest.raises(EdgekitError) as error:
            torch_file.weights_in(empty, Path("a.pt"))
        assert error.value.code == "EK102"


def test_the_prefix_of_data_parallel_is_taken_off(net: Net, factory: Path, tmp_path: Path) -> None:
    file = tmp_path / "net.pt"
    torch.save({f"module.{name}": tensor for name, tensor in net.state_dict().items()}, file)
    captured = take(file, factory=f"{factory}:make", inputs=IMAGE)
    assert captured.notes == ("the prefix 'module.' was taken off the names of the weights",)


def test_weights_of_another_module(net: Net, factory: Path, tmp_path: Path, weights: Path, refused: Refused) -> None:
    error = refused(weights, factory=f"{factory}:wide")
    assert error.code == "EK106"
    assert "conv.weight is 4x3x3x3 in the file, 8x3x3x3 in the module" in error.why
    state = net.state_dict()
    state["head.weight"] = state.pop("conv.weight")
    torch.save(state, tmp_path / "other.pt")
    error = refused(tmp_path / "other.pt", factory=f"{factory}:make")
    assert "not in the file: conv.weight" in error.why
    assert "not in the module: head.weight" in error.why


def test_nan_weights(net: Net, factory: Path, tmp_path: Path, refused: Refused) -> None:
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    state["conv.weight"][0, 0, 0, 0] = float("nan")
    torch.save(state, tmp_path / "net.pt")
    error = refused(tmp_path / "net.pt", factory=f"{factory}:make")
    assert error.code == "EK110"
    assert "'conv.weight' holds 1 NaN" in error.why


def test_a_mask_of_minus_infinity_is_fine() -> None:
    module = nn.Linear(2, 2)
    module.register_buffer("mask", torch.full((2, 2), float("-inf")))
    torch_file.check_finite(module, "net.pt")
    module.weight.data[0, 0] = float("inf")
    with pytest.raises(EdgekitError, match="'weight' holds 1"):
        torch_file.check_finite(module, "net.pt")


def test_half_precision_is_cast(tmp_path: Path) -> None:
    file = tmp_path / "half.pt"
    torch.save(nn.Linear(3, 2).half().double(), file)
    captured = take(file, trust_pickle=True, inputs={"input": (1, 3)})
    assert "weights in float64 were cast to float32" in captured.notes
    agrees(captured)


def test_unsafe_globals_of_rubbish() -> None:
    assert torch_file.unsafe_globals(b"\x80\x02garbage") == []
    held = io.BytesIO()
    torch.save({"w": torch.zeros(1, dtype=torch.float16)}, held)
    assert torch_file.unsafe_globals(held.getvalue()) == []
