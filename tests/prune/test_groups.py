import numpy as np
import pytest

from edgekit.graph import cost
from edgekit.prune.cut import cut, kept
from edgekit.prune.groups import channel_groups
from tests.models import graph, node, weights
from tests.prune.nets import NETS


@pytest.mark.parametrize("name", NETS)
def test_what_is_coupled_and_what_stays(name):
    found = channel_groups(NETS[name].make())
    assert {group.name: len(group.units) for group in found.groups} == NETS[name].groups
    reasons = [blocked.why for blocked in found.blocked]
    assert len(reasons) == len(NETS[name].stays)
    assert all(part in why for part, why in zip(NETS[name].stays, reasons, strict=True))


def test_a_group_says_who_makes_it_and_how_many_channels_a_unit_has():
    (stream, _) = channel_groups(NETS["residual"].make()).groups
    assert stream.members == ("Conv 'node_a'", "Conv 'node_c'")
    heads, _ = channel_groups(NETS["transformer"].make()).groups
    assert heads.channels == 8
    assert len(heads.members) == 3


@pytest.mark.parametrize("name", NETS)
def test_the_work_left_is_foreseen(name):
    model = NETS[name].make()
    found = channel_groups(model)
    gone = frozenset(group.units[0] for group in found.groups if len(group.units) > 1)
    foreseen = sum(w.macs * float(np.prod([kept(ids, gone).mean() for ids in w.over])) for w in found.work)
    assert foreseen == pytest.approx(sum(cost.macs_by_node(cut(model, found, gone)).values()))


STAYS = {
    "an op without a row": ([node("Einsum", ["a"], ["b"], equation="nchw->nwhc")], "cannot prune through"),
    "softmax": ([node("Softmax", ["a"], ["b"], axis=1)], "is taken over the channels"),
    "a running sum": ([node("CumSum", ["a", "one"], ["b"])], "sums over the channels"),
    "a mean": ([node("ReduceMean", ["a", "ones"], ["b"])], "reduces the channels to one"),
    "local response": ([node("LRN", ["a"], ["b"], size=3)], "cannot prune through"),
    "layer norm": ([node("LayerNormalization", ["a", "plane"], ["b"], axis=1)], "mean over the channels"),
    "strided channels": ([node("Slice", ["a", "zeros", "eight", "ones", "twos"], ["b"])], "every other channel"),
    "one channel": ([node("Gather", ["a", "one"], ["b"], axis=1)], "takes single channels"),
    "copies of channels": ([node("Pad", ["a", "pads"], ["b"], mode="reflect")], "adds copies of channels"),
    "the batch": ([node("Reshape", ["a", "minus"], ["b"])], "mixes channels with the batch"),
    "their number elsewhere": (
        [node("Transpose", ["a"], ["t"], perm=[0, 2, 1, 3]), node("Reshape", ["t", "moved"], ["b"])],
        "takes their number for another axis",
    ),
    "a resize of channels": ([node("Resize", ["a", "", "scales"], ["b"])], "resizes the channels themselves"),
    "what the model is given": ([node("Mul", ["a", "wide"], ["b"])], "keeps its channels"),
    "transposed, then a convolution": (
        [node("Transpose", ["a"], ["t"], perm=[0, 2, 1, 3]), node("Conv", ["t", "w"], ["b"])],
        "mixes them",
    ),
    "two axes": (
        [node("Transpose", ["a"], ["t"], perm=[0, 2, 1, 3]), node("Add", ["a", "t"], ["b"])],
        "has channels along two axes",
    ),
    "signs of what is padded": (
        [
            node("Sigmoid", ["a"], ["s"]),
            node("Pad", ["s", "border"], ["p"]),
            node("Sign", ["p"], ["t"]),
            node("Conv", ["t", "w"], ["b"]),
        ],
        "does not rest at one number",
    ),
    "weights that are computed": (
        [
            node("Reshape", ["wide", "kernel"], ["k"]),
            node("Conv", ["a", "k"], ["b"]),
        ],
        "weights that are computed",
    ),
    "indices into a table": (
        [
            node("Cast", ["a"], ["t"], to=7),
            node("Gather", ["rows", "t"], ["u"]),
            node("ReduceSum", ["u", "minus_one"], ["b"], keepdims=0),
        ],
        "picks rows by them",
    ),
    "maxima and where they are": (
        [node("MaxPool", ["a"], ["b", "where"], kernel_shape=[2, 2]), node("Cast", ["where"], ["c"], to=1)],
        "gives positions",
    ),
}
CONSTANTS = {
    "one": np.array(1),
    "ones": np.array([1]),
    "twos": np.array([2]),
    "zeros": np.array([0]),
    "eight": np.array([8]),
    "minus": np.array([-1, 64]),
    "moved": np.array([-1, 16, 0, 4]),
    "minus_one": np.array([-1]),
    "rows": weights(9, 6),
    "kernel": np.array([64, 8, 1, 1]),
    "pads": np.array([0, 1, 0, 0, 0, 1, 0, 0]),
    "border": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    "scales": np.float32([1, 2, 1, 1]),
    "plane": np.ones((8, 8, 8), np.float32),
    "w": weights(8, 8, 1, 1),
    "first": weights(8, 3, 1, 1),
}


@pytest.mark.parametrize("name", STAYS)
def test_what_no_weight_can_make_up_for_stays(name):
    nodes, why = STAYS[name]
    inputs = {"x": (1, 3, 8, 8), "wide": (1, 8, 8, 8)}
    model = graph(inputs, [node("Conv", ["x", "first"], ["a"]), *nodes], CONSTANTS, outputs=["b"])
    found = channel_groups(model)
    assert not [group for group in found.groups if group.name == "node_a"]
    assert [why in blocked.why for blocked in found.blocked if blocked.name == "node_a"] == [True]
