"""Where in the user's own code a node came from."""

from __future__ import annotations

import re
from pathlib import Path

import onnx_ir as ir

STACK_TRACE = "pkg.torch.onnx.stack_trace"
NAME_SCOPES = "pkg.torch.onnx.name_scopes"
_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
_LIBRARY = ("site-packages/", "/lib/python3", "<")


def source_line(node: ir.Node) -> str | None:
    """'model.py:41' of the innermost frame that is the user's, None where the exporter left no trace."""
    frames: list[tuple[str, str]] = _FRAME.findall(node.metadata_props.get(STACK_TRACE, ""))
    own = [(path, line) for path, line in frames if not any(mark in path for mark in _LIBRARY)]
    if not own:
        return None
    path, line = own[-1]
    return f"{Path(path).name}:{line}"


def traced(node: ir.Node) -> dict[str, str]:
    """Metadata that says where the node came from and no more: of thousands that stand for one, each carries it."""
    frames = _FRAME.findall(node.metadata_props.get(STACK_TRACE, ""))
    own = [(path, line) for path, line in frames if not any(mark in path for mark in _LIBRARY)]
    return {STACK_TRACE: 'File "{}", line {}'.format(*own[-1])} if own else {}


def describe(node: ir.Node) -> str:
    """How messages name a node: "Conv 'node_conv2d_3' (model.py:41)"."""
    where = source_line(node)
    return f"{node.op_type} '{node.name}'" + (f" ({where})" if where else "")
