"""What edgekit itself costs: time beside a plain export, and peak memory against the number of samples.

    python benchmarks/cost.py [--rounds N]

Time: the whole process of `edgekit quantize` on MobileNetV1-0.25 (64 calibration, 436 evaluation images) against a
process that imports torch and calls torch.onnx.export(dynamo=True) on the same model, interleaved; the ratio of each
round is printed, since this machine's speed is not that of another. Memory: the largest resident set of the process
and of its children, with 64 and with 1000 calibration images.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from shared_models import MODELS, SHARED, require

EXPORT = """
import sys, torch
sys.path.insert(0, {folder!r})
import models
model = models.imagenet_mobilenetv1_025()
model.load_state_dict(torch.load({weights!r}, weights_only=True))
torch.onnx.export(model.eval(), (torch.zeros(1, 3, 224, 224),), dynamo=True)
"""


def main(arguments: list[str]) -> None:
    require()
    rounds = int(arguments[arguments.index("--rounds") + 1]) if "--rounds" in arguments else 3
    (mobilenet,) = [model for model in MODELS if model.factory == "imagenet_mobilenetv1_025"]
    weights = str(SHARED / "weights" / mobilenet.weights)
    export = [sys.executable, "-c", EXPORT.format(folder=str(SHARED), weights=weights)]
    ratios = []
    for _ in range(rounds):
        plain_s, _ = measured(export)
        with tempfile.TemporaryDirectory() as out:
            street_s, _ = measured([sys.executable, "-m", "edgekit", "quantize", *mobilenet.command(), "-o", out])
        ratios.append(street_s / plain_s)
        print(f"export {plain_s:6.2f} s   edgekit quantize {street_s:6.2f} s   ratio {ratios[-1]:.2f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.2f}")

    peaks = {count: peak_with(mobilenet.command()[:3], count) for count in (64, 1000)}
    for count, peak in peaks.items():
        print(f"{count:5} calibration images: peak {peak / 2**20:.0f} MiB")
    print(f"memory ratio {peaks[1000] / peaks[64]:.3f}")


def peak_with(model: list[str], count: int) -> int:
    """Peak bytes of a run that calibrates on `count` noisy copies of real images."""
    with tempfile.TemporaryDirectory() as folder:
        calibration, evaluation = Path(folder) / "calibration", Path(folder) / "evaluation"
        copies(calibration, count)
        copies(evaluation, 16, seed=1)
        command = [sys.executable, "-m", "edgekit", "quantize", *model, "--calib", str(calibration)]
        command += ["--eval", str(evaluation), "--calib-count", str(count), "--crop", "224", "--scale", "1/127.5"]
        return measured([*command, "--mean", "1", "-o", str(Path(folder) / "out")])[1]


def copies(folder: Path, count: int, seed: int = 0) -> None:
    """`count` different images, made of the shared ones by noise."""
    from PIL import Image

    folder.mkdir()
    generator = np.random.default_rng(seed)
    originals = sorted((SHARED / "imagenet500").glob("*.jpg"))
    for i in range(count):
        pixels = np.asarray(Image.open(originals[i % len(originals)]).convert("RGB"), np.int16)
        noisy = np.clip(pixels + generator.integers(-4, 5, pixels.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{i:04}.png", compress_level=1)


def measured(command: list[str]) -> tuple[float, int]:
    """Wall-clock seconds and peak bytes of one process and its children; a child process reads the peak."""
    reader = (
        "import json, resource, subprocess, sys, time; start = time.perf_counter();"
        "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE);"
        "sys.stderr.buffer.write(done.stderr if done.returncode else b'');"
        "print(json.dumps([done.returncode, time.perf_counter() - start,"
        " resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]))"
    )
    done = subprocess.run([sys.executable, "-c", reader, *command], stdout=subprocess.PIPE, text=True)
    status, seconds, kib = json.loads(done.stdout)
    if status:
        raise SystemExit(f"{command[:6]} ended with {status}")
    return seconds, kib * 1024


if __name__ == "__main__":
    main(sys.argv[1:])
