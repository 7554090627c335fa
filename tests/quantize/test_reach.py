import numpy as np
import pytest

from edgekit.quantize.reach import CHANCE, ENOUGH, GUMBEL, PRIOR, reaches


def pairs(*highs, low=0.0):
    return np.array([(low, high) for high in highs], np.float32)


def test_the_next_sample_hardly_goes_beyond():
    rng = np.random.default_rng(0)
    values = {f"v{i}": np.stack([np.zeros(8), rng.gumbel(3, 0.5, 8)], 1).astype(np.float32) for i in range(400)}
    found = reaches(values)
    beyond = np.mean([rng.gumbel(3, 0.5) > found[name][1] for name in values])
    seen = np.mean([rng.gumbel(3, 0.5) > values[name].max() for name in values])
    assert beyond < 2 * CHANCE < 0.08 < seen  # one in n + 1 goes beyond what n samples showed


def test_the_formula():
    high = np.array([1.0, 2.0, 4.0])
    (low, found), alone = reaches({"v": pairs(*high)})["v"], np.var(high, ddof=1)
    common = alone / high.mean() ** 2  # the only value is what all have in common
    variance = (2 * alone + PRIOR * common * high.mean() ** 2) / (2 + PRIOR)
    assert low == 0.0
    assert found == pytest.approx(high.mean() + GUMBEL * np.sqrt(variance * 4 / 3))


def test_a_value_that_varies_little_takes_something_from_the_others():
    steady, wild = pairs(1.0, 1.01, 1.02), pairs(1.0, 2.0, 5.0)
    alone = reaches({"steady": steady})["steady"][1]
    beside = reaches({"steady": steady, "wild": wild, "wilder": 2 * wild})["steady"][1]
    assert 1.02 < alone < beside


def test_both_ends_reach_and_hold_zero():
    found = reaches({"v": np.array([(-1, 2), (-3, 1), (-2, 4)], np.float32), "w": pairs(3.0, 5.0, low=1.0)})
    assert found["v"][0] < -3 and found["v"][1] > 4
    assert found["w"][0] == 0.0


@pytest.mark.parametrize(
    "seen",
    [pairs(6.0, 4.0, 6.0), pairs(3.0), pairs(*np.arange(1.0, ENOUGH + 1)), pairs(0.0, 0.0)],
    ids=["bound", "one sample", "enough samples", "zero"],
)
def test_bounds_single_samples_and_many_samples_stay_as_seen(seen):
    assert reaches({"v": seen})["v"] == (0.0, seen.max())
