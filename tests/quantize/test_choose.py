import numpy as np
import pytest

from edgekit import affine
from edgekit.quantize.assign import Plan, ScaleGroup
from edgekit.quantize.blocks import Block
from edgekit.quantize.choose import scale_of, scales_of, search, search_by_blocks
from edgekit.quantize.scheme import FIXED_SCALES
from tests.quantize.test_ranges import statistics

OUTLIER = np.append(np.random.default_rng(0).normal(0, 1, 50_000), 300.0)
FOUND = {"a": statistics(OUTLIER), "b": statistics([-2.0, 3.0]), "z": statistics(np.zeros(4))}
A, B, Z = (ScaleGroup((name,), (name,)) for name in "abz")
SIGMOID = ScaleGroup(("s",), ("s",), FIXED_SCALES["Sigmoid"])
PLAN = Plan(frozenset(), (A, B, SIGMOID), {})


def test_a_fixed_scale_is_taken_as_it_is():
    assert scale_of(SIGMOID, {}, "minmax") == FIXED_SCALES["Sigmoid"]


def test_zeros_throughout_have_a_scale():
    qparams = scale_of(Z, FOUND, "minmax")
    assert float(qparams.scale) == pytest.approx(1 / 255)
    assert affine.dequantize(affine.quantize(np.zeros(1, np.float32), qparams), qparams)[0] == 0.0


def test_a_group_covers_all_its_values():
    low, high = scale_of(ScaleGroup(("a", "b"), ("a", "b")), FOUND, "minmax").real_range
    assert high == pytest.approx(300, rel=0.01)
    assert low <= -2


def test_each_group_by_its_rule():
    found = scales_of(PLAN, FOUND, {"a": "minmax"})
    assert found["a"] == scale_of(A, FOUND, "minmax")
    assert found["b"] == scale_of(B, FOUND, "mse")


def descend(groups, error, done=lambda _: None):
    return search(groups, FOUND, scales_of(PLAN, FOUND, {}), error, done)


def test_the_search_keeps_what_lowers_the_error():
    target = scale_of(A, FOUND, "minmax")
    done = []
    choice, scales = descend(PLAN.groups, lambda scales: 1.0 if scales["a"] == target else 2.0, done.append)
    assert choice == {"a": "minmax"}
    assert scales == scales_of(PLAN, FOUND, choice)
    assert sum(done) == len(PLAN.groups)


def test_the_search_ignores_what_is_noise():
    assert descend(PLAN.groups, lambda scales: 1.0 - 1e-4 * float(scales["a"].scale))[0] == {}


def test_ranges_that_hardly_differ_are_tried_once():
    tried = []
    descend([B], lambda scales: tried.append(scales["b"]) or 1.0)
    assert len(tried) == len(set(tried))


class Blocks:
    """Trials of blocks that like exact extremes; `whole`: the error of the whole by a's scale."""

    def __init__(self, whole):
        self.whole, self.left = whole, []

    def enter(self, block):
        (self.group,) = block.groups

    def block_error(self, scales):
        return 1.0 if scales[self.group.name] == scale_of(self.group, FOUND, "minmax") else 2.0

    def error(self, scales):
        return self.whole(scales["a"] == scale_of(A, FOUND, "minmax"))

    def leave(self, scales):
        self.left.append(scales)


@pytest.mark.parametrize(("whole", "kept"), [(lambda changed: 1.0 - changed, {"a": "minmax"}), (lambda _: 1.0, {})])
def test_a_blocks_choice_is_kept_where_it_helps_the_whole(whole, kept):
    trials = Blocks(whole)
    blocks = [Block(groups=(A,), floats=None, quantized=None, seen={}, needed=frozenset())]
    assert search_by_blocks(blocks, FOUND, scales_of(PLAN, FOUND, {}), trials, lambda _: None) == kept
    assert trials.left == [scales_of(PLAN, FOUND, kept)]
