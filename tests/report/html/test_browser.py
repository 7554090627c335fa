"""The page as a browser has it: charts, filters, themes, and not one request."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from edgekit.report.html import to_html
from edgekit.report.read import Run
from tests.reports import ENDING, HOSTILE, RICH, named

pytestmark = pytest.mark.slow

BUSY_MS = 240_000  # Plotly is four megabytes of script, and the machine may have other things to do


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("needs Debian's chromium: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, to drive chromium")
    pytest.importorskip("plotly", reason="needs edgekit[report]")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    one, other = (Run(path=folder / name / "report.json", report=RICH) for name in ("a", "b"))
    (folder / "one.html").write_text(to_html([one]), encoding="utf-8")
    (folder / "two.html").write_text(to_html([one, other]), encoding="utf-8")
    for name, text in (("hostile", HOSTILE), ("ending", ENDING)):
        run = Run(path=folder / "report.json", report=named(RICH, text))
        (folder / f"{name}.html").write_text(to_html([run]), encoding="utf-8")
    return folder


def until(page: Any, function: str, argument: Any = None) -> None:
    """Asked from outside, again and again: the page's own policy lets nothing in it evaluate a string."""
    end = monotonic() + BUSY_MS / 1e3
    while not page.evaluate(function, argument):
        assert monotonic() < end, f"still not so: {function}"
        page.wait_for_timeout(20)


class Visit:
    """A page that was opened, and what it did that it should not."""

    def __init__(self, chromium: Any, path: Path) -> None:
        self.page = chromium.new_page(color_scheme="light")
        self.page.set_default_timeout(BUSY_MS)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        until(self.page, "() => document.documentElement.dataset.drawn")

    def colour_of_text(self) -> str:
        said: str = self.page.eval_on_selector(".plot svg text", "node => getComputedStyle(node).fill")
        return said


Opened = Callable[[str], Visit]


@pytest.fixture(scope="module")
def opened(chromium: Any, pages: Path) -> Opened:
    """Each page once: a test leaves it as it found it."""
    return functools.cache(lambda name: Visit(chromium, pages / f"{name}.html"))


@pytest.mark.parametrize(("name", "charts"), [("one", 9), ("two", 2), ("hostile", 9), ("ending", 9)])
def test_charts_are_drawn_and_nothing_is_asked_for(opened: Opened, pages: Path, name: str, charts: int) -> None:
    visit = opened(name)
    drawn = visit.page.eval_on_selector_all(
        ".plot", "plots => plots.filter(plot => plot.querySelector('svg.main-svg .trace')).length"
    )
    assert drawn == charts
    assert visit.requests == [(pages / f"{name}.html").as_uri()]
    assert visit.complaints == []


def test_a_hostile_name_is_shown_as_it_is(opened: Opened) -> None:
    visit = opened("hostile")
    assert visit.page.inner_text("h1") == "script>"  # what a path's name is, after its last slash
    assert HOSTILE in visit.page.inner_text("#op-table")
    assert HOSTILE in visit.page.inner_text(".command code")
    assert visit.page.eval_on_selector_all(".plot script, .plot img", "found => found.length") == 0


def test_ops_are_found_and_filtered(opened: Opened) -> None:
    visit = opened("one")
    page, rows = visit.page, "#op-table tbody tr:visible"
    assert page.locator(rows).count() == 3
    page.fill("#op-text", "softmax nets.py:41")
    assert page.locator(rows).count() == 1
    assert page.inner_text("#op-count") == "1 of 3 ops"
    page.fill("#op-text", "nothing of the kind")
    assert page.is_visible(".nothing")
    page.fill("#op-text", "")
    page.uncheck("input[value=int8]")
    assert [row.split("\t")[1].split("\n")[0] for row in page.locator(rows).all_inner_texts()] == ["softmax"]
    page.uncheck("input[value=float32]")
    assert page.locator(rows).count() == 0
    page.check("input[value=int8]")
    page.check("input[value=float32]")
    assert page.locator(rows).count() == 3


def test_ops_are_sorted_by_keyboard(opened: Opened) -> None:
    visit = opened("one")
    page = visit.page
    page.focus("#op-table th:nth-child(4) button")
    page.keyboard.press("Enter")
    assert page.get_attribute("#op-table th:nth-child(4)", "aria-sort") == "ascending"
    first = "#op-table tbody tr:first-child th"
    assert page.inner_text(first).startswith("softmax")
    page.keyboard.press("Enter")
    assert page.get_attribute("#op-table th:nth-child(4)", "aria-sort") == "descending"
    assert page.inner_text(first).startswith("conv1")


def test_the_theme_follows_the_system(opened: Opened) -> None:
    visit = opened("one")
    light = visit.colour_of_text()
    visit.page.emulate_media(color_scheme="dark")
    until(visit.page, "before => getComputedStyle(document.querySelector('.plot svg text')).fill != before", light)
    visit.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert visit.colour_of_text() == light, "paper is white"
    assert visit.page.locator("details:not([open])").count() == 0
    visit.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert visit.colour_of_text() != light
    assert visit.page.locator("details:not([open])").count() > 0
    visit.page.emulate_media(color_scheme="light")


def test_a_narrow_screen_scrolls_only_its_tables(opened: Opened) -> None:
    for name in ("one", "two"):
        page = opened(name).page
        before = page.viewport_size
        page.set_viewport_size({"width": 360, "height": 700})
        until(page, "() => document.documentElement.scrollWidth <= 360")
        page.set_viewport_size(before)


def test_sections_are_a_click_away(opened: Opened) -> None:
    visit = opened("one")
    assert visit.page.locator("nav a").count() == visit.page.locator("main h2").count()
    visit.page.click("nav a[href='#memory']")
    until(visit.page, "() => document.querySelector('#memory').getBoundingClientRect().top < innerHeight")


def test_without_a_script_the_words_are_there(chromium: Any, pages: Path) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_default_timeout(BUSY_MS)
    page.goto((pages / "one.html").as_uri())
    assert any("Median latency of one sample" in text for text in page.locator(".fallback").all_inner_texts())
    assert page.locator("#op-table tbody tr").count() == 3
    context.close()
