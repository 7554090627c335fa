"""Quantization-aware training on ResNet-8: does INT8 come back to float, in how long, and do both files agree?

    python benchmarks/qat.py [--epochs N]

`edgekit quantize --qat N` on the 50 000 training images, judged on the 10 000 of the test set that it never saw, beside
the same command without training. Bars: each INT8 file at most 0.1 points below float; 15 minutes on two cores; both
files give the same class to 99.8 % of the images. The wall clock of a busy machine says little, so that processor
seconds, which are what one idle core would take at most, count where they are fewer. Exit 1 where a bar is missed.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from typing import Any

from shared_models import MODELS, SHARED, require

BELOW_FLOAT, MINUTES, AGREEMENT = 0.1, 15.0, 0.998
CORES = 2


def main(words: list[str]) -> None:
    require()
    epochs = words[words.index("--epochs") + 1] if "--epochs" in words else "3"
    (resnet,) = [model for model in MODELS if model.factory == "mlperf_ic_resnet8"]
    command = resnet.command()
    show("without training", *timed(command))
    train = ["--qat", epochs, "--train", str(SHARED / "cifar10_train_jpeg.npz")]
    report, wall_s, busy_s = timed([*command, *train])
    show(f"{epochs} epochs", report, wall_s, busy_s)
    raise SystemExit(1 if missed(report, min(wall_s, busy_s)) else 0)


def timed(words: list[str]) -> tuple[dict[str, Any], float, float]:
    """The report, wall-clock seconds, and processor seconds of the process and its children."""
    start, before = time.perf_counter(), busy()
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "edgekit", "quantize", *words, "-o", out, "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(done.returncode)
    return json.loads(done.stdout), time.perf_counter() - start, busy() - before


def busy() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def show(name: str, report: dict[str, Any], wall_s: float, busy_s: float) -> None:
    verification = report["verification"]
    print(f"{name}: {wall_s:.0f} s, {busy_s:.0f} processor seconds")
    print(f"  {'float':14} {100 * verification['reference']['value']:6.2f} %")
    for score in int8(report):
        low, high = (-100 * score["drop_interval"][end] for end in ("high", "low"))
        print(f"  {score['label']:14} {100 * score['value']:6.2f} %  {low:+.2f}..{high:+.2f} points against float")
    (agreement,) = [one for one in verification["agreements"] if one["top1"] is not None]
    print(f"  same class in both files: {100 * agreement['top1']:.2f} %", flush=True)
    if training := report["training"]:
        before, after = training["before"], training["after"]
        print(f"  held out: loss {before['loss']:.4f} -> {after['loss']:.4f}, kept: {training['kept']}")


def int8(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [score for score in report["verification"]["scores"] if score["label"].startswith("INT8")]


def missed(report: dict[str, Any], seconds: float) -> bool:
    drop = max(100 * score["drop"] for score in int8(report))
    agreement = min(one["top1"] for one in report["verification"]["agreements"])
    bars = [
        (f"at most {BELOW_FLOAT} points below float", drop <= BELOW_FLOAT, f"{drop:.2f}"),
        (f"at most {MINUTES:.0f} minutes on {CORES} cores", seconds <= 60 * MINUTES, f"{seconds / 60:.1f}"),
        (f"same class for {AGREEMENT:.1%}", agreement >= AGREEMENT, f"{agreement:.2%}"),
    ]
    for bar, kept, found in bars:
        print(f"{'ok    ' if kept else 'MISSED'} {bar}: {found}")
    return not all(kept for _, kept, _ in bars)


if __name__ == "__main__":
    main(sys.argv[1:])
