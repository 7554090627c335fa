from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgekit.cli.commands import run
from tests.cli.test_profile import of_any_size
from tests.verify import nets


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(nets.tflite_artifact(tmp_path).path)


def test_which_devices_can_carry_it(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = of_any_size("raspberry-pi-4", tmp_path)
    assert run(["devices", "recommend", file, "--device", board, "--device", "hailo-8", "--latency", "50ms"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("estimated, not measured; by latency; asked for: latency 50.0 ms\n")
    assert "raspberry-pi-4  " in out
    assert "  hailo-8: cannot be estimated: " in out


def test_all_of_them_as_json(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["devices", "recommend", file, "--json", "--price", "1000", "--power", "900W"]) in (0, 1, 5)
    document = json.loads(capsys.readouterr().out)
    assert (document["kind"], document["sorted_by"]) == ("estimated", "price"), "the first limit that was given"
    devices = [*document["feasible"], *document["infeasible"]]
    assert {"coral-usb", "jetson-nano", "stm32h743"} <= {one["device"] for one in devices}
    assert all(one["reasons"] for one in document["infeasible"])
    assert all(one["verdict"] in ("kept", "perhaps") for one in document["feasible"])
    nano = next(one for one in devices if one["device"] == "jetson-nano")
    assert nano["reasons"][0] == "no file for it: it runs ONNX"


@pytest.mark.parametrize(
    ("limits", "code", "sorted_by"),
    [
        ([], 0, "latency"),
        (["--power", "1W"], 1, "power"),
        (["--power", "7W", "--sort", "energy"], 5, "energy"),
        (["--security", "signed boot"], 0, "latency"),
        (["--security", "secure boot"], 1, "latency"),
        (["--evidence", "A", "--ram", "1GB"], 5, "evidence"),
    ],
)
def test_exit_codes(
    file: str,
    tmp_path: Path,
    limits: list[str],
    code: int,
    sorted_by: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """0 where a device keeps all limits, 1 where none can, 5 where it is not known."""
    board = of_any_size("raspberry-pi-4", tmp_path)
    assert run(["devices", "recommend", file, "--device", board, *limits]) == code
    assert f"; by {sorted_by}; " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--latency", "50"], "did you mean --latency 50ms?"),
        (["--power", "5watts"], "known are W, mW"),
        (["--sort", "speed"], "'speed'"),
        (["--evidence", "E"], "'E'"),
        (["--device", "raspbery-pi-4"], "did you mean 'raspberry-pi-4'?"),
    ],
)
def test_slips(file: str, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["devices", "recommend", file, *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err


def test_no_model_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.pt").write_bytes(b"x")
    assert run(["devices", "recommend", str(tmp_path / "model.pt")]) == 2
    assert "EK102" in capsys.readouterr().err
    assert run(["devices", "recommend", str(tmp_path / "nowhere.onnx")]) == 2
    assert "EK101" in capsys.readouterr().err
