"""What must hold of every graph between two passes."""

from __future__ import annotations

import onnx_ir as ir

from edgekit.graph import facts


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
            assert value.name and value.name not in names, f"two values are called {value.name!r}"
            names.add(value.name)
            known.add(value)
            assert value.dtype is not None and value.shape is not None, f"{value.name} has no type or shape"
    for value in graph.graph.outputs:
        assert value in known, f"the output {value.name} is made by nobody"
    assert all(facts.static_shape(value) is not None for value in graph.graph.inputs)
    return graph
