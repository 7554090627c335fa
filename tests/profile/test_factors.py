"""Factors find what terms miss, hold where nothing was measured, and see kernels through the nets that hold them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgekit.profile.factors import Shape, Timed, factors, fit_factors, is_like, shape_of
from edgekit.profile.kernels import Kernel
from edgekit.profile.terms import Term

MAC: dict[Term, float] = {"mac": 1e-10, "depthwise_mac": 1e-9}
POINT = Kernel(
    name="p",
    op="Conv",
    kind="conv",
    precision="float32",
    macs=196 * 64 * 32,
    inputs=196 * 32,
    outputs=196 * 64,
    weights=64 * 32,
    depth=32,
)
DEPTHWISE = Kernel(
    name="d",
    op="Conv",
    kind="depthwise",
    precision="float32",
    macs=196 * 64 * 9,
    inputs=196 * 64,
    outputs=196 * 64,
    weights=64 * 9,
    taps=(3, 3),
    groups=64,
)


def point(rows: int) -> Kernel:
    return replace(POINT, macs=rows * 64 * 32, outputs=rows * 64, inputs=rows * 32)


def net(*kernels: Kernel, factor: float = 1.0, rest_s: float = 0.0) -> Timed:
    seconds = sum(MAC["mac" if kernel.kind == "conv" else "depthwise_mac"] * kernel.macs for kernel in kernels)
    return Timed(kernels=kernels, seconds=factor * seconds + rest_s, rest_s=rest_s)


def test_what_terms_miss_is_found() -> None:
    known = fit_factors([net(*[point(rows)] * 3, factor=2.0) for rows in (49, 196, 784)], MAC, 0)
    assert factors([point(196), point(400)], known) == pytest.approx([2.0, 2.0], rel=0.05)


def test_it_may_depend_on_the_shape() -> None:
    nets = [net(point(rows), factor=1 + 3 * (rows < 100)) for rows in (25, 49, 1600, 3136)]
    small, large = factors([point(49), point(3000)], fit_factors(nets, MAC, 0))
    assert small == pytest.approx(4, rel=0.1)
    assert large == pytest.approx(1, rel=0.1)


def test_kernels_are_seen_through_sums_and_beside_a_rest() -> None:
    mixed = net(point(196), factor=2.0, rest_s=1e-5 + MAC["depthwise_mac"] * DEPTHWISE.macs)
    nets = [
        Timed(kernels=(point(196), DEPTHWISE), seconds=mixed.seconds, rest_s=1e-5),
        net(DEPTHWISE, DEPTHWISE, rest_s=1e-5),
    ]
    first, second = factors([point(196), DEPTHWISE], fit_factors(nets, MAC, 0))
    assert first == pytest.approx(2, rel=0.3)
    assert second == pytest.approx(1, rel=0.3)


def test_nothing_is_said_of_other_kinds() -> None:
    known = fit_factors([net(POINT, factor=2.0)], MAC, 0)
    assert factors([DEPTHWISE], known) == pytest.approx([1.0])
    assert is_like(POINT, known)
    assert not is_like(DEPTHWISE, known)


def test_a_device_without_factors() -> None:
    assert factors([POINT, DEPTHWISE], ()) == pytest.approx([1, 1])
    assert len(factors([], fit_factors([net(POINT)], MAC, 0))) == 0
    assert is_like(POINT, ())


def test_no_factor_is_out_of_all_bounds() -> None:
    known = fit_factors([net(point(rows), factor=1e6) for rows in (49, 196)], MAC, 0)
    assert np.all(factors([point(100)], known) <= np.exp(3.0))


@pytest.mark.parametrize(
    ("kernel", "shape"),
    [
        (POINT, Shape("pointwise", 196, 64, 32, 1, 1)),
        (replace(POINT, groups=2), Shape("grouped", 196, 64, 32, 1, 1)),
        (replace(POINT, taps=(3, 3), weights=64 * 32 * 9, stride=2), Shape("window", 196, 64, 32, 9, 2)),
        (replace(POINT, kind="transpose-conv"), Shape("transpose-conv", 196, 64, 32, 1, 1)),
        (DEPTHWISE, Shape("depthwise", 196, 64, 1, 9, 1)),
        (replace(POINT, kind="matmul", weights=0), Shape("product", 196 * 64, 1, 32, 1, 1)),
        (replace(POINT, kind="curve", op="Gelu", weights=0, macs=0), Shape("Gelu", 196 * 64, 1, 196 * 32, 1, 1)),
    ],
)
def test_the_shape_of_a_kernel(kernel: Kernel, shape: Shape) -> None:
    assert shape_of(kernel) == shape
