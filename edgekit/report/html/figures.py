"""The charts of the page, each made of what the report holds; how they are drawn is `drawing.py`'s."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgekit import units
from edgekit.profile.memory import Memory
from edgekit.report.facts import BudgetFacts, PrunedGroup, Report
from edgekit.report.html.drawing import Figure, Trace, named_line, rows_plot, rule, short, short_names, upright_plot
from edgekit.report.html.results import Row
from edgekit.report.summary import drop_in_words, is_integer, metric_name
from edgekit.verify.result import Interval, LayerError, Ledger, Verification

WIDEST = 2.5  # medians: on a busy machine whiskers would leave no room for the bars
MOST_SENSITIVE = 20
MOST_GROUPS = 40
RAN_IN = {"int8": "INT8", "int16": "int16", "float16": "float16", "float32": "float32", "none": "not executed"}
SERIES = ("var(--series-1)", "var(--series-2)", "var(--series-3)", "var(--series-4)", "var(--series-5)")


def drops(found: Verification, rows: Sequence[Row], budget: BudgetFacts | None) -> Figure | None:
    """What each file loses, with its interval, and what may be lost."""
    scores = [row.score for row in rows if row.score is not None and row.score.drop is not None]
    if not scores:
        return None
    factor = 100.0 if found.unit == "share" else 1.0
    unit = "points" if found.unit == "share" else found.unit
    values = [factor * (score.drop or 0.0) for score in scores]
    highs = [
        factor * score.drop_interval.high - value if score.drop_interval else 0.0
        for score, value in zip(scores, values, strict=True)
    ]
    lows = [
        value - factor * score.drop_interval.low if score.drop_interval else 0.0
        for score, value in zip(scores, values, strict=True)
    ]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": values,
        "y": short_names(score.label for score in scores),
        "error_x": {
            "type": "data",
            "array": highs,
            "arrayminus": lows,
            "thickness": 2,
            "width": 6,
            "color": "var(--muted)",
        },
        "marker": {"size": 11, "color": [_colour(score.label) for score in scores]},
        "hovertemplate": f"%{{y}}: %{{x:.3g}} {unit}<extra></extra>",
    }
    lines = [named_line(0.0, "var(--muted)", "no loss", "solid")]
    if budget is not None and budget.unit == unit:
        lines.append(named_line(budget.max_drop, "var(--bad)", f"budget {budget.max_drop:g}", "dash"))
    said = "; ".join(
        f"{score.label} {drop_in_words(found, score.drop or 0.0)}{_span(found, score.drop_interval)}"
        for score in scores
    )
    return Figure(
        title=f"Drop of {metric_name(found)}",
        alt=f"Drop of {metric_name(found)} against {found.reference.label}: {said}.",
        how="Positive is worse. The bar is the 95 % interval of the difference on the same samples.",
        plot=rows_plot([trace], len(scores), x=f"drop, {unit}".removesuffix(", "), lines=lines),
    )


def latencies(rows: Sequence[Row]) -> Figure | None:
    """Median of each file that was measured, with its percentiles."""
    timed = [(row.label, row.latency) for row in rows if row.latency is not None]
    if not timed:
        return None
    factor, unit = (1e3, "ms") if max(one.median_s for _, one in timed) >= 1e-3 else (1e6, "us")
    medians = [factor * one.median_s for _, one in timed]
    trace = {
        "type": "bar",
        "orientation": "h",
        "x": medians,
        "y": short_names(label for label, _ in timed),
        "error_x": {
            "type": "data",
            "array": [factor * (one.p95_s - one.median_s) for _, one in timed],
            "arrayminus": [factor * (one.median_s - one.p05_s) for _, one in timed],
            "thickness": 1.5,
            "width": 5,
            "color": "var(--ink)",
        },
        "marker": {"color": [_colour(label) for label, _ in timed]},
        "hovertemplate": f"%{{y}}: median %{{x:.4g}} {unit}<extra></extra>",
    }
    plot = rows_plot([trace], len(timed), x=f"latency of one sample, {unit}")
    longest = factor * max(one.p95_s for _, one in timed)
    plot["layout"]["xaxis"] |= {"range": [0, 1.05 * min(longest, WIDEST * max(medians))]}
    said = "; ".join(f"{label} {units.time(one.median_s)}" for label, one in timed)
    return Figure(
        title="Latency, measured on this machine",
        alt=f"Median latency of one sample: {said}.",
        how="Bars are medians, whiskers the 5th to the 95th percentile; the table holds those that leave the chart.",
        plot=plot,
    )


def sizes(rows: Sequence[Row]) -> Figure | None:
    known = [(row.label, row.size_bytes) for row in rows if row.size_bytes is not None]
    if not known:
        return None
    factor, unit = (2**20, "MiB") if max(size for _, size in known) >= 2**20 else (2**10, "KiB")
    trace = {
        "type": "bar",
        "orientation": "h",
        "x": [size / factor for _, size in known],
        "y": short_names(label for label, _ in known),
        "text": [units.size(size) for _, size in known],
        "textposition": "auto",
        "marker": {"color": [_colour(label) for label, _ in known]},
        "hovertemplate": "%{y}: %{text}<extra></extra>",
    }
    said = "; ".join(f"{label} {units.size(size)}" for label, size in known)
    return Figure(
        title="Size of the files",
        alt=f"Sizes: {said}.",
        how="As they lie on the disk, not compressed.",
        plot=rows_plot([trace], len(known), x=f"size, {unit}"),
    )


def precisions(ledgers: Sequence[Ledger]) -> Figure | None:
    """Where the MACs of each file were computed."""
    totals = [sum(row.macs for row in ledger.rows) for ledger in ledgers]
    if not any(totals):
        return None
    names = short_names(f"{ledger.label}" for ledger in ledgers)
    traces: list[Trace] = []
    said: list[str] = []
    for precision, name in RAN_IN.items():
        shares = [
            sum(row.macs for row in ledger.rows if row.precision == precision) / total if total else 0.0
            for ledger, total in zip(ledgers, totals, strict=True)
        ]
        if not any(shares):
            continue
        said += [
            f"{ledger.label} {units.percent(share)} in {name}" for ledger, share in zip(ledgers, shares, strict=True)
        ]
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": name,
                "x": [100 * share for share in shares],
                "y": names,
                "marker": {"color": f"var(--{precision})"},
                "hovertemplate": f"%{{y}}: %{{x:.1f}} % in {name}<extra></extra>",
            }
        )
    plot = rows_plot(traces, len(ledgers), x="share of the MACs, %", legend=True)
    plot["layout"] |= {"barmode": "stack"}
    plot["layout"]["xaxis"] |= {"range": [0, 100]}
    return Figure(
        title="Where the MACs were computed",
        alt=f"Share of the MACs: {'; '.join(said)}.",
        how="As the runtimes executed the files, not as the files declare it.",
        plot=plot,
    )


def layers(found: Sequence[LayerError], order: Sequence[str]) -> Figure | None:
    """SQNR along the graph. order: nodes as they run."""
    place = {node: i for i, node in enumerate(order, 1)}
    known = [layer for layer in found if layer.node in place and math.isfinite(layer.sqnr_db)]
    if not known:
        return None
    traces = []
    for i, label in enumerate(dict.fromkeys(layer.label for layer in known)):
        its = sorted((layer for layer in known if layer.label == label), key=lambda layer: place[layer.node])
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": short(label),
                "x": [place[layer.node] for layer in its],
                "y": [layer.sqnr_db for layer in its],
                "text": short_names(layer.node for layer in its),
                "line": {"color": SERIES[i % len(SERIES)], "width": 2, "dash": ("solid", "dot", "dash")[i % 3]},
                "marker": {"size": 6},
                "hovertemplate": "%{text}: %{y:.1f} dB<extra></extra>",
            }
        )
    worst = min(known, key=lambda layer: layer.sqnr_db)
    return Figure(
        title="Distance from the float model, layer by layer",
        alt=f"The worst layer is {worst.node} in {worst.label} with {worst.sqnr_db:.1f} dB.",
        how="Signal to quantization noise of what each op makes: higher is closer to the float model."
        " Six dB are one bit.",
        plot=upright_plot(traces, x="op, in the order they run", y="SQNR, dB", legend=len(traces) > 1),
    )


def sensitivities(report: Report) -> Figure | None:
    """The ops that lose most by themselves."""
    facts = report.quantization
    shown = facts.sensitivity[:MOST_SENSITIVE] if facts is not None else ()
    if not shown:
        return None
    traces = [_dots("alone in INT8", "var(--int8)", [(one.node, one.sqnr_db) for one in shown])]
    if any(one.int16_sqnr_db is not None for one in shown):
        wide = [(one.node, one.int16_sqnr_db) for one in shown if one.int16_sqnr_db is not None]
        traces.append(_dots("alone on int16 activations", "var(--int16)", wide))
    most = shown[0]
    return Figure(
        title="What each op loses alone",
        alt=f"The most sensitive op is {most.node}: alone in INT8 it leaves {most.sqnr_db:.1f} dB at the outputs.",
        how="Only this op is rounded, all the rest computes in float. Lower is more sensitive.",
        plot=rows_plot(traces, len(shown), x="SQNR of the outputs, dB", legend=len(traces) > 1),
    )


def memory(label: str, found: Memory) -> Figure | None:
    """Activations alive at each op."""
    if not found.timeline:
        return None
    factor, unit = (2**20, "MiB") if found.peak_bytes >= 2**20 else (2**10, "KiB")
    trace = {
        "type": "scatter",
        "mode": "lines",
        "x": list(range(1, len(found.timeline) + 1)),
        "y": [moment.alive_bytes / factor for moment in found.timeline],
        "text": short_names(f"{moment.op} {moment.output}" for moment in found.timeline),
        "line": {"shape": "hvh", "color": "var(--series-1)", "width": 2},
        "fill": "tozeroy",
        "fillcolor": "var(--area)",
        "hovertemplate": f"op %{{x}}, %{{text}}: %{{y:.3g}} {unit}<extra></extra>",
    }
    peak = {
        "type": "scatter",
        "mode": "markers+text",
        "x": [found.peak_number],
        "y": [found.peak_bytes / factor],
        "text": [units.size(found.peak_bytes)],
        "textposition": "top center",
        "marker": {"size": 9, "color": "var(--bad)"},
        "hoverinfo": "skip",
    }
    plot = upright_plot([trace, peak], x="op, in the order they run", y=f"alive, {unit}", legend=False)
    plot["layout"]["yaxis"] |= {"range": [0, 1.2 * found.peak_bytes / factor]}
    return Figure(
        title=f"Memory over one run of {label}, planned",
        alt=f"At most {units.size(found.peak_bytes)} of activations, at op {found.peak_number} of {len(found.timeline)}"
        f" ({found.peak_op}).",
        how="All activations that are alive while an op runs. Computed from the file, not measured.",
        plot=plot,
    )


def candidates(budget: BudgetFacts) -> Figure | None:
    """Everything that was judged to keep a budget."""
    if len(budget.candidates) < 2:
        return None
    shares = [100 * one.shares.get("int8", 0.0) for one in budget.candidates]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": shares,
        "y": [one.drop for one in budget.candidates],
        "error_y": {
            "type": "data",
            "array": [one.upper - one.drop for one in budget.candidates],
            "arrayminus": [0.0] * len(shares),
            "thickness": 1.5,
            "width": 5,
            "color": "var(--muted)",
        },
        "text": [f"candidate {i}" for i in range(1, len(shares) + 1)],
        "marker": {
            "size": 10,
            "color": [
                "var(--good)" if one.upper <= budget.max_drop else "var(--series-2)" for one in budget.candidates
            ],
        },
        "hovertemplate": "%{text}: %{x:.1f} % in INT8, drop %{y:.3g}<extra></extra>",
    }
    plot = upright_plot(
        [trace], x="share of the MACs in INT8, %", y=f"drop, {budget.unit}".removesuffix(", "), legend=False
    )
    note = {"xref": "paper", "x": 1, "xanchor": "right", "y": budget.max_drop, "yanchor": "bottom", "showarrow": False}
    note |= {"text": f"budget {budget.max_drop:g}", "font": {"color": "var(--bad)"}}
    plot["layout"] |= {"shapes": [rule("y", budget.max_drop, "var(--bad)", "dash")], "annotations": [note]}
    met = sum(one.upper <= budget.max_drop for one in budget.candidates)
    return Figure(
        title="What was tried to keep the budget",
        alt=f"{units.plural(len(shares), 'candidate')}, of which {met} keep the budget of {budget.max_drop:g}.",
        how="The dot is the measured drop, the whisker ends where it may be with 95 % confidence; that end must be"
        " within the budget.",
        plot=plot,
    )


def pruned(groups: Sequence[PrunedGroup]) -> Figure | None:
    """The groups that lost most channels."""
    shown = sorted(groups, key=lambda group: group.kept - group.channels)[:MOST_GROUPS]
    if not shown or all(group.kept == group.channels for group in shown):
        return None
    names = short_names(group.name for group in shown)
    kept, cut = [group.kept for group in shown], [group.channels - group.kept for group in shown]
    traces: list[Trace] = [
        {"type": "bar", "orientation": "h", "name": name, "x": x, "y": names, "marker": {"color": colour}}
        | {"hovertemplate": f"%{{y}}: %{{x}} {name}<extra></extra>"}
        for name, x, colour in (("kept", kept, "var(--series-1)"), ("cut", cut, "var(--cut)"))
    ]
    plot = rows_plot(traces, len(shown), x="channels", legend=True)
    plot["layout"] |= {"barmode": "stack"}
    return Figure(
        title="Channels of each group",
        alt=f"{sum(cut)} of {sum(kept) + sum(cut)} channels of these groups were cut.",
        how="Channels that must be cut together are a group, called by the node that makes them.",
        plot=plot,
    )


def pareto(
    points: Sequence[tuple[str, float, float, float | None]],
    numbers: Sequence[int],
    front: Sequence[int],
    *,
    title: str,
    x: str,
    y: str,
) -> Figure | None:
    """points: name, cost, drop and how large it may be; numbers: what a table calls them; front: those that no other
    beats in both."""
    if len(points) < 2:
        return None
    ordered = sorted(front, key=lambda i: points[i][1])
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": "Pareto front",
        "x": [points[i][1] for i in ordered],
        "y": [points[i][2] for i in ordered],
        "line": {"shape": "hv", "dash": "dot", "color": "var(--good)", "width": 2},
        "hoverinfo": "skip",
    }
    dots = {
        "type": "scatter",
        "mode": "markers+text",
        "name": "files",
        "x": [point[1] for point in points],
        "y": [point[2] for point in points],
        "text": list(map(str, numbers)),
        "customdata": short_names(point[0] for point in points),
        "textposition": "top right",
        "error_y": {
            "type": "data",
            "array": [(point[3] if point[3] is not None else point[2]) - point[2] for point in points],
            "arrayminus": [0.0] * len(points),
            "thickness": 1.5,
            "width": 5,
            "color": "var(--muted)",
        },
        "marker": {
            "size": 11,
            "color": ["var(--good)" if i in front else "var(--series-2)" for i in range(len(points))],
        },
        "hovertemplate": "%{customdata}: %{x:.4g}, drop %{y:.3g}<extra></extra>",
    }
    plot = upright_plot([line, dots], x=x, y=y, legend=False, height=400)
    plot["layout"]["xaxis"] |= {"rangemode": "tozero"}
    best = ", ".join(points[i][0] for i in ordered)
    return Figure(
        title=title,
        alt=f"On the Pareto front, cheapest first: {best}.",
        how="Down and to the left is better. Green: no other file is cheaper and as good. The whisker ends where"
        " the drop may be (95 %). Numbers are those of the table.",
        plot=plot,
    )


def _dots(name: str, colour: str, points: Sequence[tuple[str, float]]) -> Trace:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [value if math.isfinite(value) else None for _, value in points],
        "y": short_names(node for node, _ in points),
        "marker": {"size": 10, "color": colour},
        "hovertemplate": f"%{{y}}: %{{x:.1f}} dB {name}<extra></extra>",
    }


def _colour(label: str) -> str:
    if label.startswith("INT8 ") or label.startswith("dynamic "):
        return "var(--int8)"
    return (
        "var(--int16)" if is_integer(label) else "var(--float16)" if label.startswith("float16") else "var(--float32)"
    )


def _span(found: Verification, interval: Interval | None) -> str:
    if interval is None:
        return ""
    return f" ({drop_in_words(found, interval.low)} to {drop_in_words(found, interval.high)})"
