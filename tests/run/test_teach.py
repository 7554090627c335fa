from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import pytest
import torch

from edgekit.errors import EdgekitError
from edgekit.progress import SILENT
from edgekit.run.objective import objective
from edgekit.run.teach import HELD_OUT_AT_MOST, HELD_OUT_SHARE, Wanted, identity_of, judged, parted, teach
from edgekit.run.torch_view import to_graph, to_torch
from edgekit.run.train import Course, Learned
from edgekit.samples import load_samples
from tests.models import graph, node, run, weights

MODEL = graph({"x": (1, 4)}, [node("Gemm", ["x", "w"], ["y"])], {"w": weights(4, 3)})
OTHER = graph({"x": (1, 4)}, [node("Gemm", ["x", "w"], ["y"])], {"w": weights(4, 3, seed=1)})
X = np.random.default_rng(0).normal(0, 1, (80, 4)).astype(np.float32)
LABELS = run(MODEL, {"x": X})["y"].argmax(1)
SAMPLES = load_samples((X, LABELS)).renamed(["x"])


@dataclass(frozen=True)
class Taught:
    graph: ir.Model


class Pupil:
    """All of a graph's parameters."""

    def __init__(self, model, told):
        self.model, self.told, self.view = model, told, to_torch(model)

    @property
    def learned(self):
        return {name: Learned(one, 1.0) for name, one in self.view.named_parameters()}

    def loss(self, batch):
        inputs = {name: torch.from_numpy(x) for name, x in batch.inputs.items()}
        return self.told.loss(self.view(inputs), inputs, batch)

    def settle(self, share):
        pass

    def identity(self):
        return identity_of(self)

    def result(self):
        return Taught(to_graph(self.view, self.model))


def taught(path, lr, samples=SAMPLES, resume=False):
    told = objective(to_torch(MODEL), MODEL, samples, 0.5)
    wanted = Wanted(
        course=Course(epochs=4, batch=100, lr=lr), distilled=0.5, checkpoint=path / "net.training", resume=resume
    )
    return teach(Pupil(OTHER, told), OTHER, told, samples, wanted, SILENT)


def test_what_is_better_on_samples_that_it_did_not_see_is_kept(tmp_path) -> None:
    found, training = taught(tmp_path, 0.1)
    assert training.kept and training.after.loss < training.before.loss
    assert (training.samples, training.held_out, training.batch) == (72, 8, 72)
    assert (training.epochs, training.steps, len(training.losses)) == (4, 4, 4)
    told = objective(to_torch(MODEL), MODEL, SAMPLES, 0.5)
    assert judged(found.graph, told, parted(SAMPLES)[0]) == training.after


def test_what_is_worse_is_not(tmp_path) -> None:
    assert not taught(tmp_path, 1000.0)[1].kept


def test_another_training_is_not_gone_on_with(tmp_path) -> None:
    _, training = taught(tmp_path, 0.1)
    assert taught(tmp_path, 0.1, resume=True)[1] == training
    for lr, labels in ((0.2, LABELS), (0.1, (LABELS + 1) % 3)):
        with pytest.raises(EdgekitError) as refused:
            taught(tmp_path, lr, load_samples((X, labels)).renamed(["x"]), resume=True)
        assert refused.value.code == "EK923"


def test_samples_are_parted_by_content() -> None:
    twice = load_samples(np.concatenate([X, X]))
    held_out, rest = parted(twice)
    assert len(held_out) == int(HELD_OUT_SHARE * len(X)) < HELD_OUT_AT_MOST
    assert not set(held_out.ids) & set(rest.ids)
    assert len(rest) == 2 * (len(X) - len(held_out))


def test_too_few_samples() -> None:
    with pytest.raises(EdgekitError) as refused:
        parted(load_samples(X[:19]))
    assert refused.value.code == "EK925"
    assert "20 are the least" in refused.value.why


def test_judging_counts_and_averages() -> None:
    found = judged(OTHER, objective(to_torch(MODEL), MODEL, SAMPLES, 0.0), SAMPLES)
    y = run(OTHER, {"x": X})["y"]
    assert found.top1 == np.mean(y.argmax(1) == LABELS)
    logs = y - y.max(1, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(1, keepdims=True))
    assert found.loss == pytest.approx(-logs[np.arange(len(X)), LABELS].mean(), rel=1e-5)
