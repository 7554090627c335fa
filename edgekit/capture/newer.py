"""Models of opsets that ONNX Runtime does not run yet, under the newest one that it runs.

Most ops that a newer opset lists anew take more types and mean the same. Those of which more than that changed are
here, with what in a node asks for the new meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx
import onnx_ir as ir

from edgekit.graph import facts

RUN = 24  # the newest opset that the onnxruntime runs that edgekit asks for
KNOWN = 28  # the newest opset whose changes were read for the table below

# Source: the ONNX operator changelog, opsets 25 to 28.
CHANGED: Mapping[str, Callable[[ir.Node], bool]] = {
    "Attention": lambda node: not node.attributes.keys().isdisjoint(("left_window_size", "right_window_size")),
    "SpaceToDepth": lambda node: facts.attribute(node, "mode", "DCR") != "DCR",
    "BitShift": lambda node: node.inputs[0] is not None and str(node.inputs[0].dtype).startswith("INT"),
    "Mod": lambda node: not facts.attribute(node, "fmod", 0) and facts.is_float(node.inputs[0]),
}


def under_newest_run(graph: ir.Model) -> str | None:
    """Set the graph's opset to the newest that is run; or the op that has no such form."""
    opset = graph.opset_imports[""]
    for node in graph.graph.all_nodes():
        if not _is_known(node.op_type) or (node.op_type in CHANGED and CHANGED[node.op_type](node)):
            return node.op_type
        node.version = None
    assert RUN < opset <= KNOWN
    graph.opset_imports[""] = RUN
    return None


def _is_known(op_type: str) -> bool:
    try:
        onnx.defs.get_schema(op_type, RUN)
    except onnx.defs.SchemaError:
        return False
    return True
