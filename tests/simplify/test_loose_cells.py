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


def loop(steps, norm=False):
    """h = tanh(x + R h), as torch exports nn.RNN: with a reshape around each product."""
    nodes, h = [], "x"
    for t in range(steps):
        if norm:
            nodes.append(node("LayerNormalization", [h, "g"], [f"n{t}"], axis=-1))
            h = f"n{t}"
        nodes += [
            node("Gemm", [h, "R", "b"], [f"p{t}"], transB=1),
            node("Add", [f"p{t}", "x"], [f"s{t}"]),
            node("Tanh", [f"s{t}"], [f"h{t}"]),
        ]
        h = f"h{t}"
    nodes.append(node("Identity", [h]))
    constants = {"R": weights(WIDTH, WIDTH), "b": weights(WIDTH), "g": weights(WIDTH)}
    return graph({"x": (1, WIDTH)}, nodes, constants)


def test_a_layer_that_reads_its_own_result_has_one_scale():
    marked = mark_loose_cells(loop(4))
    gemms = [n for n in marked.graph if n.op_type == "Gemm"]
    assert len({marks.family(n) for n in gemms}) == 1 and not any(marks.float_because(n) for n in gemms)
    for op in ("Add", "Tanh"):
        cell = [n for n in marked.graph if n.op_type == op]
        assert len({marks.family(n) for n in cell}) == 1 and all(map(marks.float_because, cell))


def test_layers_that_only_share_weights_are_no_cell():
    side = graph(
        {"x": (1, WIDTH), "z": (1, WIDTH)},
        [
            node("Gemm", ["x", "R"], ["a"], transB=1),
            node("Gemm", ["z", "R"], ["b"], transB=1),
            node("Add", ["a", "b"], ["s"]),
            node("Tanh", ["s"]),
        ],
        {"R": weights(WIDTH, WIDTH)},
    )
    for model in (side, loop(3, norm=True)):
        assert not any(marks.family(n) or marks.float_because(n) for n in mark_loose_cells(model).graph)
