"""Samples to calibrate on, good ones and broken ones: what does the report doubt?

    python benchmarks/doubts.py

Each real model with its own samples must raise no doubt; the same samples, broken in one way at a time, must raise the
doubt that is named. Exit 1 where one does not.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from shared_models import MODELS, NORMALIZED, SHARED, Model, require
from street import ran

QUICK = ("--ranges", "minmax", "--format", "onnx")  # the doubts do not depend on either


def main() -> None:
    require()
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for model in MODELS:
            wrong += judged(f"{model.name}, its own", model.command(), Path(folder), wanted=None)
        for name, words, wanted in broken(Path(folder)):
            wrong += judged(name, words, Path(folder), wanted)
    raise SystemExit(1 if wrong else 0)


def judged(name: str, words: list[str], folder: Path, wanted: str | None) -> bool:
    report = ran([*words, *QUICK], folder / name.replace(" ", "-"))
    doubts = report["calibration"]["doubts"]
    kinds = [doubt["kind"] for doubt in doubts]
    right = wanted in kinds if wanted else not kinds
    print(f"{'ok   ' if right else 'WRONG'} {name:44} {', '.join(doubt['why'] for doubt in doubts) or '-'}", flush=True)
    return not right


def broken(folder: Path) -> list[tuple[str, list[str], str]]:
    """(name, command, the doubt it must raise)."""
    data, test = np.load(SHARED / "cifar10_calib.npz"), np.load(SHARED / "cifar10_test.npz")
    x, labels = data["inputs"], data["labels"]
    some = np.random.default_rng(0).permutation(len(test["labels"]))[:500]
    judge = saved(folder, "judge", test["inputs"][some], test["labels"][some])
    resnet = model("cifar_resnet20").command()[:3]
    cases = []

    def case(
        name: str,
        wanted: str,
        images: np.ndarray = x,
        classes: np.ndarray = labels,
        prepared: tuple[str, ...] = NORMALIZED,
        by: str = judge,
    ) -> None:
        calibration = saved(folder, name.replace(" ", "-"), images, classes)
        words = [*resnet, "--samples-layout", "nhwc", "--calib", calibration, "--eval", by, *prepared]
        cases.append((f"ResNet-20, {name}", words, wanted))

    case("pixels 0..255", "normalization", prepared=())
    case("scaled only", "normalization", prepared=NORMALIZED[:2])
    case("copies", "copies", np.repeat(x[:30], 10, axis=0), np.repeat(labels[:30], 10))
    case("one class", "classes", x[labels == 3], labels[labels == 3])
    case("a constant channel", "constant", np.where(np.arange(3) == 1, np.uint8(7), x))
    case("too dark", "coverage", x // 4)
    case("six samples", "few", x[:6], labels[:6])
    bright = (x[::4] / 255).astype(np.float32)
    bright[7] *= 6
    judge_scaled = saved(folder, "judge-scaled", (test["inputs"][some] / 255).astype(np.float32), test["labels"][some])
    case("one outlier", "stability", bright, labels[::4], NORMALIZED[2:], judge_scaled)
    cases += [
        ("ResNet-8, scaled to 0..1", [*model("mlperf_ic_resnet8").command(), "--scale", "1/255"], "normalization"),
        ("MobileNetV1, pixels 0..255", model("imagenet_mobilenetv1_025").command()[:-4], "normalization"),
    ]
    kws, pairs = np.load(SHARED / "kws_calib_mfcc49x10.npz"), np.load(SHARED / "sr_x2_eval.npz")
    even = (kws["inputs"] - kws["inputs"].mean((0, 1, 2))) / kws["inputs"].std((0, 1, 2))
    words = [*model("mlperf_kws_dscnn").command(), "--calib", saved(folder, "kws", even, kws["labels"])]
    cases.append(("DS-CNN, normalised where it should not be", words, "normalization"))
    pixels = np.rint(pairs["inputs"] * 255).astype(np.float32)
    np.savez(folder / "pairs.npz", inputs=pixels, targets=pairs["targets"])
    words = [*model("espcn_x2").command()[:3], "--data", str(folder / "pairs.npz")]
    cases.append(("ESPCN (no batch norm), pixels 0..255", words, "normalization"))
    return cases


def model(factory: str) -> Model:
    return next(model for model in MODELS if model.factory == factory)


def saved(folder: Path, name: str, inputs: np.ndarray, labels: np.ndarray) -> str:
    np.savez(folder / f"{name}.npz", inputs=inputs, labels=labels)
    return str(folder / f"{name}.npz")


if __name__ == "__main__":
    sys.exit(main())
