"""Pruning real models: what is left of their MACs, their latency and their accuracy, as float and as INT8?

    python benchmarks/pruning.py [NAME@MACS ...] [--epochs N] [--rounds N] [--rival]

resnet20@50 is `edgekit prune --macs 50%` of ResNet-20, fine-tuned on the training images, then `edgekit quantize` of
what came of it; resnet20@70 and dscnn@70 likewise, DS-CNN on the 278 clips of its calibration set, from the unpruned
model's answers alone: 200 of them are of one class. All three if none is named. Judged on the whole test set, intervals
95 %; latency of one sample at one thread, by turns with the unpruned file. The processor's seconds count where a busy
machine's clock says little: two idle cores need half of them. Exit 1 where a bar is missed.

--rival: ResNet-20 also beside Torch-Pruning (see pruning_rival.py; pip install --no-deps torch-pruning).
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pruning_rival
from shared_models import MODELS, SHARED, require

CORES, MINUTES = 2, 20.0
INT8_DROP = 0.4  # points, beside the pruned float model
LATENCY = {50: 0.68}  # per cent of the MACs that are left -> share of the unpruned file's latency, at most


@dataclass(frozen=True, kw_only=True)
class Case:
    """drops: per cent of the MACs that are left -> points of accuracy that may go; options: of the fine-tuning."""

    factory: str
    training: str
    drops: dict[int, float]
    options: tuple[str, ...]


CASES = {
    "resnet20": Case(
        factory="cifar_resnet20",
        training="cifar10_train_jpeg.npz",
        drops={50: 2.0, 70: 0.7},
        options=("--epochs", "10", "--train-batch", "128"),
    ),
    "dscnn": Case(
        factory="mlperf_kws_dscnn",
        training="kws_calib_mfcc49x10.npz",
        drops={70: 1.5},
        options=("--epochs", "40", "--train-batch", "32", "--distill", "1", "--augment", "noise"),
    ),
}


def main(words: list[str]) -> None:
    require()
    goals = [word for word in words if "@" in word]
    goals = goals or [f"{name}@{left}" for name, case in CASES.items() for left in case.drops]
    said = [option for option in ("--epochs", "--rounds") if option in words]
    more = [word for option in said for word in words[words.index(option) :][:2]]
    kept = []
    for goal in goals:
        name, left = goal.split("@")
        kept += bench(CASES[name], int(left), more, rival="--rival" in words)
    raise SystemExit(0 if all(kept) else 1)


def bench(case: Case, left: int, more: list[str], *, rival: bool) -> list[bool]:
    (model,) = [model for model in MODELS if model.factory == case.factory]
    training = ["--train", str(SHARED / case.training), *case.options, *more]
    print(f"{model.name}, {left} % of the MACs: {' '.join(training)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        small = timed(["prune", *model.command(), "--macs", f"{left}%", *training], out / "small")
        show(small)
        file = out / "small" / f"{model.name}.onnx"
        behind = model.command()[3:]  # the same samples, of another model
        show(integers := timed(["quantize", str(file), *behind], out / "integers"))
        found = [*bars(case, left, small, integers)]
        if rival and case.factory == pruning_rival.FACTORY:
            theirs = out / "torch_pruning.pt2"
            options = dict(zip(training[::2], training[1::2], strict=True))
            epochs, batch = int(options["--epochs"]), int(options["--train-batch"])
            pruning_rival.write(small.report["pruning"]["macs"], epochs, batch, theirs)
            judged = [word for i, word in enumerate(behind) if "--calib" not in behind[max(0, i - 1) : i + 1]]
            show(other := timed(["convert", str(theirs), *judged], out / "rival"))
            found += beside(small, other)
    return found


@dataclass(frozen=True)
class Run:
    report: dict[str, Any]
    wall_s: float
    busy_s: float

    def drops(self) -> dict[str, float]:
        """File -> points."""
        return {one["label"]: 100 * one["drop"] for one in self.report["verification"]["scores"]}

    def latencies_s(self) -> dict[str, float]:
        return {one["label"]: one["median_s"] for one in self.report["latencies"]}


def timed(words: list[str], out: Path) -> Run:
    """Wall-clock seconds, and processor seconds of the process and its children."""
    start, before = time.perf_counter(), busy()
    command = [sys.executable, "-m", "edgekit", *words, "-o", str(out), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(done.returncode)
    return Run(json.loads(done.stdout), time.perf_counter() - start, busy() - before)


def busy() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def show(run: Run) -> None:
    print(f"  {run.wall_s:.0f} s, {run.busy_s:.0f} processor seconds", flush=True)
    for score in run.report["verification"]["scores"]:
        low, high = (-100 * score["drop_interval"][end] for end in ("high", "low"))
        print(f"  {score['label']:16} {100 * score['value']:6.2f} %  {low:+.2f}..{high:+.2f} points")
    for latency in run.report["latencies"]:
        print(f"  {latency['label']:16} {1e6 * latency['median_s']:6.0f} us  {'; '.join(latency['doubts'])}")
    if pruning := run.report["pruning"]:
        before, after = (pruning["training"][when] for when in ("before", "after"))
        print(f"  {pruning['reached']:.1%} of the MACs, scored by {pruning['score']}")
        print(f"  held out: loss {before['loss']:.4f} -> {after['loss']:.4f}", flush=True)


def bars(case: Case, left: int, small: Run, integers: Run) -> Iterator[bool]:
    yield held("points lost", max(small.drops().values()), case.drops[left])
    yield held("points more in INT8", max(integers.drops().values()), INT8_DROP)
    yield held("minutes on two cores", min(small.wall_s, small.busy_s / CORES) / 60, MINUTES)
    if left in LATENCY:
        found = small.latencies_s()
        for name in ("ONNX", "TFLite"):
            yield held(f"of the latency in {name}", found[f"float32 {name}"] / found[f"unpruned {name}"], LATENCY[left])


def beside(ours: Run, theirs: Run) -> Iterator[bool]:
    """Medians of two runs: on a busy machine look at the doubts above."""
    right = [{one["label"]: one["value"] for one in run.report["verification"]["scores"]} for run in (ours, theirs)]
    for name in ("float32 ONNX", "float32 TFLite"):
        yield held(f"points below Torch-Pruning, {name}", 100 * (right[1][name] - right[0][name]), 0.0)
        yield held(f"of its latency, {name}", ours.latencies_s()[name] / theirs.latencies_s()[name], 1.0)


def held(what: str, found: float, bar: float) -> bool:
    print(f"{'ok    ' if found <= bar else 'MISSED'} {what}: {found:.2f}, at most {bar:g}", flush=True)
    return found <= bar


if __name__ == "__main__":
    main(sys.argv[1:])
