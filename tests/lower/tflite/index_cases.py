"""The op table, continued: reductions, and picking and placing elements by their index."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from tests.lower.tflite.function_cases import after_conv, one
from tests.lower.tflite.graphs import Graph, node

IMAGE = (1, 6, 9, 8)
ROWS = (1, 5, 12)
Rows = Iterator[tuple[str, Graph]]


def cases() -> Rows:
    for family in (reductions, places, gathers, scatters, hots, samplings):
        yield from family()


def reductions() -> Rows:
    for op, keep in product(("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp", "ReduceProd"), (0, 1)):
        yield f"{op.lower()}-k{keep}", one(op, ROWS, np.asarray([-1]), keepdims=keep)
        yield f"{op.lower()}-image-k{keep}", after_conv(node(op, ["c", "a"], keepdims=keep), a=[1, 3])
    exponents = [node("Exp", ["x"], ["e"]), node("ReduceLogSum", ["e", "a"])]
    yield "reducelogsum", Graph({"x": ROWS}, exponents, {"a": np.asarray([1])})
    yield "reducesum-all", one("ReduceSum", ROWS, keepdims=0)
    for op in ("ReduceSum", "ReduceL1", "ReduceLogSumExp"):
        yield f"{op.lower()}-none", one(op, ROWS, np.asarray([], np.int64), noop_with_empty_axes=1)
    yield "reducesum-deep", one("ReduceSum", (1, 2, 3, 2, 2, 3, 2), np.asarray([2, 4, 6]), keepdims=0)
    for exclusive, reverse in product((0, 1), (0, 1)):
        name = f"cumsum-e{exclusive}-r{reverse}"
        yield name, one("CumSum", ROWS, np.asarray(-1), exclusive=exclusive, reverse=reverse)
    yield "cumsum-image", after_conv(node("CumSum", ["c", "a"]), a=1)


def places() -> Rows:
    for op, keep, last in product(("ArgMax", "ArgMin"), (0, 1), (0, 1)):
        name = f"{op.lower()}-k{keep}-l{last}"
        yield name, one(op, ROWS, axis=-1, keepdims=keep, select_last_index=last)
    yield "argmax-image", after_conv(node("ArgMax", ["c"], axis=1))
    yield "argmax-image-flat", after_conv(node("ArgMax", ["c"], axis=1, keepdims=0))
    for largest, axis in product((0, 1), (1, -1)):
        nodes = [node("TopK", ["x", "k"], ["y", "i"], axis=axis, largest=largest)]
        yield f"topk-l{largest}-{axis}", Graph({"x": ROWS}, nodes, {"k": np.asarray([3])}, ("y", "i"))


def gathers() -> Rows:
    table = np.random.default_rng(2).normal(size=(7, 4)).astype(np.float32)
    embedding = [node("Sub", ["z", "three"], ["i"]), node("Gather", ["t", "i"])]
    yield (
        "gather-below-zero",
        Graph({"z": (1, 9)}, embedding, {"t": table, "three": np.asarray(3)}, int64_inputs={"z": 7}),
    )
    indices = np.random.default_rng(3).integers(-5, 5, (1, 3, 12))
    yield "gatherelements", one("GatherElements", ROWS, indices, axis=1)
    computed = [node("Sub", ["z", "two"], ["i"]), node("GatherElements", ["x", "i"], axis=-1)]
    yield (
        "gatherelements-computed",
        Graph({"x": ROWS, "z": (1, 5, 3)}, computed, {"two": np.asarray(2)}, int64_inputs={"z": 12}),
    )
    yield (
        "gatherelements-image",
        after_conv(node("GatherElements", ["c", "i"], axis=1), i=np.zeros((1, 2, 7, 6), np.int64)),
    )
    yield "gathernd", one("GatherND", ROWS, np.asarray([[0, 1], [0, -1]]))
    yield "gathernd-elements", one("GatherND", ROWS, np.asarray([[[0, 1, 3]], [[0, -1, 2]]]))
    yield "gathernd-row", one("GatherND", ROWS, np.asarray([0, -2]))
    yield "gathernd-batch", one("GatherND", ROWS, np.asarray([[[1], [-2]]]), batch_dims=1)
    nodes = [node("GatherND", ["x", "z"], batch_dims=1)]
    yield "gathernd-computed", Graph({"x": ROWS, "z": (1, 3, 2)}, nodes, int64_inputs={"z": 5})


def scatters() -> Rows:
    updates = np.random.default_rng(4).normal(size=(1, 2, 12)).astype(np.float32)
    indices = np.random.default_rng(5).permutation(5)[:2].reshape(1, 2, 1).repeat(12, 2)
    yield "scatterelements", one("ScatterElements", ROWS, indices, updates, axis=1)
    yield "scatternd", one("ScatterND", ROWS, np.asarray([[0, 1], [0, -1]]), updates[0])
    yield "scatternd-row", one("ScatterND", ROWS, np.asarray([0, 3]), updates[0, 0])
    least = node("ReduceMin", ["x"], ["u"], keepdims=0)
    one_element = [least, node("ScatterND", ["x", "i", "u"])]
    yield "scatternd-element", Graph({"x": ROWS}, one_element, {"i": np.asarray([0, 3, 2])})
    rolled = Graph(
        {"x": ROWS, "u": (1, 2, 12)}, [node("ScatterND", ["x", "i", "u"])], {"i": np.asarray([[[0, 1], [0, 3]]])}
    )
    yield "scatternd-computed-updates", rolled
    for reduction in ("none", "add"):
        nodes = [node("ScatterElements", ["x", "z", "u"], reduction=reduction, axis=1)]
        row = (1, 1, 12)
        yield f"scatterelements-{reduction}", Graph({"x": ROWS, "z": row, "u": row}, nodes, int64_inputs={"z": 5})
    nodes = [node("ScatterND", ["x", "z", "u"])]
    yield "scatternd-computed", Graph({"x": ROWS, "z": (1, 1, 2), "u": (1, 1, 12)}, nodes, int64_inputs={"z": 1})


def samplings() -> Rows:
    """Places drawn from -1.6 to 1.6: inside, beyond the edges, and past them by half an image."""
    spread = node("Mul", ["t", "wide"], ["g"])
    for mode, padding, aligned in product(("linear", "nearest", "cubic"), ("zeros", "border", "reflection"), (0, 1)):
        nodes = [
            node("Tanh", ["z"], ["t"]),
            spread,
            node("GridSample", ["x", "g"], mode=mode, padding_mode=padding, align_corners=aligned),
        ]
        case = Graph({"x": (1, 3, 5, 6), "z": (1, 4, 7, 2)}, nodes, {"wide": np.float32(1.6)})
        yield f"gridsample-{mode}-{padding}-{aligned}", case
    volume = [node("Tanh", ["z"], ["t"]), spread, node("GridSample", ["x", "g"])]
    yield (
        "gridsample-volume",
        Graph({"x": (1, 2, 3, 4, 5), "z": (1, 2, 3, 2, 3)}, volume, {"wide": np.float32(1.6)}),
    )
    nodes = [node("Add", ["z", "one"], ["i"]), node("ReverseSequence", ["x", "i"], time_axis=1, batch_axis=0)]
    yield (
        "reversesequence",
        Graph({"x": (1, 5, 3), "z": (1,)}, nodes, {"one": np.asarray(1)}, int64_inputs={"z": 5}),
    )


def hots() -> Rows:
    constants = {"depth": np.asarray(5), "values": np.asarray([0.5, 2.0], np.float32)}
    for axis in (-1, 1):
        nodes = [node("OneHot", ["z", *constants], axis=axis)]
        yield f"onehot-{axis}", Graph({"z": (1, 7)}, nodes, constants, int64_inputs={"z": 6})
    below = [node("Sub", ["z", "two"], ["i"]), node("OneHot", ["i", *constants])]
    yield "onehot-below-zero", Graph({"z": (1, 7)}, below, {**constants, "two": np.asarray(2)}, int64_inputs={"z": 6})
