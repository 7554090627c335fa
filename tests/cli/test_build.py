"""`edgekit build` as a shell sees it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit import build as builds
from edgekit.cli.commands import run
from edgekit.locking.lock import Lock, Origin
from edgekit.paths import recipes_folder
from tests.reports import REPORT

NAMES = sorted(path.parent.name for path in recipes_folder().glob("*/recipe.toml"))
LOCK = Lock(
    origin=Origin(recipe={}, inputs={}, versions={}), seed=0, machine="", samples={}, outputs={"a": "1"}, met=True
)
PROBE = """
import sys
from edgekit.cli.commands import run
code = run(['build', sys.argv[1]])
heavy = {'torch', 'onnx', 'onnx_ir', 'onnxruntime', 'ai_edge_litert', 'rich'}
print(code, sorted(heavy & set(sys.modules)))
"""


def made(monkeypatch: pytest.MonkeyPatch, function: str, built: builds.Built) -> None:
    monkeypatch.setattr(builds, function, lambda *_: built)


@pytest.mark.parametrize(("met", "code"), [(None, 0), (True, 0), (False, 1)])
def test_a_line_where_there_is_nothing_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], met: bool | None, code: int
) -> None:
    lock = Lock(**{**vars(LOCK), "met": met})
    made(monkeypatch, "build", builds.Built(report=None, directory=Path("out"), lock=lock, document='{"a": 1}'))
    assert run(["build", "recipe.toml"]) == code
    out, err = capsys.readouterr()
    assert out == "up to date: 1 file in out\n"
    assert ("failed: over its budget" in err) == (met is False)
    assert run(["build", "recipe.toml", "--json"]) == code
    assert json.loads(capsys.readouterr().out) == {"a": 1}


def test_the_report_where_there_was_something_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made(monkeypatch, "build", builds.Built(report=REPORT, directory=Path("out"), lock=LOCK, document="{}"))
    assert run(["build"]) == 0
    assert "INT8 TFLite" in capsys.readouterr().out


def test_a_line_for_what_is_as_locked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    made(monkeypatch, "build_locked", builds.Built(report=REPORT, directory=Path("out"), lock=LOCK, document="{}"))
    assert run(["build", "recipe.toml", "--locked"]) == 0
    assert capsys.readouterr().out == "as locked: 1 file built again, and every byte is the same\n"


def test_no_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["build"]) == 2
    assert "EK101" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_recipes_that_edgekit_carries(tmp_path: Path, name: str) -> None:
    """From training to both files, within their budgets; and the second time there is nothing to do, in no time."""
    shutil.copytree(
        recipes_folder() / name, tmp_path / name, ignore=shutil.ignore_patterns("*-edgekit", "*.lock", "__pycache__")
    )
    command = [sys.executable, "-m", "edgekit", "build", f"{name}/recipe.toml"]
    first = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    (folder,) = (tmp_path / name).glob("*-edgekit")
    report = json.loads((folder / "report.json").read_text())
    assert report["budget"]["met"]
    assert {file["label"] for file in report["files"]} == {"float32 ONNX", "INT8 ONNX", "INT8 TFLite"}
    assert [ledger["int8_macs_share"] for ledger in report["verification"]["ledgers"]] == [1, 1]
    again = subprocess.run(
        [sys.executable, "-c", PROBE, f"{name}/recipe.toml"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert again.stdout.splitlines() == [f"up to date: 3 files in {name}/{folder.name}", "0 []"]
