import numpy as np
import pytest

from edgekit.errors import EdgekitError
from edgekit.graph import cost, facts
from edgekit.simplify.batch import fold_sizes, fold_tokens, settle_shapes
from tests.models import graph, node, ops, weights
from tests.simplify.keeps import kept

TOKENS = {"x": (1, 6, 8)}


def with_class_token(*after, constants=None):
    """What torch's `cls.expand(x.shape[0], -1, -1)` is exported to, beside the data."""
    nodes = [
        node("Shape", ["x"], ["n"], start=0, end=1),
        node("Concat", ["n", "ones"], ["target"], axis=0),
        node("Expand", ["token", "target"], ["tokens"]),
        node("Concat", ["tokens", "x"], ["y" if not after else "cat"], axis=1),
        *after,
    ]
    known = {"ones": np.array([1, 8]), "token": weights(1, 1, 8), **(constants or {})}
    return graph(TOKENS, nodes, known)


def test_a_class_token_is_added_behind_a_pad():
    model = settle_shapes(with_class_token())
    assert ops(kept(model, fold_tokens(model), batch=3)) == ["Pad", "Add"]


def test_positions_and_token_are_one_addition():
    model = settle_shapes(with_class_token(node("Add", ["cat", "p"]), constants={"p": weights(1, 7, 8)}))
    assert ops(kept(model, fold_tokens(model))) == ["Pad", "Add"]


def test_a_sum_of_two_computed_values_is_left():
    model = settle_shapes(with_class_token(node("Add", ["cat", "cat"])))
    assert ops(kept(model, fold_tokens(model))) == ["Pad", "Add", "Add"]


def test_rows_of_all_samples_are_counted_for_one():
    nodes = [node("Reshape", ["x", "rows"], ["r"]), node("Gemm", ["r", "w"], transB=1)]
    model = settle_shapes(graph(TOKENS, nodes, {"rows": np.array([-1, 8]), "w": weights(4, 8)}))
    assert facts.static_shape(model.graph[0].outputs[0]) == (6, 8)
    assert str(model.graph[0].outputs[0].shape[0]) == "6*batch"
    assert cost.macs(model.graph[1]) == 6 * 8 * 4


def test_sizes_that_a_shape_computation_carries_are_known():
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Slice", ["s", "first", "second"], ["n"]),
        node("Concat", ["n", "rest"], ["target"], axis=0),
        node("Reshape", ["x", "target"]),
    ]
    known = {"first": np.array([0]), "second": np.array([1]), "rest": np.array([2, 24])}
    model = settle_shapes(graph(TOKENS, nodes, known))
    assert facts.shape(model.graph.outputs[0]) == (None, 2, 24)


def test_a_mask_of_tokens_by_tokens_is_constant():
    """What torch makes of `is_causal`: ones of the sizes of queries and keys, their lower triangle."""
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Slice", ["s", "first", "second"], ["n"]),
        node("Concat", ["n", "n"], ["target"], axis=0),
        node("Expand", ["one", "target"], ["ones"]),
        node("Add", ["ones", "ones"], ["twos"]),
        node("MatMul", ["twos", "x"]),
    ]
    known = {"first": np.array([1]), "second": np.array([2]), "one": np.float32(1)}
    model = settle_shapes(graph(TOKENS, nodes, known))
    assert ops(kept(model, fold_sizes(model))) == ["MatMul"]


MIXED = {
    "one more": [node("Concat", ["x", "row"], axis=0)],
    "one less": [node("Slice", ["x", "one", "last", "zero"])],
    "at most two": [node("Slice", ["x", "zero", "two", "zero"])],
    "half": [node("Split", ["x"], ["y", "z"], axis=0, num_outputs=2)],
    "each with each": [
        node("Reshape", ["x", "rows"], ["r"]),
        node("Transpose", ["r"], ["t"]),
        node("MatMul", ["r", "t"], ["m"]),
        node("Reshape", ["m", "flat"]),
    ],
}


@pytest.mark.parametrize("case", MIXED)
def test_sizes_that_mix_samples_are_refused(case):
    nodes = MIXED[case]
    known = {"row": weights(1, 6, 8), "one": np.array([1]), "last": np.array([2**62]), "zero": np.array([0]),
             "two": np.array([2]), "rows": np.array([-1, 48]), "flat": np.array([-1])}  # fmt: skip
    used = {name for one in nodes for name in one.input}
    model = graph(TOKENS, nodes, {name: array for name, array in known.items() if name in used})
    with pytest.raises(EdgekitError, match="per sample") as caught:
        settle_shapes(model)
    assert caught.value.code == "EK213"


def test_scores_of_each_sample_for_each_are_left():
    nodes = [node("Reshape", ["x", "rows"], ["r"]), node("Transpose", ["r"], ["t"]), node("MatMul", ["r", "t"])]
    model = settle_shapes(graph(TOKENS, nodes, {"rows": np.array([-1, 48])}))
    assert [str(size) for size in model.graph[-1].outputs[0].shape] == ["batch", "batch"]


def test_a_squeeze_of_whatever_is_one_is_that_of_a_sample():
    nodes = [node("Unsqueeze", ["x", "axis"], ["u"]), node("Squeeze", ["u"])]
    model = settle_shapes(graph(TOKENS, nodes, {"axis": np.array([1])}))
    assert facts.shape(model.graph[-1].outputs[0]) == (None, 6, 8)
