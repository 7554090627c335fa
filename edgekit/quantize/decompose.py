"""Hard swish as a gate and a product, for targets whose int8 kernels have no hard swish of their own.

    HardSwish(x) = x * HardSigmoid(x)          HardSigmoid(x) = clip(x / 6 + 1/2, 0, 1)

In TFLite the gate is a saturating 1x1 depthwise convolution, which stays in XNNPACK's delegate; a whole HARD_SWISH
splits it. On Arm and on Ethos-U the whole op is the better one, so it is the device's choice.
"""

from __future__ import annotations

import onnx_ir as ir

from edgekit.graph import edit


def decompose_hard_swish(graph: ir.Model) -> ir.Model:
    graph = graph.clone()
    for node in list(graph.graph):
        if node.op_type != "HardSwish":
            continue
        x = node.inputs[0]
        gate = edit.new_node(node, "HardSigmoid", [x], {"alpha": 1 / 6, "beta": 0.5})
        gate.name, gate.outputs[0].name = f"{node.name}_gate", f"{node.outputs[0].name}_gate"
        edit.replace(graph, node, [gate, edit.new_node(node, "Mul", [x, gate.outputs[0]])])
    return graph
