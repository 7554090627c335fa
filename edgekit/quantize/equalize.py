"""Cross-layer equalization: channels that share one activation scale get one size, without changing the function.

A convolution's outputs may be divided by any s > 0 per channel where all that reads them only scales with them and ends
in linear ops, whose weights take the factor up:

    W2 f(W1 x + b1) = (W2 S) f(S^-1 W1 x + S^-1 b1)        for f(a x) = a f(x), a > 0

Weights have a scale per output channel, so that dividing the rows of W1 costs nothing; what counts is the size of the
activations, which one scale must hold, against the columns of W2, each relative to its rows' largest weights:

    s_i = sqrt(peak_i / column_i)         column_i = max_o |W2_oi| / max_j |W2_oj s_j|

and s_i = peak_i where W2 is depthwise, whose only column per row is its scale. s stands on both sides: it is iterated
from peak, by which a model comes out the same however its channels were scaled before. A channel that was always zero
has no peak: it gets a size by its weights, since those widen the rows that read it all the same.

Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.1; with
activations in place of W1's ranges as in Xiao et al. 2023, "SmoothQuant", equation 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.graph import edit, facts, marks
from edgekit.quantize import weights

Factors = NDArray[np.float64]

SCALING = frozenset({"Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Add"})
"""Ops whose outputs scale with their inputs, channel by channel (a PRelu's slopes are its own; an Add's two inputs
must scale alike)."""
ITERATIONS = 8
MIXING = frozenset({"Add", "AveragePool", "GlobalAveragePool"})
HEADROOM = 1.25
"""How far beyond its peak on the calibration samples a channel still passes a clip as before. Without it, MobileNetV1
0.25 calibrated on 64 photographs changed its float answers on others by a 1500th of their variance, and 7 of 436."""
SLEEP = 64.0
"""How far from all others the size of a channel may be taken that was always zero: made by weights of 1e-12, it would
ask for scales that XNNPACK refuses (a sum's steps from 2^-32 of its output's to 2^8 of them)."""
TINY = float(np.finfo(np.float32).tiny)
WORTH = 2.0
"""Factors that differ by less cannot win a bit."""


@dataclass(eq=False)
class Group:
    """Values whose channels scale together.

    ceiling: of the clips among them, which a channel may reach; mixed: an op among them averages or adds, so that what
    a reader sees says nothing of what the clip saw.
    """

    values: list[ir.Value] = field(default_factory=list)
    producers: list[ir.Node] = field(default_factory=list)
    consumers: list[ir.Node] = field(default_factory=list)
    ceiling: float = np.inf
    mixed: bool = False
    fixed: bool = False


def equalize(graph: ir.Model, peaks: Mapping[str, NDArray[np.float64]], *, few: bool = False) -> ir.Model | None:
    """The same function with channels of one size; None where there is nothing to gain.

    peaks: value -> (C,) largest magnitude of each channel over the calibration samples, for the inputs of linear ops;
    few: samples, so that a channel may well go further: half as far (in octaves) as its weights suggest.
    A channel behind a Clip may be raised towards its bound only so far that calibrated values pass it as before, and
    others that are larger by HEADROOM.
    """
    graph = graph.clone()
    uneven = False
    for group in _groups(graph):
        factors = _factors(group, peaks, few=few)
        if factors is None:
            continue
        uneven |= bool(factors.max() >= WORTH * factors.min())
        for node in group.producers:
            _divide_outputs(graph, node, factors)
        for node in group.consumers:
            multiply_inputs(graph, node, factors)
    edit.drop_unused(graph)
    return graph if uneven else None  # all or none: it comes out the same however the channels were scaled before


# ---- which channels scale together ---------------------------------------------------------------------------------


def _groups(graph: ir.Model) -> list[Group]:
    """Those that may be scaled: made by linear ops alone, read by linear ops in the end."""
    of: dict[ir.Value, Group] = {}
    for value in [*graph.graph.inputs, *(value for node in graph.graph for value in node.outputs)]:
        of[value] = Group(values=[value], fixed=value.is_graph_input() or value.is_graph_output())
    for node in graph.graph:
        _place(node, of)
    found = list(dict.fromkeys(of.values()))
    free = [group for group in found if not group.fixed and not (group.mixed and np.isfinite(group.ceiling))]
    return [group for group in free if group.producers and group.consumers]


def _place(node: ir.Node, of: dict[ir.Value, Group]) -> None:
    computed = [value for value in node.inputs if value is not None and facts.constant(value) is None]
    if marks.family(node) is not None:  # its steps share weights and a scale: scaled apart they would need their own
        for value in [*computed, *node.outputs]:
            of[value].fixed = True
    if _is_linear(node):
        of[computed[0]].consumers.append(node)
        of[node.outputs[0]].producers.append(node)
    elif _is_norm(node):
        of[computed[0]].fixed = True
        of[node.outputs[0]].producers.append(node)
    elif _scales(node, computed):
        for value in computed:
            _join(of, value, node.outputs[0])
        of[node.outputs[0]].ceiling = min(of[node.outputs[0]].ceiling, _ceiling(node))
        of[node.outputs[0]].mixed |= node.op_type in MIXING
    else:
        for value in [*computed, *node.outputs]:
            of[value].fixed = True


def _is_linear(node: ir.Node) -> bool:
    """With constant weights and bias, its channels on axis 1."""
    if node.op_type not in ("Conv", "Gemm", "ConvTranspose") or facts.constant(node.inputs[1]) is None:
        return False
    if node.op_type == "ConvTranspose" and facts.attribute(node, "group", 1) != 1:
        return False
    if facts.constant(node.inputs[0]) is not None:
        return False
    plain = all(facts.attribute(node, name, 1.0) == 1.0 for name in ("alpha", "beta"))
    return plain and all(facts.constant(value) is not None for value in node.inputs[1:] if value is not None)


def _is_norm(node: ir.Node) -> bool:
    """A layer norm over its last axis, whose factors and addends are constants: they take the scaling up."""
    if node.op_type != "LayerNormalization":
        return False
    x, rank, channels = node.inputs[0], len(facts.shape(node.outputs[0])), facts.shape(node.outputs[0])[-1]
    if facts.attribute(node, "axis", -1) % rank != rank - 1 or not (rank == 2 or _read_in_rows(node.outputs[0])):
        return False
    given = [facts.constant(value) for value in node.inputs[1:] if value is not None]
    return (
        len(node.outputs) == 1
        and facts.constant(x) is None
        and all(array is not None and array.shape == (channels,) for array in given)
    )


def _read_in_rows(value: ir.Value) -> bool:
    """Whether every reader first lays it out as (rows, channels): others may count channels along another axis."""
    shapes = [facts.shape(r.outputs[0]) for r in facts.consumers(value) if r.op_type in ("Reshape", "Flatten")]
    rows = [shape for shape in shapes if len(shape) == 2 and shape[1] == facts.shape(value)[-1]]
    return len(rows) == len(facts.consumers(value))


def _scales(node: ir.Node, computed: list[ir.Value]) -> bool:
    x, y = (node.inputs[0] if node.inputs else None), node.outputs[0]
    if x is None or not facts.is_float(y) or len(node.outputs) > 1 or (len(computed) != 1 and node.op_type != "Add"):
        return False
    match node.op_type:
        case "Add":
            return len(computed) == 2 and facts.shape(computed[0]) == facts.shape(computed[1])
        case "Clip":
            low = node.inputs[1] if len(node.inputs) > 1 else None
            return low is not None and facts.scalar(low) == 0.0 and _ceiling(node) > 0
        case "Reshape" if (maker := x.producer()) is not None and maker.op_type == "LayerNormalization":
            return len(facts.shape(y)) == 2 and facts.shape(x)[-1] == facts.shape(y)[-1]  # tokens laid out in rows
        case "Flatten" | "Reshape":
            before, after = facts.shape(x), facts.shape(y)
            return len(after) == 2 and len(before) > 2 and before[1] == after[1] and set(before[2:]) == {1}
        case op:
            return op in SCALING


def _ceiling(node: ir.Node) -> float:
    if node.op_type != "Clip" or len(node.inputs) < 3 or node.inputs[2] is None:
        return np.inf
    bound = facts.scalar(node.inputs[2])
    return bound if bound is not None else 0.0  # computed: no bound to rely on


def _join(of: dict[ir.Value, Group], first: ir.Value, second: ir.Value) -> None:
    into, other = of[first], of[second]
    if into is other:
        return
    into.values += other.values
    into.producers += other.producers
    into.consumers += other.consumers
    into.ceiling, into.mixed = min(into.ceiling, other.ceiling), into.mixed or other.mixed
    into.fixed = into.fixed or other.fixed
    for value in other.values:
        of[value] = into


# ---- by how much ---------------------------------------------------------------------------------------------------


def _factors(group: Group, peaks: Mapping[str, NDArray[np.float64]], *, few: bool) -> Factors | None:
    """(C,) what each channel is divided by; None where no channel is known to be of any size."""
    peak = np.max([peaks[name] for name in _names(group) if name in peaks], axis=0, initial=0.0)
    mixing = [magnitudes(node) for node in group.consumers if not _is_depthwise(node)]
    if np.ndim(peak) != 1 or any(weight.shape[0] * weight.shape[2] != peak.size for weight in mixing):
        return None
    made = np.max([_made(node) for node in group.producers], axis=0)
    if few:
        peak = np.maximum(peak, np.sqrt(peak * _suggested(made, peak)))
    wanted, alive = balanced(peak, mixing)
    if not alive.any():
        return None
    if np.isfinite(group.ceiling):
        wanted[alive] /= wanted[alive].max()
        return np.clip(wanted, np.minimum(HEADROOM * peak / group.ceiling, 1.0), 1.0)
    size = _suggested(made, np.where(alive, wanted, 0.0))
    for weight in mixing:  # none at which a sleeping channel would widen the rows that read it
        size = np.minimum(size, 1 / np.maximum(_columns(weight, np.where(alive, wanted, 0.0)), TINY))
    bounded = np.clip(size, wanted[alive].min() / SLEEP, wanted[alive].max() * SLEEP)
    wanted = np.where(alive | (size == 0), wanted, bounded)
    return np.asarray(wanted / np.exp(np.log(wanted).mean()))


def _suggested(made: Factors, known: Factors) -> Factors:
    """(C,) the sizes that channels of these weights should have, next to those of which one is known; 0 where nothing
    says any."""
    both = (made > 0) & (known > 0)
    return made * np.median(known[both] / made[both]) if both.any() else np.zeros_like(made)


def _made(node: ir.Node) -> Factors:
    """(C,) the largest weight behind each channel that a group's producer makes."""
    weight = facts.constant(node.inputs[1])
    assert weight is not None
    axis = 1 if _inputs_first(node) else 0  # a layer norm's factors are (C,)
    return np.asarray(np.abs(weight.astype(np.float64)).max(axis=tuple(i for i in range(weight.ndim) if i != axis)))


