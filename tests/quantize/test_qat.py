import numpy as np
import pytest
import torch

from edgekit import affine
from edgekit.graph import facts
from edgekit.progress import SILENT
from edgekit.quantize.agree import WIDEST, agreeing_scales
from edgekit.quantize.insert import scale_name
from edgekit.quantize.qat import SETTLED, Student, fake_quantized
from edgekit.run.objective import answers_of, objective
from edgekit.run.torch_view import to_torch
from edgekit.run.train import Course, train
from edgekit.samples import load_samples
from tests.models import graph, node, ops, run, weights
from tests.quantize.steps import observed, sqnr_db

NODES = [
    node("Conv", ["x", "w", "b"], ["a"], pads=[1] * 4),
    node("Clip", ["a", "zero", "six"], ["r"]),
    node("Conv", ["r", "w2"], ["c"], pads=[1] * 4),
    node("Add", ["c", "x"], ["s"]),
    node("Relu", ["s"], ["t"]),
    node("GlobalAveragePool", ["t"], ["p"]),
    node("Flatten", ["p"], ["f"]),
    node("Gemm", ["f", "v", "u"]),
]
CONSTANTS = {
    "w": weights(4, 4, 3, 3),
    "b": weights(4),
    "w2": weights(4, 4, 3, 3, seed=1),
    "v": weights(4, 5),
    "u": weights(5),
    "zero": np.float32(0),
    "six": np.float32(1.5),
}
MODEL = graph({"x": (1, 4, 6, 6)}, NODES, CONSTANTS)
X = np.random.default_rng(3).normal(0, 1.5, (96, 4, 6, 6)).astype(np.float32)
SAMPLES = load_samples({"x": X})
# Biases are real while they are learned, and 2^-30 of their range off at most afterwards; a step that lies on a tie may
# still flip.
EQUAL_DB = 45


def student(model=MODEL, samples=SAMPLES, int16=()) -> Student:
    step = observed(model, int16=int16) if int16 else observed(model)
    scales = agreeing_scales(model, step.plan, step.scales())
    quantized = step.quantized()
    told = objective(to_torch(model), model, samples, 0.5)
    return Student(quantized, model, step.plan, scales, told)


def trained(one: Student, samples=SAMPLES, epochs=4) -> Student:
    train(one, samples, Course(epochs=epochs, batch=16, lr=0.01), SILENT)
    return one


def both(one: Student):
    """The graph as it was learned, and its scales."""
    found = one.result()
    return found.graph, found.scales


def answers(one: Student, x):
    """What the student computes while it is trained."""
    with torch.no_grad():
        return one.answers({"x": torch.from_numpy(x)})["y"].numpy()


def test_weights_are_rounded_as_the_files_round_them() -> None:
    weight, qparams = weights(3, 4), affine.symmetric(np.array([0.3, 1.0, 2.0], np.float32), 0)
    found = fake_quantized(torch.from_numpy(weight), torch.from_numpy(qparams.scale), 0)
    np.testing.assert_array_equal(found.numpy(), affine.dequantize(affine.quantize(weight, qparams), qparams))


def test_gradients_of_the_learned_step_size() -> None:
    scale = torch.tensor(0.1, requires_grad=True)
    weight = torch.tensor([0.26, -0.24, 20.0, -20.0], requires_grad=True)
    of_scale = [torch.autograd.grad(fake_quantized(weight[i : i + 1], scale, None).sum(), scale)[0] for i in range(4)]
    np.testing.assert_allclose([float(one) for one in of_scale], [3 - 2.6, -2 + 2.4, 127, -127], atol=1e-5)
    (of_weight,) = torch.autograd.grad(fake_quantized(weight, scale, None).sum(), weight)
    np.testing.assert_allclose(of_weight.numpy(), [1, 1, 0, 0], atol=1e-6)


def test_untrained_it_is_the_graph_that_it_was_made_of() -> None:
    step = observed(MODEL)
    scales = agreeing_scales(MODEL, step.plan, step.scales())
    found, learned = both(student())
    for name, qparams in scales.items():
        assert learned[name].zero_point == qparams.zero_point
        assert float(learned[name].scale) == pytest.approx(float(qparams.scale), rel=WIDEST)
    assert ops(found) == ops(step.quantized())
    for seed in range(3):
        x = X[seed : seed + 1]
        assert sqnr_db(run(step.quantized(), {"x": x})["y"], run(found, {"x": x})["y"]) > 25


