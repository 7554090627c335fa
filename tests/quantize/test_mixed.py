"""Which ops leave INT8: judged by a function of the plan, so that every decision can be foretold."""

import pytest

from edgekit.quantize.clusters import clusters
from edgekit.quantize.mixed import WITHOUT_AT_MOST, inside, mix, steps
from edgekit.quantize.sensitivity import Sensitivity
from tests.models import graph, node, weights
from tests.quantize.steps import finished, observed

DEPTH = 8
SIDE = 6


def conv(x, y, w):
    return node("Conv", [x, w], [y], pads=[1] * 4)


def chain(depth=DEPTH):
    """Convolutions one after the other: node_v1 ... node_y."""
    names = ["x", *(f"v{i}" for i in range(1, depth)), "y"]
    nodes = [conv(names[i], names[i + 1], f"w{i}") for i in range(depth)]
    constants = {f"w{i}": weights(2, 2, 3, 3, seed=i) for i in range(depth)}
    return graph({"x": (1, 2, SIDE, SIDE)}, nodes, constants)


DONE = finished(observed(chain(), count=2))
CLUSTERS = clusters(DONE.base, DONE.plan)
NAMES = [cluster.name for cluster in CLUSTERS]


def ranked(errors, int16_errors=None):
    """Sensitivities of the chain's convolutions, by number."""
    wide = int16_errors or {}
    found = [
        Sensitivity(cluster=cluster, error=errors.get(i, 1e-6), int16_error=wide.get(i))
        for i, cluster in enumerate(CLUSTERS)
    ]
    return sorted(found, key=lambda each: -each.error)


def searched(found, good):
    """(what mix gives, the plans it looked at). good: whether (float nodes, int16 nodes) are good enough."""
    looked = []

    def judge(candidate):
        wide = frozenset(candidate.plan.kept_float), candidate.plan.int16_nodes
        looked.append(wide)
        return good(*wide)

    return mix(DONE, found, judge, good(frozenset(), frozenset()), "over budget"), looked


def test_exactly_the_hard_ops_leave_int8():
    hard = {NAMES[2], NAMES[5]}
    found, looked = searched(ranked({2: 0.3, 5: 0.1}), lambda floats, _: 1.5 - len(hard & floats))
    assert found.quantized.plan.kept_float.keys() == hard
    assert found.excess <= 0
    assert found.quantized.plan.int8_nodes == set(NAMES) - hard
    assert found.quantized.plan.kept_float[NAMES[2]] == "over budget; alone it leaves 5.2 dB"
    assert len(looked) == len(set(looked))


def test_int16_before_float():
    errors, wide = {3: 0.3, 4: 0.2}, {3: 1e-4, 4: 1e-4}
    hard = {NAMES[3], NAMES[4]}
    found, _ = searched(ranked(errors, wide), lambda floats, int16: 1.5 - len(hard & (floats | int16)))
    assert found.quantized.plan.int16_nodes == hard
    assert not found.quantized.plan.kept_float


def test_float_where_int16_does_not_do():
    errors, wide = {3: 0.3}, {3: 0.1}
    found, looked = searched(ranked(errors, wide), lambda floats, _: 0.5 - (NAMES[3] in floats))
    assert found.quantized.plan.kept_float.keys() == {NAMES[3]}
    assert any(int16 for _, int16 in looked)


def test_steps_are_sorted_by_what_they_win_per_cost():
    found = steps(ranked({0: 0.8, 1: 0.4, 2: 0.2}, {0: 0.1, 1: 0.3}))
    assert [(step.cluster.name, step.precision) for step in found[:4]] == [
        (NAMES[0], "int16"),
        (NAMES[1], "float32"),  # at once: float wins more than int16 does
        (NAMES[0], "float32"),
        (NAMES[2], "float32"),
    ]
    assert len(found) == DEPTH + 1


def test_cheap_ops_first():
    cheap, dear = CLUSTERS[0], CLUSTERS[1]
    light = Sensitivity(cluster=cheap, error=0.1)
    heavy = Sensitivity(cluster=type(dear)(**{**vars(dear), "macs": 100 * dear.macs}), error=0.2)
    assert [step.cluster.name for step in steps([heavy, light])] == [cheap.name, dear.name]


def test_what_does_not_help_goes_back_to_int8():
    """The largest error is of an op that is fine as it is: the walk takes it along, and lets go of it in the end."""
    found, _ = searched(ranked({1: 0.3, 6: 0.1}), lambda floats, _: 0.5 - (NAMES[6] in floats))
    assert found.quantized.plan.kept_float.keys() == {NAMES[6]}


def test_looks_are_few():
    found, looked = searched(ranked({i: 0.1 + i for i in range(DEPTH)}), lambda floats, _: 5.5 - len(floats))
    assert len(found.quantized.plan.kept_float) == 6
    assert len(looked) <= 2 * (DEPTH - 1).bit_length() + 1 + WITHOUT_AT_MOST


def test_out_of_reach_is_the_best_found():
    found, looked = searched(ranked({0: 0.1}), lambda floats, _: 9.0 - len(floats))
    assert found.excess == 1.0
    assert found.quantized.plan.int8_nodes == frozenset()
    assert found.quantized.graph is DONE.calibrated.graph
    assert len(looked) <= DEPTH.bit_length()


def test_nothing_better_is_what_there_was():
    found, _ = searched(ranked({}), lambda *_: 1.0)
    assert found.quantized is DONE
    assert mix(DONE, [], lambda _: 0.0, 1.0, "").quantized is DONE


@pytest.mark.parametrize("moves", [False, True], ids=["bare", "moved"])
def test_the_border_can_be_left_out(moves):
    turn = {"perm": [0, 2, 3, 1]}
    first = [node("Transpose", ["x"], ["t"], perm=[0, 1, 3, 2])] if moves else []
    nodes = [*first, conv("t" if moves else "x", "a", "w"), conv("a", "b", "v"), conv("b", "c", "u")]
    nodes += [node("Transpose", ["c"], **turn)] if moves else [node("Relu", ["c"])]
    constants = {name: weights(2, 2, 3, 3, seed=i) for i, name in enumerate("wvu")}
    model = graph({"x": (1, 2, SIDE, SIDE)}, nodes, constants)
    done = finished(observed(model, count=2))
    found = [Sensitivity(cluster=cluster, error=0.1) for cluster in clusters(done.base, done.plan)]
    assert [each.cluster.name for each in inside(found, done.base)] == ["node_b"]
