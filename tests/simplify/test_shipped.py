import logging

import numpy as np
import onnx_ir as ir
import pytest

from edgekit.simplify import simplify
from edgekit.simplify.shipped import fold
from tests.models import graph, node, ops, run
from tests.simplify.keeps import kept

PLANE = {"x": (1, 3, 4)}


@pytest.mark.parametrize(
    ("op", "number"), [("Add", 1e-9), ("Sub", 1e-9), ("Mul", 1 + 1e-6), ("Div", 1 + 1e-6), ("Add", 1e-12)]
)
def test_a_number_near_a_neutral_one_stays(op, number):
    model = graph(PLANE, [node(op, ["x", "c"])], {"c": np.float32(number)})
    assert ops(kept(model, fold(model))) == [op]


def test_the_logarithm_of_nothing_and_a_little():
    model = graph(PLANE, [node("Relu", ["x"], ["r"]), node("Add", ["r", "c"], ["a"]), node("Log", ["a"])],
                  {"c": np.float32(1e-9)})  # fmt: skip
    found = run(fold(model), {"x": np.zeros((1, 3, 4), np.float32)})["y"]
    np.testing.assert_allclose(found, np.log(1e-9), rtol=1e-5)


@pytest.mark.parametrize(
    ("op", "number"),
    [("Add", np.zeros(4, "f4")), ("Sub", np.float32(0)), ("Mul", np.ones((3, 1), "f4")), ("Div", np.float32(1))],
)
def test_a_neutral_operand_goes(op, number):
    nodes = [node("Relu", ["x"], ["r"]), node(op, ["r", "c"], ["s"]), node("Relu", ["s"])]
    model = graph(PLANE, nodes, {"c": number})
    assert op not in ops(kept(model, fold(model)))


@pytest.mark.parametrize("op", ["Sub", "Div"])
def test_a_neutral_number_on_the_left_stays(op):
    nodes = [node("Exp", ["x"], ["e"]), node(op, ["c", "e"])]
    model = graph(PLANE, nodes, {"c": np.float32(0 if op == "Sub" else 1)})
    assert op in ops(kept(model, fold(model)))


def test_zeros_that_widen_stay():
    nodes = [node("Relu", ["x"], ["r"]), node("Add", ["r", "c"])]
    model = graph({"x": (1, 1, 4)}, nodes, {"c": np.zeros((3, 1), np.float32)})
    assert ops(kept(model, fold(model))) == ["Relu", "Add"]


def test_the_folder_does_not_chatter():
    fold(graph(PLANE, [node("Relu", ["x"])]))
    assert logging.getLogger("onnxscript").level == logging.ERROR


@pytest.mark.parametrize(("reduction", "left"), [("none", ["Relu"]), ("add", ["ScatterND"]), ("max", ["ScatterND"])])
def test_updates_of_all_rows(reduction, left):
    nodes = [node("Relu", ["u"], ["r"]), node("ScatterND", ["x", "i", "r"], reduction=reduction)]
    model = graph({"x": (1, 4, 3), "u": (1, 4, 3)}, nodes, {"i": np.array([[0]])})
    for value in model.graph.inputs:
        value.shape = ir.Shape([1, 4, 3])
    assert ops(kept(model, fold(model), batch=1))[-1:] == left


def test_an_input_that_is_given_back_keeps_its_name():
    model = graph(PLANE, [node("Relu", ["x"])])
    model.graph.outputs.insert(0, model.graph.inputs[0])
    after = kept(model, fold(model))
    assert ops(after) == ["Relu"]
    assert [value.name for value in (*after.graph.inputs, *after.graph.outputs)] == ["x", "x", "y"]


def test_a_value_that_is_flattened_twice():
    nodes = [node("HardSwish", ["x"], ["h"]), node("Flatten", ["h"], ["y"]), node("Flatten", ["h"], ["z"])]
    model = graph({"x": (1, 3, 4, 4)}, nodes, outputs=("z", "y"))
    kept(model, simplify(model))
    kept(model, fold(model))


@pytest.mark.parametrize("size", [4, 5])
def test_two_slices_take_what_they_took(size):
    bounds = {name: np.array([value]) for name, value in {"zero": 0, "two": 2, "end": size, "axis": 1}.items()}
    nodes = [
        node("Slice", ["x", "two", "end", "axis"], ["last"]),
        node("Slice", ["x", "zero", "two", "axis"], ["first"]),
        node("Relu", ["last"], ["y"]),
        node("Relu", ["first"], ["z"]),
    ]
    model = graph({"x": (1, size)}, nodes, bounds, ("y", "z"))
    kept(model, fold(model))
