import numpy as np
import pytest

from edgekit.simplify.batch import settle_shapes
from edgekit.simplify.moves import merge_moves
from tests.models import graph, node, ops
from tests.simplify.keeps import kept


def chain(shape, *steps):
    """steps: a list for a Reshape, a tuple for a Transpose."""
    nodes, constants, name = [], {}, "x"
    for index, step in enumerate(steps):
        out = "y" if index == len(steps) - 1 else f"v{index}"
        if isinstance(step, list):
            constants[f"s{index}"] = np.array(step)
            nodes.append(node("Reshape", [name, f"s{index}"], [out]))
        else:
            nodes.append(node("Transpose", [name], [out], perm=list(step)))
        name = out
    return settle_shapes(graph({"x": shape}, nodes, constants))


CHAINS = {
    "there and back": ((1, 4, 6), [(0, 2, 1), (0, 2, 1)], []),
    "two reshapes": ((1, 4, 6), [[-1, 24], [-1, 8, 3]], ["Reshape"]),
    "heads": ((1, 5, 12), [[-1, 5, 3, 4], (0, 2, 1, 3)], ["Reshape", "Transpose"]),
    "keys transposed by way of a batch of heads": (
        (1, 5, 12),
        [[-1, 5, 3, 4], (0, 2, 1, 3), [-1, 5, 4], (0, 2, 1), [-1, 3, 4, 5]],
        ["Transpose", "Reshape"],
    ),
    "an axis of one": ((1, 5, 4), [[-1, 5, 1, 4], (0, 2, 1, 3)], ["Reshape"]),
    "windows": (
        (1, 6, 6, 2),
        [[-1, 2, 3, 2, 3, 2], (0, 1, 3, 2, 4, 5), [-1, 3, 3, 2], [-1, 9, 2]],
        ["Reshape", "Transpose", "Reshape"],
    ),
    "channel shuffle": ((1, 6, 2, 2), [[-1, 2, 3, 2, 2], (0, 2, 1, 3, 4), [-1, 6, 2, 2]], None),
    "batch in the middle": ((1, 5, 12), [(1, 0, 2), [5, -1, 4], (1, 0, 2), [-1, 3, 5, 4]], ["Reshape", "Transpose"]),
    "not a common cut": ((1, 6), [[-1, 2, 3], (0, 2, 1), [-1, 2, 3], (0, 2, 1)], None),
    "patches": (
        (1, 4, 4, 6),
        [[-1, 2, 2, 2, 12], (0, 1, 3, 2, 4), [-1, 4, 24], (0, 2, 1), [-1, 24, 2, 2]],
        None,
    ),
}


@pytest.mark.parametrize(("shape", "steps", "expected"), CHAINS.values(), ids=CHAINS)
def test_the_shortest_chain(shape, steps, expected):
    model = chain(shape, *steps)
    after = kept(model, merge_moves(model), batch=2)
    assert len(after.graph) <= len(model.graph)
    if expected:
        assert ops(after) == expected


def test_there_and_back_before_another_op():
    nodes = [
        node("Transpose", ["x"], ["a"], perm=[0, 2, 1]),
        node("Transpose", ["a"], ["b"], perm=[0, 2, 1]),
        node("Relu", ["b"]),
    ]
    model = settle_shapes(graph({"x": (1, 4, 6)}, nodes))
    assert ops(kept(model, merge_moves(model))) == ["Relu"]


def test_a_value_that_others_read_stays():
    nodes = [
        node("Transpose", ["x"], ["a"], perm=[0, 2, 1]),
        node("Transpose", ["a"], ["b"], perm=[0, 2, 1]),
        node("Add", ["b", "x"], ["c"]),
        node("MatMul", ["c", "a"]),
    ]
    model = settle_shapes(graph({"x": (1, 4, 6)}, nodes))
    assert ops(kept(model, merge_moves(model))).count("Transpose") == 2


@pytest.mark.parametrize("seed", range(30))
def test_any_chain(seed):
    """Random cuts, exchanges and joins."""
    rng = np.random.default_rng(seed)
    shape, steps = [1, *rng.choice([1, 2, 3, 4, 6], 3)], []
    begin = tuple(int(n) for n in shape)
    for _ in range(rng.integers(2, 6)):
        if rng.random() < 0.5:
            perm = [0, *(1 + rng.permutation(len(shape) - 1))]
            shape = [shape[i] for i in perm]
            steps.append(tuple(int(i) for i in perm))
        else:
            total, shape = int(np.prod(shape)), [1]
            while total > 1 and len(shape) < 4:
                factors = [n for n in range(1, total + 1) if total % n == 0]
                shape.append(int(rng.choice(factors)))
                total //= shape[-1]
            shape.append(total)
            steps.append([-1, *shape[1:]])
    model = chain(begin, *steps)
    kept(model, merge_moves(model), batch=3)
