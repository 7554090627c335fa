"""Mixed precision: which ops leave INT8 until the model is judged good enough, for the fewest MACs.

Every cluster of ops may climb two steps, to int16 activations and to float. What a step wins is the squared error that
the cluster makes alone before it and after it; what it costs is the cluster's MACs, and a little for each number that
it gives. The steps are sorted by what they win per cost. A cluster whose weights lose more than its activations climbs
both steps at once, since the second would win more per cost than the first: what is left is a concave frontier.

Judging is dear, a pass over all evaluation samples, so how many steps are taken is found by halving the list. What is
judged good enough is then tried with fewer MACs outside INT8: straight to float with fewer clusters, and without each
of the most expensive clusters. Every look at the same samples is one more chance to find them kind, so that looks are
few and counted.

Sources: Wu et al. 2020, "Integer Quantization for Deep Learning Inference", section 5.1, partial quantization by
sensitivity; Dudzinski and Walukiewicz 1987, "Exact methods for the knapsack problem and its generalizations", the
frontier.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from edgekit.quantize.assign import RULES, Scale, data_inputs
from edgekit.quantize.clusters import Cluster
from edgekit.quantize.result import Quantized
from edgekit.quantize.sensitivity import Sensitivity, in_db
from edgekit.quantize.wider import Wider, widened

Judge = Callable[[Quantized], float]
"""By how much a candidate misses what is wanted; 0 or less is good enough."""
Choice = Mapping[str, Wider]
"""Cluster -> its precision, for those that left INT8."""

WITHOUT_AT_MOST = 4  # clusters that are tried back in INT8 at the end


@dataclass(frozen=True)
class Step:
    """A cluster goes to a precision. worth: error that goes per cost."""

    cluster: Cluster
    precision: Wider
    worth: float


@dataclass(frozen=True, kw_only=True)
class Mixed:
    """What was found. excess: the judge's word on it, 0 or less where it is good enough."""

    quantized: Quantized
    excess: float


def steps(ranked: Sequence[Sensitivity]) -> tuple[Step, ...]:
    """From INT8 to float, the worthiest first; a cluster's first step comes before its second."""
    found: list[Step] = []
    for each in ranked:
        cost = each.cluster.macs + each.cluster.elements
        first = (each.error - each.int16_error) / cost if each.int16_error is not None else 0.0
        second = (each.int16_error or 0.0) / cost
        if first > second:
            found += [Step(each.cluster, "int16", first), Step(each.cluster, "float32", second)]
        else:
            found.append(Step(each.cluster, "float32", each.error / cost / 2))
    return tuple(sorted(found, key=lambda step: -step.worth))


def mix(quantized: Quantized, ranked: Sequence[Sensitivity], judge: Judge, excess: float, because: str) -> Mixed:
    """The quantization with as few MACs outside INT8 as were found to be good enough, or the one that misses least.

    excess: of `quantized` as it is; because: for the report, why ops leave INT8.
    """
    looks = _Looks(quantized, {each.cluster.name: each for each in ranked}, judge, because, {frozenset(): excess})
    climbing = [_taken(taken) for taken in _prefixes(steps(ranked))]
    found = looks.bisect(climbing)
    if found is not None:
        straight = [Step(each.cluster, "float32", each.error / _cost(each.cluster)) for each in ranked]
        floats = [_taken(taken) for taken in _prefixes(sorted(straight, key=lambda step: -step.worth))]
        cheaper = looks.bisect([choice for choice in floats if looks.macs(choice) < looks.macs(found)])
        found = looks.shrunk(cheaper or found)
    return looks.result(found)


def _cost(cluster: Cluster) -> int:
    return cluster.macs + cluster.elements


def _prefixes(taken: Sequence[Step]) -> list[Sequence[Step]]:
    return [taken[:count] for count in range(1, len(taken) + 1)]


def _taken(taken: Sequence[Step]) -> Choice:
    return {step.cluster.name: step.precision for step in taken}


@dataclass
class _Looks:
    """What was judged so far. excess: by choice."""

    quantized: Quantized
    ranked: Mapping[str, Sensitivity]
    judge: Judge
    because: str
    excess: dict[frozenset[tuple[str, Wider]], float]
    best: tuple[Choice, Quantized] = field(init=False)

    def __post_init__(self) -> None:
        self.best = ({}, self.quantized)

    def of(self, choice: Choice) -> float:
        key = frozenset(choice.items())
        if key not in self.excess:
            candidate = self.widened(choice)
            self.excess[key] = self.judge(candidate)
            if self.excess[key] < self.excess[frozenset(self.best[0].items())]:
                self.best = (choice, candidate)
        return self.excess[key]

    def widened(self, choice: Choice) -> Quantized:
        wanted: dict[str, Wider] = {}
        because: dict[str, str] = {}
        for name, precision in choice.items():
            each = self.ranked[name]
            wanted |= dict.fromkeys(each.cluster.computing, precision)
            because |= dict.fromkeys(each.cluster.nodes, f"{self.because}; alone it leaves {in_db(each.error):.1f} dB")
        return widened(self.quantized, wanted, because)

    def macs(self, choice: Choice) -> int:
        """Outside INT8."""
        return sum(self.ranked[name].cluster.macs for name in choice)

    def bisect(self, choices: Sequence[Choice]) -> Choice | None:
        """The first that is good enough, if from there on all are; None where none of those looked at is."""
        low, high = -1, len(choices)
        while high - low > 1:
            middle = (low + high) // 2
            if self.of(choices[middle]) <= 0:
                high = middle
            else:
                low = middle
        return choices[high] if high < len(choices) else None

    def shrunk(self, choice: Choice) -> Choice:
        """Without clusters that it does well without, the largest tried first."""
        for name in sorted(choice, key=lambda name: -self.ranked[name].cluster.macs)[:WITHOUT_AT_MOST]:
            fewer = {other: precision for other, precision in choice.items() if other != name}
            if fewer and self.of(fewer) <= 0:
                choice = fewer
        return choice

    def result(self, found: Choice | None) -> Mixed:
        choice, quantized = self.best if found is None else (found, self.widened(found))
        return Mixed(quantized=quantized, excess=self.of(choice))


def inside(ranked: Sequence[Sensitivity], graph: ir.Model) -> tuple[Sensitivity, ...]:
    """Those that neither take the graph's inputs nor give its outputs, perhaps moved: these can be kept as integers."""
    border = _border(graph)
    return tuple(each for each in ranked if border.isdisjoint(each.cluster.nodes))


def _border(graph: ir.Model) -> frozenset[str]:
    given, taken = set(graph.graph.inputs), set(graph.graph.outputs)
    found: set[ir.Node] = set()
    for node in graph.graph:
        if not given.isdisjoint(node.inputs):
            found.add(node)
            given.update(node.outputs if RULES.get(node.op_type) is Scale.SHARED else ())
    for node in reversed(graph.graph):
        if not taken.isdisjoint(node.outputs):
            found.add(node)
            taken.update(data_inputs(node) if RULES.get(node.op_type) is Scale.SHARED else ())
    return frozenset(node.name or "" for node in found)
