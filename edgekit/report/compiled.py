"""What a device's compiler says of a file, in words: a model's figures, never beside measured ones in a column."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from edgekit import units
from edgekit.plain import first_name, plain
from edgekit.report.estimates import OPS_SHOWN, rows_in_words

if TYPE_CHECKING:  # types only: the stage takes a second to load
    from edgekit.run.vela import Area, Compiled

GROUPS_SHOWN = 6  # of ops that fell to the CPU


def file_in_words(path: str, device: str) -> str:
    """The head of a file's block where there is no estimate to have one."""
    return "\n".join(rows_in_words([("file", plain(path)), ("device", plain(device))]))


def missing_in_words(command: str) -> str:
    """command: what brings the compiler."""
    text = f"not here; with it, cycles, memory and what falls to the CPU, by its model of the chip: {command}"
    return "\n".join(rows_in_words([("compiler", text)]))


def compiled_in_words(found: Compiled) -> str:
    """Labelled as the compiler's model throughout."""
    rows = [
        ("compiler", f"{plain(found.compiler)} for {found.accelerator}, {found.system_config}, {found.memory_mode}"),
        ("latency", f"{units.time(found.seconds)}  the compiler's model, not measured, without the ops on the CPU"),
        ("cycles", f"{units.whole(found.cycles)} at {found.clock_hz / 1e6:.0f} MHz"),
        ("used", f"{units.percent(found.utilisation)} of {found.accelerator.rpartition('-')[2]} MACs per cycle"),
        ("memory", ", ".join(map(_area, found.memory)) or "none"),
        ("weights", f"{units.size(found.packed_bytes)}, packed from {units.size(found.weights_bytes)}"),
        ("mostly", _ops(found)),
        ("slowest", _slowest(found)),
    ]
    rows += [("on the CPU", text) for text in _on_cpu(found)]
    return "\n".join(rows_in_words(rows + [("doubt", plain(doubt)) for doubt in found.doubts]))


def _area(area: Area) -> str:
    return f"{units.size(area.used_bytes)} of {'on-chip' if area.on_chip else 'off-chip'} {area.name}"


def _ops(found: Compiled) -> str:
    """Which kinds of ops take the cycles; what is left over is named, so that the shares add up."""
    cycles: Counter[str] = Counter()
    for op in found.ops:
        cycles[op.op] += op.cycles
    total, ordered = cycles.total() or 1, [pair for pair in cycles.most_common() if pair[1]]
    shown = [f"{plain(name)} {units.percent(count / total, 0)}" for name, count in ordered[:OPS_SHOWN]]
    rest = sum(count for _, count in ordered[OPS_SHOWN:])
    return ", ".join(shown + ([f"others {units.percent(rest / total, 0)}"] if rest else []))


def _slowest(found: Compiled) -> str:
    total = found.cycles or 1
    ordered = sorted(found.ops, key=lambda op: -op.cycles)[:OPS_SHOWN]
    shown = [(first_name(op.name), units.percent(op.cycles / total, 0), op) for op in ordered if op.cycles]
    return ", ".join(
        f"{name} {share}" + (f" ({_used(op.utilisation)})" if op.macs else "") for name, share, op in shown
    )


def _used(utilisation: float) -> str:
    return f"{units.percent(utilisation, 0)} used"


def _on_cpu(found: Compiled) -> list[str]:
    """Ops of one kind with one reason together; the tensor that a reason names is left to the document."""
    groups = Counter((left.op, _short(left.reason)) for left in found.on_cpu)
    ordered = groups.most_common()
    lines = [f"{count} {plain(op)}: {plain(reason)}" for (op, reason), count in ordered[:GROUPS_SHOWN]]
    if others := ordered[GROUPS_SHOWN:]:
        lines.append(f"{units.plural(sum(count for _, count in others), 'op')} of other kinds: --json names all")
    return lines


def _short(reason: str) -> str:
    """What is wrong, without the list of what would be right."""
    first = reason.partition("; ")[0]
    words, _, _ = first.removesuffix(")").rpartition(" (")
    return words if words and first.endswith(")") else first
