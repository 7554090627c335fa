"""edgekit takes a trained model to INT8 ONNX and TFLite files, proves what they compute, and says what they cost.

    report = edgekit.quantize("model.pt", "samples.npz", factory="nets.py:resnet20")

These names load on first use: `import edgekit` alone loads neither torch nor a runtime.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgekit.api import compare, convert, prune, quantize
    from edgekit.errors import EdgekitError

    __version__: str

__all__ = ["EdgekitError", "__version__", "compare", "convert", "prune", "quantize"]

_ROOMS = {
    "EdgekitError": "edgekit.errors",
    "compare": "edgekit.api",
    "convert": "edgekit.api",
    "prune": "edgekit.api",
    "quantize": "edgekit.api",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        metadata = import_module("importlib.metadata")
        try:
            return metadata.version("edgekit")
        except metadata.PackageNotFoundError:
            return "of a source tree that is not installed"
    if name in _ROOMS:
        return getattr(import_module(_ROOMS[name]), name)
    raise AttributeError(f"module 'edgekit' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    """Keeps `edgekit.quantize` the function that the API promises: Python would bind the room of that name over it."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _ROOMS and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
