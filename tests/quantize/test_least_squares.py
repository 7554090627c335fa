from itertools import product

import numpy as np
import pytest
import torch

from edgekit.quantize import least_squares
from edgekit.quantize.least_squares import BLOCK, descended
from edgekit.run.linear import Moments

GROUPS, OUTPUTS, INPUTS, PLACES = 2, 3, 4, 500


@pytest.fixture(scope="module")
def seen():
    """x' with noise that goes with x, y of exact weights, both in two parts; the weights."""
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(GROUPS, INPUTS, INPUTS))
    x = rng.normal(1, 1, (GROUPS, PLACES, INPUTS)) @ mixed
    noisy = x + 0.2 * rng.normal(size=x.shape)
    weights = torch.from_numpy(rng.normal(0, 0.4, (GROUPS, OUTPUTS, INPUTS)))
    y = torch.from_numpy(x) @ weights.transpose(1, 2)
    return torch.from_numpy(noisy), y, weights


def moments(seen, parts=1):
    made = Moments.none(GROUPS, INPUTS, OUTPUTS)
    for x, y in zip(seen[0].chunk(parts, 1), seen[1].chunk(parts, 1), strict=True):
        made.add(x, y)
    return made


def loss(v, h, c):
    return float(torch.diagonal(v @ h @ v.transpose(1, 2) - 2 * v @ c, dim1=1, dim2=2).sum())


def lost(seen, v, bias):
    """Mean over the places of what the outputs are off by, squared and summed."""
    x, y, _ = seen
    off = x @ v.transpose(1, 2) - y
    off = off - off.mean(1, keepdim=True) if bias else off
    return float(off.square().mean(1).sum())


@pytest.mark.parametrize("bias", [True, False])
def test_moments_say_what_weights_lose(seen, bias):
    h, c = moments(seen, parts=3).problem(seen[2], 0.0, bias=bias)
    first, second = seen[2], torch.randn(seen[2].shape, generator=torch.Generator().manual_seed(1)).double()
    expected = lost(seen, first, bias) - lost(seen, second, bias)
    assert loss(first, h, c) - loss(second, h, c) == pytest.approx(expected)


def test_the_shift_puts_the_mean_right(seen):
    x, y, weights = seen
    shift = moments(seen).shift(weights * 0.9)
    found = x @ (weights * 0.9).transpose(1, 2) + shift.unsqueeze(1)
    np.testing.assert_allclose(found.mean(1), y.mean(1), atol=1e-12)


def test_a_ridge_counts_the_distance_from_the_weights(seen):
    h, c = moments(seen).problem(seen[2], 0.0, bias=True)
    v = seen[2] + 0.1
    wide, drawn = moments(seen).problem(seen[2], 2.0, bias=True)
    r = 2.0 * h.diagonal(dim1=1, dim2=2).mean(1)
    away = [float((r * (x - seen[2]).square().sum((1, 2))).sum()) for x in (v, seen[2])]
    bare = loss(v, h, c) - loss(seen[2], h, c)
    assert loss(v, wide, drawn) - loss(seen[2], wide, drawn) == pytest.approx(bare + away[0] - away[1])


def test_descent_comes_near_what_trying_all_finds(seen):
    """Of all roundings up and down of a few weights; a descent of single coordinates may end above the least."""
    h, c = moments(seen).problem(seen[2], 0.01, bias=True)
    scale = torch.full((GROUPS, OUTPUTS), 0.25, dtype=torch.float64)
    low = (seen[2] / 0.25).floor()
    nearest = (seen[2] / 0.25).round()
    ups = torch.tensor(list(product((0.0, 1.0), repeat=INPUTS)), dtype=torch.float64)
    found = descended(nearest, h, c, scale) * 0.25
    above: list[float] = []
    for group, output in product(range(GROUPS), range(OUTPUTS)):
        one = h[group : group + 1], c[group : group + 1, :, output : output + 1]
        losses = [loss((low[group, output] + up)[None, None] * 0.25, *one) for up in ups]
        ours = loss(found[group, output][None, None], *one)
        plain = loss(nearest[group, output][None, None] * 0.25, *one)
        assert ours <= plain
        above.append((ours - min(losses)) / (plain - min(losses)) if plain > min(losses) else 0.0)
    assert np.mean(above) < 0.5


def test_descent_stays_within_the_narrow_range(seen):
    h, c = moments(seen).problem(seen[2], 0.0, bias=False)
    scale = torch.full((GROUPS, OUTPUTS), 0.001, dtype=torch.float64)
    q = descended(torch.zeros_like(seen[2]), h, c, scale)
    assert q.abs().max() == 127 and torch.equal(q, q.round())


def test_a_wide_ridge_rounds_to_nearest(seen):
    h, c = moments(seen).problem(seen[2], 1e6, bias=True)
    scale = torch.full((GROUPS, OUTPUTS), 0.05, dtype=torch.float64)
    q = descended(torch.zeros_like(seen[2]), h, c, scale)
    assert torch.equal(q, (seen[2] / 0.05).round())


def test_an_op_that_sees_nothing_is_left_as_it_is():
    nothing = Moments.none(1, 2, 1)
    nothing.add(torch.zeros(1, 5, 2), torch.zeros(1, 5, 1))
    weights = torch.tensor([[[0.2, -0.4]]], dtype=torch.float64)
    h, c = nothing.problem(weights, 1.0, bias=True)
    start = torch.tensor([[[2.0, -4.0]]], dtype=torch.float64)
    assert torch.equal(descended(start, h, c, torch.full((1, 1), 0.1, dtype=torch.float64)), start)


def test_blocks_change_nothing(monkeypatch):
    """But the order of sums."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(1, 900, 3)) @ rng.normal(size=(1, 3, 60)) + rng.normal(0, 0.1, (1, 900, 60)))
    weights = torch.from_numpy(rng.normal(size=(1, 7, 60)))
    scale = torch.full((1, 7), 0.1, dtype=torch.float64)
    start = (weights / scale.unsqueeze(2)).round().clamp(-127, 127)
    found = []
    for size in (BLOCK, 7):
        monkeypatch.setattr(least_squares, "BLOCK", size)
        made = Moments.none(1, 60, 7)
        made.add(x, x @ weights.transpose(1, 2))
        found.append(descended(start, *made.problem(weights, 0.1, bias=True), scale))
    assert torch.equal(*found) and not torch.equal(found[0], start)
