"""Recurrent layers for tests, with everything that ONNX lets them say."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from edgekit.simplify.cells import GATES
from tests.models import graph, node, weights

STEPS, INPUTS, HIDDEN = 5, 3, 4


def layer(
    kind: str,
    direction: str = "forward",
    states: bool = False,
    steps: int = STEPS,
    outputs: str = "y",
    **attributes: Any,
) -> ir.Model:
    """A layer whose input and states have the batch first; its outputs in ONNX's own form, batch first."""
    count, gates = 2 if direction == "bidirectional" else 1, GATES[kind]
    constants = {
        "W": weights(count, gates * HIDDEN, INPUTS),
        "R": weights(count, gates * HIDDEN, HIDDEN, seed=1),
        "B": weights(count, 2 * gates * HIDDEN, seed=2),
    }
    inputs = {"x": (2, steps, INPUTS)}
    nodes = [node("Transpose", ["x"], ["t"], perm=(1, 0, 2))]
    names = ["t", "W", "R", "B"]
    if states:
        names.append("")
        for state in ("h", "c")[: 2 if kind == "LSTM" else 1]:
            inputs[state] = (2, count, HIDDEN)
            nodes.append(node("Transpose", [state], [f"{state}0"], perm=(1, 0, 2)))
            names.append(f"{state}0")
    if attributes.pop("peepholes", False):
        constants["P"] = weights(count, 3 * HIDDEN, seed=3)
        names += [""] * (7 - len(names)) + ["P"]
    made = {"y": "Y", "h": "H", "c": "C"}
    wanted = [made[o] if o in outputs else "" for o in ("yhc" if kind == "LSTM" else "yh")]
    nodes.append(node(kind, names, wanted, direction=direction, hidden_size=HIDDEN, **attributes))
    orders = {"y": (2, 0, 1, 3), "h": (1, 0, 2), "c": (1, 0, 2)}
    nodes += [node("Transpose", [made[o]], [f"{o}_out"], perm=orders[o]) for o in outputs]
    return graph(inputs, nodes, constants, tuple(f"{o}_out" for o in outputs))
