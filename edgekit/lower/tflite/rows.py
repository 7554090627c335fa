"""Linear layers on tokens: FULLY_CONNECTED takes a value of any rank, so the rows need no Reshape.

(B, T, I) -> Reshape (B*T, I) -> Gemm -> Reshape (B, T, O)        becomes        (B, T, I) -> Gemm -> (B, T, O)
"""

from __future__ import annotations

from dataclasses import replace

from edgekit.lower.tflite.ops import Node, Program, Value


def absorb_rows(program: Program) -> Program:
    """Gemms read what was laid out in rows for them; the result is laid out in rows behind them, where still needed."""
    producers = program.producers()
    nodes: list[Node] = []
    for node in program.nodes:
        x = _before_rows(node, producers.get(node.input(0))) if node.op == "Gemm" else None
        if x is None:
            nodes.append(node)
            continue
        shape = (*x.shape[:-1], node.output.shape[-1])
        wide = replace(node.output, shape=shape)  # under the same name, by which the ledger knows the product
        nodes.append(replace(node, inputs=(x, *node.inputs[1:]), outputs=(wide,)))
        nodes.append(Node(op="Reshape", inputs=(wide,), outputs=(node.output,), origin=node.origin))
    return replace(program, nodes=tuple(nodes))


def _before_rows(gemm: Node, reshape: Node | None) -> Value | None:
    """What was laid out in rows: a value of higher rank with the same last axis."""
    if reshape is None or reshape.op != "Reshape" or gemm.attributes.get("transA", 0):
        return None
    x = reshape.input(0)
    return x if x.rank > 2 and x.shape[-1] == reshape.output.shape[-1] and x.qparams == reshape.output.qparams else None
