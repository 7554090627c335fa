import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.quantize.observe import Statistics, bin_middles, observable
from edgekit.run.observer import BINS, Observer, mean_of
from edgekit.run.observer import seen as input_seen
from tests.models import feeds, graph, node, run, weights

MODEL = graph(
    {"x": (1, 4, 5, 5)},
    [node("Conv", ["x", "w"], ["a"]), node("Relu", ["a"])],
    {"w": weights(4, 4, 1, 1)},
)
MODEL_A = graph({"x": (1, 4, 5, 5)}, [node("Conv", ["x", "w"], ["a"])], {"w": weights(4, 4, 1, 1)}, ("a",))
ROWS = [feeds(MODEL, 1, seed) for seed in range(12)]
VALUES, AXES = ("x", "a", "y"), {"x": 1, "a": 1}
GRAPH = observable(MODEL, VALUES)


def seen(*chunks):
    observer = Observer(GRAPH, VALUES, AXES)
    for chunk in chunks:
        observer.update(chunk)
    return observer


def facts_of(observers):
    parts = [observer.statistics() for observer in observers]
    merged = {name: Statistics.merged([Statistics(*part[name]) for part in parts]) for name in VALUES}
    sums = [observer.channel_sums()[0] for observer in observers]
    return (
        {name: (found.low, found.high, found.counts.tobytes()) for name, found in merged.items()},
        {name: sum(part[name] for part in sums if name in part).tolist() for name in AXES},
        sum(observer.channel_sums()[1] for observer in observers),
    )


ONE_PASS = facts_of([seen(ROWS)])


@settings(max_examples=10)
@given(st.permutations(range(len(ROWS))), st.lists(st.integers(0, len(ROWS)), max_size=3), st.integers(1, 3))
def test_order_chunks_and_workers_change_nothing(order, cuts, workers):
    rows = [ROWS[i] for i in order]
    ends = [0, *sorted(cuts), len(rows)]
    chunks = [rows[start:end] for start, end in itertools.pairwise(ends)]
    assert facts_of([seen(*chunks[i::workers]) for i in range(workers)]) == ONE_PASS


def test_the_counts_are_those_of_the_values():
    low, high, counts = seen(ROWS).statistics()["x"]
    x = np.concatenate([row["x"].reshape(-1) for row in ROWS])
    assert (low, high) == (x.min(), x.max())
    assert counts.sum() == x.size
    assert np.array_equal(counts, np.bincount(x.view(np.uint32) >> 16, minlength=BINS))


def test_channel_means():
    sums, count = seen(ROWS).channel_sums()
    x = np.concatenate([row["x"] for row in ROWS])
    np.testing.assert_allclose(mean_of(sums["x"], count), x.mean(axis=(0, 2, 3), dtype=np.float64), atol=1e-8)


@pytest.mark.parametrize("size", [1.0, 1e11, 3e38])
@pytest.mark.parametrize("sign", [1, -1])
def test_channel_means_do_not_overflow(size, sign):
    rows = [{"x": np.float32(sign * size * share) * np.ones((1, 4, 5, 5), np.float32)} for share in (1, -0.25, 0.5)]
    observer = Observer(GRAPH, ["x"], {"x": 1})
    observer.update(rows)
    sums, count = observer.channel_sums()
    np.testing.assert_allclose(mean_of(sums["x"], count), sign * size * 1.25 / 3, rtol=1e-7)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_bin_is_narrow_at_every_magnitude(x):
    x = np.float32(x)
    middle = bin_middles()[int(x.view(np.uint32)) >> 16]
    assert abs(middle - float(x)) <= max(abs(float(x)) / 128, 1e-40)


def test_points_are_ascending_and_within_the_extremes():
    found = Statistics(*seen(ROWS).statistics()["a"])
    values, counts = found.points()
    assert np.all(np.diff(values) >= 0)
    assert found.low <= values[0]
    assert values[-1] <= found.high
    assert counts.sum() == found.counts.sum()


@pytest.mark.parametrize("name", ["x", "y"])
def test_inputs_and_outputs_are_observed_too(name):
    assert seen(ROWS[:1]).statistics()[name][2].sum() == 100


def test_squares_extremes_and_inputs() -> None:
    observer = Observer(GRAPH, VALUES, AXES, norms=("a",), input_axes={"x": 1})
    observer.update(ROWS)
    x = np.concatenate([row["x"] for row in ROWS])
    a = np.concatenate([np.asarray(run(MODEL_A, row)["a"]) for row in ROWS])
    squares, count = observer.channel_squares()
    np.testing.assert_allclose(mean_of(squares["a"], count), np.square(a).mean(axis=(0, 2, 3)), rtol=1e-5)
    np.testing.assert_array_equal(observer.extremes()["x"], [(one.min(), one.max()) for one in x])
    found = observer.inputs()["x"]
    np.testing.assert_array_equal(found.low, x.min(axis=(0, 2, 3)))
    np.testing.assert_array_equal(found.high, x.max(axis=(0, 2, 3)))
    assert not found.whole


def test_an_input_without_channels() -> None:
    found = input_seen(np.array([[1.0, -2.0]], np.float32), None).with_(None)
    assert (found.low.tolist(), found.high.tolist(), found.whole) == ([-2.0], [1.0], True)
    assert not input_seen(np.array([[0.5]], np.float32), None).with_(found).whole


def test_the_numbers_of_an_input_while_8_bits_hold_them() -> None:
    pixels = np.arange(256, dtype=np.float32)
    dark, bright = input_seen(pixels[None, :200], None), input_seen(pixels[None, 100:], None)
    np.testing.assert_array_equal(dark.with_(bright).levels, pixels)
    more = input_seen(pixels[None] + 0.5, None)
    assert dark.with_(more).levels is None and more.with_(dark).with_(bright).levels is None
    assert input_seen(np.arange(10_000, dtype=np.float32)[None], None).levels is None
    late = np.zeros(10_000, np.float32)
    late[-300:] = np.arange(300)
    assert input_seen(late[None], None).levels is None
