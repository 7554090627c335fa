from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
import torch

from edgekit.errors import EdgekitError
from edgekit.graph.check import checked
from edgekit.progress import SILENT
from edgekit.prune import Goal, prune
from edgekit.prune.cut import survivors
from edgekit.prune.finetune import finetune, mend
from edgekit.prune.sparsify import NO_MASKS, sparsify, zeros
from edgekit.run.teach import Wanted
from edgekit.run.torch_view import to_torch
from edgekit.run.train import Course
from edgekit.samples import load_samples
from tests.models import run
from tests.prune import nets

ROOM = import_module("edgekit.prune.finetune")  # the package's own name `prune` is the API's function
MODEL = nets.residual()
PRUNED = prune(MODEL, Goal(share=0.6, multiple=1))
CUT = PRUNED.graph
LEFT = survivors(PRUNED.channels, PRUNED.choice.gone)
X = np.random.default_rng(0).normal(0, 1, (96, *nets.Image[1:])).astype(np.float32)
Y = np.concatenate([run(MODEL, {"x": X[i : i + 1]})["y"] for i in range(len(X))])
LABELS = Y.argmax(1)


def tuned(
    path, samples=X, lr=0.02, distilled=0.5, resume=False, batch=16, cut=CUT, left=None, augment=(), masks=NO_MASKS
):
    course = Course(epochs=4, batch=batch, lr=lr, augment=augment)
    wanted = Wanted(course=course, distilled=distilled, checkpoint=path / "net.training", resume=resume)
    return finetune(cut, MODEL, load_samples(samples).renamed(["x"]), wanted, SILENT, left, masks)


def weights_of(graph) -> dict[str, bytes]:
    return {name: value.const_value.tobytes() for name, value in graph.graph.initializers.items()}


@pytest.mark.parametrize(
    ("samples", "labels"),
    [(X, False), ((X, LABELS), True), (({"x": X}, {"y": Y}), False)],
    ids=["distilled", "labels", "targets"],
)
def test_a_cut_graph_comes_back(tmp_path, samples, labels) -> None:
    found, training = tuned(tmp_path, samples)
    assert training.kept and training.after.loss < training.before.loss
    assert training.labels is labels
    assert (training.after.top1 is not None) is labels
    assert training.distilled == (1.0 if samples is X else 0.5)
    assert weights_of(checked(found)) != weights_of(CUT)


def test_what_is_worse_is_not_kept(tmp_path) -> None:
    found, training = tuned(tmp_path, lr=10.0)
    assert not training.kept
    assert found is CUT


def test_norms_are_trained_with_where_the_statistics_from_before_help(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(ROOM, "FEW", 0)
    (tmp_path / "plain").mkdir()
    plain, slower = tuned(tmp_path / "plain")
    found, training = tuned(tmp_path, left=LEFT)
    assert training.losses[0] < slower.losses[0] and training.after.loss < slower.after.loss
    assert [node.op_type for node in checked(found).graph] == [node.op_type for node in CUT.graph]
    again = []
    for left in (None, LEFT):  # where it has learned to do without them, they would only harm
        path = tmp_path / str(len(again))
        path.mkdir()
        again.append(tuned(path, cut=plain, left=left, lr=1e-4)[1].losses)
    assert again[0] == again[1]


def test_layers_are_told_what_they_gave_where_samples_are_few(tmp_path, monkeypatch) -> None:
    missed = []
    for few in (0, len(X)):
        monkeypatch.setattr(ROOM, "FEW", few)
        path = tmp_path / str(few)
        path.mkdir()
        found, training = tuned(path, left=LEFT)
        assert training.kept
        inputs = {"x": torch.from_numpy(X)}
        before, after = (to_torch(graph)(inputs, ["b"])["b"] for graph in (MODEL, found))
        missed.append(float((after - before[:, LEFT["b"]]).detach().square().mean()))
    assert missed[1] < missed[0] / 2


@pytest.mark.parametrize(
    "how",
    [{}, {"left": LEFT}, {"left": LEFT, "augment": ("flip", "shift")}],
    ids=["plain", "norms", "augmented"],
)
def test_a_training_is_repeated_bit_by_bit_and_gone_on_with(tmp_path, how) -> None:
    first, training = tuned(tmp_path, **how)
    for path, resume in ((tmp_path, True), (tmp_path / "again", False)):
        path.mkdir(exist_ok=True)
        again, same = tuned(path, resume=resume, **how)
        assert same == replace(training, where=same.where)
        assert weights_of(again) == weights_of(first)
    with pytest.raises(EdgekitError) as refused:
        tuned(tmp_path, lr=0.01, resume=True, **how)
    assert refused.value.code == "EK923"


@pytest.mark.parametrize("left", [None, LEFT], ids=["plain", "norms"])
def test_weights_that_are_zero_stay_so(tmp_path, left) -> None:
    sparse = sparsify(CUT, 0.6)
    how = {"cut": checked(sparse.graph), "left": left, "masks": sparse.masks}
    found, training = tuned(tmp_path, **how)
    assert training.kept
    assert zeros(checked(found)) == zeros(sparse.graph)
    assert weights_of(found) != weights_of(sparse.graph)
    again, same = tuned(tmp_path, resume=True, **how)
    assert weights_of(again) == weights_of(found) and same == training


def test_what_comes_in_is_left_as_it_is(tmp_path) -> None:
    before = weights_of(CUT)
    tuned(tmp_path)
    assert weights_of(CUT) == before


def mended(cut, samples=X):
    return mend(cut, MODEL, load_samples(samples).renamed(["x"]), LEFT, SILENT)


def off(graph) -> float:
    return float(np.square(run(graph, {"x": X})["y"] - Y).mean())


def test_layers_are_mended_without_training(tmp_path) -> None:
    found = mended(CUT)
    assert found.how == "were refitted to what they gave before the cut"
    assert off(checked(found.graph)) < 0.5 * off(CUT)
    trained, _ = tuned(tmp_path)  # which has learned to do without them
    again = mended(trained)
    assert off(checked(again.graph)) <= 1.1 * off(trained)


def test_zeros_outlive_mending() -> None:
    sparse = sparsify(CUT, 0.5)
    found = mend(checked(sparse.graph), MODEL, load_samples(X).renamed(["x"]), LEFT, SILENT, sparse.masks)
    assert found.how in ("", "got back the mean and variance from before the cut")
    assert zeros(found.graph) == zeros(sparse.graph)


def test_few_samples_mend_nothing() -> None:
    assert mended(CUT, X[:19]).graph is CUT
