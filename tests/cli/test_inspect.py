from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from edgekit.cli.commands import run


def test_a_state_dict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({f"layer{i}.\x1b": torch.zeros(2) for i in range(20)}, tmp_path / "a.pt")
    assert run(["inspect", str(tmp_path / "a.pt")]) == 0
    out = capsys.readouterr().out
    assert "state dict" in out
    assert "layer3.\\x1b  float32 2" in out
    assert "and 8 more tensors" in out
    assert "\x1b" not in out


def test_memory_of_a_tflite_file(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = shared / "data" / "reference_models" / "kws_i8.tflite"
    assert run(["inspect", str(path)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("memory")]
    assert "at most 15.6 KiB of activations, at op 2 of 13 (DEPTHWISE_CONV_2D)" in line
    assert "TFLite Micro needs an arena of 23.7 KiB" in line
    assert run(["inspect", "--json", str(path)]) == 0
    memory = json.loads(capsys.readouterr().out)["contents"]["memory"]
    assert len(memory["timeline"]) == 13
    assert max(moment["alive_bytes"] for moment in memory["timeline"]) == memory["peak_bytes"]
