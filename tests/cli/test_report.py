from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgekit.cli.commands import run
from tests.reports import REPORT, RICH


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs, a/ and b/, where edgekit is called; Plotly is a line."""
    for name, report in (("a", REPORT), ("b", RICH)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text(report.to_json(), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("edgekit.report.html.render.plotly_js", lambda: "window.Plotly = {};")
    return tmp_path


def test_a_page_beside_the_report(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "a"]) == 0
    assert capsys.readouterr().out.startswith("a/report.html  ")
    assert (folders / "a" / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert sorted(path.name for path in (folders / "a").iterdir()) == ["report.html", "report.json"]


def test_several_here(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "a", "b/report.json"]) == 0
    assert capsys.readouterr().out.startswith("report.html  ")
    assert "2 runs side by side" in (folders / "report.html").read_text(encoding="utf-8")


def test_a_page_is_replaced_only_when_told(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "a", "-o", "new/page.html"]) == 0
    first = (folders / "new" / "page.html").read_bytes()
    assert run(["report", "b", "-o", "new/page.html"]) == 2
    assert "EK195" in capsys.readouterr().err
    assert (folders / "new" / "page.html").read_bytes() == first
    assert run(["report", "b", "-o", "new/page.html", "--overwrite"]) == 0
    assert (folders / "new" / "page.html").read_bytes() != first
    again = (folders / "new" / "page.html").read_bytes()
    assert run(["report", "b", "-o", "new/page.html", "--overwrite"]) == 0
    assert (folders / "new" / "page.html").read_bytes() == again, "the same report gives the same bytes"


@pytest.mark.usefixtures("folders")
def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "a", "b", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["page"] == "report.html"
    assert said["runs"] == ["a/report.json", "b/report.json"]
    assert said["size_bytes"] == Path("report.html").stat().st_size


@pytest.mark.parametrize(
    ("place", "code"), [("nowhere", "EK961"), (".", "EK961"), ("broken.json", "EK962"), ("old.json", "EK963")]
)
def test_what_is_no_run(place: str, code: str, folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folders / "broken.json").write_text("{")
    (folders / "old.json").write_text('{"schema_version": 0}')
    assert run(["report", place]) == 2
    out, err = capsys.readouterr()
    assert out == "" and code in err and "fix:" in err
    assert not (folders / "report.html").exists()


def test_without_the_extra(folders: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(folders)
    monkeypatch.setattr("edgekit.report.html.render.find_spec", lambda _: None)
    assert run(["report", "a"]) == 4
    assert "pip install 'edgekit[report]'" in capsys.readouterr().err
    assert not (folders / "a" / "report.html").exists()


def test_the_schema_of_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "--schema"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["properties"]["schema_version"] == {"const": 1}


def test_no_run_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "no run is named" in err
