"""How every chart of the page is drawn: named rows or upright axes, in the page's own colours.

A colour is the name of a variable of the style sheet, "var(--int8)", which the page's script replaces by what it is in
the theme at hand. Names from a model are text: what Plotly would read as markup in them is escaped here.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.plain import plain

Trace = dict[str, Any]
BAR_PX, FRAME_PX = 30, 84
LONGEST_NAME = 34


@dataclass(frozen=True, kw_only=True)
class Figure:
    """title: what it shows; alt: what one reads off it, in a sentence; how: how to read it; plot: for Plotly."""

    title: str
    alt: str
    how: str
    plot: dict[str, Any]


def rows_plot(
    traces: list[Trace], count: int, *, x: str, lines: Sequence[tuple[Trace, Trace]] = (), legend: bool = False
) -> dict[str, Any]:
    """Named rows, the first on top."""
    layout = _layout(FRAME_PX + BAR_PX * max(2, count) + 30 * legend, legend)
    layout["xaxis"] |= {"title": _title(x), "zeroline": False}
    layout["yaxis"] |= {"autorange": "reversed", "automargin": True, "type": "category"}
    layout |= {"shapes": [shape for shape, _ in lines], "annotations": [note for _, note in lines], "bargap": 0.35}
    return {"data": traces, "layout": layout}


def upright_plot(traces: list[Trace], *, x: str, y: str, legend: bool, height: int = 320) -> dict[str, Any]:
    layout = _layout(height, legend)
    layout["xaxis"] |= {"title": _title(x)}
    layout["yaxis"] |= {"title": _title(y), "automargin": True}
    return {"data": traces, "layout": layout}


def _layout(height: int, legend: bool) -> dict[str, Any]:
    axis = {"gridcolor": "var(--line)", "linecolor": "var(--line)", "zerolinecolor": "var(--line)", "automargin": True}
    return {
        "height": height,
        "margin": {"l": 8, "r": 16, "t": 24, "b": 48},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "var(--ink)"},
        "hoverlabel": {"bgcolor": "var(--card)", "bordercolor": "var(--line)", "font": {"color": "var(--ink)"}},
        "showlegend": legend,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        "xaxis": dict(axis),
        "yaxis": dict(axis),
        "dragmode": False,
    }


def _title(text: str) -> dict[str, Any]:
    return {"text": text, "font": {"size": 13, "color": "var(--muted)"}}


def named_line(at: float, colour: str, name: str, dash: str) -> tuple[Trace, Trace]:
    """An upright line, and its name above it."""
    note = {"x": at, "yref": "paper", "y": 1, "yanchor": "bottom", "showarrow": False, "text": name}
    return rule("x", at, colour, dash), note | {"font": {"color": colour, "size": 12}}


def rule(axis: str, at: float, colour: str, dash: str) -> Trace:
    other = "y" if axis == "x" else "x"
    ends = {f"{axis}0": at, f"{axis}1": at, f"{other}ref": "paper", f"{other}0": 0, f"{other}1": 1}
    return {"type": "line", **ends, "line": {"color": colour, "width": 1.5, "dash": dash}}


def short_names(labels: Iterable[str]) -> list[str]:
    """Unlike each other also where they are cut short."""
    made: list[str] = []
    for label in labels:
        name = short(label)
        made.append(f"{name} ({made.count(name) + 1})" if name in made else name)
    return made


def short(label: str) -> str:
    """Short, and without markup: Plotly reads <b> and the like in every text."""
    text = plain(label)
    return html.escape(text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 3]}...", quote=False)
