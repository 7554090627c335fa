from __future__ import annotations

import numpy as np
import pytest

from edgekit.data import Given, read_data
from edgekit.errors import EdgekitError
from edgekit.recipe import Recipe, load_recipe


def recipe(**data: object) -> Recipe:
    return load_recipe(None, {"model": {"path": "model.onnx"}, "data": data})


def arrays(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {"inputs": generator.normal(size=(count, 3)).astype(np.float32), "extra": np.arange(count)}


def test_one_source_is_parted_and_shares_nothing() -> None:
    data = read_data(recipe(calibration_count=8), Given(data={"inputs": arrays(24)["inputs"]}), calibrate=True)
    assert (len(data.for_calibration), len(data.for_evaluation)) == (8, 16)
    assert not set(data.for_calibration.ids) & set(data.for_evaluation.ids)


def test_without_calibration_everything_is_judged() -> None:
    data = read_data(recipe(), Given(data={"inputs": arrays(24)["inputs"]}), calibrate=False)
    assert data.calibration is None
    assert len(data.for_evaluation) == 24


def test_what_stands_on_both_sides_is_not_calibrated_on() -> None:
    x = arrays(24)["inputs"]
    given = Given(calibration={"inputs": x[:12]}, evaluation={"inputs": x[8:]})
    data = read_data(recipe(), given, calibrate=True)
    assert (len(data.for_calibration), len(data.for_evaluation), data.overlap) == (8, 16, 4)


def test_samples_that_are_missing() -> None:
    data = read_data(recipe(), Given(), calibrate=True)
    assert data.any is None
    for wanted in ("for_calibration", "for_evaluation"):
        with pytest.raises(EdgekitError) as caught:
            getattr(data, wanted)
        assert caught.value.code == "EK413"


def test_takes_the_model_s_names() -> None:
    data = read_data(recipe(), Given(evaluation={"inputs": arrays(4)["inputs"]}), calibrate=True).named(["image"])
    assert data.for_evaluation.names == ("image",)


def test_copies_are_counted_before_they_are_left_out() -> None:
    x = arrays(12)["inputs"]
    data = read_data(recipe(), Given(calibration={"inputs": np.repeat(x, 3, axis=0)}), calibrate=True)
    assert (len(data.for_calibration), data.given, data.copies) == (12, 36, 24)


def test_training_samples_that_are_judged_on_are_left_out() -> None:
    x = arrays(24)["inputs"]
    given = Given(calibration={"inputs": x[:4]}, evaluation={"inputs": x[4:12]}, training={"inputs": x[8:]})
    wanted = load_recipe(None, {"model": {"path": "model.onnx"}, "qat": {"epochs": 1}})
    data = read_data(wanted, given, calibrate=True).named(["image"])
    assert data.training is not None
    assert (len(data.training), data.training_overlap, data.training.names) == (12, 4, ("image",))
    assert "4 of the training samples stand in the evaluation too, and were not trained on" in data.notes


@pytest.mark.parametrize(
    ("epochs", "training", "code"), [(1, None, "EK413"), (None, {"inputs": arrays(4)["inputs"]}, "EK154")]
)
def test_training_needs_both_its_samples_and_its_epochs(epochs, training, code) -> None:
    wanted = load_recipe(None, {"model": {"path": "model.onnx"}, "qat": {"epochs": epochs}})
    with pytest.raises(EdgekitError) as caught:
        read_data(wanted, Given(data={"inputs": arrays(8)["inputs"]}, training=training), calibrate=True)
    assert caught.value.code == code


def test_without_others_the_training_samples_are_calibrated_on() -> None:
    wanted = load_recipe(
        None, {"model": {"path": "model.onnx"}, "qat": {"epochs": 1}, "data": {"calibration_count": 8}}
    )
    given = Given(training={"inputs": arrays(24)["inputs"]})
    assert len(read_data(wanted, given, calibrate=True).for_calibration) == 8
