from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.report.facts import Report
from edgekit.report.html import several, to_html
from edgekit.report.read import Run
from tests.reports import REPORT, RICH, VERIFICATION


def run(folder: str, report: Report = REPORT) -> Run:
    return Run(path=Path(folder) / "report.json", report=report)


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (["x/a", "x/b"], ["a", "b"]),
        (["x/out", "y/out"], ["x/out", "y/out"]),
        (["x/out", "x/out"], ["out (1)", "out (2)"]),
    ],
)
def test_runs_are_told_apart(folders: list[str], names: list[str]) -> None:
    assert several.names([run(folder) for folder in folders]) == names


def test_what_no_other_beats() -> None:
    assert several.pareto([(1, 3), (2, 2), (3, 1), (3, 3), (2, 2)]) == [0, 1, 2, 4]
    assert several.pareto([]) == []


def test_doubts_about_comparing() -> None:
    assert several.doubts([run("a"), run("b")]) == [
        "runs were measured one after the other, not in turns: small differences in latency mean nothing"
    ]
    other = replace(
        REPORT,
        machine=replace(REPORT.machine, cpu="Other"),
        model=replace(REPORT.model, sha256="2" * 64),
        data=None,
        verification=None,
    )
    doubts = "\n".join(several.doubts([run("a"), run("b", other)]))
    for words in ("machines", "the models differ", "metrics", "evaluation samples", "numbers of samples"):
        assert words in doubts


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.report.html.render.plotly_js", lambda: "window.Plotly = {};")


@pytest.mark.usefixtures("script")
def test_every_file_of_every_run_and_two_fronts() -> None:
    page = to_html([run("a"), run("b", RICH)])
    assert page.count("Accuracy against latency, measured") == 1
    assert page.count("Accuracy against size") == 1
    assert page.count('<th scope="row">INT8 TFLite</th>') == 2
    assert "edgekit quantize nets/resnet20.pt" in page


@pytest.mark.usefixtures("script")
def test_different_metrics_have_no_common_axis() -> None:
    other = replace(REPORT, verification=replace(VERIFICATION, metric="psnr", unit="dB"))
    page = to_html([run("a"), run("b", other)])
    assert "the metrics differ: top-1, PSNR" in page
    assert "Accuracy against" not in page


@pytest.mark.usefixtures("script")
def test_runs_that_were_not_verified() -> None:
    page = to_html([run("a", replace(REPORT, verification=None, latencies=())) for _ in range(2)])
    assert "not verified" in page
