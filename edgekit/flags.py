"""What people can ask for, by the name that the command line and the Python API use, and where a recipe keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edgekit.errors import EdgekitError

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
    "epochs": ("prune", "epochs"),
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
