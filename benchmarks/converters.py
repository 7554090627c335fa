"""Latency of edgekit's TFLite files beside those that litert-torch makes of the same models, one thread, interleaved.

    python benchmarks/converters.py PYTHON [NAME ...]

PYTHON: the interpreter of an environment with litert-torch and ai-edge-quantizer. Both tools work by their defaults;
INT8 files take and give integers, as ai-edge-quantizer's do. ratio: edgekit's median over the other's, in one run, with
the lower and upper quartile of the ratios of single rounds.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from edgekit.run.runner import Runner
from edgekit.run.signature import opened

HERE = Path(__file__).resolve().parent
NAMES = ("mobilenet_v2", "mobilenet_v3_small", "efficientnet_lite0", "resnet50")
ROUNDS, ROUND_S = 40, 0.1


def main(arguments: list[str]) -> None:
    python, *names = arguments
    print(f"{'model':24}{'file':>8}{'edgekit':>12}{'other':>12}{'ratio':>8}   quartiles of rounds")
    for name in names or NAMES:
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = Path(folder) / "ours", Path(folder) / "theirs"
            theirs.mkdir()
            files = {**made(name, ours), **made_by_other(python, name, theirs)}
            for kind in ("float", "int8"):
                compare(name, kind, files["ours", kind], files["theirs", kind])


def made(name: str, folder: Path) -> dict[tuple[str, str], Path]:
    zoo = f"{HERE / 'zoo.py'}:{name}"
    samples = ["--calib", f"{zoo}_calibration"]
    ran(sys.executable, "-m", "edgekit", "quantize", zoo, *samples, "--io", "int8", "-o", str(folder / "int8"))
    ran(sys.executable, "-m", "edgekit", "convert", zoo, "--data", f"{zoo}_evaluation", "-o", str(folder / "float"))
    return {
        ("ours", "float"): next((folder / "float").glob("*.tflite")),
        ("ours", "int8"): next((folder / "int8").glob("*.tflite")),
    }


def made_by_other(python: str, name: str, folder: Path) -> dict[tuple[str, str], Path]:
    ran(python, str(HERE / "litert_torch_files.py"), name, str(folder))
    return {("theirs", kind): folder / f"{kind}.tflite" for kind in ("float", "int8")}


def ran(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr[-2000:]}")


def compare(name: str, kind: str, *files: Path) -> None:
    with ExitStack() as stack:
        runners = [stack.enter_context(Runner(opened(file))) for file in files]
        counts = []
        for runner in runners:
            runner.prepare(sample(runner))
            counts.append(max(1, int(ROUND_S / runner.warm_up().run_s)))
        seconds = np.array(
            [[np.median(r.time_runs(n).times_s) for r, n in zip(runners, counts, strict=True)] for _ in range(ROUNDS)]
        )
    ratios = seconds[:, 0] / seconds[:, 1]
    ours, theirs = np.median(seconds, axis=0) * 1e3
    low, _, high = statistics.quantiles(ratios)
    print(
        f"{name:24}{kind:>8}{ours:9.2f} ms{theirs:9.2f} ms{np.median(ratios):8.2f}   {low:.2f}..{high:.2f}", flush=True
    )


def sample(runner: Runner) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    specs = runner.artifact.inputs
    return {
        spec.name: generator.normal(size=[d if isinstance(d, int) else 1 for d in spec.shape]).astype(np.float32)
        for spec in specs
    }


if __name__ == "__main__":
    main(sys.argv[1:])
