import numpy as np
import pytest

from edgekit import affine
from edgekit.quantize.assign import FIXED_SCALES, Plan, ScaleGroup
from edgekit.quantize.choose import scale_of, scales_of, search
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


def test_the_search_keeps_what_lowers_the_error():
    target = scale_of(A, FOUND, "minmax")
    done = []
    choice = search(PLAN, FOUND, lambda scales: 1.0 if scales["a"] == target else 2.0, done.append)
    assert choice == {"a": "minmax"}
    assert sum(done) == len(PLAN.groups)


def test_the_search_ignores_what_is_noise():
    choice = search(PLAN, FOUND, lambda scales: 1.0 - 1e-4 * float(scales["a"].scale), lambda _: None)
    assert choice == {}


def test_ranges_that_hardly_differ_are_tried_once():
    tried = []
    search(Plan(frozenset(), (B,), {}), FOUND, lambda scales: tried.append(scales["b"]) or 1.0, lambda _: None)
    assert len(tried) == len(set(tried))
