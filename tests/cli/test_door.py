from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
import typer

from edgekit.cli import door
from edgekit.errors import PAGES, EdgekitError, Exit


def raising(error: BaseException) -> int:
    def call() -> int:
        raise error

    return door.guarded(call)


def test_a_command_that_ends_well() -> None:
    assert door.guarded(lambda: None) == 0
    assert door.guarded(lambda: Exit.FAILED) == 1


@pytest.mark.parametrize("code", sorted(PAGES))
def test_each_code_gives_its_exit(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert raising(EdgekitError(code, "what", "why", "fix")) == PAGES[code].exit
    assert capsys.readouterr().err == f"error[{code}]: what\n  why: why\n  fix: fix\n"


def test_an_error_cannot_steer_the_terminal_or_forge_another(capsys: pytest.CaptureFixture[str]) -> None:
    raising(EdgekitError("EK101", "no '\x1b[2Jx\nerror[EK999]: forged'", "a\nb", "c\rd"))
    assert capsys.readouterr().err == (
        "error[EK101]: no '\\x1b[2Jx\\nerror[EK999]: forged'\n  why: a\n       b\n  fix: c\\rd\n"
    )


def test_an_interruption_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for error in (KeyboardInterrupt(), typer.Abort()):
        assert raising(error) == 130
        assert capsys.readouterr().err == "interrupted: nothing was written\n"


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")]
)
def test_out_of_memory_is_7(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    assert raising(error) == 7
    assert capsys.readouterr().err.startswith("error[EK903]: out of memory")


def test_a_bug_is_70_and_leaves_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert raising(ZeroDivisionError("by \x1b zero\nand more")) == 70
    err = capsys.readouterr().err
    assert err.startswith("error[EK990]: edgekit broke: ZeroDivisionError: by \\x1b zero\n")
    assert "Traceback" not in err
    (report,) = tmp_path.iterdir()
    assert re.search(r"details in (\S+)", err)[1] == str(report)  # type: ignore[index]
    assert "Traceback" in report.read_text()
    assert report.suffix == ".txt"


def test_a_bug_that_cannot_be_written_down_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    assert raising(ZeroDivisionError("x")) == 70
    assert "Traceback" in capsys.readouterr().err


def test_colours_only_where_they_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    error = EdgekitError("EK101", "a", "b", "c")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert door.in_words(error).startswith("\x1b[1;31merror[EK101]\x1b[0m: a")
    monkeypatch.setenv("NO_COLOR", "1")
    assert door.in_words(error).startswith("error[EK101]: a")
