from __future__ import annotations

import pytest

from edgekit import units


@pytest.mark.parametrize(
    ("n", "words"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (82_344, "80.4 KiB"), (5 * 2**40, "5.00 TiB")]
)
def test_size(n: int, words: str) -> None:
    assert units.size(n) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(1.5, "1.50 s"), (0.00123, "1.23 ms"), (45e-6, "45.0 us"), (2e-9, "2.00 ns"), (120, "120 s")]
)
def test_time(seconds: float, words: str) -> None:
    assert units.time(seconds) == words


def test_times_share_the_unit_of_the_first() -> None:
    assert units.times(0.0009, 0.0008, 0.0011) == (["900", "800", "1100"], "us")


@pytest.mark.parametrize(
    ("n", "words"), [(640, "640"), (41_012_345, "41.0 M"), (269_722, "270 k"), (41 * 10**8, "4.10 G")]
)
def test_count(n: int, words: str) -> None:
    assert units.count(n) == words


@pytest.mark.parametrize(
    ("share", "words"),
    [(1, "100 %"), (0.99999, "99.9 %"), (0.5, "50.0 %"), (0.0001, "<0.1 %"), (0, "0.0 %"), (float("nan"), "-")],
)
def test_a_percentage_never_rounds_to_whole(share: float, words: str) -> None:
    assert units.percent(share) == words


def test_shape_whole_and_plural() -> None:
    assert units.shape((None, 3, 32, 32)) == "Nx3x32x32"
    assert units.shape(()) == "scalar"
    assert units.whole(10_000) == "10 000"
    assert (units.plural(1, "op"), units.plural(3, "op")) == ("1 op", "3 ops")


def test_energies() -> None:
    assert units.energies(0.1516, 0.136) == (["152", "136"], "mJ")
    assert units.energies(5e-6) == (["5.00"], "uJ")
    assert units.energies(2e-8) == (["0.02"], "uJ")
    assert units.energies(1.5) == (["1.50"], "J")
    assert units.energy(0.1516) == "152 mJ"


def test_power_and_price() -> None:
    assert (units.power(6.392), units.power(0.105), units.power(0)) == ("6.39 W", "105 mW", "0.00 W")
    assert (units.price(35.0), units.price(99.5)) == ("35 USD", "99.5 USD")
