"""float16 weights, float32 arithmetic: half the file, nearly the same numbers.

Both runtimes compute in float32 on a CPU; the weights are widened once, when the file is loaded. Biases and other small
constants stay, since they save nothing.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgekit.errors import EdgekitError
from edgekit.graph import edit, facts

SMALLEST = 64  # elements; below it a Cast costs more than the weights save
LARGEST_HALF = float(np.finfo(np.float16).max)


def halve_weights(graph: ir.Model) -> ir.Model:
    """Initializers of SMALLEST elements or more as float16, each behind a Cast to float32.

    Raises EK504 for a weight beyond 65504.
    """
    graph = graph.clone()
    for value in list(graph.graph.initializers.values()):
        array = facts.constant(value)
        if array is None or array.dtype != np.float32 or array.size < SMALLEST:
            continue
        if float(np.abs(array).max()) > LARGEST_HALF:
            raise EdgekitError(
                "EK504",
                f"'{value.name}' does not fit into float16",
                f"its largest magnitude is {float(np.abs(array).max()):g}, float16 ends at {LARGEST_HALF:g}",
                "use --precision float32",
            )
        half = edit.add_constant(graph, f"{value.name}_half", array.astype(np.float16))
        wide = ir.Value(name=f"{value.name}_wide", shape=value.shape, type=value.type)
        ir.convenience.replace_all_uses_with(value, wide)
        cast = ir.node("Cast", [half], {"to": ir.DataType.FLOAT}, outputs=[wide], name=f"{value.name}_cast")
        graph.graph.insert_before(graph.graph[0], cast)
    edit.drop_unused(graph)
    return graph
