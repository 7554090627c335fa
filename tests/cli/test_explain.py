from __future__ import annotations

import json

import pytest

from edgekit.cli.commands import run
from edgekit.errors import PAGES


def test_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "ek101"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("EK101: file not found")
    assert out.endswith("Exit code 2.\n")


def test_all_pages(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(PAGES)


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "EK101", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pages"]["EK101"]["exit"] == 2


def test_an_unknown_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "EK1001"]) == 2
    assert "did you mean EK101" in capsys.readouterr().err


@pytest.mark.parametrize("code", sorted(PAGES))
def test_every_page_says_something(code: str) -> None:
    page = PAGES[code]
    assert page.title
    assert page.text.endswith(".")
