"""A recipe: what to do, as TOML sections or as options over them. Every key but the model has a default."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from edgekit import flags, units
from edgekit.errors import EdgekitError
from edgekit.preprocess import Preprocess
from edgekit.schema import Keys, Section, held_against, read_toml

Count = Annotated[int, Field(ge=1, strict=True)]
Batch = Annotated[int, Field(ge=1, le=4096, strict=True)]
Threads = Annotated[int, Field(ge=1, le=256, strict=True)]  # beyond any machine, a runtime only stalls
Flag = Annotated[bool, Field(strict=True)]
Dim = Annotated[int, Field(ge=1, strict=True)]
NonEmpty = Annotated[str, Field(min_length=1)]
Ranges = Literal["auto", "minmax", "percentile", "mse", "entropy"]
Metric = Literal["top1", "top5", "psnr", "mse", "mae", "cosine", "sqnr"]
Format = Literal["onnx", "tflite"]
SchemeName = Literal["default", "symmetric", "per-tensor"]


def _share(value: object) -> object:
    """'70%' -> 0.7; whatever is no number of per cent is complained of later."""
    if not isinstance(value, str):
        return value
    number, percent = value.strip().removesuffix("%"), value.strip().endswith("%")
    try:
        return float(number) / 100 if percent else float(number)
    except ValueError:
        return value


SHARE = BeforeValidator(_share, json_schema_input_type=float | str)  # for editors, too
Share = Annotated[float, SHARE, Field(gt=0, lt=1, allow_inf_nan=False, strict=True)]
Sparsity = Annotated[Literal["2:4"] | Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False, strict=True)], SHARE]
Goal = Literal["macs", "params", "size", "latency"]
ScoreName = Literal["norms", "l1", "factors", "activations", "taylor"]
GOALS: tuple[Goal, ...] = ("macs", "params", "size", "latency")


class Model(Section):
    """path: the trained file, or file.py:factory; factory: what to load weights into; inputs: shapes by name, batch
    first; trust_pickle: a pickle may run any code."""

    path: NonEmpty
    factory: NonEmpty | None = None
    inputs: dict[str, Annotated[tuple[Dim, ...], Field(min_length=1)]] = Field(default_factory=dict)
    trust_pickle: Flag = False


class Data(Section):
    """data: split into both, unless calibration and evaluation are given; calibration_count: at most this many are
    calibrated on, and at most half of `data`."""

    data: NonEmpty | None = None
    calibration: NonEmpty | None = None
    evaluation: NonEmpty | None = None
    training: NonEmpty | None = None
    calibration_count: Count = 256
    seed: Annotated[int, Field(ge=0, strict=True)] = 0


class Quantize(Section):
    """precision: of the files, float32 for the model as it is, or pruned; scheme: which integers, None for those of the
    device; ranges: how activation ranges are chosen; effort: high learns how weights are rounded; io: what the INT8
    files take and give; keep_float: names of nodes; sensitivity: also measure what each op loses alone."""

    precision: Literal["int8", "int16x8", "int8-dynamic", "float16", "float32"] = "int8"
    scheme: SchemeName | None = None
    ranges: Ranges = "auto"
    effort: Literal["default", "high"] = "default"
    io: Literal["float32", "int8"] = "float32"
    keep_float: tuple[NonEmpty, ...] = ()
    sensitivity: Flag = False


class Prune(Section):
    """macs, params, size, latency: what is left of the unpruned model's at most, one of them; sparsity: share of the
    weights that are set to zero, of those that are left where channels are cut too, or 2:4; score: what tells which
    channels matter, None for taylor where the samples to learn from have labels or targets, else norms; rounds: in
    which channels are cut, each scored anew and trained for its part of the epochs; epochs: of fine-tuning, where there
    are samples to train on, None for what suits their number; patience: of them without a lower loss on samples that
    are not trained on, after which the best one is kept, None to see all and keep the last; lr, batch, optimizer,
    distill, augment: as in `Qat`, the unpruned model being the float one."""

    macs: Share | None = None
    params: Share | None = None
    size: Share | None = None
    latency: Share | None = None
    sparsity: Sparsity | None = None
    score: ScoreName | None = None
    rounds: Count = 1
    epochs: Count | None = None
    patience: Count | None = None
    lr: Annotated[float, Field(gt=0, le=1)] = 1e-2
    batch: Batch = 64
    optimizer: Literal["adamw", "sgd"] = "adamw"
    distill: Annotated[float, Field(ge=0, le=1)] = 0.5
    augment: tuple[Literal["flip", "shift", "noise"], ...] = ()

    @property
    def goal(self) -> tuple[Goal, float] | None:
        """What is aimed at, None where no channel is cut."""
        said = [(name, share) for name in GOALS if (share := getattr(self, name)) is not None]
        return said[0] if said else None

    @property
    def wanted(self) -> bool:
        """Channels are cut, or weights set to zero."""
        return self.goal is not None or self.sparsity is not None


class Qat(Section):
    """Quantization-aware training. epochs: None trains nothing; lr: of the first step, as a share of each tensor's own
    size; batch: samples per step; distill: share of the float model's answers in what is learned from; augment: what is
    done to images, anew every time that they are seen."""

    epochs: Count | None = None
    lr: Annotated[float, Field(gt=0, le=1)] = 1e-3
    batch: Batch = 64
    optimizer: Literal["adamw", "sgd"] = "adamw"
    distill: Annotated[float, Field(ge=0, le=1)] = 0.5
    augment: tuple[Literal["flip", "shift", "noise"], ...] = ()


class Output(Section):
    """directory: None is <stem>-edgekit beside where edgekit runs; layout: of the files' inputs; batch: samples
    that a run of the TFLite file takes (the ONNX file takes any number); resume: go on with an interrupted training."""

    directory: Path | None = None
    formats: Annotated[tuple[Format, ...], Field(min_length=1)] = ("onnx", "tflite")
    layout: Literal["keep", "nhwc"] = "keep"
    batch: Batch = 1
    overwrite: Flag = False
    resume: Flag = False


class Verify(Section):
    """metric: None is what suits the samples; layers: also compare by layer; threads: while latency is measured."""

    metric: Metric | None = None
    layers: Flag = False
    threads: Threads = 1


class Budget(Section):
    """max_drop: of the metric in each file, as bad as it may be with 95 % confidence: points of a rate, dB, or % of the
    float model's error (mse, mae)."""

    max_drop: Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)] | None = None


