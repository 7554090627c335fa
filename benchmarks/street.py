"""`edgekit quantize` on the real models, default settings: accuracy, agreement, ledger, latency, size, transposes.

    python benchmarks/street.py [--layout nhwc] [MODEL ...]

One line per INT8 file. drop: points of top-1 (dB for PSNR, share of the float score for MSE), with its 95 % interval;
same: top-1 agreement and identical output elements of the two INT8 files; speed: float32 time over INT8 time in the
same runtime, one thread, interleaved; size: share of the float ONNX file; T: transposes left.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from shared_models import MODELS, Model, require


def main(arguments: list[str]) -> None:
    require()
    layout = ["--layout", arguments.pop(arguments.index("--layout") + 1)] if "--layout" in arguments else []
    wanted = [word for word in arguments if not word.startswith("--")]
    print(f"{'model':32} {'file':12} {'float':>8} {'INT8':>8} {'drop':>7} {'95 %':>16} "
          f"{'same':>15} {'MACs':>6} {'speed':>6} {'size':>5} {'T':>2}")  # fmt: skip
    for model in MODELS:
        if not wanted or model.name in wanted:
            show(model.name, quantized(model, layout))


def quantized(model: Model, options: list[str]) -> dict[str, Any]:
    """The report of one run in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return ran([*model.command(), *options], folder)


def ran(words: list[str], folder: str | Path) -> dict[str, Any]:
    """What `edgekit quantize` reports on these words."""
    command = [sys.executable, "-m", "edgekit", "quantize", *words, "-o", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{words[0]}: {done.stderr}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def show(name: str, report: dict[str, Any]) -> None:
    verification = report["verification"]
    scale = 100 if verification["unit"] == "share" else 1
    float_value = verification["reference"]["value"]
    relative = verification["metric"] == "mse"
    files = {file["label"]: file for file in report["files"]}
    medians = {latency["label"]: latency["median_s"] for latency in report["latencies"]}
    ledgers = {ledger["label"]: ledger["int8_macs_share"] for ledger in verification["ledgers"]}
    (agreement,) = verification["agreements"]
    same = f"{'-' if agreement['top1'] is None else format(agreement['top1'], '.2%')} {agreement['identical']:.2%}"
    for score in verification["scores"]:
        label = score["label"]
        if not label.startswith("INT8"):
            continue
        unit = 1 / float_value if relative else scale
        low, high = score["drop_interval"]["low"] * unit, score["drop_interval"]["high"] * unit
        speed = medians[label.replace("INT8", "float32")] / medians[label]
        size = files[label]["size_bytes"] / files["float32 ONNX"]["size_bytes"]
        transposes = "-" if files[label]["transposes"] is None else files[label]["transposes"]
        values = f"{float_value * scale:8.3f} {score['value'] * scale:8.3f} {score['drop'] * unit:7.3f}"
        costs = f"{ledgers[label]:6.1%} {speed:5.2f}x {size:5.2f} {transposes:>2}"
        print(f"{name:32} {label:12} {values} {low:7.3f}..{high:7.3f} {same:>15} {costs}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
