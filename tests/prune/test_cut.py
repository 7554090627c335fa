import numpy as np
import onnx
import pytest

from edgekit.errors import EdgekitError
from edgekit.graph import cost, facts, files
from edgekit.graph.check import checked
from edgekit.prune.cut import cut, silenced
from edgekit.prune.groups import channel_groups
from tests.models import feeds, run
from tests.prune.nets import NETS

EXACT = 1e-5  # of the largest output: the order in which a shorter sum is added up


def some(found, seed):
    """Some units of every group, but all that a value has of none."""
    rng = np.random.default_rng(seed)
    gone = {u for group in found.groups for u in rng.permutation(group.units)[: rng.integers(0, len(group.units) + 1)]}
    for labels in found.spans:
        if gone.issuperset(labels.tolist()):
            gone.discard(labels[0])
    return {int(unit) for unit in gone}


def difference(model, other):
    inputs = feeds(model)
    one, two = run(model, inputs)["y"], run(other, inputs)["y"]
    return np.abs(one - two).max() / np.abs(one).max()


@pytest.mark.parametrize("name", NETS)
def test_cutting_what_is_silent_changes_nothing(name):
    model = NETS[name].make()
    before = files.to_bytes(model)
    found = channel_groups(model)
    cuts = [some(found, seed) for seed in range(3)]
    cuts += [set(group.units[1:]) for group in found.groups if len(group.units) > 1]  # each group by itself
    for gone in cuts:
        small = checked(cut(model, found, gone))
        assert difference(silenced(model, found, gone), small) < EXACT
        assert not gone or cost.parameters(small) < cost.parameters(model)
    assert files.to_bytes(model) == before


@pytest.mark.parametrize("name", sorted(NETS.keys() - {"group_norm", "older_group_norm"}))  # ONNX infers nothing there
def test_the_shapes_are_those_that_follow(name):
    model = NETS[name].make()
    found = channel_groups(model)
    small = cut(model, found, some(found, 0))
    known = {value.name: facts.shape(value) for each in small.graph for value in each.outputs}
    for each in small.graph:
        for value in each.outputs:
            value.shape = None
    inferred = onnx.shape_inference.infer_shapes(
        onnx.load_from_string(files.to_bytes(small)), strict_mode=True, data_prop=True
    )
    for value in inferred.graph.value_info:
        dims = [dim.dim_value or None for dim in value.type.tensor_type.shape.dim]
        expected = known.get(value.name)  # None of a constant
        assert expected is None or all(a in (None, b) for a, b in zip(dims, expected, strict=True)), value.name


def test_a_constant_that_activations_make_of_nothing_goes_into_the_bias():
    model = NETS["rests"].make()
    found = channel_groups(model)
    small = cut(model, found, {unit for group in found.groups for unit in group.units[1:]})
    assert [each.op_type for each in small.graph].count("Add") == 2  # products have no bias of their own
    assert all(len(each.inputs) == 3 for each in small.graph if each.op_type == "Conv" and each.name == "node_b")


def test_nodes_that_share_weights_go_on_sharing_them():
    model = NETS["shared"].make()
    found = channel_groups(model)
    small = cut(model, found, found.groups[0].units[:3])
    first, second = (each.inputs[1] for each in small.graph if each.name in ("node_a", "node_b"))
    assert first is second
    assert facts.shape(first)[0] == 5


def test_nodes_keep_where_they_come_from():
    model = NETS["chain"].make()
    for each in model.graph:
        each.metadata_props["from"] = each.name or ""
    found = channel_groups(model)
    small = cut(model, found, found.groups[0].units[:3])
    assert [each.metadata_props["from"] for each in small.graph] == [each.name for each in model.graph]


def test_a_value_keeps_a_channel():
    model = NETS["chain"].make()
    found = channel_groups(model)
    with pytest.raises(EdgekitError, match="cannot cut every channel of 'a'") as raised:
        cut(model, found, found.groups[0].units)
    assert raised.value.code == "EK302"


def test_nothing_cut_is_nothing_changed():
    for expected in NETS.values():
        model = expected.make()
        assert difference(model, cut(model, channel_groups(model), ())) == 0
