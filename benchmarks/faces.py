"""The slim face detector: how many of the float model's detections both INT8 files find.

    python benchmarks/faces.py [OPTION OF edgekit quantize ...]

There are eight photographs, so the model is quantized twice: on every other one, to be judged on the rest, and the
other way round. Boxes are decoded as their authors do it (priors, scores above 0.7, non-maximum suppression at 0.3).
matched: detections of the float model for which the INT8 file has one with an IoU of at least 0.9 and a score less
than 0.05 apart.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from shared_models import SHARED, require

SIZE = (320, 240)
THRESHOLD, SUPPRESSION = 0.7, 0.3
IOU, SCORE, BAR = 0.9, 0.05, 0.95
WEIGHTS = SHARED / "weights" / "face_slim320.pt"
FACTORY = f"{SHARED / 'models.py'}:face_slim320"
FOLDS = ("first", "second")

Array = NDArray[np.float32]
Detect = Callable[[Array], tuple[Array, Array]]
"""(1, 3, 240, 320) in; logits (1, N, 2) and box regressions (1, N, 4) out."""
Found = tuple[Array, Array]
"""Boxes (n, 4), corners from 0 to 1, and scores (n,)."""


def main(options: list[str]) -> None:
    require()
    float_model = torch_model()
    matched: dict[str, int] = {}
    total = 0
    for calibrated, judged in (FOLDS, FOLDS[::-1]):
        with tempfile.TemporaryDirectory() as folder:
            quantize(folder, calibrated, options)
            photographs = list(globals()[judged]())
            expected = [detections(*float_model(sample["x"])) for sample in photographs]
            total += sum(len(scores) for _, scores in expected)
            for label, model in (("INT8 ONNX", onnx_model(folder)), ("INT8 TFLite", tflite_model(folder))):
                found = [detections(*model(sample["x"])) for sample in photographs]
                matched[label] = matched.get(label, 0) + sum(map(matches, expected, found))
    print(f"{total} detections of the float model   bar {BAR:.0%}")
    for label, count in matched.items():
        print(f"{label:12} {count} matched, {count / total:.1%}")
    if min(matched.values()) < BAR * total:
        raise SystemExit(f"a file misses more than {1 - BAR:.0%}")


def quantize(folder: str, calibrated: str, options: list[str]) -> None:
    command = [sys.executable, "-m", "edgekit", "quantize", str(WEIGHTS), "--model", FACTORY, "-o", folder]
    calibration = ["--calib", f"{Path(__file__).resolve()}:{calibrated}"]
    done = subprocess.run([*command, *calibration, *options, "--overwrite"], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)


def first() -> Iterator[dict[str, Array]]:
    """Every other photograph: `--calib faces.py:first`."""
    return _photographs(0)


def second() -> Iterator[dict[str, Array]]:
    """The rest of them."""
    return _photographs(1)


def _photographs(start: int) -> Iterator[dict[str, Array]]:
    paths = sorted((SHARED / "faces").glob("*.jpg"), key=lambda path: int(path.stem))
    for path in paths[start::2]:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB").resize(SIZE, Image.Resampling.BILINEAR), np.float32)
        yield {"x": ((pixels - 127) / 128).transpose(2, 0, 1)[None]}


# ---- detections ----------------------------------------------------------------------------------------------------


def detections(logits: Array, boxes: Array) -> Found:
    """What is left of the anchors after the threshold and non-maximum suppression, best first."""
    import torch

    models = _models()
    scores = torch.from_numpy(logits[0]).softmax(-1)[:, 1].numpy()
    corners = models.SlimFace.decode(torch.from_numpy(boxes[0]), models.SlimFace.priors()).numpy()
    left = np.flatnonzero(scores > THRESHOLD)
    left = left[np.argsort(-scores[left], kind="stable")]
    kept: list[int] = []
    while left.size:
        kept.append(int(left[0]))
        left = left[1:][overlaps(corners[left[:1]], corners[left[1:]])[0] <= SUPPRESSION]
    return corners[kept], scores[kept]


def matches(expected: Found, found: Found) -> int:
    near = overlaps(expected[0], found[0]) >= IOU
    alike = np.abs(expected[1][:, None] - found[1][None]) < SCORE
    return int((near & alike).any(axis=1).sum())


def overlaps(first: Array, second: Array) -> Array:
    """(n, m) intersection over union of boxes (n, 4) and (m, 4)."""
    low, high = np.maximum(first[:, None, :2], second[None, :, :2]), np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    sizes = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    return common / (sizes[0][:, None] + sizes[1][None] - common)


# ---- models --------------------------------------------------------------------------------------------------------


def _models() -> Any:
    if str(SHARED) not in sys.path:
        sys.path.insert(0, str(SHARED))
    import models

    return models


def torch_model() -> Detect:
    import torch

    model = _models().face_slim320().eval()
    model.load_state_dict(torch.load(WEIGHTS, weights_only=True))

    def run(x: Array) -> tuple[Array, Array]:
        with torch.inference_mode():
            logits, boxes = model(torch.from_numpy(x))
        return logits.numpy(), boxes.numpy()

    return run


def onnx_model(folder: str) -> Detect:
    import onnxruntime

    session = onnxruntime.InferenceSession(Path(folder) / f"{WEIGHTS.stem}.int8.onnx")
    return lambda x: tuple(session.run(None, {"x": x}))


def tflite_model(folder: str) -> Detect:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(Path(folder) / f"{WEIGHTS.stem}.int8.tflite")).get_signature_runner()

    def run(x: Array) -> tuple[Array, Array]:
        made = sorted(runner(x=x).values(), key=lambda array: array.shape[2])
        return made[0], made[1]

    return run


if __name__ == "__main__":
    main(sys.argv[1:])
