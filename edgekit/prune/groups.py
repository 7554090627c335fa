"""Which channels of a graph must be pruned together, and which must stay, with the reason.

Each op has a row that says how channels flow through it; what ops join is one *unit*, that stays or goes as a whole: a
channel with all that residual additions, depthwise convolutions and the like couple with it, a head of attention, a
group of a convolution in groups. Units that cut the same number of channels from the same values are a *group*, of
which any number may go. So a block of ResNet has one group for its inner width, and the stream of its stage is another.

What a unit may not be: an output of the model, or part of what an op mixes in a way that no weight can make up for
(a layer norm or a softmax over the channels, the states of a recurrent layer, an op without a row).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnx_ir as ir

from edgekit.graph import cost, facts
from edgekit.prune import elementwise, linear, moves, norms
from edgekit.prune.flow import Count, Flow, Fold, Pick, Row, Slice, Work
from edgekit.prune.labels import FIXED, Ids

ROWS: Mapping[str, Row] = {
    "Conv": linear.conv,
    "ConvTranspose": linear.conv_transpose,
    "Gemm": linear.gemm,
    "MatMul": linear.matmul,
    **dict.fromkeys(("LSTM", "GRU", "RNN"), linear.recurrent),
    **dict.fromkeys(elementwise.RESTS, elementwise.joined),
    **dict.fromkeys(
        ("Relu", "Clip", "LeakyRelu", "Elu", "Celu", "Selu", "ThresholdedRelu", "Shrink"), elementwise.same
    ),
    **dict.fromkeys(("Gelu", "HardSwish", "Swish", "Mish", "Softplus", "Softsign"), elementwise.same),
    **dict.fromkeys(("Sigmoid", "HardSigmoid", "Tanh", "Erf", "Exp", "Log", "Sqrt", "Reciprocal"), elementwise.same),
    **dict.fromkeys(("Neg", "Abs", "Sign", "Floor", "Ceil", "Round", "Sin", "Cos", "Tan"), elementwise.same),
    **dict.fromkeys(("Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Asin", "Acos", "Atan"), elementwise.same),
    **dict.fromkeys(("Identity", "Cast", "Not"), elementwise.same),
    "BatchNormalization": norms.batch_norm,
    "InstanceNormalization": norms.instance_norm,
    "GroupNormalization": norms.group_norm,
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), norms.last_axes_norm),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax", "LpNormalization"), norms.along_axis),
    "CumSum": norms.running_sum,
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), norms.pool),
    **dict.fromkeys(("GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool"), norms.pool),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd"), norms.reduction),
    **dict.fromkeys(("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"), norms.reduction),
    "Transpose": moves.transpose,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), moves.reshape),
    "Expand": moves.expand,
    "Tile": moves.tile,
    "Concat": moves.concat,
    "Split": moves.split,
    "Slice": moves.slices,
    "Pad": moves.pad,
    "Resize": moves.resize,
    "DepthToSpace": moves.depth_to_space,
    "SpaceToDepth": moves.space_to_depth,
    "Gather": moves.gather,
    "GridSample": moves.sample,
}


@dataclass(frozen=True, kw_only=True)
class Group:
    """Units of which any number may go.

    name: the node that makes the channels, the first if there are several; units: in the order of the channels;
    channels: of a unit, in what the node makes; members: descriptions of all that make channels of the group.
    """

    name: str
    units: tuple[int, ...]
    channels: int
    members: tuple[str, ...]


@dataclass(frozen=True)
class Blocked:
    """Channels that stay: name: the node that makes them; why: completes "... stays, because"."""

    name: str
    channels: int
    why: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Channels:
    """What may be cut from a graph, and what cutting it edits; every label is a unit's number, or FIXED.

    values: name -> (axis, labels along it), for those that carry channels.
    """

    groups: tuple[Group, ...]
    blocked: tuple[Blocked, ...]
    values: Mapping[str, tuple[int, Ids]]
    slices: tuple[Slice, ...]
    counts: tuple[Count, ...]
    picks: tuple[Pick, ...]
    folds: tuple[Fold, ...]
    work: tuple[Work, ...]

    @cached_property
    def spans(self) -> tuple[Ids, ...]:
        """The different labels that lie along values, each of which must keep a channel."""
        return tuple({labels.tobytes(): labels for _, labels in self.values.values()}.values())


def channel_groups(graph: ir.Model) -> Channels:
    """graph: a simplified float graph, with unique names."""
    flow = Flow(graph)
    for node in graph.graph:
        if not any(flow.of(value) for value in node.inputs) and not any(map(_is_weight, node.inputs)):
            continue
        row = ROWS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if row is None:
            flow.stay(node, "is an op that edgekit cannot prune through")
        else:
            row(flow, node)
    _keep_what_is_given(flow)
    _keep_what_bodies_read(flow)
    return _settled(flow)


def _is_weight(value: ir.Value | None) -> bool:
    return value is not None and facts.is_float(value) and facts.constant(value) is not None


def _keep_what_is_given(flow: Flow) -> None:
    for value in flow.graph.graph.outputs:
        if (came := flow.of(value)) is not None:
            flow.labels.fix(came.labels, f"'{value.name}' is an output of the model")


def _keep_what_bodies_read(flow: Flow) -> None:
    for value, came in flow.channels.items():
        if any(use.node.graph is not flow.graph.graph for use in value.uses()):
            flow.labels.fix(came.labels, f"the body of a loop or a branch reads '{value.name}'")


def _settled(flow: Flow) -> Channels:
    """Every record with settled labels."""
    # A unit that is all that some value has cannot go.
    for came in flow.channels.values():
        if len(set(came.labels.tolist())) == 1 or len(np.unique(flow.labels.settled(came.labels))) == 1:
            flow.labels.fix(came.labels, "its channels only go all together")
    settle = flow.labels.settled
    values = {value.name or "": (came.axis, settle(came.labels)) for value, came in flow.channels.items()}
    slices = tuple(Slice(s.node, s.position, s.axis, settle(s.labels), s.makes, s.weighs) for s in flow.slices)
    done = {work.node for work in flow.work}
    idle = (Work(node.name or "", cost.macs(node)) for node in flow.graph.graph if node.name not in done)
    return Channels(
        groups=tuple(_groups(flow, values, slices)),
        blocked=tuple(_blocked(flow)),
        values=values,
        slices=slices,
        counts=tuple(Count(c.node, settle(c.labels), c.attribute, c.position, c.index) for c in flow.counts),
        picks=tuple(Pick(p.node, p.position, settle(p.labels)) for p in flow.picks),
        folds=tuple(Fold(f.node, settle(f.labels), f.rest) for f in flow.folds),
        work=(
            *(Work(w.node, w.macs, tuple(map(settle, w.over))) for w in flow.work),
            *(work for work in idle if work.macs),
        ),
    )


def _groups(flow: Flow, values: Mapping[str, tuple[int, Ids]], slices: Iterable[Slice]) -> Iterator[Group]:
    """Units with equal shares in everything, named after the node that makes the first."""
    shares: dict[int, list[tuple[int, int]]] = defaultdict(list)
    spans = {labels.tobytes(): labels for labels in [*(ids for _, ids in values.values()), *(s.labels for s in slices)]}
    for index, labels in enumerate(spans.values()):
        for unit, count in Counter(labels.tolist()).items():
            shares[unit].append((index, count))
    shares.pop(FIXED, None)
    alike: dict[tuple[tuple[int, int], ...], list[int]] = defaultdict(list)
    for unit in sorted(shares):
        alike[tuple(shares[unit])].append(unit)
    names: Counter[str] = Counter()
    settled = [(birth, Counter(flow.labels.settled(birth.labels).tolist())) for birth in flow.births]
    for units in alike.values():
        makers = [(birth, counts[units[0]]) for birth, counts in settled if counts[units[0]]]
        if not makers:  # added by a pad alone
            continue
        first, channels = makers[0]
        names[first.node] += 1
        name = first.node if names[first.node] == 1 else f"{first.node}/{names[first.node]}"
        members = tuple(birth.described for birth, _ in makers)
        yield Group(name=name, units=tuple(units), channels=channels, members=members)


def _blocked(flow: Flow) -> Iterator[Blocked]:
    """What nodes made and must stay, by the first reason of each."""
    for birth in flow.births:
        reasons = Counter(why for label in birth.labels.tolist() if (why := flow.labels.reason(label)) is not None)
        for why, channels in reasons.items():
            yield Blocked(birth.node, channels, why)