class Recipe(Section):
    """device: a name that edgekit carries, or the path of a device's TOML file."""

    model: Model
    data: Data = Data()
    preprocess: Preprocess = Preprocess()
    prune: Prune = Prune()
    quantize: Quantize = Quantize()
    qat: Qat = Qat()
    output: Output = Output()
    verify: Verify = Verify()
    budget: Budget = Budget()
    device: NonEmpty | None = None

    @classmethod
    def from_toml(cls, path: Path) -> Recipe:
        """The recipe in a file. Relative paths in it start at the file's folder."""
        return load_recipe(path)


def load_recipe(path: Path | None = None, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> Recipe:
    """The recipe of a file, with other keys over it.

    overrides: section -> key -> value; section "" is the top of the file. Relative paths in overrides are left alone.
    """
    keys = _anchored(read_toml(path), path.resolve().parent) if path else {}
    overrides = overrides or {}
    keys = _without_rival_data(keys, overrides.get("data", {}))
    keys = _without_rival_goals(keys, overrides.get("prune", {}))
    for section, values in overrides.items():
        if section == "":
            keys |= values
        elif isinstance(keys.get(section, {}), Mapping):
            keys[section] = {**keys.get(section, {}), **values}
    recipe = held_against(Recipe, keys, f"'{path}'" if path else "the options", flags.NAMES)
    _check_data(recipe.data)
    _check_pruning(recipe.prune)
    _check_precision(recipe.quantize)
    _check_training(recipe)
    _check_sparsity(recipe)
    return recipe


def _without_rival_data(keys: Keys, said: Mapping[str, Any]) -> Keys:
    """The file's samples make room for other ones: data for calibration or evaluation, these two for data."""
    rivals: tuple[str, ...] = ("data",) if "calibration" in said or "evaluation" in said else ()
    if "data" in said:
        rivals = ("calibration", "evaluation")
    data = keys.get("data")
    if not isinstance(data, Mapping):
        return keys
    return {**keys, "data": {key: value for key, value in data.items() if key not in rivals}}


def _without_rival_goals(keys: Keys, said: Mapping[str, Any]) -> Keys:
    """The file's goal of pruning makes room for another one."""
    prune = keys.get("prune")
    if not isinstance(prune, Mapping) or not set(GOALS) & set(said):
        return keys
    return {**keys, "prune": {key: value for key, value in prune.items() if key not in GOALS}}


def _check_data(data: Data) -> None:
    if data.data is not None and (data.calibration is not None or data.evaluation is not None):
        extra = "calibration" if data.calibration is not None else "evaluation"
        raise EdgekitError(
            "EK152",
            f"data and {extra} are both given",
            "data is split into calibration and evaluation, so there is nothing left to say",
            "give --data alone, or --calib and --eval",
        )


POINTLESS: Mapping[str, Mapping[str, str]] = {  # precision -> key -> why it says nothing there
    "int16x8": {
        "ranges": "int16 has steps enough for the whole range of every tensor",
        "io": "its files work on int16, not int8",
    },
    "int8-dynamic": {"ranges": "activations stay in float", "io": "activations stay in float"},
    "float16": {
        "ranges": "nothing is rounded to integers",
        "io": "nothing is rounded to integers",
        "keep_float": "ops compute in float32 as it is, and only their weights are stored in float16",
    },
    "float32": {
        "ranges": "nothing is rounded",
        "io": "nothing is rounded",
        "keep_float": "every op stays in float32",
    },
}


def _check_precision(quantize: Quantize) -> None:
    defaults = Quantize()
    for key, why in POINTLESS.get(quantize.precision, {}).items():
        if getattr(quantize, key) != getattr(defaults, key):
            option = f"--{key.replace('_', '-')}"
            raise EdgekitError(
                "EK154",
                f"{option} does not go with --precision {quantize.precision}",
                why,
                f"leave {option} out, or take --precision int8",
            )


def scheme_of(recipe: Recipe, device_scheme: SchemeName) -> SchemeName:
    """The integers that the recipe asks for, or else its device.

    Raises EK154 for what the scheme has no room for.
    """
    scheme = recipe.quantize.scheme or device_scheme
    if (rival := _rival(recipe, scheme)) is not None:
        option, why = rival
        asked = "--scheme" if recipe.quantize.scheme else f"--device {recipe.device}, whose scheme is"
        raise EdgekitError(
            "EK154",
            f"{option} does not go with {asked} {scheme}",
            why,
            f"leave {option} out, or take --scheme default",
        )
    return scheme


def _rival(recipe: Recipe, scheme: SchemeName) -> tuple[str, str] | None:
    """The option that the scheme has no room for, and why."""
    wanted = recipe.quantize
    match wanted.precision:
        case "float16" | "float32" if wanted.scheme not in (None, "default"):
            return f"--precision {wanted.precision}", "nothing is rounded to integers"
        case "int8-dynamic" if wanted.scheme == "symmetric":
            return "--precision int8-dynamic", "activations stay in float"
        case "int16x8" if scheme == "symmetric":
            return "--precision int16x8", "TensorRT takes int8 alone"
        case "int8" if scheme == "symmetric" and wanted.io == "int8" and "onnx" in recipe.output.formats:
            return (
                "--io int8",
                "TensorRT wants the Q in front of the integers, and the DQ behind them, in the ONNX file",
            )
        case _:
            return None


def _check_pruning(prune: Prune) -> None:
    """One goal, or nothing that would say how to reach it."""
    said = [f"--{name}" for name in GOALS if getattr(prune, name) is not None]
    if len(said) > 1:
        raise EdgekitError(
            "EK154",
            f"{said[0]} and {said[1]} are both given",
            "channels are cut until one goal is reached, and then no more",
            f"leave {said[1]} out; the report says what became of the others",
        )
    if not said and prune.score is not None:
        raise EdgekitError("EK154", "--score says nothing by itself", "no channel is cut without a goal", ADD_A_GOAL)
    if not said and prune.rounds > 1:
        raise EdgekitError("EK154", "--rounds says nothing by itself", "no channel is cut without a goal", ADD_A_GOAL)
    if prune.epochs is not None and prune.epochs < prune.rounds:
        raise EdgekitError(
            "EK154",
            f"--rounds {prune.rounds} does not go with --epochs {prune.epochs}",
            "each round is trained for its part of the epochs, one at least",
            f"give --epochs {prune.rounds} or more, or fewer rounds",
        )
    if prune.patience is not None:
        _check_patience(prune, prune.patience)


def _check_patience(prune: Prune, patience: int) -> None:
    if not prune.wanted:
        raise EdgekitError(
            "EK154",
            "--patience says nothing by itself",
            "it ends the fine-tuning of a pruned model, and nothing is pruned without a goal",
            ADD_A_GOAL,
        )
    if prune.epochs is not None and patience >= prune.epochs // prune.rounds:
        of_each = " in each round" if prune.rounds > 1 else ""
        raise EdgekitError(
            "EK154",
            f"--patience {patience} does not go with --epochs {prune.epochs}",
            f"{units.plural(prune.epochs // prune.rounds, 'epoch')}{of_each} are none that it could end early",
            "give a smaller --patience, or more --epochs",
        )


def _check_training(recipe: Recipe) -> None:
    """Options of a training that nobody asked for, or that there can be none of."""
    precision = recipe.quantize.precision
    if recipe.qat.epochs is not None and precision in ("int8-dynamic", "float16", "float32"):
        raise EdgekitError(
            "EK154",
            f"--qat does not go with --precision {precision}",
            POINTLESS[precision]["io"],
            "leave --qat out, or take --precision int8",
        )
    trains = {"qat": recipe.qat.epochs is not None, "prune": recipe.prune.wanted}
    on = [getattr(recipe, section) for section, is_on in trains.items() if is_on]
    for section in (section for section, is_on in trains.items() if not is_on):
        for key, value in said_of_training(getattr(recipe, section)):
            if key == "epochs" or all(getattr(other, key) != value for other in on):
                raise _idle(TRAINING_KEYS[key])  # else it speaks to the training that there is
    if recipe.output.resume and not on:
        raise _idle("--resume")


def _check_sparsity(recipe: Recipe) -> None:
    """What learns weights anew would leave few of the zeros that were asked for."""
    learns = {"--qat": recipe.qat.epochs is not None, "--effort high": recipe.quantize.effort == "high"}
    option = next((option for option, is_on in learns.items() if is_on), None)
    if recipe.prune.sparsity is not None and option is not None:
        raise EdgekitError(
            "EK154",
            f"--sparsity does not go with {option}",
            "it learns the weights of the integers anew, also those that are zero",
            f"leave {option} out; --train fine-tunes the weights that stay",
        )


def said_of_training(section: Qat | Prune) -> list[tuple[str, object]]:
    """Keys and values that are not the defaults."""
    defaults = type(section)()
    return [(key, value) for key in TRAINING_KEYS if (value := getattr(section, key)) != getattr(defaults, key)]


def _idle(name: str) -> EdgekitError:
    if name == "--epochs":
        return EdgekitError("EK154", "--epochs says nothing by itself", "nothing is pruned without a goal", ADD_A_GOAL)
    return EdgekitError(
        "EK154", f"{name} says nothing by itself", "nothing is trained without --qat or pruning", "add --qat EPOCHS"
    )


ADD_A_GOAL = "add a goal, such as --macs 70%"
TRAINING_KEYS = {
    "epochs": "--epochs",
    "lr": "--lr",
    "batch": "--train-batch",
    "distill": "--distill",
    "optimizer": "--optimizer",
    "augment": "--augment",
}
PATHS = {
    "model": ("path", "factory"),
    "data": ("data", "calibration", "evaluation", "training"),
    "output": ("directory",),
}


def _anchored(keys: Keys, folder: Path) -> Keys:
    """keys with their relative paths made to start at `folder`. What is of the wrong type is complained of later."""
    anchored = {
        section: {key: _at(value, folder) if key in PATHS.get(section, ()) else value for key, value in values.items()}
        if isinstance(values, Mapping)
        else values
        for section, values in keys.items()
    }
    device = keys.get("device")
    if isinstance(device, str) and device.endswith(".toml"):
        anchored["device"] = _at(device, folder)
    return anchored


def _at(value: object, folder: Path) -> object:
    """'models/net.py:make' and 'photos' start at the folder; 'package.module:make' is no path."""
    if not isinstance(value, str) or not value:
        return value
    where, colon, _ = value.rpartition(":")
    is_module = bool(colon) and not where.endswith(".py") and all(part.isidentifier() for part in where.split("."))
    return value if is_module else str(folder / value)
