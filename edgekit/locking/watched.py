"""Which files a recipe is built from.

Watched are the model's file and the files that hold its weights, the samples' files and folders, the device's file, and
of each factory its file with all that it imports from its folder. Not watched is what such code opens by itself, and
what a trusted pickle imports: change a line of the code, or delete the lock. What code imports from elsewhere counts by
its installed version, and so does edgekit.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekit.device import device_file
from edgekit.errors import EdgekitError
from edgekit.locking import sources
from edgekit.recipe import Recipe
from edgekit.user_code import Place, place

# TensorProto.external_data, an entry of which is its key (field 1, "location") and then its value (field 2).
LOCATION = re.compile(rb"\x0a\x08location\x12")

VARINT_BYTES = 3  # hold a length of 2 MiB, and no path is so long


@dataclass(frozen=True)
class Watched:
    """paths: files and folders by what the lock calls them: as seen from the recipe's folder, with / at a folder's
    end; modules: that the factories import from elsewhere."""

    paths: Mapping[str, Path]
    modules: frozenset[str]


def watched(recipe: Recipe, folder: Path) -> Watched:
    """folder: the recipe's. Raises EK101 or EK107 for what is not there."""
    found: list[Path] = []
    modules: set[str] = set()
    for spec in _specs(recipe):
        if (where := _code(spec)) is None:
            found.append(_there(spec))
            continue
        code = _sources(where)
        found += sorted(code.files)
        modules |= code.modules
    found += _weights(Path(recipe.model.path))
    paths = {_name(path, folder): path for path in found}
    return Watched(paths | _device(recipe.device, folder), frozenset(modules))


def _specs(recipe: Recipe) -> Iterator[str]:
    data = recipe.data
    for spec in (recipe.model.path, recipe.model.factory, data.data, data.calibration, data.evaluation, data.training):
        if spec is not None:
            yield spec


def _code(spec: str) -> Place | None:
    return None if Path(spec).exists() else place(spec)


def _there(spec: str) -> Path:
    path = Path(spec)
    if not path.exists():
        raise _missing(path)
    return path


def _missing(path: Path) -> EdgekitError:
    return EdgekitError("EK101", f"nothing at '{path}'", "the recipe names it, and it does not exist", "check the path")


def _sources(where: Place) -> sources.Code:
    if where.file is not None:
        if not where.file.is_file():
            raise EdgekitError(
                "EK107",
                f"no factory file at '{where.file}'",
                "the path does not exist or is not a file",
                "check the path",
            )
        return sources.imported(where.file)
    return sources.imported_as(where.module, Path.cwd())


def _device(name: str | None, folder: Path) -> dict[str, Path]:
    if name is None:
        return {}
    path = device_file(name)
    if not path.is_file():
        raise _missing(path)
    return {_name(path, folder) if name.endswith(".toml") else f"device {name}": path}


def _weights(model: Path) -> list[Path]:
    """The files that an ONNX model keeps weights in: told by its bytes, since onnx takes a while to load."""
    if model.suffix != ".onnx" or not model.is_file() or not model.stat().st_size:
        return []
    with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        names = {_text(data, found.end()) for found in LOCATION.finditer(data)}
    paths = [model.parent / name for name in sorted(names) if name and not Path(name).is_absolute()]
    return [path for path in paths if path.is_file()]


def _text(data: mmap.mmap, start: int) -> str:
    """Of protobuf: its length as a varint, then UTF-8; empty where it is none."""
    length, at = 0, start
    for at in range(start, min(start + VARINT_BYTES, len(data))):
        length |= (data[at] & 0x7F) << 7 * (at - start)
        if data[at] < 0x80:
            break
    return data[at + 1 : at + 1 + length].decode("utf-8", "replace").replace("\0", "")


def _name(path: Path, folder: Path) -> str:
    try:
        seen = os.path.relpath(path, folder)
    except ValueError:  # on another drive
        seen = str(path)
    return Path(seen).as_posix() + "/" * path.is_dir()
