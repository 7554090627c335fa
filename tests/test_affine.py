import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edgekit import affine
from edgekit.affine import INT8, QParams

UINT8 = np.dtype(np.uint8)
reals = st.floats(-1e6, 1e6, width=32)
codes = st.integers(-128, 127)
HALF_STEP = 0.5 + 1e-4  # float32 division and product, on numbers of up to 255 steps


def ranges():
    ends = st.tuples(reals, reals).map(sorted)
    return ends.filter(lambda ends: max(ends[1], 0) - min(ends[0], 0) > 1e-3)


@given(ranges(), st.floats(0, 1))
def test_what_lies_inside_comes_back_within_half_a_step(ends, share):
    qparams = affine.from_range(*ends)
    low, high = qparams.real_range
    x = np.float32(low + share * (high - low))
    assume(low <= x <= high)
    back = affine.dequantize(affine.quantize(x[None], qparams), qparams)
    assert abs(float(back[0]) - float(x)) <= HALF_STEP * float(qparams.scale)


@given(ranges())
def test_the_range_is_covered_but_for_half_a_step(ends):
    qparams = affine.from_range(*ends)
    low, high = qparams.real_range
    slack = HALF_STEP * float(qparams.scale)
    assert low <= min(ends[0], 0) + slack
    assert high >= max(ends[1], 0) - slack


@given(ranges())
def test_real_0_is_exact(ends):
    qparams = affine.from_range(*ends)
    q = affine.quantize(np.zeros(1, np.float32), qparams)
    assert q[0] == qparams.zero_point
    assert affine.dequantize(q, qparams)[0] == 0.0


@given(ranges(), st.lists(reals, min_size=1, max_size=20))
def test_another_signedness_is_the_same_numbers(ends, values):
    signed = affine.from_range(*ends)
    unsigned = signed.shifted_to(UINT8)
    x = np.array(values, np.float32)
    q = affine.quantize(x, signed)
    assert np.array_equal(affine.quantize(x, unsigned), q.astype(np.int16) + 128)
    assert np.array_equal(affine.dequantize(affine.quantize(x, unsigned), unsigned), affine.dequantize(q, signed))
    assert unsigned.shifted_to(INT8) == signed


@given(ranges(), codes)
def test_codes_come_back(ends, code):
    qparams = affine.from_range(*ends)
    q = np.array([code], np.int8)
    assert np.array_equal(affine.quantize(affine.dequantize(q, qparams), qparams), q)


def test_what_lies_outside_saturates():
    qparams = affine.from_range(-1.0, 1.0)
    x = np.array([-1e30, -2.0, 2.0, 1e30], np.float32)
    assert affine.quantize(x, qparams).tolist() == [-128, -128, 127, 127]


def test_halves_round_to_even():
    qparams = QParams(np.asarray(np.float32(1.0)), 0, INT8)
    x = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], np.float32)
    assert affine.quantize(x, qparams).tolist() == [-2, -2, 0, 0, 2, 2]


@pytest.mark.parametrize(("low", "high", "zero_point"), [(0, 6, -128), (-6, 0, 127), (2, 6, -128), (-6, -2, 127)])
def test_one_sided_ranges_start_at_0(low, high, zero_point):
    qparams = affine.from_range(low, high)
    assert qparams.zero_point == zero_point
    assert float(qparams.scale) == pytest.approx(6 / 255)


def test_the_smallest_scale_is_a_normal_number():
    assert float(affine.from_range(0.0, 1e-44).scale) == affine.SMALLEST_SCALE


@given(st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=12))
def test_symmetric_weights_keep_off_minus_128(values):
    weight = np.array(values, np.float32).reshape(2, -1) if len(values) % 2 == 0 else np.array([values], np.float32)
    qparams = affine.symmetric(np.abs(weight).max(axis=1), axis=0)
    q = affine.quantize(weight, qparams)
    assert q.min() >= -127
    assert qparams.zero_point == 0
    assert np.all(np.abs(affine.dequantize(q, qparams) - weight) <= HALF_STEP * qparams.scale[:, None])


def test_a_scale_per_channel_lies_along_its_axis():
    x = np.array([[1.0, 10.0], [2.0, 20.0]], np.float32)
    qparams = affine.symmetric(np.abs(x).max(axis=0), axis=1)
    assert affine.quantize(x, qparams).tolist() == [[64, 64], [127, 127]]


def test_symmetric_parameters_of_wider_integers():
    qparams = affine.symmetric(np.float32(1.0), None, np.dtype(np.int16))
    assert float(qparams.scale) == pytest.approx(1 / 32767)


def test_parameters_are_equal_by_value():
    a, b = affine.from_range(-1.0, 1.0), affine.from_range(-1.0, 1.0)
    assert a == b
    assert hash(a) == hash(b)
    assert a != affine.from_range(-1.0, 2.0)
    assert a != "a"
    channels = affine.symmetric(np.ones(3, np.float32), 0)
    assert channels != a
    assert channels == affine.symmetric(np.ones(3, np.float32), 0)
