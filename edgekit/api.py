"""The Python API: what the commands do, as functions that give back the object which the commands print."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

import numpy as np
from torch import nn

from edgekit import flags, pipeline
from edgekit.artifact import Arrays
from edgekit.data import Given
from edgekit.errors import EdgekitError
from edgekit.progress import SILENT, Progress
from edgekit.recipe import Recipe, load_recipe
from edgekit.report import Report
from edgekit.verify.result import Verification

Model = str | Path | nn.Module
SamplesGiven = str | Path | Arrays | np.ndarray[Any, Any]
Number = float | str


class Options(TypedDict, total=False):
    """The options of the command line, by the same names and with the same meanings (`edgekit quantize --help`)."""

    model: str
    input: Mapping[str, Sequence[int]]
    trust_pickle: bool
    calib: SamplesGiven
    eval: SamplesGiven
    train: SamplesGiven
    calib_count: int
    seed: int
    resize: int | tuple[int, int]
    crop: int | tuple[int, int]
    scale: Number
    mean: Number | Sequence[float]
    std: Number | Sequence[float]
    samples_layout: Literal["nhwc", "nchw"]
    macs: Number
    params: Number
    size: Number
    latency: Number
    sparsity: Number
    score: Literal["norms", "l1", "factors", "activations", "taylor"]
    rounds: int
    epochs: int
    patience: int
    ranges: Literal["auto", "minmax", "percentile", "mse", "entropy"]
    effort: Literal["default", "high"]
    keep_float: Sequence[str]
    io: Literal["float32", "int8"]
    sensitivity: bool
    qat: int
    lr: float
    train_batch: int
    distill: float
    optimizer: Literal["adamw", "sgd"]
    augment: Sequence[Literal["flip", "shift", "noise"]]
    resume: bool
    format: Sequence[Literal["onnx", "tflite"]]
    layout: Literal["keep", "nhwc"]
    batch: int
    overwrite: bool
    metric: str
    max_drop: float
    layers: bool
    threads: int
    device: str
    recipe: str | Path


class QuantizeOptions(Options, total=False):
    """What `quantize` takes beside these."""

    precision: Literal["int8", "int16x8", "int8-dynamic", "float16"]
    scheme: Literal["default", "symmetric", "per-tensor"]


def quantize(
    source: Model,
    samples: SamplesGiven | None = None,
    *,
    out: str | Path | None = None,
    progress: Progress = SILENT,
    **options: Unpack[QuantizeOptions],
) -> Report:
    """Turn a trained model into verified INT8 ONNX and TFLite files; returns what `edgekit quantize` prints.

    source: a model file, "file.py:factory", or an nn.Module; samples: a file or folder, or arrays with the batch first:
    {"inputs": (N, ...), "labels": (N,)} (by input name where the model has several inputs), split into calibration and
    evaluation by content; calib, eval: the two apart, instead; out: the folder, "<model>-edgekit" by default.
    Raises EdgekitError, whose text says what, why, and how to fix it. Where `max_drop` could not be kept, the files of
    the best found are written, and the report's `budget.met` is False.

        report = edgekit.quantize("model.pt", {"inputs": x, "labels": y}, model="nets.py:resnet20", scale="1/255")
        print(report)
        report.verification.scores[1].drop
    """
    recipe, given = _read(source, samples, out, options, QuantizeOptions)
    return pipeline.quantize(recipe, progress, given)


def prune(
    source: Model,
    samples: SamplesGiven | None = None,
    *,
    out: str | Path | None = None,
    progress: Progress = SILENT,
    **options: Unpack[Options],
) -> Report:
    """Cut channels out of a trained model, fine-tune it where `train` gives samples, and write it as float files.

    One of `macs`, `params`, `size`, `latency` says what may be left: 0.7 or "70%"; `sparsity`, alone or with it, which
    share of the weights is set to zero, or "2:4". The arguments are those of `quantize`, which prunes before it
    quantizes where one of them is given. Without `train`, some of `samples` score channels and refit the layers that
    are left, and the others are judged on; with it, all are judged on.

        report = edgekit.prune("model.pt2", "test.npz", macs="70%", train="train.npz", epochs=20)
        report.pruning.macs / report.model.macs
    """
    recipe, given = _read(source, samples, out, options)
    return pipeline.prune(recipe, progress, given)


def convert(
    source: Model,
    samples: SamplesGiven | None = None,
    *,
    precision: Literal["float32", "float16"] = "float32",
    out: str | Path | None = None,
    progress: Progress = SILENT,
    **options: Unpack[Options],
) -> Report:
    """Write a model as float32 or float16 files; the arguments are those of `quantize`."""
    recipe, given = _read(source, samples, out, options)
    return pipeline.convert(recipe, precision, progress, given)


def compare(
    first: str | Path,
    second: str | Path,
    samples: SamplesGiven | None = None,
    *,
    progress: Progress = SILENT,
    **options: Unpack[Options],
) -> Verification:
    """Run two model files on the same samples; `second` is judged by `first`."""
    recipe, given = _read(first, samples, None, options)
    return pipeline.compare(Path(first), Path(second), recipe, progress, given)


def _read(
    source: Model,
    samples: SamplesGiven | None,
    out: str | Path | None,
    options: Options,
    known: type[Options] = Options,
) -> tuple[Recipe, Given]:
    """Paths go into the recipe, what is in memory goes beside it. known: the options that the function takes."""
    _refuse_unknown(options, known.__annotations__)
    said: dict[str, Any] = {**options, "path": source, "data": samples, "output": out}
    memory = {name: said.pop(name) for name in ("path", "data", "calib", "eval", "train") if _in_memory(said.get(name))}
    if "path" in memory:
        said["path"] = type(source).__name__.lower()  # names the files
    given = Given(
        model=memory.get("path"),
        data=memory.get("data"),
        calibration=memory.get("calib"),
        evaluation=memory.get("eval"),
        training=memory.get("train"),
    )
    recipe = said.get("recipe")
    return load_recipe(None if recipe is None else Path(recipe), flags.by_section(said)), given


def _refuse_unknown(options: Options, known: Mapping[str, object]) -> None:
    for name in options.keys() - known.keys():
        near = difflib.get_close_matches(name, known, 1)
        fix = f"did you mean '{near[0]}'?" if near else f"the options are {', '.join(known)}"
        raise EdgekitError("EK197", f"unknown option '{name}'", "neither the command line nor a recipe has it", fix)


def _in_memory(value: object) -> bool:
    return value is not None and not isinstance(value, str | Path)
