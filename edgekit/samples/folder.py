"""Samples from a folder of images: class folders, a `labels.csv`, or neither.

Class folders are numbered in the order of their names as text, as torchvision's ImageFolder numbers them, since that is
what the model was most probably trained on. Links are followed only where they stand directly in the folder or in a
class folder.
"""

from __future__ import annotations

import csv
import os
import posixpath
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError
from edgekit.samples.labels import as_labels

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
TABLE = "labels.csv"


@dataclass(frozen=True, kw_only=True, eq=False)
class Listing:
    """files: relative to the folder, with forward slashes; ignored: what else lies there."""

    files: tuple[str, ...]
    labels: NDArray[np.int64] | None = None
    class_names: tuple[str, ...] | None = None
    ignored: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def listed(folder: Path) -> Listing:
    """Which images a folder holds and what they are labelled."""
    if (folder / TABLE).is_file():
        return _from_table(folder)
    loose = sorted(_images_in(folder))
    classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not _is_hidden(entry.name))
    by_class = {name: sorted(_images_below(folder / name, name)) for name in classes}
    if loose and any(by_class.values()):
        raise EdgekitError(
            "EK138",
            f"cannot tell the labels of '{folder}'",
            f"there are class folders ({classes[0]}) and {len(loose)} images beside them ({loose[0]})",
            f"move the images into class folders, or write a {TABLE} with the header file,label",
        )
    if loose:
        return Listing(files=tuple(loose))
    if not any(by_class.values()):
        raise EdgekitError(
            "EK125",
            f"no samples in '{folder}'",
            f"no file there or in its folders ends in {', '.join(SUFFIXES)}",
            "give a folder of images, an .npz or .npy file, or file.py:factory",
        )
    return Listing(
        files=tuple(file for files in by_class.values() for file in files),
        labels=np.repeat(np.arange(len(classes)), [len(files) for files in by_class.values()]).astype(np.int64),
        class_names=tuple(classes),
        notes=_order_note(classes),
    )


def _order_note(classes: list[str]) -> tuple[str, ...]:
    """Folders named by numbers may mean these numbers; ImageFolder's order is another one."""
    differs = [name for i, name in enumerate(classes) if name.isdecimal() and int(name) != i]
    if not differs or not all(name.isdecimal() for name in classes):
        return ()
    name = differs[0]
    return (f"class folder '{name}' is class {classes.index(name)}: folders count in the order of their names as text",)


def _from_table(folder: Path) -> Listing:
    table = folder / TABLE
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            fields = [field.strip() for field in reader.fieldnames or ()]
            if not {"file", "label"} <= set(fields):
                raise _bad(table, f"its header is {','.join(fields) or 'empty'}; file,label is needed")
            reader.fieldnames = fields
            rows = [(reader.line_num, row["file"], row["label"]) for row in reader]
    except (UnicodeDecodeError, csv.Error) as broken:
        raise _bad(table, str(broken)) from broken
    for line, file_name, label in rows:
        _check_entry(folder, line, file_name, label)
    if not rows:
        raise EdgekitError(
            "EK125", f"no samples in '{folder}'", f"{TABLE} has a header and no rows", "list at least one image"
        )
    files = tuple(posixpath.normpath(file_name) for _, file_name, _ in rows)
    labels, names = _numbered([label.strip() for _, _, label in rows], str(table))
    unlisted = len({*_images_in(folder)} - {*files})
    notes = (f"{unlisted} images of '{folder}' are not in {TABLE} and were left out",) if unlisted else ()
    return Listing(files=files, labels=labels, class_names=names, notes=notes)


def _check_entry(folder: Path, line: int, file_name: str | None, label: str | None) -> None:
    table = folder / TABLE
    if not file_name or not (label or "").strip():
        raise _bad(table, f"line {line} has no {'label' if file_name else 'file'}")
    flat = posixpath.normpath(file_name)
    if (
        posixpath.isabs(flat)
        or flat == ".."
        or flat.startswith("../")
        or "\\" in flat
        or Path(flat).drive
        or "\0" in flat
    ):
        raise EdgekitError(
            "EK128",
            f"'{table}' points out of its folder",
            f"line {line} names '{file_name!s}'",
            "name files relative to the folder, with forward slashes and without '..'",
        )
    if not (folder / flat).is_file():
        raise _bad(table, f"line {line} names '{file_name}', which is not there")


def _numbered(labels: list[str], where: str) -> tuple[NDArray[np.int64], tuple[str, ...] | None]:
    """Class indices as they are; names count in their order as text."""
    if all(label.isascii() and label.lstrip("-").isdecimal() and len(label) < 18 for label in labels):
        return as_labels(np.asarray([int(label) for label in labels]), None, where), None
    names = sorted(set(labels))
    index = {name: i for i, name in enumerate(names)}
    return np.asarray([index[label] for label in labels], np.int64), tuple(names)


def _bad(table: Path, why: str) -> EdgekitError:
    return EdgekitError("EK127", f"cannot use '{table}'", why, "write one line per image under the header file,label")


def _images_in(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if _is_image(entry)]


def _images_below(folder: Path, prefix: str) -> list[str]:
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        inside = Path(parent).relative_to(folder)
        found += [(Path(prefix) / inside / name).as_posix() for name in files if _is_image(Path(parent) / name)]
    return found


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not _is_hidden(path.name) and path.is_file()


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX"))
