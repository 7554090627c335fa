"""What the view says of a node that it cannot compute."""

from __future__ import annotations

import onnx_ir as ir

from edgekit.errors import EdgekitError
from edgekit.graph import source

WITHOUT = "leave out the option that trains: default settings need no gradients"


def refused(node: ir.Node, why: str, fix: str = WITHOUT) -> EdgekitError:
    return EdgekitError("EK911", f"cannot run {source.describe(node)} in PyTorch", why, fix)
