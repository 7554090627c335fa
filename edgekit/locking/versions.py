"""The versions that a build depends on. Nothing of what they are of is imported."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from collections.abc import Iterable, Mapping, Sequence

from edgekit.locking.hashes import Hashes
from edgekit.paths import PACKAGE, recipes_folder

# What computes a byte of the files, or a number that a scale is chosen by.
LIBRARIES = (
    "ai-edge-litert",
    "flatbuffers",
    "numpy",
    "onnx",
    "onnx-ir",
    "onnxruntime",
    "onnxscript",
    "pillow",
    "safetensors",
    "torch",
)
SHOWN = 12  # digits of a hash, beside a version


def versions(distributions: Iterable[str], hashes: Hashes) -> dict[str, str]:
    """name -> version of edgekit, of what it stands on, and of `distributions`; those that are installed.

    edgekit's own is not enough where it is worked on, so its source counts too.
    """
    found = {"edgekit": f"{_version('edgekit') or 'of a source tree'}, source {_source(hashes)}"}
    found["python"] = ".".join(platform.python_version_tuple()[:2])
    for name in (*LIBRARIES, *distributions):
        if (version := _version(name)) is not None:
            found[name] = version
    return dict(sorted(found.items()))


def _source(hashes: Hashes) -> str:
    """Of edgekit's own code; what a wheel carries beside it is watched where a recipe names it."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        if not path.is_relative_to(recipes_folder()):
            digest.update(f"{path.relative_to(PACKAGE).as_posix()}\0{hashes.of(path)}\n".encode())
    return digest.hexdigest()[:SHOWN]


def distributions(modules: Iterable[str], known: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Module -> the installed distributions that it is from. known: of the last time; to look anew takes a while."""
    modules = sorted(modules)
    if all(module in known for module in modules):
        return {module: list(known[module]) for module in modules}
    every = importlib.metadata.packages_distributions()
    return {module: sorted(set(every.get(module, ()))) for module in modules}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
