"""The preprocess contract: its order, its numbers, its words."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from edgekit.errors import EdgekitError
from edgekit.preprocess import Preprocess, applied, resized_and_cropped

NONE = Preprocess()


def made(**keys: Any) -> Preprocess:
    """As a recipe or the options give them: fractions and lists are text."""
    return Preprocess.model_validate(keys)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "bool", "float32"])
def test_nothing_said_nothing_done(dtype: str) -> None:
    x = np.arange(24).reshape(2, 3, 4).astype(dtype)
    y = applied(x, NONE, channels_last=False, name="s")
    assert y.dtype == dtype
    assert np.array_equal(x, y)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_every_float_becomes_float32(dtype: str) -> None:
    assert applied(np.ones((1, 2), dtype), NONE, channels_last=False, name="s").dtype == np.float32


def test_scale_then_mean_then_std_per_channel() -> None:
    x = np.full((1, 2, 2, 3), 10, np.uint8)
    y = applied(x, made(scale="1/5", mean="0,1,2", std="1,2,4"), channels_last=True, name="s")
    assert y.shape == (1, 3, 2, 2)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y[0, :, 0, 0], [2, 0.5, 0], atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    x=hnp.arrays(np.uint8, st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.just(3))),
    mean=st.lists(st.floats(-2, 2, width=32), min_size=3, max_size=3),
    std=st.lists(st.floats(0.125, 2, width=32), min_size=3, max_size=3),
)
def test_layouts_and_batches_agree(x: NDArray[Any], mean: list[float], std: list[float]) -> None:
    contract = made(scale="1/255", mean=mean, std=std)
    last = applied(x, contract, channels_last=True, name="s")
    first = applied(x.transpose(0, 3, 1, 2), contract, channels_last=False, name="s")
    alone = [applied(one[None], contract, channels_last=True, name="s") for one in x]
    assert np.array_equal(last, first)
    assert np.array_equal(last, np.concatenate(alone))
    assert last.flags.c_contiguous


def test_channels_are_last_only_in_images() -> None:
    assert applied(np.ones((5, 7), np.uint8), NONE, channels_last=True, name="s").shape == (5, 7)
    nhwc = made(model_layout="nhwc")
    assert applied(np.ones((1, 4, 5, 3), np.uint8), nhwc, channels_last=True, name="s").shape == (1, 4, 5, 3)


def test_one_number_is_for_all_channels() -> None:
    y = applied(np.full((1, 2, 4), 3.0), made(mean=1, std=2), channels_last=False, name="s")
    assert np.array_equal(y, np.ones((1, 2, 4), np.float32))


def test_mean_that_does_not_fit() -> None:
    with pytest.raises(EdgekitError, match="EK132") as raised:
        applied(np.zeros((1, 32, 32, 3)), made(mean="1,2,3"), channels_last=False, name="s")
    assert raised.value.fix == "say --samples-layout nhwc"
    with pytest.raises(EdgekitError, match=r"EK132.*--std") as raised:
        applied(np.zeros((1, 4, 5)), made(std="1,2,3"), channels_last=False, name="s")
    assert "one per channel" in raised.value.fix
    with pytest.raises(EdgekitError, match="EK132"):
        applied(np.zeros(4), made(std="1,2,3"), channels_last=False, name="s")


@pytest.mark.parametrize(
    ("size", "resize", "expected"),
    [
        ((500, 375), 256, (341, 256)),  # torchvision: int(256 * 500 / 375)
        ((375, 500), 256, (256, 341)),
        ((10, 10), 4, (4, 4)),
        ((10, 20), (6, 8), (8, 6)),
        ((10, 20), None, (10, 20)),
    ],
)
def test_resize(size: tuple[int, int], resize: Any, expected: tuple[int, int]) -> None:
    assert resized_and_cropped(Image.new("RGB", size), made(resize=resize), "a").size == expected


def test_crop_is_central() -> None:
    image = Image.fromarray(np.arange(63, dtype=np.uint8).reshape(7, 9))
    assert np.array_equal(
        resized_and_cropped(image, made(crop=[3, 5]), "a"), np.arange(63).reshape(7, 9)[2:5, 2:7].astype(np.uint8)
    )
    with pytest.raises(EdgekitError, match=r"EK132.*'a' to 8x8"):
        resized_and_cropped(image, made(crop=8), "a")


def test_resize_is_antialiased() -> None:
    stripes = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (16, 8)))
    grey = np.asarray(resized_and_cropped(stripes, made(resize=4), "a"))
    assert 100 < grey.min() <= grey.max() < 155


def test_words_of_the_options() -> None:
    assert made(scale="1/255").scale == 1 / 255
    assert made(mean=".485,.456").mean == (0.485, 0.456)
    assert made(mean=["1/2", 1]).mean == (0.5, 1.0)
    assert made(std=3).std == (3.0,)
    assert made(resize="240x320", crop="224") == made(resize=[240, 320], crop=224)


@pytest.mark.parametrize(
    "keys",
    [
        {"scale": "1/0"},
        {"scale": 0},
        {"scale": "a"},
        {"scale": float("inf")},
        {"mean": []},
        {"mean": [float("nan")]},
        {"mean": "1,,2"},
        {"mean": {"r": 1}},
        {"std": [1, 0, 1]},
        {"std": -1},
        {"resize": 0},
        {"resize": 10**6},
        {"resize": "axb"},
        {"crop": [1, 2, 3]},
        {"crop": "2x2x2"},
        {"layout": "hwc"},
        {"sclae": 1},
    ],
)
def test_what_cannot_be(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        made(**keys)


def test_metadata_says_everything() -> None:
    contract = made(resize=256, crop=224, scale="1/255", mean="0.5", layout="nhwc")
    metadata = json.loads(json.dumps(contract.to_metadata()))
    assert set(Preprocess.model_fields) <= set(metadata)
    assert metadata["crop"] == [224, 224]
    assert metadata["std"] is None
    assert metadata["scale"] == 1 / 255
    assert json.loads(json.dumps(made(resize=[3, 4]).to_metadata()))["resize"] == [3, 4]
