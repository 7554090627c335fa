from __future__ import annotations

import base64
import gzip
import hashlib
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from edgekit.errors import EdgekitError
from edgekit.report.html import render


def test_a_script_is_packed_alike_each_time() -> None:
    assert render.packed("let a = 1;") == render.packed("let a = 1;")
    assert gzip.decompress(base64.b64decode(render.packed("let a = 1;"))) == b"let a = 1;"


def test_only_the_page_s_own_scripts_may_run() -> None:
    digest = base64.b64encode(hashlib.sha256(b"let a;").digest()).decode()
    said = render.policy("let a;")
    assert f"script-src 'sha256-{digest}';" in said
    assert "default-src 'none'" in said
    assert "unsafe-inline" not in said.partition("style-src")[0]


def test_numbers_stay_on_their_line() -> None:
    assert render.tied("2 000 samples, 95 %") == "2\u00a0000 samples, 95\u00a0%"


def test_names_are_escaped_and_made_plain() -> None:
    made = render.environment().from_string("{{ name }}").render(name="<b>\u202e\x1b")
    assert made == "&lt;b&gt;\\u202e\\x1b"


def test_without_jinja(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(EdgekitError, match="EK991") as caught:
        render.environment()
    assert caught.value.why == "jinja2 is not installed"
    assert "edgekit[report]" in caught.value.fix


@pytest.mark.parametrize("empty", [True, False])
def test_without_plotly(empty: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not there at all, or there without its script."""
    spec = ModuleSpec("plotly", None)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(render, "find_spec", lambda _: None if empty else spec)
    with pytest.raises(EdgekitError, match="EK991") as caught:
        render.plotly_js()
    assert caught.value.why == "plotly is not installed"
