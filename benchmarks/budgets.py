"""`edgekit quantize --max-drop` on the real models, several budgets each: is success ever more than was asked for?

    python benchmarks/budgets.py [MODEL ...]

drop: the largest of both files, and the end of its 95 % interval, in the budget's unit; INT8, int16, float: of the
MACs, as asked for; looks: candidates judged on the evaluation samples. Every line is checked against the scores of the
report: exit 0 must mean that no file's interval ends above the budget, and exit 1 that one does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from typing import Any

from shared_models import MODELS, Model, require

BUDGETS = {  # points; dB for ESPCN, % of the error for the autoencoder
    "cifar_resnet20_jpegft": (0.5, 0.1, 0.02),
    "mlperf_ic_resnet8_jpegft": (0.5, 0.1, 0.02),
    "mlperf_kws_dscnn": (0.5, 0.1),
    "kwt1": (1.0, 0.5, 0.3),
    "imagenet_mobilenetv1_025_224": (3.0, 2.0, 1.0, 0.5),
    "mlperf_ad_autoencoder": (2.0, 0.2, 0.01),
    "espcn_x2": (0.1, 0.02, 0.001),
}


def main(wanted: list[str]) -> None:
    require()
    print(f"{'model':30} {'max':>6} {'exit':>4} {'drop':>8} {'95 %':>8} {'INT8':>7} {'int16':>7} {'float':>7} "
          f"{'looks':>5} {'s':>5}")  # fmt: skip
    for model in MODELS:
        if not wanted or model.name in wanted:
            for max_drop in BUDGETS[model.name]:
                show(model, max_drop)


def show(model: Model, max_drop: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "edgekit", "quantize", *model.command(), "--max-drop", str(max_drop)]
        start = time.perf_counter()
        done = subprocess.run([*command, "-o", folder, "--json"], capture_output=True, text=True, check=False)
    took = time.perf_counter() - start
    if done.returncode not in (0, 1):
        raise SystemExit(f"{model.name}: {done.stderr}")
    report = json.loads(done.stdout)
    budget = report["budget"]
    check(model.name, done.returncode, max_drop, report)
    shares = [budget["shares"].get(key, 0.0) for key in ("int8", "int16", "float32")]
    drops = f"{budget['drop']:8.3f} {budget['upper']:8.3f}"
    precisions = " ".join(f"{share:7.1%}" for share in shares)
    looks = len(budget["candidates"])
    print(f"{model.name:30} {max_drop:6g} {done.returncode:4} {drops} {precisions} {looks:5} {took:5.0f}", flush=True)


def check(name: str, status: int, max_drop: float, report: dict[str, Any]) -> None:
    verification = report["verification"]
    unit = 100.0 if verification["unit"] == "share" else 1.0
    if not verification["unit"] and not verification["higher_is_better"]:
        unit = 100.0 / verification["reference"]["value"]
    worst = max(
        score["drop_interval"]["high"] * unit
        for score in verification["scores"]
        if not score["label"].startswith("float32")
    )
    if (worst <= max_drop) != (status == 0):
        raise SystemExit(f"{name}: exit {status}, but a file may drop by {worst:g} where {max_drop:g} was allowed")


if __name__ == "__main__":
    main(sys.argv[1:])