def test_the_learned_function_is_the_function_of_the_integers() -> None:
    one = trained(student())
    found, _ = both(one)
    assert {"Clip", "Relu"}.isdisjoint(ops(found))  # saturation still does their work
    assert sqnr_db(answers(one, X), run(found, {"x": X})["y"]) > EQUAL_DB


def test_it_comes_closer_to_the_float_model() -> None:
    real = run(MODEL, {"x": X})["y"]
    before, after = (sqnr_db(real, run(one.result().graph, {"x": X})["y"]) for one in (student(), trained(student())))
    assert after > before + 1


def test_scales_move_and_then_stand_still() -> None:
    one = student()
    first = {name: float(learned.tensor.detach().sum()) for name, learned in one.learned.items() if "scale" in name}
    shares, before = [], None

    def settle(share, wrapped=one.settle):
        nonlocal before
        wrapped(share)
        shares.append(share)
        now = {name: learned.tensor.detach().clone() for name, learned in one.learned.items() if "scale" in name}
        if share > SETTLED and before is not None:
            assert all(torch.equal(now[name], before[name]) for name in now)
        before = now

    one.settle = settle
    trained(one)
    moved = {name: float(learned.tensor.detach().sum()) for name, learned in one.learned.items() if "scale" in name}
    assert all(moved[name] != first[name] for name in first)


def test_a_bound_that_saturation_keeps_is_not_passed() -> None:
    one = student()
    _, scales = both(one)
    with torch.no_grad():
        one.learned["a scale"].tensor.add_(0.2)
    found, learned = student_with(one)
    assert learned["a"] == scales["a"]
    assert "Clip" not in ops(found)


def student_with(one: Student):
    """The graph of a student whose tensors were changed by hand, before anything settled."""
    one._settled = None
    return both(one)


def test_a_bias_that_grew_out_of_31_bits_widens_the_scale_of_its_weights() -> None:
    one = student()
    one.settle(1.0)
    (name,) = [name for name in one.learned if name.startswith("b") and "scale" not in name]
    with torch.no_grad():
        one.learned[name].tensor.fill_(1e5)
    found, _ = both(one)
    conv = next(made for made in found.graph if made.op_type == "Conv")
    bias = conv.inputs[2].producer()
    q, scale = facts.constant(bias.inputs[0]), facts.constant(bias.inputs[1])
    assert np.abs(q).max() <= affine.BIAS_MAX + 1
    np.testing.assert_allclose(q * scale, 1e5, rtol=1e-6)


def test_int16_activations_learn_too() -> None:
    one = trained(student(int16=[made.name for made in MODEL.graph]), epochs=2)
    found, scales = both(one)
    assert all(qparams.dtype == affine.INT16 for qparams in scales.values())
    assert sqnr_db(answers(one, X), run(found, {"x": X})["y"]) > EQUAL_DB


def test_weights_that_two_layers_share_stay_shared() -> None:
    nodes = [
        node("Conv", ["x", "w", "b"], ["a"], pads=[1] * 4),
        node("Relu", ["a"], ["r"]),
        node("Conv", ["r", "w", "b"], pads=[1] * 4),
    ]
    model = graph({"x": (1, 4, 6, 6)}, nodes, {"w": weights(4, 4, 3, 3), "b": weights(4)})
    one = student(model)
    assert sum(learned.tensor.dim() == 4 for learned in one.learned.values()) == 1
    found, _ = both(trained(one, epochs=1))
    stored = [facts.constant(made.inputs[1].producer().inputs[0]) for made in found.graph if made.op_type == "Conv"]
    np.testing.assert_array_equal(stored[0], stored[1])


def test_every_scale_that_samples_decide_is_learned() -> None:
    one = student()
    found, scales = both(one)
    names = {value for value in found.graph.initializers if value.endswith(":scale")}
    assert names == {scale_name(name) for name in scales}
    assert {f"{name} scale" for name in scales} <= set(one.learned)
    assert answers_of(found) == {"y": "y"}


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_training_gives_the_same_bits(seed) -> None:
    order = np.random.default_rng(seed).permutation(len(X))
    one, other = trained(student(), epochs=1), trained(student(), load_samples({"x": X[order]}), epochs=1)
    for name, learned in one.learned.items():
        assert torch.equal(learned.tensor, other.learned[name].tensor), name
