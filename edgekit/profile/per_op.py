"""What each op of a measured file takes, from the runtime's own profile or from its ops measured one by one.

    scaled_s = median_s * scale,  scale = the file's median / the sum of its ops' medians

Neither sum is the file's latency: ONNX Runtime's profile costs time at each node, and an op alone starts a runtime,
finds its own data in the cache, and is fused with no neighbour. The shares are what to believe, the scale says how far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgekit import units
from edgekit.profile import answer
from edgekit.profile.single_ops import Cuts, FileOp

FAR = 1.5
"""A scale beyond it, either way, is doubted: a third of the time is then not where the ops alone spend it."""
ADDED = ("_nchwc", "_quantized", "_unquantized", "_dequantized", "_transposed", "_reshaped")
"""What ONNX Runtime and edgekit append to a tensor's name for one that holds the same value in another form."""


@dataclass(frozen=True, kw_only=True)
class OpTime:
    """An op of a file. median_s: measured, of the op by itself; scaled_s: so that all add up to the file's latency;
    share: of the time of all ops; source: the line of the user's code that it is from, if known."""

    node: str
    op: str
    median_s: float
    scaled_s: float
    share: float
    source: str | None


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """An op that could not be measured alone."""

    node: str
    op: str
    why: str


@dataclass(frozen=True, kw_only=True)
class PerOp:
    """by: how it was measured; kinds: ops that differ, each measured once, None where the runtime told of every op;
    sum_s: of the medians of all ops; ops: the slowest first; left_out: in the order they run."""

    by: str
    kinds: int | None
    sum_s: float
    scale: float
    ops: tuple[OpTime, ...]
    left_out: tuple[LeftOut, ...]
    doubts: tuple[str, ...]


def of_profile(told: Sequence[answer.Op], whole_s: float, sources: Mapping[str, str]) -> PerOp:
    """whole_s: the file's median; sources: node, or tensor that it gives -> line of the user's code."""
    times = [(op.node, op.op, op.median_s) for op in told]
    return _per_op("the runtime's own profile", None, times, (), whole_s, sources)


def of_cuts(cuts: Cuts, told: Sequence[answer.Alone], whole_s: float, sources: Mapping[str, str]) -> PerOp:
    """told: in the order of the cuts. Raises ValueError where it is not one for each."""
    if len(told) != len(cuts.cuts):
        raise ValueError(f"it measured {len(told)} ops, {len(cuts.cuts)} were given")
    times: list[tuple[str, str, float]] = []
    left: list[LeftOut] = []
    for op in cuts.ops:
        median_s, why = _found(op, told)
        if median_s is None:
            left.append(LeftOut(node=op.node, op=op.op, why=why))
        else:
            times.append((op.node, op.op, median_s))
    kinds = sum(one.median_s is not None for one in told)
    return _per_op("each kind of op alone", kinds, times, left, whole_s, sources)


def _found(op: FileOp, told: Sequence[answer.Alone]) -> tuple[float | None, str]:
    if op.cut is None:
        return None, op.why or "it was not cut"
    return told[op.cut].median_s, told[op.cut].failure or "no run was timed"


def _per_op(
    by: str,
    kinds: int | None,
    times: Sequence[tuple[str, str, float]],
    left: Sequence[LeftOut],
    whole_s: float,
    sources: Mapping[str, str],
) -> PerOp:
    sum_s = sum(median_s for _, _, median_s in times)
    scale = whole_s / sum_s if sum_s else 1.0
    return PerOp(
        by=by,
        kinds=kinds,
        sum_s=sum_s,
        scale=scale,
        ops=tuple(
            OpTime(
                node=node,
                op=op,
                median_s=median_s,
                scaled_s=median_s * scale,
                share=median_s / sum_s if sum_s else 0.0,
                source=_line_of(node, sources),
            )
            for node, op, median_s in sorted(times, key=lambda one: -one[2])
        ),
        left_out=tuple(left),
        doubts=_doubts(sum_s, scale, left),
    )


def _doubts(sum_s: float, scale: float, left: Sequence[LeftOut]) -> tuple[str, ...]:
    findings = (
        (not sum_s, "no op could be measured by itself"),
        (
            not 1 / FAR <= scale <= FAR,
            f"its ops by themselves take {1 / scale:.2g} times what it takes: believe their order, not their times",
        ),
        (bool(left), f"{units.plural(len(left), 'op')} could not be measured alone, and the others' times hold theirs"),
    )
    return tuple(text for doubtful, text in findings if doubtful)


def _line_of(node: str, sources: Mapping[str, str]) -> str | None:
    """A form of a value is from where the value is."""
    while node not in sources:
        ending = next((ending for ending in ADDED if node.endswith(ending)), None)
        if ending is None:
            return None
        node = node.removesuffix(ending)
    return sources[node]
