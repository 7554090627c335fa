"""The recipe that a user starts from: what is known is filled in, what may be wanted stands there as a comment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from edgekit.errors import EdgekitError
from edgekit.user_code import place

# What [data] may hold, with an example and words for each.
SAMPLES: Mapping[str, tuple[str, str]] = {
    "data": ("samples.npz", "split into calibration and evaluation; or give these apart"),
    "calibration": ("calibration.npz", "to choose scales on: 100 to 500 samples such as the device will see"),
    "evaluation": ("evaluation.npz", "to judge on: with labels or targets, and never learned from"),
    "training": ("training.npz", "to learn from, for [prune] and [qat]"),
}

REST = """\
[preprocess]               # from the samples as they are to what the model takes, as in its training
# resize = 256             # images: the shorter side in pixels, or [height, width]
# crop = 224               # images: the centre
# scale = "1/255"          # multiplied first
# mean = [0.485, 0.456, 0.406]
# std = [0.229, 0.224, 0.225]
# layout = "nhwc"          # of the samples, where it is not the model's

[prune]                    # leave all of it out, and nothing is pruned
# macs = "70%"             # what may be left; or params, size, latency
# sparsity = "50%"         # single weights set to zero: for the download
# epochs = 20              # of fine-tuning on [data] training

[quantize]
# precision = "int8"       # or int16x8, int8-dynamic, float16; float32 leaves the model as it is
# effort = "high"          # learn how weights are rounded; up to minutes
# io = "int8"              # what the files take and give
# keep_float = ["head"]    # nodes to leave in float

[qat]
# epochs = 3               # train the integers on [data] training

[output]
# directory = "out"        # beside this file, unless it starts with /
# formats = ["tflite"]     # or onnx; both where it is left out

[verify]
# metric = "top1"          # or top5, psnr, mse, mae, cosine, sqnr; what suits the samples where it is left out

[budget]
# max_drop = 0.5           # as bad as a file may be, 95 % sure: points, dB, or % of the error; else the exit code is 1
"""


def starter(
    folder: Path, model: str, factory: str | None, samples: Mapping[str, str | None], device: str | None
) -> str:
    """folder: where the recipe will be; samples: by key of [data]. Raises EK101 for a path of nothing."""
    example = 'device = "raspberry-pi-4"'
    lines = [
        "# Built by `edgekit build`, wherever it is called from: paths start at this file's folder.",
        f"device = {_text(_seen(device, folder) if device.endswith('.toml') else device)}"
        if device is not None
        else f"# {example}  # what it is for; `edgekit devices list` lists them",
        "",
        "[model]",
        f"path = {_text(_seen(model, folder))}",
        '# factory = "nets.py:make"  # what builds the module, where the file holds weights alone'
        if factory is None
        else f"factory = {_text(_seen(factory, folder))}",
        "# inputs = { image = [1, 3, 224, 224] }  # shapes with the batch, where neither file nor samples tell them",
        "",
        "[data]",
        *_samples(samples, folder),
        "",
    ]
    return "\n".join(lines) + "\n" + REST


def _samples(given: Mapping[str, str | None], folder: Path) -> list[str]:
    lines = []
    for key, (example, words) in SAMPLES.items():
        known = given.get(key)
        said = f"# {key} = {_text(example)}" if known is None else f"{key} = {_text(_seen(known, folder))}"
        lines.append(f"{said}  # {words}")
    return lines


def _seen(spec: str, folder: Path) -> str:
    """A path as seen from the folder; 'file.py:factory' too, and 'package.module:factory' as it is."""
    where = None if Path(spec).exists() else place(spec)
    if where is not None and where.file is None:
        return spec
    path = Path(spec) if where is None else where.file
    assert path is not None
    if not path.exists():
        raise EdgekitError("EK101", f"nothing at '{path}'", "the path does not exist", "check the path")
    seen = Path(os.path.relpath(path, folder)).as_posix()
    return seen if where is None else f"{seen}:{where.name}"


def _text(value: str) -> str:
    """JSON's strings are TOML's."""
    return json.dumps(value, ensure_ascii=False)
