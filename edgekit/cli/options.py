"""Every option once: its name and its words. `edgekit.flags` says which key of a recipe it overrides.

An option left out is None and leaves the recipe's value (or its default) alone; help says that default in words.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgekit import flags

if TYPE_CHECKING:
    from edgekit.recipe import Recipe as RecipeRecord

# ---- what every command shares ---------------------------------------------------------------------------------------
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say each step on stderr, also without a terminal.")]
Recipe = Annotated[
    Path | None,
    typer.Option("--recipe", metavar="FILE", help="TOML file with any of these options; options given here win."),
]
Device = Annotated[
    str | None,
    typer.Option("--device", metavar="NAME", help="Target: a name or a TOML file. Default: this machine's processor."),
]

# ---- [model] ---------------------------------------------------------------------------------------------------------
Model = Annotated[
    str | None,
    typer.Argument(
        help="The trained model: .pt, .pt2, .safetensors, .onnx, or file.py:factory.",
        metavar="MODEL",
        show_default=False,
    ),
]
Factory = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="FACTORY", help="What to load weights into: file.py:factory or package.module:factory."
    ),
]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="NAME=SHAPE",
        help="Shape of an input, name=1x3x224x224; repeatable. Default: from the file or samples.",
    ),
]
TrustPickle = Annotated[
    bool | None,
    typer.Option("--trust-pickle", help="Load a pickle that may run any code. Default: refused.", show_default=False),
]

# ---- [data] ----------------------------------------------------------------------------------------------------------
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="PATH",
        help="Samples, split into calibration and evaluation: .npz, .npy, folder, file.py:factory.",
    ),
]
Calibration = Annotated[
    str | None, typer.Option("--calib", metavar="PATH", help="Samples to calibrate on, instead of --data.")
]
Evaluation = Annotated[
    str | None, typer.Option("--eval", metavar="PATH", help="Samples to judge on, instead of --data.")
]
Training = Annotated[
    str | None,
    typer.Option(
        "--train", metavar="PATH", help="Samples to train on, after pruning or with --qat, in any of --data's forms."
    ),
]
CalibrationCount = Annotated[
    int | None,
    typer.Option(
        "--calib-count", metavar="N", min=1, help="Samples to calibrate on. Default: 256, at most half of --data."
    ),
]
Seed = Annotated[int | None, typer.Option("--seed", metavar="N", help="Seed of whatever is random. Default: 0.")]

# ---- [preprocess] ----------------------------------------------------------------------------------------------------
Resize = Annotated[
    str | None,
    typer.Option("--resize", metavar="N|HxW", help="Resize the shorter side, or to HxW, in pixels. Default: no."),
]
Crop = Annotated[
    str | None, typer.Option("--crop", metavar="N|HxW", help="Centre crop, N or HxW, in pixels. Default: no.")
]
Scale = Annotated[
    str | None, typer.Option("--scale", metavar="NUMBER", help="Multiply samples by this, such as 1/255. Default: 1.")
]
Mean = Annotated[
    str | None,
    typer.Option(
        "--mean", metavar="NUMBERS", help="Subtract after --scale, one per channel: .485,.456,.406. Default: 0."
    ),
]
Std = Annotated[
    str | None,
    typer.Option(
        "--std", metavar="NUMBERS", help="Divide by after --mean, one per channel: .229,.224,.225. Default: 1."
    ),
]
SamplesLayout = Annotated[
    Literal["nhwc", "nchw"] | None,
    typer.Option("--samples-layout", help="Order of axes in the samples. Default: the model's own."),
]

# ---- [prune] ---------------------------------------------------------------------------------------------------------
Macs = Annotated[
    str | None,
    typer.Option("--macs", metavar="SHARE", help="Prune until at most this is left of the MACs: 70%. Default: no."),
]
Params = Annotated[
    str | None,
    typer.Option("--params", metavar="SHARE", help="Prune until at most this is left of the parameters. Default: no."),
]
Size = Annotated[
    str | None,
    typer.Option("--size", metavar="SHARE", help="Prune until at most this is left of the float file. Default: no."),
]
Latency = Annotated[
    str | None,
    typer.Option(
        "--latency",
        metavar="SHARE",
        help="Prune until at most this is left of the float file's latency, measured here, or estimated for --device."
        " Default: no.",
    ),
]
Sparsity = Annotated[
    str | None,
    typer.Option(
        "--sparsity",
        metavar="SHARE",
        help="Set this share of the weights to zero, 50%, or two of each four, 2:4: a smaller file once it is"
        " compressed, and no faster here. Default: no.",
    ),
]
Score = Annotated[
    Literal["norms", "l1", "factors", "activations", "taylor"] | None,
    typer.Option(
        "--score",
        help="What tells which channels matter: L2 or L1 norms of weights, factors of norms, activations, or the loss"
        " (taylor). Default: taylor where the samples to learn from have labels or targets, else norms.",
    ),
]
Rounds = Annotated[
    int | None,
    typer.Option(
        "--rounds",
        metavar="N",
        min=1,
        help="Cut in so many rounds, each scored anew and fine-tuned for its part of the epochs. Default: 1.",
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        "--epochs",
        metavar="N",
        min=1,
        help="Fine-tune the pruned model on --train, this often. Default: 10, up to 100 where samples are few.",
    ),
]
Patience = Annotated[
    int | None,
    typer.Option(
        "--patience",
        metavar="N",
        min=1,
        help="End the fine-tuning when N epochs brought no lower loss on samples kept apart, and keep the best epoch."
        " Default: no, all epochs are seen and the last is kept.",
    ),
]

# ---- [quantize] ------------------------------------------------------------------------------------------------------
Precision = Annotated[
    Literal["int8", "int16x8", "int8-dynamic", "float16"] | None,
    typer.Option(
        "--precision",
        help="Of the files: int8, int16 activations (int16x8), only weights in int8 (int8-dynamic), or float16."
        " Default: int8.",
    ),
]
Scheme = Annotated[
    Literal["default", "symmetric", "per-tensor"] | None,
    typer.Option(
        "--scheme",
        help="Which integers: the default ones, symmetric (TensorRT), or per-tensor weights. Default: the device's.",
    ),
]
Ranges = Annotated[
    Literal["auto", "minmax", "percentile", "mse", "entropy"] | None,
    typer.Option("--ranges", help="How activation ranges are chosen. Default: auto, the smallest output error."),
]
Sensitivity = Annotated[
    bool | None,
    typer.Option(
        "--sensitivity", help="Also measure what each op loses alone (SQNR, dB). Default: no.", show_default=False
    ),
]
Effort = Annotated[
    Literal["default", "high"] | None,
    typer.Option("--effort", help="high: learn how weights are rounded; up to minutes. Default: default."),
]
Io = Annotated[
    Literal["float32", "int8"] | None,
    typer.Option("--io", help="What the INT8 files take and give. Default: the device's, or float32."),
]

# ---- [qat] -----------------------------------------------------------------------------------------------------------
Qat = Annotated[
    int | None,
    typer.Option("--qat", metavar="EPOCHS", min=1, help="Train the INT8 graph on --train, this often. Default: no."),
]
LearningRate = Annotated[
    float | None,
    typer.Option(
        "--lr",
        metavar="SHARE",
        help="First step of training, as a share of a weight's size. Default: 0.01 after pruning, 0.001 with --qat.",
    ),
]
TrainBatch = Annotated[
    int | None, typer.Option("--train-batch", metavar="N", min=1, help="Samples per step of training. Default: 64.")
]
Optimizer = Annotated[
    Literal["adamw", "sgd"] | None, typer.Option("--optimizer", help="How steps are taken in training. Default: adamw.")
]
Augment = Annotated[
    list[str] | None,
    typer.Option(
        "--augment",
        metavar="CHANGE",
        help="Change samples each time they are trained on: flip, shift (images), noise (real numbers); repeatable."
        " Default: no.",
    ),
]
Distill = Annotated[
    float | None,
    typer.Option(
        "--distill",
        metavar="SHARE",
        help="How much to learn from the model as it was, 0 to 1, the rest from labels or targets. Default: 0.5.",
    ),
]

# ---- [output] --------------------------------------------------------------------------------------------------------
Directory = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="DIR", help="Folder for the files. Default: <model>-edgekit.")
]
Formats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="File format to write, onnx or tflite; repeatable. Default: both, or tflite where a device runs no other.",
    ),
]
KeepFloat = Annotated[
    list[str] | None,
    typer.Option("--keep-float", metavar="NODE", help="Node to leave in float32; repeatable. Default: none."),
]
Layout = Annotated[
    Literal["keep", "nhwc"] | None,
    typer.Option("--layout", help="Layout of the files' inputs. Default: keep, the model's own."),
]
Batch = Annotated[
    int | None,
    typer.Option("--batch", metavar="N", min=1, help="Samples per run of the TFLite file; ONNX takes any. Default: 1."),
]
Overwrite = Annotated[
    bool | None,
    typer.Option("--overwrite", help="Replace files that are already there. Default: refused.", show_default=False),
]

Resume = Annotated[
    bool | None,
    typer.Option("--resume", help="Go on with the training that was interrupted. Default: no.", show_default=False),
]

# ---- [verify] --------------------------------------------------------------------------------------------------------
Metric = Annotated[
    str | None,
    typer.Option(
        "--metric",
        metavar="NAME",
        help="top1, top5, psnr, mse, mae, cosine or sqnr. Default: top1 with labels, else what suits.",
    ),
]
Layers = Annotated[
    bool | None,
    typer.Option("--layers", help="Also compare layer by layer (SQNR, dB). Default: no.", show_default=False),
]
Threads = Annotated[
    int | None, typer.Option("--threads", metavar="N", min=1, help="Threads while latency is measured. Default: 1.")
]


# ---- [budget] --------------------------------------------------------------------------------------------------------
MaxDrop = Annotated[
    float | None,
    typer.Option(
        "--max-drop",
        metavar="DROP",
        help="Take ops out of INT8 until no file drops by more, 95 % sure: points, dB, or % of the float error (mse, "
        "mae). Default: no limit.",
    ),
]


def recipe(said: Mapping[str, object]) -> RecipeRecord:
    """The recipe of `--recipe`, with what the command line says over it."""
    from edgekit.recipe import load_recipe  # pydantic takes a third of the time that `edgekit --help` has

    path, inputs = said.get("recipe"), said.get("input")
    if isinstance(inputs, list) and inputs:
        said = {**said, "input": dict(flags.shape(text) for text in inputs)}
    return load_recipe(path if isinstance(path, Path) else None, flags.by_section(said))
