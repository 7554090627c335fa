from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edgekit.cli.commands import run
from edgekit.report import health
from tests.reports import MACHINE

WELL = health.Health(
    machine=replace(MACHINE, versions={"torch": "2.13.0", "onnxruntime": "1.31.1"}),
    torch_build="CPU",
    runtimes=(health.RuntimeHealth(name="onnxruntime", version="1.31.1", took_s=0.5, problem=None),),
    missing=(),
    extras={"demo": ("scikit-learn",), "dev": ()},
)


def test_a_machine_that_is_well(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(health, "examine", lambda: WELL)
    assert run(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "2.13.0, CPU build" in out
    assert "avx512_vnni" in out
    assert "runs a model in its own process (500 ms)" in out
    assert "pip install 'edgekit[demo]'" in out


def test_what_is_missing_ends_with_4(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    gone = health.RuntimeHealth(name="ai-edge-litert", version=None, took_s=None, problem="not installed")
    ill = replace(WELL, runtimes=(*WELL.runtimes, gone), missing=("ai-edge-litert", "typer"))
    monkeypatch.setattr(health, "examine", lambda: ill)
    assert run(["doctor"]) == 4
    out = capsys.readouterr().out
    assert "FAILED, not installed" in out
    assert "pip install edgekit" in out
    assert run(["doctor", "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["missing"] == ["ai-edge-litert", "typer"]
