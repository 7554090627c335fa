from __future__ import annotations

import io

import pytest

from edgekit.cli import progress
from edgekit.progress import SILENT


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.watching() as watcher:
        assert watcher is SILENT
    assert capsys.readouterr() == ("", "")


def test_lines_with_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.watching(verbose=True) as watcher, watcher.step("calibrating \x1b", 3) as advance:
        advance(1)
        watcher.note("half way")
    assert capsys.readouterr().err == "calibrating \\x1b (3)\nhalf way\n"


def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(progress, "WORTH_A_LINE_S", 0)
    monkeypatch.setenv("TERM", "xterm")
    with progress.watching() as watcher:
        with watcher.step("calibrating [red]x[/]", 3) as advance, watcher.step("inner"):
            advance(3)
        watcher.note("\x1b[2J done")
    shown = terminal.getvalue()
    assert "calibrating [red]x[/]" in shown
    assert "\\x1b[2J done" in shown


def test_an_error_inside_a_step_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Terminal())
    with pytest.raises(ZeroDivisionError), progress.watching() as watcher, watcher.step("x"):
        raise ZeroDivisionError
