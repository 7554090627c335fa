"""The command line as a shell sees it: exit codes, streams, and how fast help is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.cli.commands import run

COMMANDS = (
    "quantize",
    "prune",
    "convert",
    "build",
    "inspect",
    "compare",
    "profile",
    "devices",
    "demo",
    "doctor",
    "explain",
    "recipe",
)
HELP_COSTS_S = 0.3  # more than starting Python, at most
PROBE = """
import sys
from edgekit.cli.commands import run
run(['--help'])
print(sorted({'torch', 'onnx', 'onnxruntime', 'numpy', 'rich', 'pydantic'} & set(sys.modules)))
"""


def edgekit(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "edgekit", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    out, err = capsys.readouterr()
    assert "Usage: edgekit" in out
    assert err == ""


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    out = capsys.readouterr().out
    assert all(f"  {command}  " in out for command in COMMANDS)
    assert "..." not in out.partition("Commands:")[2], "a line of help was cut"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_says_its_default(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    run([command, "--help"])
    options = " ".join(capsys.readouterr().out.partition("Options:")[2].split())
    for option in ("--threads", "--ranges", "--calib-count", "--metric", "--io", "--format", "--scale"):
        if option in options:
            assert "efault" in options.split(option, 1)[1].split(" --", 1)[0]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("edgekit 0.")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["quantise"], "Did you mean 'quantize'?"),
        (["quantize", "m.pt", "--calibb", "x"], "did you mean --calib"),
        (["quantize", "m.pt", "--threads", "0"], "--threads"),
        (["quantize", "m.pt", "--threads", "two"], "--threads"),
        (["quantize", "m.pt", "--ranges", "best"], "--ranges"),
        (["inspect"], "Missing argument"),
        (["compare", "a.onnx"], "Missing argument"),
        (["compare", "a", "b", "--min-agreement", "99"], "--min-agreement"),
        (["explain", "\x1b[31mEK"], "\\x1b[31mEK"),
        (["quantize", "m.pt", "--input", "image"], "EK190"),
        (["quantize"], "EK153"),
        (["quantize", "m.pt", "--scale", "a/b"], "EK152"),
        (["quantize", "m.pt", "--format", "tflight"], "tflite"),
        (["quantize", "--recipe", "nowhere.toml"], "EK101"),
    ],
)
def test_usage_errors_end_with_2_and_words_on_stderr(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert "fix:" in err
    assert "Traceback" not in err


def test_help_loads_nothing_heavy() -> None:
    probed = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert probed.stdout.splitlines()[-1] == "[]"


def test_help_is_quick() -> None:
    """In seconds of processor time, the best of five: the test machine has other things to do."""

    def best_s(*arguments: str) -> float:
        times = []
        for _ in range(5):
            before = os.times()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            after = os.times()
            times.append(after.children_user - before.children_user + after.children_system - before.children_system)
        return min(times)

    assert best_s("-m", "edgekit", "--help") - best_s("-c", "pass") < HELP_COSTS_S


def test_a_closed_pipe_is_quiet() -> None:
    command = f"{sys.executable} -m edgekit explain | head -n 1"
    piped = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert piped.stdout.startswith("EK101")
    assert piped.stderr == ""


def test_a_subprocess_keeps_its_streams_apart(tmp_path: Path) -> None:
    found = edgekit("inspect", str(tmp_path / "nowhere.onnx"), "--json")
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("error[EK101]: ")


def test_json_is_one_document(tmp_path: Path) -> None:
    import numpy as np

    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    found = edgekit("inspect", str(tmp_path / "a.npy"), "--json")
    document = json.loads(found.stdout)
    assert document["schema_version"] == 1
    assert document["contents"]["tensors"][0]["shape"] == [2, 3]
