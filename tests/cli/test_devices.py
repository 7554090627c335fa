from __future__ import annotations

import json
import sys
import venv
from pathlib import Path

import pytest

from edgekit import fitting
from edgekit.cli import devices
from edgekit.cli.commands import run
from edgekit.device import load_device
from edgekit.profile.fitted import FittedDevice
from edgekit.profiling import Condition
from tests.profile.ssh_server import Server
from tests.profile.test_advice import advice, device
from tests.profile.test_estimate import MODEL
from tests.profile.test_estimate import device as estimated_device


def test_lists_what_it_carries(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["devices", "list"]) == 0
    assert "raspberry-pi-4" in capsys.readouterr().out
    assert run(["devices", "list", "--json"]) == 0
    assert "raspberry-pi-4" in {one["name"] for one in json.loads(capsys.readouterr().out)["devices"]}


def test_probes_over_ssh(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["devices", "probe", server.address, "--python", sys.executable]) == 0
    out = capsys.readouterr().out
    assert "ai-edge-litert" in out
    assert "can be measured, with onnxruntime" in out


def test_says_how_to_install_a_runtime(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    assert run(["devices", "probe", "local", "--python", str(tmp_path / "bare" / "bin" / "python")]) == 4
    out = capsys.readouterr().out
    assert "cannot be measured yet: no runtime for it is installed; run there:" in out
    assert "-m pip install ai-edge-litert numpy" in out


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["devices", "probe", "local", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["advice"][0]["state"] == "works"
    assert document["found"]["system"]["python"].startswith("3.")


def test_what_cannot_work_is_said_with_a_way_out() -> None:
    found = device("3.12.3", architecture="armv7l", bits="32")
    rows = devices._advice(Condition("ssh://pi", found, advice(found)))
    assert rows[0][1].endswith("with another Python, run there:")
    assert rows[1] == ("", "  uv venv --python 3.11 ~/edgekit-venv")
    assert rows[-1] == ("ONNX", "cannot be measured: onnxruntime has no wheel for armv7l")


def test_fits_a_device_into_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fitted(on: str, *, name: str, **_: object) -> FittedDevice:
        device = estimated_device(MODEL).model_copy(update={"name": name})
        return FittedDevice(on=on, device=device, nets=4, took_s=1.0)

    monkeypatch.setattr(fitting, "fit_device", fitted)
    file = tmp_path / "mine.toml"
    assert run(["devices", "fit", "--on", "local", "--name", "mine", "-o", str(file)]) == 0
    assert f"edgekit profile FILE --device {file}" in capsys.readouterr().out
    assert load_device(str(file)).name == "mine"
    assert run(["devices", "fit", "-o", str(file)]) == 2
    assert "EK195" in capsys.readouterr().err
    assert run(["devices", "fit", "-o", str(file), "--overwrite", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["file"] == str(file)
    assert document["device"]["latency"][0]["runtime"] == "tflite"


def test_nobody_without_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["devices"]) == 2
    assert run(["devices", "probe", "ssh://a b"]) == 2
    assert "EK720" in capsys.readouterr().err
