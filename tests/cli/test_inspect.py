from __future__ import annotations

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
