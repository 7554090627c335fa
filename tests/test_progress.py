from __future__ import annotations

import pytest

from edgekit.progress import SILENT


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    with SILENT.step("calibrating", 3) as advance:
        advance(1)
    SILENT.note("hello")
    assert capsys.readouterr() == ("", "")
