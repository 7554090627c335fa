"""Whether cutting what is silent leaves a model's outputs as they are, over the architectures of `zoo.py`.

    python benchmarks/prune_exact.py [NAME or FILE.onnx ...] [--each]

A FILE.onnx is a graph that was captured and simplified before (`edgekit convert MODEL --format onnx`). Of every group a
random half of its units is made zero (weights, biases, factors and addends of norms) in the full graph, and cut out of
a copy. error: largest difference of the two graphs' outputs in ONNX Runtime, relative to the output's root mean square;
change: the same from the untouched model, which says that the silent units did something. --each: also every group by
itself. Then what stays of the MACs and parameters, and the commonest reasons for which channels stay.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx_ir as ir

from edgekit.graph import cost, facts, files
from edgekit.graph.check import checked
from edgekit.prune.cut import cut, silenced
from edgekit.prune.groups import Channels, channel_groups
from edgekit.run import ort

ZOO = Path(__file__).resolve().parent / "zoo.py"
HEAD = ("model", "groups", "units", "error", "change", "MACs", "params", "stays, because")


def main(arguments: list[str]) -> None:
    sys.path.insert(0, str(ZOO.parent))
    names = [word for word in arguments if not word.startswith("--")]
    if not names:
        from zoo import CASES

        names = list(CASES)
    print(line(HEAD), flush=True)
    for name in names:
        print(line((Path(name).stem, *held(captured(name), each="--each" in arguments))), flush=True)


def captured(name: str) -> ir.Model:
    if name.endswith(".onnx"):
        return ir.load(name)
    from edgekit.capture import Source, capture, load
    from edgekit.samples import load_samples
    from edgekit.simplify import simplify

    samples = load_samples(f"{ZOO}:{name}_calibration")
    return checked(simplify(capture(load(Source(path=f"{ZOO}:{name}", inputs={}), samples.signature)).graph))


def held(graph: ir.Model, *, each: bool) -> tuple[str, ...]:
    channels = channel_groups(graph)
    rng = np.random.default_rng(0)
    halves = [{int(unit) for unit in rng.permutation(g.units)[: len(g.units) // 2]} for g in channels.groups]
    gone = within(channels, set().union(*halves))
    cuts = [gone, *([within(channels, half) for half in halves if half] if each else [])]
    sample = {
        value.name or "": rng.normal(0, 1, facts.static_shape(value)).astype(np.float32) for value in graph.graph.inputs
    }
    errors, smallest = [], graph
    for units in cuts:
        small = checked(cut(graph, channels, units))
        answer = answers(silenced(graph, channels, units), sample)
        errors.append(difference(answer, answers(small, sample)))
        if units is gone:
            smallest = small
            change = difference(answers(graph, sample), answer)
    before, after = (sum(cost.macs_by_node(model).values()) for model in (graph, smallest))
    reasons = Counter(blocked.why for blocked in channels.blocked).most_common(2)
    return (
        str(len(channels.groups)),
        str(sum(len(group.units) for group in channels.groups)),
        f"{max(errors):.0e}",
        f"{change:.0e}",
        f"{after / before:.1%}",
        f"{cost.parameters(smallest) / cost.parameters(graph):.1%}",
        "; ".join(f"{count} x {why}" for why, count in reasons),
    )


def within(channels: Channels, units: set[int]) -> set[int]:
    """Of every value a channel stays."""
    for labels in channels.spans:
        if units.issuperset(labels.tolist()):
            units.discard(int(labels[0]))
    return units


def answers(graph: ir.Model, sample: dict[str, np.ndarray]) -> list[np.ndarray]:
    return list(ort.Session(files.to_bytes(graph), threads=1).run(sample).values())


def difference(first: list[np.ndarray], second: list[np.ndarray]) -> float:
    return max(
        float(np.abs(a - b).max() / max(np.sqrt(np.square(a).mean()), np.finfo(np.float32).tiny))
        for a, b in zip(first, second, strict=True)
    )


def line(cells: tuple[str, ...]) -> str:
    return f"{cells[0]:30}" + "".join(f"{cell:>9}" for cell in cells[1:-1]) + f"  {cells[-1]}"


if __name__ == "__main__":
    main(sys.argv[1:])
