import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch.nn import functional

from edgekit.errors import EdgekitError
from edgekit.progress import SILENT
from edgekit.run.objective import answers_of, check_trainable, objective, remembering
from edgekit.run.torch_view import to_torch
from edgekit.samples import load_samples
from tests.models import graph, node, weights

X = np.random.default_rng(0).normal(0, 1, (6, 4)).astype(np.float32)
LABELS = np.array([0, 1, 2, 0, 1, 2])
LOGITS = [node("Gemm", ["x", "w"], ["y"])]
CLASSIFIER = graph({"x": (1, 4)}, LOGITS, {"w": weights(4, 3)})
SOFTMAX = graph({"x": (1, 4)}, [node("Gemm", ["x", "w"], ["s"]), node("Softmax", ["s"], axis=1)], {"w": weights(4, 3)})


def told(model, samples, distilled=0.5):
    view = to_torch(model)
    found = objective(view, model, load_samples(samples), distilled)
    batch = next(load_samples(samples).renamed(["x"]).batches(6))
    inputs = {"x": torch.from_numpy(batch.inputs["x"])}
    return found, view, inputs, batch


def loss(found, answers, inputs, batch) -> float:
    return float(found.loss(answers, inputs, batch).detach())


def test_labels_and_the_teacher_in_their_shares() -> None:
    for share in (0.0, 0.25, 1.0):
        found, _, inputs, batch = told(CLASSIFIER, (X, LABELS), share)
        student = torch.from_numpy(X @ weights(4, 3, seed=1))
        teacher = torch.from_numpy(X @ weights(4, 3))
        entropy = functional.cross_entropy(student, torch.from_numpy(LABELS))
        divergence = (teacher.softmax(1) * (teacher.log_softmax(1) - student.log_softmax(1))).sum(1).mean()
        wanted = (1 - share) * entropy + share * divergence
        assert loss(found, {"y": student}, inputs, batch) == pytest.approx(float(wanted), rel=1e-5)
        assert found.right({"y": torch.eye(3)[torch.from_numpy(LABELS)]}, batch) == 6


def test_a_last_softmax_is_left_out() -> None:
    assert answers_of(SOFTMAX) == {"y": "s"}
    found, view, inputs, batch = told(SOFTMAX, (X, LABELS), 1.0)
    assert loss(found, {"y": view(inputs, ["s"])["s"]}, inputs, batch) == pytest.approx(0, abs=1e-6)


def test_without_labels_the_teacher_tells_all() -> None:
    found, view, inputs, batch = told(CLASSIFIER, X, 0.5)
    assert (found.labels, found.distilled, found.classes) == (False, 1.0, None)
    assert found.right({}, batch) is None
    y = view(inputs)["y"]
    assert loss(found, {"y": y}, inputs, batch) == 0
    assert loss(found, {"y": y.mean().expand(y.shape)}, inputs, batch) == pytest.approx(1, rel=1e-5)


def test_targets_by_name_or_alone() -> None:
    y = X @ weights(4, 3)
    for targets in ({"y": y}, {"targets": y}):
        found, _, inputs, batch = told(CLASSIFIER, ({"x": X}, targets), 0.0)
        assert list(found.targets.values()) == ["y"]
        assert loss(found, {"y": torch.from_numpy(y)}, inputs, batch) == 0


def refused(model, samples) -> EdgekitError:
    with pytest.raises(EdgekitError) as error:
        found, _, inputs, batch = told(model, samples)
        found.loss({"y": torch.zeros(6, 3)}, inputs, batch)
    assert error.value.code == "EK925"
    return error.value


def test_what_cannot_be_learned() -> None:
    assert "label 3 is there" in refused(CLASSIFIER, (X, LABELS + 1)).why
    assert "no output for the target 'z'" in refused(CLASSIFIER, ({"x": X}, {"y": X, "z": X})).what
    assert "targets do not fit" in refused(CLASSIFIER, ({"x": X}, {"y": X})).what
    integer = graph({"x": (1, 4)}, [node("ArgMax", ["x"], axis=1)])
    assert "no gradient" in refused(integer, X).why
    single = CLASSIFIER.clone()
    for value in (*single.graph.inputs, *single.graph.outputs):
        value.shape = ir.Shape((1, *value.shape[1:]))
    with pytest.raises(EdgekitError, match="one sample at a time") as error:
        check_trainable(single)
    assert error.value.code == "EK925"
    check_trainable(CLASSIFIER)


def remembered(model, samples, distilled=0.5):
    given = load_samples(samples).renamed([value.name for value in model.graph.inputs])
    told = objective(to_torch(model), model, given, distilled)
    return told, remembering(told, model, given, SILENT)


def test_a_teacher_is_asked_once() -> None:
    told, found = remembered(CLASSIFIER, np.concatenate([X, X[:2]]))
    batch = next(load_samples(X[[4, 1, 1]]).renamed(["x"]).batches(3))
    inputs = {"x": torch.from_numpy(batch.inputs["x"])}
    answers = {"y": torch.zeros(3, 3)}
    assert loss(found, answers, inputs, batch) == pytest.approx(loss(told, answers, inputs, batch), rel=1e-6)
    assert loss(found, answers, {}, batch) == loss(found, answers, inputs, batch)
    assert len(found.answers.by_output["y"]) == len(X)
    turned = remembered(CLASSIFIER, X[::-1])[1]
    assert torch.equal(turned.answers.of(batch)["y"], found.answers.of(batch)["y"])


def test_a_teacher_is_asked_again_where_its_answers_are_too_many_or_not_one_per_sample(monkeypatch) -> None:
    turned = graph({"x": (1, 4)}, [node("Gemm", ["x", "w"], ["s"]), node("Transpose", ["s"])], {"w": weights(4, 3)})
    one = graph({"x": (1, 4)}, [node("ReduceMean", ["x"], keepdims=0)], {})
    for model in (turned, one):
        told, found = remembered(model, X)
        assert found is told
    told, found = remembered(CLASSIFIER, (X, LABELS), 0.0)
    assert found is told
    monkeypatch.setattr("edgekit.run.objective.REMEMBERED_BYTES", 4 * 3 * len(X) - 1)
    told, found = remembered(CLASSIFIER, X)
    assert found is told
