"""Vela itself where the extra is installed; without it, what becomes of each way in which it can go wrong."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path

import pytest

from edgekit.device import Compiler, load_device
from edgekit.errors import EdgekitError
from edgekit.run import vela
from edgekit.run.vela import Compiled, compiled
from tests.run import fake_vela
from tests.verify import nets

needs_vela = pytest.mark.skipif(not vela.installed(), reason="needs the extra: pip install 'edgekit[ethos-u]'")
DEVICES = ("ethos-u55-128", "ethos-u55-256", "ethos-u65-512", "ethos-u85")


def compiler(device: str = "ethos-u55-128") -> Compiler:
    found = load_device(device).compiler
    assert found is not None
    return found


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go meanwhile."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@needs_vela
@pytest.mark.parametrize("device", DEVICES)
def test_a_file_on_each_accelerator(device: str, tmp_path: Path, temporary: Path) -> None:
    artifact = nets.tflite_artifact(tmp_path)
    found = compiled(artifact.path, compiler(device))
    assert found.kind == "compiler's model"
    assert found.compiler.startswith("ethos-u-vela 5.2")
    assert found.accelerator.startswith(device)
    assert found.cycles == sum(op.cycles for op in found.ops) > 0
    assert found.seconds == found.cycles / found.clock_hz
    assert 0 < found.utilisation < 1
    assert {area.on_chip for area in found.memory} == {True, False}
    assert any(op.op == "Conv2D" and op.macs and not op.on_cpu for op in found.ops)
    assert all(left.reason != vela.UNTOLD for left in found.on_cpu)
    assert list(temporary.iterdir()) == []


@needs_vela
def test_more_multipliers_take_no_more_cycles(tmp_path: Path) -> None:
    path = nets.tflite_artifact(tmp_path).path
    small, large = (compiled(path, compiler(device)) for device in ("ethos-u55-128", "ethos-u55-256"))
    assert large.cycles <= small.cycles
    assert large.macs == small.macs


@needs_vela
def test_a_damaged_file_is_no_crash_of_ours(tmp_path: Path, temporary: Path) -> None:
    whole = nets.tflite_artifact(tmp_path).path.read_bytes()
    path = tmp_path / "cut.tflite"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EdgekitError, match=r"EK94[12]"):
        compiled(path, compiler())
    assert list(temporary.iterdir()) == []


@needs_vela
def test_a_configuration_that_vela_does_not_know(tmp_path: Path) -> None:
    path = nets.tflite_artifact(tmp_path).path
    with pytest.raises(EdgekitError, match=r"EK941.*for ethos-u55-128") as caught:
        compiled(path, compiler().model_copy(update={"memory_mode": "Nowhere"}))
    assert "Nowhere" in caught.value.why
    assert "[compiler]" in caught.value.fix


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    with pytest.raises(EdgekitError, match="EK991") as caught:
        compiled(tmp_path / "any.tflite", compiler())
    assert caught.value.fix == "pip install 'edgekit[ethos-u]'"


def by_fake(program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit_s: float = 60.0) -> Compiled:
    fake_vela.install(tmp_path / "path", program, monkeypatch)
    path = tmp_path / "net.tflite"
    path.write_bytes(b"a file")
    return compiled(path, compiler(), limit_s)


def test_its_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, temporary: Path) -> None:
    found = by_fake(fake_vela.TABLES, tmp_path, monkeypatch)
    assert (found.compiler, found.cycles, found.seconds) == ("ethos-u-vela 5.2.0", 100_000, 0.0002)
    assert found.utilisation == pytest.approx(2_709_504 / (100_000 * 128))
    assert [(area.name, area.on_chip, area.used_bytes) for area in found.memory] == [
        ("SRAM", True, 735 * 1024),
        ("flash", False, 465_232),
    ]
    assert [(op.name, op.cycles, op.utilisation) for op in found.ops if not op.on_cpu] == [
        ("conv", 90_000, pytest.approx(0.2352)),
        ("mean", 10_000, 0.0),
    ]
    first, second = found.on_cpu
    assert (first.op, first.name) == ("QUANTIZE", "x_quantized")
    assert first.reason.startswith("Operation has tensor with unsupported DataType Float32 (x); Feature-map dataTypes")
    assert (second.op, second.reason) == ("Softmax", vela.UNTOLD)
    assert "2 ops run on the CPU" in found.doubts[1]
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("program", "code", "why"),
    [
        ("raise ValueError('Compilation failed: no kernel')", "EK941", "ValueError: Compilation failed: no kernel"),
        ("raise SystemExit(3)", "EK941", "it ended without a word"),
        ("import os; os.kill(os.getpid(), 11)", "EK942", "SIGSEGV; its last words: it ended without a word"),
        ("import os; print('so large', flush=True); os.kill(os.getpid(), 9)", "EK903", "so large"),
        ("import time; time.sleep(60)", "EK904", "no answer within 0.5 s"),
        ("", "EK943", "not as edgekit knows them"),
        (fake_vela.TABLES.replace('"cycles_total"', '"total_cycles"'), "EK943", "KeyError 'cycles_total'"),
        (fake_vela.TABLES.replace('"NPU"', '"GPU"'), "EK943", "KeyError 'GPU'"),
        (fake_vela.TABLES.replace('"NPU"', '"CPU"'), "EK944", "unsupported DataType Float32"),
    ],
)
def test_what_can_go_wrong(
    program: str, code: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    with pytest.raises(EdgekitError) as caught:
        by_fake(program, tmp_path, monkeypatch, 0.5 if code == "EK904" else 60.0)
    assert caught.value.code == code
    assert why in caught.value.why
    assert "net.tflite" in caught.value.what
    assert list(temporary.iterdir()) == []


def test_reasons_by_the_tensor() -> None:
    said = ["Warning (supported operators) operator: A, ofm: 'it's'", "Reason: one", "", "two"]
    said += ["Warning (supported operators) operator: B, ofm: 'b'", "Reason: three", "four"]
    assert dict(vela._reasons(said)) == {"it's": ("A", "one"), "b": ("B", "three; four")}
