"""`edgekit quantize` and its neighbours as processes: what they print where, and what they leave behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

COMMAND = [sys.executable, "-m", "edgekit"]
MODEL = """
from torch import nn

def net():
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with net.py, net.pt and samples.npz."""
    folder = tmp_path_factory.mktemp("work")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))
    torch.save(net.state_dict(), folder / "net.pt")
    (folder / "net.py").write_text(MODEL)
    images = np.random.default_rng(0).normal(size=(64, 1, 8, 8)).astype(np.float32)
    with torch.inference_mode():
        labels = net(torch.from_numpy(images)).argmax(dim=1).numpy()
    np.savez(folder / "samples.npz", inputs=images, labels=labels)
    return folder


def run(work: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], cwd=work, capture_output=True, text=True, check=False)


QUANTIZE = ("quantize", "net.pt", "--model", "net.py:net", "--data", "samples.npz")


@pytest.mark.slow
def test_the_street(work: Path) -> None:
    made = run(work, *QUANTIZE, "-o", "out")
    assert made.returncode == 0, made.stderr
    assert made.stderr == "", "progress is for terminals"
    assert "INT8 TFLite" in made.stdout
    assert "\x1b" not in made.stdout
    assert {path.name for path in (work / "out").iterdir()} == {
        "net.onnx",
        "net.int8.onnx",
        "net.int8.tflite",
        "report.json",
    }

    before = {path: path.stat().st_mtime_ns for path in (work / "out").iterdir()}
    again = run(work, *QUANTIZE, "-o", "out")
    assert again.returncode == 2
    assert "--overwrite" in again.stderr
    assert before == {path: path.stat().st_mtime_ns for path in (work / "out").iterdir()}

    document = run(work, *QUANTIZE, "-o", "out", "--overwrite", "--json")
    assert document.returncode == 0, document.stderr
    assert json.loads(document.stdout) == json.loads((work / "out" / "report.json").read_text())

    asked = json.loads(document.stdout)["command"]
    assert asked == "edgekit quantize net.pt --model net.py:net --data samples.npz --output out"

    short = run(work, *QUANTIZE, "-o", "short", "--max-drop", "0.5")
    assert short.returncode == 1
    assert "failed: the drop is" in short.stderr and "0.5 allowed" in short.stderr
    assert (work / "short" / "net.int8.tflite").exists()

    compared = run(
        work, "compare", "out/net.onnx", "out/net.int8.tflite", "--data", "samples.npz", "--max-drop", "-100"
    )
    assert compared.returncode == 1
    assert "failed: the drop is" in compared.stderr


@pytest.mark.slow
def test_convert(work: Path) -> None:
    made = run(work, "convert", "net.pt", "--model", "net.py:net", "--input", "input=1x1x8x8", "-o", "float", "-v")
    assert made.returncode == 0, made.stderr
    assert {path.name for path in (work / "float").iterdir()} >= {"net.onnx", "net.tflite"}
    assert made.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "delay_s"),
    [(signal.SIGINT, 0.5), (signal.SIGINT, 1.5), (signal.SIGINT, 3.0), (signal.SIGTERM, 2.5)],
)
def test_an_interruption_leaves_nothing(work: Path, sent: signal.Signals, delay_s: float) -> None:
    shutil.rmtree(work / "cut", ignore_errors=True)  # of a run that was faster than its interruption
    before = set(work.iterdir())
    child = subprocess.Popen(
        [*COMMAND, *QUANTIZE, "-o", "cut"], cwd=work, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    time.sleep(delay_s)
    os.kill(child.pid, sent)
    _, err = child.communicate(timeout=60)
    if child.returncode == 0:
        pytest.skip("the machine was faster than the interruption")
    assert "Traceback" not in err
    assert child.returncode in {128 + sent, -sent}, err  # -sent: the second where Python itself had not started yet
    assert set(work.iterdir()) - before <= {work / "__pycache__"}
