from __future__ import annotations

import html.parser
import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from edgekit.report.facts import Report
from edgekit.report.html import to_html
from edgekit.report.read import Run
from tests.reports import ENDING, HOSTILE, LAYERED, REPORT, RICH, SENSITIVE, SLOW, named

LARGEST = 6 * 2**20  # bytes of a page that people send around


class Outline(html.parser.HTMLParser):
    """Tags in their order with their attributes; void ones are not left open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "br", "input", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(autouse=True)
def script(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plotly's own is four megabytes to pack, once for each page."""
    monkeypatch.setattr("edgekit.report.html.render.plotly_js", lambda: "window.Plotly = {};")


def page(report: Report) -> str:
    return to_html([Run(path=Path("out/report.json"), report=report)])


REPORTS = {
    "plain": REPORT,
    "rich": RICH,
    "slow": SLOW,
    "layers": LAYERED,
    "sensitivity": SENSITIVE,
    "unverified": replace(REPORT, verification=None, latencies=()),
    "floats": replace(REPORT, quantization=None, files=REPORT.files[:1], data=None),
    "bare": replace(REPORT, files=(), verification=None, latencies=(), quantization=None, data=None, stages_s={}),
}


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_a_page_is_whole_and_can_be_read_aloud(report: Report) -> None:
    outline = Outline(page(report))
    assert outline.open == []
    headings = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1 and headings.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))
    assert len(outline.all("caption")) == len(outline.all("table"))
    assert all("scope" in cell for cell in outline.all("th"))
    plots = [attributes for attributes in outline.all("div") if attributes.get("role") == "img"]
    assert all(plot["aria-label"] for plot in plots)
    ids = [attributes["id"] for _, attributes in outline.tags if attributes.get("id")]
    assert len(ids) == len(set(ids))


def test_the_sections_of_a_run_with_everything() -> None:
    outline = Outline(page(RICH))
    found = [attributes["id"] for attributes in outline.all("h2")]
    assert found == [
        *("verdict", "files", "accuracy", "latency", "precision", "ops", "layers"),
        *("sensitivity", "memory", "pruning", "quantization", "reproduce"),
    ]


def test_what_the_report_does_not_hold_has_no_section() -> None:
    found = [attributes["id"] for attributes in Outline(page(REPORTS["bare"])).all("h2")]
    assert found == ["verdict", "files", "reproduce"]
    assert "does not hold the command" in page(REPORT)


def test_the_numbers_are_there() -> None:
    text = page(RICH)
    for words in ("87.35 %", "Budget", "met", "93", "nets.py:41", "no int8 kernel", "512", RICH.command):
        assert str(words) in text, words
    assert "2.06x" in page(REPORT)


@pytest.mark.parametrize("name", [HOSTILE, ENDING, '" onmouseover="alert(1)', "{{ 7 * 191 }}", "\u202ex", "<!--"])
def test_a_name_stays_a_name(name: str) -> None:
    text = page(named(RICH, name))
    outline = Outline(text)
    assert outline.open == []
    assert not outline.all("img")
    assert ENDING not in text and HOSTILE not in text
    assert not any(key.startswith("on") for _, attributes in outline.tags for key in attributes)
    assert "1337" not in text
    assert "\u202e" not in text
    assert len(outline.all("script")) == len(Outline(page(RICH)).all("script"))


def test_charts_are_data_that_no_name_can_end() -> None:
    scripts = re.findall(r'<script type="application/json">(.*?)</script>', page(named(RICH, ENDING)), re.DOTALL)
    assert len(scripts) == 9
    for text in scripts:
        assert "<" not in text and ">" not in text
        assert {"data", "layout"} == json.loads(text).keys()


def test_it_asks_for_nothing() -> None:
    outline = Outline(page(RICH))
    for _, attributes in outline.tags:
        for key in ("src", "href", "action", "data"):
            assert (attributes.get(key) or "#").startswith(("#", "data:,")), attributes


def test_it_fits_into_a_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    pytest.importorskip("plotly", reason="needs edgekit[report]")
    text = page(RICH)
    assert len(text.encode()) < LARGEST / 2
