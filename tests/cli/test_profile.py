from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.cli.commands import run
from edgekit.cli.profile import different, seconds
from edgekit.paths import devices_folder
from edgekit.profile.agree import Agreement
from edgekit.run import vela
from tests.profile.ssh_server import Server, awaited, processes_in
from tests.report.test_measured import FOUND, ONE
from tests.run import fake_vela
from tests.verify import nets


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    return [str(nets.onnx_artifact(tmp_path, "float32", None).path), str(nets.tflite_artifact(tmp_path).path)]


def test_over_ssh_as_json(server: Server, files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    before = os.times()
    assert run(["profile", *files, "--on", server.address, "--python", sys.executable, "--runs", "20", "--json"]) == 0
    after = os.times()
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert err == ""
    assert [one["outputs"]["verdict"] for one in document["measurements"]] == ["identical", "identical"]
    assert all(one["kind"] == "measured" for one in document["measurements"])
    spent_s = sum(after[:4]) - sum(before[:4])
    assert spent_s < 10, "in seconds of processor time: the test machine has other things to do"


def test_here_as_a_table(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["profile", *files, "--runs", "20", "--threads", "2"]) == 0
    out = capsys.readouterr().out
    assert "device       local" in out
    assert "measured" in out
    assert "2 threads" in out


def test_per_op_of_both_formats(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["profile", *files, "--runs", "5", "--per-op"]) == 0
    out = capsys.readouterr().out
    assert all(f"{Path(path).name}, per op" in out for path in files)
    assert "CONV_2D" in out and "by each kind of op alone" in " ".join(out.split())
    assert run(["profile", files[1], "--runs", "5", "--per-op", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["measurements"]
    assert sum(op["share"] for op in one["per_op"]["ops"]) == pytest.approx(1)
    assert one["per_op"]["left_out"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--on", "ssh://127.0.0.1:1"], 4, "EK721"),
        (["--on", "ssh://-oProxyCommand=id"], 2, "EK720"),
        (["--on", "local", "--python", "/nowhere/python3"], 4, "EK724"),
        (["--runs", "0"], 2, "--runs"),
        (["--soak", "soon"], 2, "EK737"),
        (["--soak", "5s"], 2, "10s to 24h"),
        (["--soak", "25h"], 2, "10s to 24h"),
        (["--threads", "0"], 2, "--threads"),
    ],
)
def test_failures(
    files: list[str], arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["profile", files[0], *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err


def test_a_soak_is_for_one_file(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["profile", *files, "--soak", "10s"]) == 2
    assert "EK737" in capsys.readouterr().err


def test_durations() -> None:
    assert [seconds(text) for text in ("90s", "10m", "1.5H")] == [90.0, 600.0, 5400.0]


def test_a_device_that_computes_something_else_is_a_failure() -> None:
    wrong = replace(ONE, outputs=Agreement(verdict="different", sqnr_db=1.0, why="noise"))
    found = different(replace(FOUND, measurements=(ONE, wrong)))
    assert found is not None
    assert (found.code, int(found.exit)) == ("EK732", 1)
    assert different(FOUND) is None
    assert different(replace(FOUND, measurements=(replace(ONE, outputs=None),))) is None


def test_it_is_shown_first_and_fails_then(
    files: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgekit import profiling

    wrong = replace(ONE, outputs=Agreement(verdict="different", sqnr_db=1.0, why="noise"))
    monkeypatch.setattr(profiling, "measure", lambda *_, **__: replace(FOUND, measurements=(wrong,)))
    assert run(["profile", files[0]]) == 1
    out, err = capsys.readouterr()
    assert "DIFFERENT" in out
    assert "EK732" in err


def test_ctrl_c_leaves_nothing_there(server: Server, files: list[str]) -> None:
    command = [sys.executable, "-m", "edgekit", "profile", *files, "--on", server.address]
    with subprocess.Popen(
        [*command, "--python", sys.executable, "--runs", "100000"], stderr=subprocess.PIPE, env=os.environ
    ) as child:
        assert awaited(lambda: len(processes_in(server.there)) >= 3, 20.0)
        child.send_signal(signal.SIGINT)
        assert child.wait(20) == 130
        assert child.stderr is not None
        assert b"interrupted" in child.stderr.read()
    assert server.left_behind() == []


def of_any_size(device: str, folder: Path) -> str:
    """The device's file as if it had been fitted to models of every size: the tests' nets are tiny."""
    text = (devices_folder() / f"{device}.toml").read_text(encoding="utf-8")
    path = folder / f"{device}.toml"
    path.write_text(re.sub(r"(?m)^macs = .*$", "macs = [1, 1_000_000_000]", text), encoding="utf-8")
    return str(path)


def test_an_estimate_names_its_interval_and_baselines(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board = of_any_size("raspberry-pi-4", tmp_path)
    assert run(["profile", files[1], "--device", board]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "estimated, 90 % interval" in out and "by MACs alone" in out
    assert "fits" not in out, "it has no memory of its own on the chip"
    assert run(["profile", files[1], "--device", board, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["kind"] == "estimated"
    (file,) = document["files"]
    assert all(one["low_s"] < one["seconds"] < one["high_s"] for one in file["estimates"])


def test_an_estimate_says_whether_it_fits(files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["profile", files[1], "--device", of_any_size("stm32h743", tmp_path)]) == 0
    words = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in words[-3:]] == ["fits", "RAM", "flash"]
    assert any(line.startswith("RAM ") and "estimated for stm32cube-ai 10.0.0" in line for line in words)


def test_an_estimate_says_how_much_the_accelerator_takes(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board = of_any_size("coral-usb", tmp_path)
    assert run(["profile", files[1], "--device", board]) == 0
    assert "placement   the Edge TPU takes 100 % of" in capsys.readouterr().out
    assert run(["profile", files[1], "--device", board, "--json"]) == 0
    (file,) = json.loads(capsys.readouterr().out)["files"]
    assert file["placement"]["accelerator"] == "the Edge TPU"


def test_estimates_that_are_refused(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["profile", files[1], "--device", "raspberry-pi-4"]) == 3
    assert "EK713" in capsys.readouterr().err
    assert run(["profile", *files, "--device", "raspberry-pi-4", "--runs", "5"]) == 2
    assert "--runs does not go with --device" in capsys.readouterr().err
    assert run(["profile", files[0], "--device", "raspbery-pi-4"]) == 2
    assert "did you mean 'raspberry-pi-4'?" in capsys.readouterr().err


def test_files_that_a_device_cannot_run(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["profile", files[1], "--device", "jetson-orin-nano"]) == 3
    err = capsys.readouterr().err
    assert "EK716" in err and "tensorrt there takes onnx" in err


def test_a_compilers_model_stands_beside_the_estimate(
    files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_vela.install(tmp_path / "path", fake_vela.TABLES, monkeypatch)
    assert run(["profile", files[1], "--device", "ethos-u55-128"]) == 0
    words = capsys.readouterr().out
    assert "latency     200 us  the compiler's model, not measured" in words
    assert "estimated" not in words, "the net is too small for a guess from a peak"
    assert run(["profile", files[1], "--device", "ethos-u55-128", "--json"]) == 0
    (file,) = json.loads(capsys.readouterr().out)["files"]
    assert (file["estimates"], file["missing"]) == ([], None)
    assert (file["compiled"]["kind"], file["compiled"]["cycles"]) == ("compiler's model", 100_000)


def test_without_the_compiler_its_command_is_named(
    files: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(vela, "installed", lambda: False)
    assert run(["profile", files[1], "--device", "ethos-u55-128"]) == 3
    err = capsys.readouterr().err
    assert "EK715" in err and "pip install 'edgekit[ethos-u]'" in err


def test_a_compilers_refusal_is_the_commands(
    files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_vela.install(tmp_path / "path", "raise SystemExit('no such op')", monkeypatch)
    assert run(["profile", files[1], "--device", "ethos-u55-128"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert "EK941" in err and "no such op" in err
