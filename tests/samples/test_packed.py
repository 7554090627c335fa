import io

import numpy as np
import pytest
from PIL import Image

from edgekit.errors import EdgekitError
from edgekit.preprocess import Preprocess
from edgekit.samples import load_samples

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 6, 8, 3), np.uint8)
LABELS = np.array([0, 1, 2, 1, 0])
FILES = []
for image in PIXELS:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    FILES.append(file.getvalue())
OFFSETS = np.cumsum([0, *map(len, FILES)])
ARRAYS = {"data": np.frombuffer(b"".join(FILES), np.uint8), "offsets": OFFSETS, "labels": LABELS}


def saved(path, how=np.savez, **arrays):
    how(path / "packed.npz", **{**ARRAYS, **arrays})
    return path / "packed.npz"


@pytest.mark.parametrize("how", [np.savez, np.savez_compressed])
def test_images_are_decoded_as_they_are_asked_for(tmp_path, how) -> None:
    samples = load_samples(saved(tmp_path, how, classes=np.array(["a", "b", "c"]), more=LABELS))
    assert (len(samples), samples.names, samples.class_names) == (5, ("inputs",), ("a", "b", "c"))
    assert samples.ignored == ("more",)
    batches = list(samples.take([4, 0, 2]).batches(2))
    found = np.concatenate([batch.inputs["inputs"] for batch in batches])
    np.testing.assert_array_equal(found, PIXELS[[4, 0, 2]].transpose(0, 3, 1, 2))
    assert np.concatenate([batch.labels for batch in batches]).tolist() == [0, 0, 2]


def test_what_stands_elsewhere_as_an_array_is_the_same_content(tmp_path) -> None:
    arrays = load_samples({"x": PIXELS}, Preprocess(layout="nhwc"))
    assert load_samples(saved(tmp_path)).ids == arrays.ids


def test_the_preprocess_applies_as_to_any_image(tmp_path) -> None:
    samples = load_samples(saved(tmp_path), Preprocess(crop=4, scale=1 / 255))
    assert samples.signature == {"inputs": ((3, 4, 4), "float32")}


def refused(path) -> EdgekitError:
    with pytest.raises(EdgekitError) as error:
        list(load_samples(path).batches(2))
    return error.value


@pytest.mark.parametrize("offsets", [OFFSETS[::-1], OFFSETS + 1, OFFSETS - 1, OFFSETS[:1], OFFSETS * 0])
def test_offsets_that_are_none(tmp_path, offsets) -> None:
    assert refused(saved(tmp_path, offsets=offsets)).code == "EK121"


def test_labels_that_do_not_belong(tmp_path) -> None:
    assert refused(saved(tmp_path, labels=LABELS[1:])).code == "EK129"


def test_an_image_that_is_none(tmp_path) -> None:
    data = ARRAYS["data"].copy()
    data[OFFSETS[2] :] = 0
    error = refused(saved(tmp_path, data=data))
    assert error.code == "EK126"
    assert "packed.npz: image 2" in error.what


def test_two_inputs_of_a_model_may_be_called_so(tmp_path) -> None:
    inputs = {"data": np.zeros((4, 3), np.float32), "offsets": np.zeros((4, 1), np.int64)}
    np.savez(tmp_path / "two.npz", **inputs)
    assert load_samples(tmp_path / "two.npz").names == ("data", "offsets")
