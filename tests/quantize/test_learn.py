from types import SimpleNamespace

import numpy as np
import pytest

from edgekit.progress import SILENT
from edgekit.quantize import learn
from edgekit.quantize.learn import GAIN, RIDGES, learned
from edgekit.quantize.repair import FIRST, Repaired, written_with
from edgekit.samples import load_samples
from tests.models import graph, node
from tests.quantize.steps import observed
from tests.quantize.test_reconstruct import convolutions, smooth

MODEL = convolutions()
STEP = observed(MODEL)
HELD_OUT = 4


def tried(errors, known=1.0):
    """What is kept, and which samples it was learned from, where trials give `errors` in turn."""
    samples = load_samples({"inputs": smooth(0)}).renamed(["x"])
    start = STEP.weights()
    quantized = written_with(MODEL, STEP.plan, STEP.scales(), start, None)
    known = Repaired(quantized, start, FIRST, known)
    trials = SimpleNamespace(of=lambda *_: errors.pop(0))
    calibration = SimpleNamespace(means=STEP.means, held_out=range(HELD_OUT))
    found = learned(MODEL, STEP.plan, STEP.scales(), known, samples, calibration, trials, SILENT)
    return known, found, samples


def test_the_ridge_with_the_least_error_is_kept():
    known, found, _ = tried([0.9, 0.5, 0.4, 0.7])
    assert found.error == 0.4 and found.repair.learned and not known.repair.learned
    assert any(not np.array_equal(found.weights[name].q, known.weights[name].q) for name in known.weights)


@pytest.mark.parametrize("error", [1.0, 1.0 - GAIN / 2])
def test_what_hardly_helps_is_left_out(error):
    known, found, _ = tried([error] * len(RIDGES))
    assert found is known


def test_without_a_layer_that_can_learn_all_stays():
    model = graph({"x": (1, 4, 8, 8)}, [node("Relu", ["x"])])
    step = observed(model)
    known = Repaired(step.quantized(), {}, FIRST, 1.0)
    samples = load_samples({"x": np.ones((8, 4, 8, 8), np.float32)})
    calibration = SimpleNamespace(means={}, held_out=range(HELD_OUT))
    assert learned(model, step.plan, step.scales(), known, samples, calibration, SimpleNamespace(), SILENT) is known


def test_what_judges_is_not_learned_from(monkeypatch):
    seen = []
    from edgekit.quantize import reconstruct as room

    monkeypatch.setattr(room, "reconstruct", lambda *inputs: seen.append(inputs[4]) or inputs[3])
    _, _, samples = tried([1.0] * len(RIDGES))
    assert len(seen) == len(RIDGES)
    assert set(seen[0].ids) == set(samples.ids) - set(sorted(samples.ids)[:HELD_OUT])
    assert tuple(sorted(learn.RIDGES)) == learn.RIDGES
