from __future__ import annotations

import math
from dataclasses import replace

import pytest

from edgekit.report.html import figures
from edgekit.report.html.drawing import Figure, short, short_names
from edgekit.report.html.results import ledgers_of, rows
from edgekit.verify.result import LayerError
from tests.reports import HOSTILE, LAYERED, MEMORY, REPORT, RICH, VERIFICATION


def shown(figure: Figure | None) -> Figure:
    assert figure is not None
    assert figure.title and figure.how.endswith(".") and figure.alt.endswith(".")
    return figure


def test_drops_have_their_intervals_and_the_budget() -> None:
    figure = shown(figures.drops(VERIFICATION, rows(RICH), RICH.budget))
    (trace,) = figure.plot["data"]
    assert trace["x"] == [0.0, 0.05, 0.06]
    assert trace["error_x"]["array"] == pytest.approx([0.11] * 3)
    assert trace["error_x"]["arrayminus"] == pytest.approx([0.09] * 3)
    assert [note["text"] for note in figure.plot["layout"]["annotations"]] == ["no loss", "budget 1"]
    assert "INT8 ONNX 0.05 points (-0.04 points to 0.16 points)" in figure.alt


def test_a_drop_without_an_interval() -> None:
    scores = tuple(replace(score, drop_interval=None) for score in VERIFICATION.scores)
    found = replace(VERIFICATION, unit="dB", scores=scores)
    figure = shown(figures.drops(found, rows(replace(REPORT, verification=found)), RICH.budget))
    assert figure.plot["data"][0]["error_x"]["array"] == [0.0] * 3
    assert len(figure.plot["layout"]["shapes"]) == 1, "a budget in points is no line among dB"


def test_latencies_leave_room_for_the_bars() -> None:
    figure = shown(figures.latencies(rows(REPORT)))
    assert figure.plot["data"][0]["x"] == pytest.approx([712, 345, 655, 251])
    assert figure.plot["layout"]["xaxis"]["range"][1] == pytest.approx(1.05 * 712 * 1.08)
    wild = replace(REPORT, latencies=(replace(REPORT.latencies[0], median_s=0.002, p95_s=9.0),))
    assert shown(figures.latencies(rows(wild))).plot["layout"]["xaxis"]["range"][1] == pytest.approx(1.05 * 2.5 * 2)


def test_sizes() -> None:
    assert shown(figures.sizes(rows(REPORT))).plot["data"][0]["text"] == ["1.05 MiB", "317 KiB", "305 KiB"]


def test_precisions_add_up() -> None:
    figure = shown(figures.precisions(ledgers_of(REPORT)))
    assert sum(trace["x"][0] for trace in figure.plot["data"]) == pytest.approx(100)
    empty = tuple(replace(ledger, rows=ledger.rows[2:]) for ledger in VERIFICATION.ledgers)
    assert figures.precisions(empty) is None, "nothing multiplies"


def test_layers_stand_in_the_order_they_run() -> None:
    layers = [LayerError(node=node, label="INT8 ONNX", sqnr_db=db) for node, db in (("b", 20.0), ("a", 30.0))]
    layers.append(LayerError(node="c", label="INT8 ONNX", sqnr_db=math.nan))
    figure = shown(figures.layers(layers, ["a", "b", "c"]))
    assert figure.plot["data"][0]["y"] == [30.0, 20.0]
    assert "b in INT8 ONNX" in figure.alt
    assert figures.layers(layers, []) is None


def test_sensitivities() -> None:
    figure = shown(figures.sensitivities(RICH))
    assert [trace["name"] for trace in figure.plot["data"]] == ["alone in INT8", "alone on int16 activations"]
    assert figures.sensitivities(REPORT) is None


def test_memory() -> None:
    figure = shown(figures.memory("INT8 TFLite", MEMORY))
    assert len(figure.plot["data"][0]["x"]) == len(MEMORY.timeline)
    assert "planned" in figure.title and "not measured" in figure.how
    assert figures.memory("INT8 TFLite", replace(MEMORY, timeline=())) is None


def test_candidates() -> None:
    assert RICH.budget is not None
    figure = shown(figures.candidates(RICH.budget))
    assert figure.plot["data"][0]["marker"]["color"] == ["var(--series-2)", "var(--good)"]
    assert figures.candidates(replace(RICH.budget, candidates=RICH.budget.candidates[:1])) is None


def test_pruned_groups() -> None:
    assert RICH.pruning is not None
    figure = shown(figures.pruned(RICH.pruning.groups))
    assert [trace["x"] for trace in figure.plot["data"]] == [[10], [6]]
    assert figures.pruned([replace(RICH.pruning.groups[0], kept=16)]) is None
    assert figures.pruned([]) is None


def test_a_front() -> None:
    points = [("a", 1.0, 0.5, 0.7), ("b", 2.0, 0.1, None)]
    figure = shown(figures.pareto(points, [4, 7], [0, 1], title="A front", x="ms", y="points"))
    assert figure.plot["data"][1]["text"] == ["4", "7"]
    assert figure.plot["data"][1]["error_y"]["array"] == pytest.approx([0.2, 0.0])
    assert figures.pareto(points[:1], [1], [0], title="A front", x="ms", y="points") is None


def test_nothing_to_draw() -> None:
    bare = replace(REPORT, verification=None, latencies=(), files=())
    assert figures.latencies(rows(bare)) is None
    assert figures.sizes(rows(bare)) is None
    assert LAYERED.verification is not None
    distances = replace(VERIFICATION, scores=())
    assert figures.drops(distances, rows(replace(REPORT, verification=distances)), None) is None


def test_names_are_no_markup() -> None:
    assert short(HOSTILE) == "&lt;script&gt;alert(1)&lt;/script&gt;"
    assert short("a" * 50) == "a" * 31 + "..."
    assert short_names(["a", "a", "b"]) == ["a", "a (2)", "b"]
