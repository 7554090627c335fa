"""One broken set of samples after the other, and none that is not."""

import numpy as np
import pytest

from edgekit.data import Data, Given, read_data
from edgekit.progress import SILENT
from edgekit.quantize.assign import assign
from edgekit.quantize.calibrate import calibrate
from edgekit.quantize.coverage import Coverage
from edgekit.quantize.doubts import Examination, examined
from edgekit.quantize.norms import Norm
from edgekit.recipe import Recipe
from edgekit.samples import load_samples
from tests.models import graph, node, weights
from tests.quantize.test_calibrate import Here

W, B = weights(4, 3, 1, 1), np.array([1.0, -0.5, 0.25, 2.0], np.float32)
NODES = [node("Conv", ["x", "w", "b"], ["a"]), node("Relu", ["a"], ["r"]), node("GlobalAveragePool", ["r"])]
MODEL = graph({"x": (1, 3, 6, 6)}, NODES, {"w": W, "b": B})
RNG = np.random.default_rng(0)
X = RNG.normal(0, 1, (64, 3, 6, 6)).clip(-3, 3).astype(np.float32)
LABELS = np.arange(64) % 4
# What a batch norm behind the convolution would remember of such samples.
NORMS = {"a": Norm(B.astype(np.float64), np.linalg.norm(W.reshape(4, 3), axis=1), "nets.py:7")}


def examination(calib=X, labels=LABELS, judged=X[::-1], norms=NORMS, model=MODEL) -> Examination:
    given = Given(calibration=(calib, labels), evaluation=(judged + np.float32(1e-4), LABELS[: len(judged)]))
    recipe = Recipe.model_validate({"model": {"path": "net.onnx"}})
    data = read_data(recipe, given, calibrate=True).named(["x"])
    return of_data(data, norms, model)


def of_data(data: Data, norms, model) -> Examination:
    plan, samples = assign(model), data.for_calibration
    found = calibrate(model, plan, samples, 5, [Here(), Here()], SILENT, norms)
    coverage = Coverage(found.inputs)
    if data.evaluation is not None:
        for batch in data.evaluation.batches(7):
            coverage.update(batch.inputs)
    return examined(
        model,
        plan,
        found,
        norms,
        samples,
        given=data.given,
        copies=data.copies,
        evaluation=data.evaluation,
        coverage=coverage,
    )


def kinds(found: Examination) -> list[str]:
    for doubt in found.doubts:
        assert doubt.why and doubt.fix and not doubt.why.endswith(".")
    return [doubt.kind for doubt in found.doubts]


@pytest.mark.parametrize("norms", [NORMS, {}])
def test_good_samples_raise_no_doubt(norms) -> None:
    found = examination(norms=norms)
    assert kinds(found) == []
    assert (found.given, found.copies, found.classes) == (64, 0, 4)
    (x,) = found.inputs
    assert (x.low, x.high, x.whole, x.constant_channels) == (X.min(), X.max(), False, ())
    assert x.outside is not None and x.outside < 0.005
    assert found.spread is not None and 0 < found.spread.worst < 0.3
    assert (found.fit is None) == (norms == {})
    if found.fit is not None:
        assert found.fit.offset < 0.1
        assert found.fit.size == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("x", "norms"),
    [
        (np.rint(X * 58 + 115), NORMS),  # pixels
        (X * 0.225 + 0.45, NORMS),  # scaled, but neither mean nor deviation taken out
        (X / 255, NORMS),
        (np.rint(X * 85), {}),
        (X / 255, {}),
    ],
)
def test_samples_that_are_not_prepared_as_in_training(x, norms) -> None:
    x = x.astype(np.float32)
    found = examination(x, judged=x[::-1], norms=norms)
    assert kinds(found) == ["normalization"]
    (doubt,) = found.doubts
    assert "--scale, --mean, --std" in doubt.fix
    assert ("integers" in doubt.why) == bool(np.all(x == np.rint(x)))
    assert ("nets.py:7" in doubt.why) == bool(norms)
    assert doubt.value > doubt.limit or doubt.value < doubt.limit < 1


def test_a_shift_is_found() -> None:
    found = examination(X + 8, judged=X + 8)
    assert kinds(found) == ["normalization"]
    assert "deviations off its training" in found.doubts[0].why


def test_a_constant_channel() -> None:
    x = X.copy()
    x[:, 1] = 0.5
    found = examination(x, judged=x)
    assert kinds(found) == ["constant"]
    assert found.inputs[0].constant_channels == (1,)
    assert "channel 1 of 'x'" in found.doubts[0].why


def test_copies() -> None:
    found = examination(np.repeat(X[:16], 4, axis=0), np.repeat(LABELS[:16], 4))
    assert kinds(found) == ["copies"]
    assert (found.given, found.copies) == (64, 48)
    assert found.doubts[0].why == "48 of the 64 samples to calibrate on are copies of others"


def test_one_class() -> None:
    found = examination(labels=np.zeros(64, int))
    assert kinds(found) == ["classes"]
    assert found.doubts[0].why == "the 64 calibration samples show 1 of 4 classes"


def test_one_class_of_a_model_that_tells_more_apart() -> None:
    data = Data(calibration=load_samples((X, np.zeros(64, int))).renamed(["x"]), evaluation=None, given=64)
    flat = graph(
        {"x": (1, 3, 6, 6)}, [*NODES[:-1], node("GlobalAveragePool", ["r"], ["p"]), node("Flatten", ["p"])],
        {"w": W, "b": B},
    )  # fmt: skip
    assert kinds(of_data(data, {}, flat)) == ["classes"]


def test_many_classes_need_not_all_be_there() -> None:
    labels = np.arange(64)
    given = Given(calibration=(X[:32], labels[:32]), evaluation=(X[32:], labels[32:]))
    recipe = Recipe.model_validate({"model": {"path": "net.onnx"}})
    assert kinds(of_data(read_data(recipe, given, calibrate=True).named(["x"]), NORMS, MODEL)) == []


def test_what_calibration_did_not_see() -> None:
    found = examination((X / 2).astype(np.float32))
    assert kinds(found) == ["coverage"]
    assert "lie outside what calibration saw" in found.doubts[0].why


def test_a_range_that_nothing_uses() -> None:
    found = examination(judged=(X / 8).astype(np.float32))
    assert kinds(found) == ["coverage"]
    assert found.inputs[0].used == pytest.approx(1 / 8, rel=0.01)


def test_few_samples() -> None:
    found = examination(X[:5].clip(-1.2, 1.2), LABELS[:5], judged=X[:5].clip(-1.1, 1.1))
    assert kinds(found) == ["few"]
    assert found.doubts[0].why == "5 calibration samples cannot say how the scales would vary"


def test_one_sample_that_decides_the_scales() -> None:
    x = X.copy()
    x[3] *= 4
    found = examination(x, judged=x)
    assert kinds(found) == ["stability"]
    assert found.spread is not None and found.spread.tensor in {"x", "r"}


def test_order_and_workers_change_nothing() -> None:
    assert examination() == examination(X[::-1].copy(), LABELS[::-1].copy())