def balanced(peak: NDArray[np.float64], mixing: list[NDArray[np.float64]]) -> tuple[Factors, NDArray[np.bool_]]:
    """(C,) the factors of the formula above, and which channels are alive; the others have factor 1."""
    alive = (peak > 0) & np.all([weight.max(axis=1).reshape(-1) > 0 for weight in mixing], axis=0)
    wanted = np.where(alive, peak, 0.0)  # what is always zero widens no row
    for _ in range(ITERATIONS if mixing else 0):
        columns = np.max([_columns(weight, wanted) for weight in mixing], axis=0)
        wanted[alive] = np.sqrt(peak[alive] / columns[alive])
    wanted[~alive] = 1.0
    return wanted, alive


def _names(group: Group) -> Iterator[str]:
    return (node.inputs[0].name or "" for node in group.consumers if node.inputs[0] is not None)


def _columns(weight: NDArray[np.float64], factors: Factors) -> NDArray[np.float64]:
    """(C,) of each input channel: its largest weight, relative to the largest that its row has after scaling."""
    scaled = weight * factors.reshape(len(weight), 1, -1)
    rows = np.maximum(scaled.max(axis=2, keepdims=True), np.finfo(np.float64).tiny)
    return np.asarray((weight / rows).max(axis=1).reshape(-1))


