"""What people can ask for, by the name that the command line and the Python API use, and where a recipe keeps it."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgekit.errors import EdgekitError

if TYPE_CHECKING:  # types only: pydantic takes a third of the time that `edgekit --help` has
    from pydantic import BaseModel

    from edgekit.recipe import Recipe

Verb = Literal["quantize", "prune", "convert"]

# Name -> (section, key) of a recipe; section "" is the top of the file. `--calib-count` is `calib_count` here.
FLAGS: Mapping[str, tuple[str, str]] = {
    "path": ("model", "path"),
    "model": ("model", "factory"),
    "input": ("model", "inputs"),
    "trust_pickle": ("model", "trust_pickle"),
    "data": ("data", "data"),
    "calib": ("data", "calibration"),
    "eval": ("data", "evaluation"),
    "train": ("data", "training"),
    "calib_count": ("data", "calibration_count"),
    "seed": ("data", "seed"),
    "resize": ("preprocess", "resize"),
    "crop": ("preprocess", "crop"),
    "scale": ("preprocess", "scale"),
    "mean": ("preprocess", "mean"),
    "std": ("preprocess", "std"),
    "samples_layout": ("preprocess", "layout"),
    "macs": ("prune", "macs"),
    "params": ("prune", "params"),
    "size": ("prune", "size"),
    "latency": ("prune", "latency"),
    "sparsity": ("prune", "sparsity"),
    "score": ("prune", "score"),
    "rounds": ("prune", "rounds"),
    "epochs": ("prune", "epochs"),
    "patience": ("prune", "patience"),
    "precision": ("quantize", "precision"),
    "scheme": ("quantize", "scheme"),
    "ranges": ("quantize", "ranges"),
    "effort": ("quantize", "effort"),
    "keep_float": ("quantize", "keep_float"),
    "io": ("quantize", "io"),
    "sensitivity": ("quantize", "sensitivity"),
    "qat": ("qat", "epochs"),
    "lr": ("qat", "lr"),
    "train_batch": ("qat", "batch"),
    "distill": ("qat", "distill"),
    "optimizer": ("qat", "optimizer"),
    "augment": ("qat", "augment"),
    "output": ("output", "directory"),
    "format": ("output", "formats"),
    "layout": ("output", "layout"),
    "batch": ("output", "batch"),
    "overwrite": ("output", "overwrite"),
    "resume": ("output", "resume"),
    "metric": ("verify", "metric"),
    "layers": ("verify", "layers"),
    "threads": ("verify", "threads"),
    "max_drop": ("budget", "max_drop"),
    "device": ("", "device"),
}

# What these say, they say of both trainings; a recipe can tell the two apart.
ALSO: Mapping[str, tuple[str, str]] = {
    "lr": ("prune", "lr"),
    "train_batch": ("prune", "batch"),
    "distill": ("prune", "distill"),
    "optimizer": ("prune", "optimizer"),
    "augment": ("prune", "augment"),
}

# What a command has no option for: its recipe may still say it, for another command.
_NO_INTEGERS = frozenset(
    {"precision", "scheme", "ranges", "effort", "keep_float", "io", "sensitivity", "layers", "qat"}
)
_GOALS = frozenset({"macs", "params", "size", "latency", "sparsity"})
_OF_LEARNING = _GOALS | {*ALSO, "calib", "calib_count", "seed", "train", "score", "rounds", "epochs", "patience"}
LEFT_OUT: Mapping[Verb, frozenset[str]] = {
    "quantize": frozenset(),
    "prune": _NO_INTEGERS,
    "convert": _NO_INTEGERS | _OF_LEARNING | {"resume", "max_drop", "threads"},
}
ONCE = ("overwrite", "resume")  # what is said of one run, and not of doing the same again
# For whoever writes an option's name into a recipe.
NAMES: Mapping[str, Sequence[tuple[str, str]]] = {
    name: [place, ALSO[name]] if name in ALSO else [place] for name, place in FLAGS.items()
}

Sections = dict[str, dict[str, object]]


def by_section(said: Mapping[str, object]) -> Sections:
    """What was asked for, as a recipe would say it; None and names that are not flags are left out."""
    sections: Sections = {}
    for name, (section, key) in (*FLAGS.items(), *ALSO.items()):
        value = said.get(name)
        if value is not None and value not in ([], ()):
            sections.setdefault(section, {})[key] = str(value) if isinstance(value, Path) else value
    return sections


def shape(text: str) -> tuple[str, list[int]]:
    """'image=1x3x224x224' -> ('image', [1, 3, 224, 224])."""
    name, equals, dims = text.rpartition("=")
    sizes = dims.lower().split("x")
    if not (name and equals and all(size.isascii() and size.isdecimal() and int(size) > 0 for size in sizes)):
        raise EdgekitError(
            "EK190", f"cannot read --input {text}", "it is not name=AxBxC", "write it as --input image=1x3x224x224"
        )
    return name, [int(size) for size in sizes]


# What a limit may be given in, by option: unit -> what one is in SI units (or in bytes, or dollars).
QUANTITIES: Mapping[str, Mapping[str, float]] = {
    "--latency": {"s": 1.0, "ms": 1e-3, "us": 1e-6},
    "--energy": {"J": 1.0, "mJ": 1e-3, "uJ": 1e-6},
    "--power": {"W": 1.0, "mW": 1e-3},
    "--price": {"USD": 1.0, "": 1.0},
    "--ram": {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "kB": 1e3, "MB": 1e6, "GB": 1e9},
}
NUMBER = re.compile(r"(\d{1,12}(?:\.\d{1,12})?) ?([^\d\s.,]*)", re.A)


def quantity(option: str, text: str) -> float:
    """'--latency', '50ms' -> 0.05. A unit is what its letters say: 'mW' is no 'MW'."""
    units = QUANTITIES[option]
    names = [unit for unit in units if unit]
    example = f"{option} 50{names[1] if len(names) > 1 else ''}"
    match = NUMBER.fullmatch(text.strip())
    if match is None or not float(match[1]) > 0:
        raise _unread(
            option, text, f"it is no number above 0 with a unit ({', '.join(names)})", f"write it as {example}"
        )
    number, unit = match[1], match[2]
    if unit in units:
        return float(number) * units[unit]
    near = _near(unit, names)
    fix = f"did you mean {option} {number}{near}?" if near else f"write it as {example}"
    if not unit:
        raise _unread(option, text, f"it has no unit, which is one of {', '.join(names)}", fix)
    raise _unread(option, text, f"its unit is '{unit}', known are {', '.join(names)}", fix)


def _near(unit: str, names: Sequence[str]) -> str | None:
    """The unit that was meant: the usual one where there is none, the same in other letters, or one like it."""
    if not unit:
        return names[1] if len(names) > 2 else names[0]
    if unit in ("\N{MICRO SIGN}s", "\N{GREEK SMALL LETTER MU}s"):
        return "us"
    folded = {name.casefold(): name for name in reversed(names)}
    close = difflib.get_close_matches(unit.casefold().rstrip("."), folded, 1, cutoff=0.5)
    return folded[close[0]] if close else None


def _unread(option: str, text: str, why: str, fix: str) -> EdgekitError:
    return EdgekitError("EK190", f"cannot read {option} {text}", why, fix)


def command(verb: Verb, recipe: Recipe, precision: str | None = None) -> str | None:
    """The line that does what `recipe` says, without what is said by default; None where no line can: two trainings
    share their options. precision: what `convert` was asked for, which no recipe holds."""
    trained = [recipe.qat] * (recipe.qat.epochs is not None) + [recipe.prune] * recipe.prune.wanted
    words = ["edgekit", verb, recipe.model.path]
    for name, (section, key) in FLAGS.items():
        if name in LEFT_OUT[verb] or name in ONCE or name == "path":
            continue
        kept = [recipe] if not section else trained if name in ALSO else [getattr(recipe, section)]
        values = [getattr(one, key) for one in kept]
        if all(value == _default(one, key) for one, value in zip(kept, values, strict=True)):
            continue
        if any(value != values[0] for value in values):
            return None
        words += _words(name, values[0])
    if verb == "convert" and precision not in (None, "float32"):
        words += ["--precision", str(precision)]
    return shlex.join(words)


def _default(section: BaseModel, key: str) -> object:
    return type(section).model_fields[key].get_default(call_default_factory=True)


def _words(name: str, value: object) -> list[str]:
    """An option as it is written, as often as its value needs."""
    option = f"--{name.replace('_', '-')}"
    match name, value:
        case _, bool():
            return [option]
        case "input", Mapping():
            return [word for key, dims in value.items() for word in (option, f"{key}={'x'.join(map(str, dims))}")]
        case (("resize" | "crop"), tuple()):
            return [option, "x".join(map(str, value))]
        case (("mean" | "std"), tuple()):
            return [option, ",".join(map(str, value))]
        case _, tuple():
            return [word for one in value for word in (option, str(one))]
        case _:
            return [option, str(value)]
