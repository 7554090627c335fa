import numpy as np
import pytest

from edgekit.graph import marks
from edgekit.simplify.loose_cells import mark_loose_cells
from tests.models import graph, node, ops, weights

WIDTH = 4


def cell(kind):
    """What torch exports of an LSTMCell or a GRUCell."""
    gates = {"lstm": 4}.get(kind, 3)
    names = ["a", "b", "c_", "d"][:gates]
    inputs = {"x": (1, 3), "h": (1, WIDTH), **({"c": (1, WIDTH)} if kind == "lstm" else {})}
    constants = {"W": weights(gates * WIDTH, 3), "R": weights(gates * WIDTH, WIDTH), "one": np.ones(1, np.float32)}
    nodes = [node("Gemm", ["x", "W"], ["xw"], transB=1), node("Gemm", ["h", "R"], ["hr"], transB=1)]
    if kind == "lstm":
        nodes += [
            node("Add", ["xw", "hr"], ["gates"]),
            node("Split", ["gates"], names, axis=1, num_outputs=4),
            *(node("Sigmoid", [n], [f"s{n}"]) for n in ("a", "b", "d")),
            node("Tanh", ["c_"], ["g"]),
            node("Mul", ["sb", "c"], ["kept"]),
            node("Mul", ["sa", "g"], ["new"]),
            node("Add", ["kept", "new"], ["c1"]),
            node("Tanh", ["c1"], ["t"]),
            node("Mul", ["sd", "t"], ["y"]),
        ]
        return graph(inputs, nodes, constants, ("y", "c1"))
    nodes += [
        node("Split", ["xw"], ["xr", "xz", "xn"], axis=1, num_outputs=3),
        node("Split", ["hr"], ["hr_", "hz", "hn"], axis=1, num_outputs=3),
        node("Add", ["xr", "hr_"], ["r_"]),
        node("Add", ["xz", "hz"], ["z_"]),
        node("Sigmoid", ["r_"], ["r"]),
        node("Sigmoid", ["z_"], ["z"]),
        node("Mul", ["r", "hn"], ["reset"]),
        node("Add", ["xn", "reset"], ["n_"]),
        node("Tanh", ["n_"], ["n"]),
    ]
    if kind == "gru":
        nodes += [
            node("Sub", ["h", "n"], ["change"]),
            node("Mul", ["change", "z"], ["part"]),
            node("Add", ["part", "n"], ["y"]),
        ]
    else:
        nodes += [
            node("Sub", ["one", "z"], ["left"]),
            node("Mul", ["left", "n"], ["new"]),
            node("Mul", ["z", "h"], ["kept"]),
            node("Add", ["new", "kept"], ["y"]),
        ]
    return graph(inputs, nodes, constants)


@pytest.mark.parametrize("kind", ["lstm", "gru", "gru-by-hand"])
def test_all_of_a_cell_but_its_products_is_kept_in_float(kind):
    marked = mark_loose_cells(cell(kind))
    assert {n.op_type for n in marked.graph if not marks.float_because(n)} == {"Gemm"}


def test_gated_activations_are_no_cells():
    model = graph(
        {"x": (1, 8)},
        [
            node("Sigmoid", ["x"], ["s"]),
            node("Tanh", ["x"], ["t"]),
            node("Mul", ["s", "t"], ["gated"]),
            node("Mul", ["s", "x"], ["silu"]),
            node("Add", ["gated", "silu"]),
        ],
    )
    marked = mark_loose_cells(model)
    assert ops(marked) == ops(model) and not any(marks.float_because(n) for n in marked.graph)
