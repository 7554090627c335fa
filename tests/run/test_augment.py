from dataclasses import replace

import numpy as np
import pytest

from edgekit.errors import EdgekitError
from edgekit.preprocess import Preprocess
from edgekit.run.augment import NOISE, SHIFT, augmented, check_augmentable, image_axes
from edgekit.samples import load_samples

X = np.random.default_rng(0).normal(0, 1, (40, 2, 16, 8)).astype(np.float32)
SAMPLES = load_samples({"x": X, "scale": X[:, 0, 0, :3].copy()})
(BATCH,) = SAMPLES.batches(40)
NCHW = (2, 3)


def changed(*changes, seed=(0, 0, 0), batch=BATCH, axes=NCHW):
    return augmented(batch, changes, seed, axes).inputs["x"]


def moves(x, found) -> set[tuple[int, int]]:
    """The shifts that explain what was found of an image."""
    explained = set()
    for down in range(-2, 3):
        for right in range(-1, 2):
            rows, columns = np.clip(np.arange(16) - down, 0, 15), np.clip(np.arange(8) - right, 0, 7)
            if np.array_equal(x[:, rows][:, :, columns], found):
                explained.add((down, right))
    return explained


def test_half_of_the_images_are_flipped() -> None:
    found = changed("flip")
    flipped = [np.array_equal(one, x[:, :, ::-1]) for one, x in zip(found, X, strict=True)]
    same = [np.array_equal(one, x) for one, x in zip(found, X, strict=True)]
    assert all(a != b for a, b in zip(flipped, same, strict=True))
    assert 10 < sum(flipped) < 30


def test_images_are_shifted_by_an_eighth_at_most() -> None:
    found = [moves(x, one) for x, one in zip(X, changed("shift"), strict=True)]
    assert all(len(explained) == 1 for explained in found)
    assert {down for ((down, _),) in found} == {-2, -1, 0, 1, 2}
    assert {right for ((_, right),) in found} == {-1, 0, 1}
    assert SHIFT == 1 / 8


def test_what_is_no_image_is_left_alone() -> None:
    found = augmented(BATCH, ("flip", "shift"), (0,), NCHW)
    np.testing.assert_array_equal(found.inputs["scale"], BATCH.inputs["scale"])
    assert augmented(BATCH, (), (0,), NCHW) is BATCH


def test_the_seed_says_all() -> None:
    np.testing.assert_array_equal(changed("flip", "shift"), changed("flip", "shift"))
    assert not np.array_equal(changed("flip", "shift"), changed("flip", "shift", seed=(0, 0, 1)))


def test_channels_may_come_last() -> None:
    last = load_samples({"x": X.transpose(0, 2, 3, 1).copy()}, Preprocess(model_layout="nhwc"))
    (batch,) = last.batches(40)
    found = changed("flip", "shift", batch=batch, axes=image_axes(last))
    np.testing.assert_array_equal(found.transpose(0, 3, 1, 2), changed("flip", "shift"))
    assert image_axes(SAMPLES) == NCHW


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((16, 8, 3), (1, 2)),
        ((49, 10, 1), (1, 2)),
        ((3, 16, 8), NCHW),
        ((1, 49, 10), NCHW),
        ((16, 4, 4), NCHW),
        ((3, 16, 3), NCHW),
    ],
)
def test_arrays_whose_channels_come_last_are_told_by_their_shape(shape, axes) -> None:
    assert image_axes(load_samples(np.zeros((4, *shape), np.float32))) == axes


def test_noise_is_a_share_of_what_samples_differ_by() -> None:
    x = X.copy()
    x[:, :, :4] = 1.0  # alike in all
    batch = replace(BATCH, inputs={"x": x, "count": np.arange(40)})
    found = augmented(batch, ("noise",), (0,), NCHW).inputs
    np.testing.assert_array_equal(found["x"][:, :, :4], x[:, :, :4])
    assert np.std(found["x"][:, :, 4:] - x[:, :, 4:]) == pytest.approx(NOISE, rel=0.05)
    assert found["x"].dtype == np.float32
    np.testing.assert_array_equal(found["count"], np.arange(40))


@pytest.mark.parametrize(
    ("samples", "change", "why"),
    [
        (({"x": X}, {"y": X}), "flip", "targets"),
        ({"x": X[:, 0, 0]}, "shift", "no images"),
        ({"x": X.astype(np.uint8)}, "noise", "integers"),
    ],
    ids=["targets", "vectors", "integers"],
)
def test_what_cannot_be_augmented(samples, change, why) -> None:
    with pytest.raises(EdgekitError) as refused:
        check_augmentable(load_samples(samples), (change,))
    assert refused.value.code == "EK925" and why in refused.value.why
    assert refused.value.fix == f"leave --augment {change} out"
    check_augmentable(load_samples(samples), ())
    check_augmentable(load_samples((X, np.zeros(40, np.int64))), ("flip", "shift", "noise"))
