from dataclasses import replace

import numpy as np
import pytest

from edgekit import affine
from edgekit.quantize.levels import OFF_STEP, range_of_levels
from edgekit.quantize.ranges import candidate
from tests.quantize.test_ranges import statistics

PIXELS = np.arange(256, dtype=np.float32)
EXACT = {
    "as they are": PIXELS,
    "scaled": PIXELS / 255,
    "around 0": (PIXELS - 127) / 128,
    "without the brightest": PIXELS[:240] / 255,
    "without either end": (PIXELS[7:240] - 127) / 128,
    "with gaps": np.delete(PIXELS, slice(30, 220)),
}
OTHER = {
    "one level": PIXELS[:1],
    "few steps": PIXELS[:100],
    "on two steps": np.append(PIXELS, 0.7),
    "far from 0": PIXELS[:200] + 300,
}


@pytest.mark.parametrize("name", EXACT)
def test_pixels_lie_on_the_steps(name):
    levels = np.sort(EXACT[name].astype(np.float32))
    qparams = affine.from_range(*range_of_levels(levels))
    back = affine.dequantize(affine.quantize(levels, qparams), qparams)
    np.testing.assert_allclose(back, levels, atol=1e-4 * float(qparams.scale))


@pytest.mark.parametrize("name", OTHER)
def test_what_no_steps_hold_exactly(name):
    assert range_of_levels(np.sort(OTHER[name].astype(np.float32))) is None


@pytest.mark.parametrize("levels", [PIXELS / 127.5 - 1, (PIXELS / 255 - 0.5) / 0.25, PIXELS[30:220] - 127.5])
def test_levels_halfway_between_steps_are_parted(levels):
    qparams = affine.from_range(*range_of_levels(levels))
    assert qparams.zero_point == 0
    exact = levels.astype(np.float64) / float(qparams.scale)
    assert np.abs(exact - np.floor(exact) - 0.5).min() > 1e-3, "no level is a tie, whoever computes it"
    assert exact.min() >= -128 and exact.max() <= 127 + OFF_STEP
    error = np.square(exact - np.rint(exact)).mean()
    assert error < 0.12, "a tie is 0.25, of a step, squared"


def test_what_was_not_seen_lies_at_both_ends_or_above():
    assert range_of_levels(PIXELS[:200] / 255) == pytest.approx((0, 1))
    assert range_of_levels(PIXELS[:201] - 100) == pytest.approx((-127, 128))


@pytest.mark.parametrize("method", ["mse", "reach"])
def test_a_range_is_exact_where_it_can_be(method):
    found = statistics(np.random.default_rng(0).choice(PIXELS[:250] / 255, 1000))
    assert candidate(replace(found, levels=PIXELS[:250] / 255), method) == pytest.approx((0, 1))
    assert candidate(found, method)[1] < 0.99
