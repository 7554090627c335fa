"""Which widths do kernels like? Latency of convolutions by their channels, in both runtimes, float and INT8.

    python benchmarks/widths.py [KIND ...]          conv1x1, conv3x3, depthwise; all three if none is named

A few equal convolutions in a row, from 32 to 80 channels in steps of 1, at one thread, in rounds through all widths, of
which the fastest run counts. A kernel that computes channels in blocks of m takes as long for half a block as for a
whole one, so what is printed for each m is what half of a block wins,

    won(m) = sum over w = m/2, 3m/2, 5m/2 ... of t(w + m/2) - t(w), over the sum of t(w + m/2) - t(w - m/2)

which is 50 % where channels cost alike, and nothing (or less: what is left over is slower) where m is a block. The
largest m whose half wins less than a third is what pruning should leave multiples of.

--vela PROGRAM: the same of the cycles that Vela reckons for Ethos-U (ethos-u-vela 5.2), in steps of 4.
"""

from __future__ import annotations

import csv
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from edgekit.artifact import Format, Precision
from edgekit.graph import facts
from edgekit.graph.check import checked
from edgekit.lower import Wishes, lower
from edgekit.quantize import observe
from edgekit.quantize.assign import assign
from edgekit.quantize.choose import scales_of
from edgekit.quantize.correct import channel_axes
from edgekit.quantize.insert import insert
from edgekit.quantize.weights import WeightRule, round_weights
from edgekit.run.litert import Interpreter
from edgekit.run.observer import Observer
from edgekit.run.ort import Session
from edgekit.simplify import simplify

WIDTHS = range(32, 81)
BLOCKS = (2, 4, 8, 16, 32)
KINDS = {"conv1x1": (1, 16, 4), "conv3x3": (3, 8, 2), "depthwise": (3, 16, 4)}  # taps, height = width, how many
ROUNDS, BURST = 30, 4  # runs of one width in a round; the first of them finds cold caches
LEAST_WON = 1 / 3
OPSET = 20
PRECISIONS: tuple[Precision, ...] = ("float32", "int8")
RUNTIMES: Mapping[Format, str] = {"onnx": "onnxruntime", "tflite": "litert"}
WISHES = Wishes(activations="uint8", nhwc=True, io_int8=False, metadata={})
CORES = ("ethos-u55-128", "ethos-u55-256", "ethos-u65-512", "ethos-u85-256")

Run = Callable[[], object]


def main(words: list[str]) -> None:
    kinds = [word for word in words if word in KINDS] or list(KINDS)
    print(f"{'half of a block wins, for blocks of':40}" + "".join(f"{block:>6}" for block in BLOCKS))
    for kind in kinds:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if "--vela" in words:
                vela = words[words.index("--vela") + 1]
                for core in CORES:
                    show(f"vela, {core} int8 {kind}", cycles(kind, core, vela, folder))
                continue
            for precision in PRECISIONS:
                for format, runtime in RUNTIMES.items():
                    runs = {width: prepared(written(kind, width, precision, format, folder), width) for width in WIDTHS}
                    show(f"{runtime} {precision} {kind}", times(runs))


def show(title: str, found: Mapping[int, float]) -> None:
    """found: width -> seconds or cycles."""
    gains = {block: won(found, block) for block in BLOCKS}
    liked = max((block for block, gain in gains.items() if gain < LEAST_WON), default=1)
    shares = "".join(f"{'-':>6}" if math.isnan(gain) else f"{100 * gain:>5.0f}%" for gain in gains.values())
    print(f"{title:40}{shares}   likes multiples of {liked}")
    first = found[WIDTHS[0]]
    print(
        "    " + "  ".join(f"{width}: {cost / first:.2f}" for width, cost in found.items() if width % 4 == 0),
        flush=True,
    )


def won(found: Mapping[int, float], block: int) -> float:
    half = block // 2
    middles = [width for width in found if width % block == half and {width - half, width + half} <= set(found)]
    saved = sum(found[width + half] - found[width] for width in middles)
    whole = sum(found[width + half] - found[width - half] for width in middles)
    return saved / whole if middles else float("nan")


