"""What must hold of every graph between two passes."""

from __future__ import annotations

import onnx_ir as ir

from edgekit.errors import EdgekitError
from edgekit.graph import facts, source


def checked(graph: ir.Model) -> ir.Model:
    """The graph itself, after asserting the house's invariants; a pass that breaks one is a bug of ours.

    Names are unique; every value that a node reads is an input, an initializer or made by an earlier node; every value
    has a type and a shape whose only dynamic axis is the batch.
    """
    known = set(graph.graph.inputs) | set(graph.graph.initializers.values())
    names: set[str] = set()
    for node in graph.graph:
        for value in node.inputs:
            assert value is None or value in known, f"{node.name} reads {value.name if value else ''} before it is made"
        for value in node.outputs:
            if value.name == "":  # an optional output that nobody wants
                continue
            assert value.name and value.name not in names, f"two values are called {value.name!r}"
            names.add(value.name)
            known.add(value)
            if value.dtype is None or value.shape is None:
                raise _unknown(node, value)
    for value in graph.graph.outputs:
        assert value in known, f"the output {value.name} is made by nobody"
    assert all(facts.static_shape(value) is not None for value in graph.graph.inputs)
    return graph


def _unknown(node: ir.Node, value: ir.Value) -> EdgekitError:
    """Loops, sequences and the like: nothing says how large the result is, whatever the input."""
    return EdgekitError(
        "EK213",
        f"the shape of '{value.name}' is not known before the model runs",
        f"it is made by {source.describe(node)}",
        "leave that part of the model out, or write it with ops whose results have a fixed size",
    )
