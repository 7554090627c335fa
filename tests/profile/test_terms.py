"""Work by term: each kind of kernel gives the terms that its time hangs on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgekit.profile.kernels import Kernel
from edgekit.profile.terms import TERMS, amounts, of_kernel

CONV = Kernel(
    name="c",
    op="CONV_2D",
    kind="conv",
    precision="int8",
    macs=64 * 8 * 27,
    inputs=768,
    outputs=512,
    weights=216,
    taps=(3, 3),
    depth=3,
)


def test_a_convolution_gathers_patches() -> None:
    work = of_kernel(CONV, 0)
    assert work == {"window_mac": CONV.macs, "patch": 64 * 27, "conv_output": 512, "weight": 216, "op": 1}


def test_one_by_one_reads_its_input_as_it_is() -> None:
    point = replace(CONV, taps=(1, 1), depth=27, macs=64 * 8 * 27)
    assert of_kernel(point, 0)["conv_input"] == 768
    assert of_kernel(point, 0)["mac"] == CONV.macs
    assert "patch" not in of_kernel(point, 0)


def test_groups_are_another_kernel() -> None:
    assert of_kernel(replace(CONV, groups=2), 0)["grouped_mac"] == CONV.macs


@pytest.mark.parametrize(("precision", "spilled"), [("int8", 216 - 100), ("float32", 216 - 25)])
def test_weights_beyond_half_the_cache_count_again(precision: str, spilled: int) -> None:
    assert of_kernel(replace(CONV, precision=precision), 200)["weight_spill"] == spilled
    assert "weight_spill" not in of_kernel(CONV, 10_000)


@pytest.mark.parametrize(("taps", "term"), [((3, 3), "depthwise_mac"), ((5, 5), "large_depthwise_mac")])
def test_depthwise_by_the_size_of_its_kernel(taps: tuple[int, int], term: str) -> None:
    kernel = replace(CONV, kind="depthwise", groups=8, depth=1, taps=taps)
    work = of_kernel(kernel, 0)
    assert work[term] == CONV.macs
    assert work["depthwise_step"] == 64 * taps[0] * taps[1]


@pytest.mark.parametrize(
    ("kind", "term", "amount"),
    [
        ("elementwise", "elementwise", 1280),
        ("curve", "curve", 512),
        ("softmax", "curve", 512),
        ("pool", "pool", 512 * 9),
        ("reduce", "pool", 768),
        ("move", "move", 1280),
        ("resize", "move", 1280),
        ("convert", "move", 1280),
    ],
)
def test_what_only_moves_or_bends_values(kind: str, term: str, amount: int) -> None:
    assert of_kernel(replace(CONV, kind=kind), 0) == {term: amount, "op": 1}


def test_amounts_add_up() -> None:
    total = amounts([CONV, CONV], 0)
    assert (total["run"], total["op"], total["window_mac"]) == (1, 2, 2 * CONV.macs)
    assert set(total) <= set(TERMS)
