"""What became of a model that was pruned, in words: how much is left, where it was cut, and how that is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from edgekit import units
from edgekit.report.facts import EstimatedLatency, How, PruningFacts, Report

GOAL_NAMES = {"macs": "MACs", "params": "parameters", "size": "file size", "latency": "latency"}
FOUND_BY: Mapping[How, str] = {"written": "writing", "measured": "measuring", "estimated": "estimating"}
REASONS_SAID = 3
UNPRUNED = "unpruned"  # how a file of the unpruned model is labelled


def pruning_lines(report: Report) -> tuple[str, str]:
    """What is left of the model, and where it was cut; empty without pruning."""
    facts, model = report.pruning, report.model
    if facts is None or facts.goal is None or facts.asked is None:
        return "", ""
    left = f"{units.count(model.parameters)} -> {units.count(facts.parameters)} parameters"
    left += f" ({units.percent(facts.parameters / model.parameters)})"
    if model.macs:
        macs = f"{units.count(model.macs)} -> {units.count(facts.macs)} MACs ({units.percent(facts.macs / model.macs)})"
        left = f"{macs}, {left}"
    asked = f"asked for {units.percent(facts.asked)} of the {goal_name(facts)}"
    if facts.goal in ("size", "latency") and facts.reached is not None:
        asked += f", {units.percent(facts.reached)} reached{' by estimate' if facts.estimates else ''}"
    if facts.trials:
        asked += f", found by {FOUND_BY[facts.trials[0].how]} {units.plural(len(facts.trials), 'smaller model')}"
    cut = [group for group in facts.groups if group.kept < group.channels]
    where = f"{sum(g.channels - g.kept for g in cut)} of {sum(g.channels for g in facts.groups)} channels cut"
    steps = f", in multiples of {facts.multiple} or less" if facts.multiple is not None else ""
    where += f", from {len(cut)} of {units.plural(len(facts.groups), 'group')}{steps} (score: {facts.score})"
    reasons = Counter(one.why for one in facts.uncut)
    if reasons:
        layers = len({one.name for one in facts.uncut})
        why = "; ".join(reason for reason, _ in reasons.most_common(REASONS_SAID))
        others = units.plural(max(0, len(reasons) - REASONS_SAID), "other reason")
        more = f"; {others} in report.json" if len(reasons) > REASONS_SAID else ""
        where += f"; {units.plural(layers, 'layer')} must keep channels: {why}{more}"
    return f"{left}; {asked}", where


def round_lines(report: Report) -> dict[str, str]:
    """What became of each round; empty where channels were cut at once."""
    rounds = report.pruning.rounds if report.pruning is not None else ()
    said = [
        f"{number}: {units.percent(one.left)} of the MACs, {units.plural(one.training.epochs, 'epoch')}, "
        f"loss {one.training.before.loss:.4g} -> {one.training.after.loss:.4g}"
        + ("" if one.training.kept else " (not kept)")
        for number, one in enumerate(rounds, start=1)
    ]
    return {"rounds": "; ".join(said)} if said else {}


def goal_name(facts: PruningFacts) -> str:
    """'file size'; 'latency on raspberry-pi-4' where that is estimated."""
    there = f" on {facts.estimates[0].device}" if facts.estimates else ""
    return f"{GOAL_NAMES[facts.goal or 'latency']}{there}"


def estimate_lines(report: Report) -> dict[str, str]:
    """What a pruned model takes on a device that was not there; empty where nothing was estimated."""
    found = report.pruning.estimates if report.pruning is not None else ()
    if not found:
        return {}
    files = [
        f"{one.file} in {one.precision} {units.time(one.unpruned_s)} -> {units.time(one.seconds)}"
        f" ({units.time(one.low_s)} to {units.time(one.high_s)}, 90 %; {_parameters(one)})"
        for one in found
    ]
    doubts = dict.fromkeys(doubt for one in found for doubt in one.doubts)
    return {"estimated": "; ".join([f"for {found[0].device}, not measured: {', '.join(files)}", *doubts])}


def _parameters(one: EstimatedLatency) -> str:
    """'tflite 2.7.1, 4 threads, evidence A'."""
    runtime = f"{one.runtime} {one.version}".strip()
    return f"{runtime}, {units.plural(one.threads, 'thread')}, evidence {one.evidence}"


def sparsity_lines(report: Report) -> dict[str, str]:
    """Which weights are zero, and what that wins; empty where none was set to zero."""
    facts = report.pruning.sparsity if report.pruning is not None else None
    if facts is None:
        return {}
    share = units.percent(facts.zeros / facts.weights)
    said = f"{share} of {units.count(facts.weights)} weights are zero; asked for {facts.asked}"
    if facts.dense:
        reasons = Counter(layer.why for layer in facts.dense).most_common(REASONS_SAID)
        said += f"; {units.plural(len(facts.dense), 'layer')} without: {'; '.join(why for why, _ in reasons)}"
    sizes = []
    for label, size in facts.deflated_bytes.items():
        if label.startswith(UNPRUNED):
            continue
        before = facts.deflated_bytes.get(f"{UNPRUNED} {label.rpartition(' ')[2]}")
        unpruned = "" if before is None else f" (unpruned {units.size(before)})"
        sizes.append(f"{label} {units.size(size)}{unpruned}")
    won = "; ".join(f"{runtime}: {what}" for runtime, what in facts.speed_ups.items())
    return {"sparsity": said, "deflated": f"{', '.join(sizes)}; zlib, level {facts.level}", "speed-up": won}