def times(runs: Mapping[int, Run]) -> dict[int, float]:
    """Seconds of the fastest run: what others do on this machine only makes runs slower."""
    found = dict.fromkeys(runs, float("inf"))
    for _ in range(ROUNDS):
        for width, once in runs.items():
            for _ in range(BURST):
                start = time.perf_counter()
                once()
                found[width] = min(found[width], time.perf_counter() - start)
    return found


def prepared(path: Path, width: int) -> Run:
    """Holds the file in its runtime, at one thread, with an input in place."""
    _, size, _ = KINDS[path.stem]
    image = np.random.default_rng(0).normal(size=(1, size, size, width)).astype(np.float32)
    loaded = Session(str(path)) if path.suffix == ".onnx" else Interpreter(str(path))
    return loaded.prepared({"x": image})


def cycles(kind: str, core: str, vela: str, folder: Path) -> dict[int, float]:
    """Of the NPU, by its compiler's model, in the memory that it takes for granted."""
    found = {}
    for width in WIDTHS[::4]:
        path = written(kind, width, "int8", "tflite", folder)
        command = [vela, str(path), "--accelerator-config", core, "--output-dir", str(folder / core)]
        subprocess.run(command, check=True, capture_output=True)
        (summary,) = (folder / core).glob("*_summary_*.csv")
        with summary.open(encoding="utf-8") as file:
            found[width] = float(next(csv.DictReader(file))["cycles_npu"])
    return found


# ---- nets to measure -------------------------------------------------------------------------------------------------


def written(kind: str, width: int, precision: Precision, format: Format, folder: Path) -> Path:
    """Equal convolutions in a row, as edgekit writes them; images channels last."""
    graph = checked(simplify(net(kind, width)))
    if precision == "int8":
        graph = integers(graph)
    path = folder / f"{kind}.{format}"
    lower(graph, format, precision, path, WISHES)
    return path


def net(kind: str, width: int) -> ir.Model:
    taps, size, count = KINDS[kind]
    groups = width if kind == "depthwise" else 1
    rng, pads = np.random.default_rng(width), [taps // 2] * 4
    names, constants, nodes = ["x", *(f"r{i}" for i in range(count - 1)), "y"], [], []
    for i in range(count):
        weights = rng.normal(0, 1 / taps / (width // groups) ** 0.5, (width, width // groups, taps, taps))
        constants.append(numpy_helper.from_array(weights.astype(np.float32), f"w{i}"))
        nodes += [
            helper.make_node("Conv", [names[i], f"w{i}"], [f"c{i}"], group=groups, pads=pads),
            helper.make_node("Relu", [f"c{i}"], [names[i + 1]]),
        ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width, size, size]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, kind, ends[:1], ends[1:], constants)
    return ir.from_proto(
        onnx.shape_inference.infer_shapes(
            helper.make_model_gen_version(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        )
    )


def integers(graph: ir.Model) -> ir.Model:
    """In INT8, by the ranges of a few random images: what is measured does not depend on them."""
    plan, (given,) = assign(graph), graph.graph.inputs
    shape = facts.static_shape(given, 1)
    axes = channel_axes(graph, plan)
    values = sorted({name for group in plan.groups for name in group.observed} | {*axes, *plan.counted_as})
    observer = Observer(observe.observable(graph, values), values, axes, plan.counted_as)
    observer.update([{"x": np.random.default_rng(i).normal(size=shape).astype(np.float32)} for i in range(4)])
    statistics = {name: observe.Statistics(*found) for name, found in observer.statistics().items()}
    scales = scales_of(plan, statistics, {group.name: "minmax" for group in plan.groups})
    return checked(insert(graph, plan, scales, round_weights(graph, plan, scales, WeightRule("minmax", "nearest"))))


if __name__ == "__main__":
    main(sys.argv[1:])