def magnitudes(node: ir.Node) -> NDArray[np.float64]:
    """(groups, outputs, inputs) the largest magnitude of each kernel."""
    weight = facts.constant(node.inputs[1])
    assert weight is not None
    if _inputs_first(node):
        weight = np.swapaxes(weight, 0, 1)
    groups = facts.attribute(node, "group", 1)
    outputs, inputs = weight.shape[:2]
    return np.asarray(np.abs(weight.astype(np.float64)).reshape(groups, outputs // groups, inputs, -1).max(axis=3))


def _inputs_first(node: ir.Node) -> bool:
    """Whether the weights' first axis counts input channels."""
    return weights.output_axis(node) == 1


def _is_depthwise(node: ir.Node) -> bool:
    weight = facts.constant(node.inputs[1])
    assert weight is not None
    return node.op_type == "Conv" and weight.shape[1] == 1


# ---- doing it ------------------------------------------------------------------------------------------------------


def _divide_outputs(graph: ir.Model, node: ir.Node, factors: Factors) -> None:
    weight = facts.constant(node.inputs[1])
    assert weight is not None
    axis = 1 if _inputs_first(node) else 0  # a layer norm's factors are (C,)
    _set(graph, node, 1, weight / _along(factors, axis, weight.ndim))
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        bias = facts.constant(node.inputs[2])
        assert bias is not None
        _set(graph, node, 2, np.broadcast_to(bias.reshape(-1), factors.shape) / factors)


def multiply_inputs(graph: ir.Model, node: ir.Node, factors: Factors) -> None:
    weight = facts.constant(node.inputs[1])
    assert weight is not None
    if _inputs_first(node):
        _set(graph, node, 1, weight * _along(factors, 0, weight.ndim))
        return
    groups, inputs = facts.attribute(node, "group", 1), weight.shape[1]
    per_output = np.repeat(factors.reshape(groups, inputs), weight.shape[0] // groups, axis=0)
    _set(graph, node, 1, weight * per_output.reshape(*per_output.shape, *[1] * (weight.ndim - 2)))


def _along(factors: Factors, axis: int, rank: int) -> Factors:
    return factors.reshape([-1 if i == axis else 1 for i in range(rank)])


def _set(graph: ir.Model, node: ir.Node, position: int, array: NDArray[np.float64]) -> None:
    old = node.inputs[position]
    assert old is not None
    node.replace_input_with(position, edit.add_constant(graph, f"{old.name}_equalized", edit.float_tensor(array)))
