import copy
import subprocess
import sys

import numpy as np
import pytest
import torch

from edgekit.graph import facts, files
from edgekit.run.torch_view import to_graph, to_torch
from tests.models import feeds, graph, node, run, weights
from tests.quantize.steps import observed

CHANNELS = 6


def residual():
    nodes = [
        node("Conv", ["x", "stem.weight", "stem.bias"], ["a"], pads=[1] * 4, kernel_shape=[3, 3]),
        node("Relu", ["a"], ["r"]),
        node("Conv", ["r", "block.0.weight"], ["b"], pads=[1] * 4, kernel_shape=[3, 3], group=CHANNELS),
        node("Relu", ["b"], ["s"]),
        node("Conv", ["s", "block.1.weight"], ["c"], kernel_shape=[1, 1]),
        node("Add", ["c", "r"], ["d"]),
        node("Mul", ["d", "half"], ["e"]),
        node("GlobalAveragePool", ["e"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "head.weight", "head.bias"], transB=1),
    ]
    constants = {
        "stem.weight": weights(CHANNELS, 3, 3, 3),
        "stem.bias": weights(CHANNELS),
        "block.0.weight": weights(CHANNELS, 1, 3, 3),
        "block.1.weight": weights(CHANNELS, CHANNELS, 1, 1),
        "half": np.float32(0.5),
        "head.weight": weights(4, CHANNELS),
        "head.bias": weights(4),
    }
    return graph({"x": (1, 3, 9, 9)}, nodes, constants)


MODEL = residual()


def tensors(model, batch=2, seed=0):
    return {name: torch.from_numpy(x) for name, x in feeds(model, batch, seed).items()}


def same(found, expected, tolerance=1e-5):
    for name, x in expected.items():
        largest = np.abs(x).max()
        np.testing.assert_allclose(found[name].detach().numpy(), x, rtol=0, atol=tolerance * largest)


def test_computes_what_onnx_runtime_computes():
    same(to_torch(MODEL)(tensors(MODEL)), run(MODEL, feeds(MODEL)))


def test_parameters_are_what_training_may_change_under_the_initializers_names():
    view = to_torch(MODEL)
    assert {name for name, _ in view.named_parameters()} == {
        name for name in MODEL.graph.initializers if name != "half"
    }
    assert [name for name, _ in view.named_buffers()] == ["half"]
    assert view.get_parameter("block.0.weight").shape == (CHANNELS, 1, 3, 3)


def test_the_state_can_be_saved_and_loaded():
    trained, view = to_torch(MODEL), to_torch(MODEL)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter *= 1.5
    view.load_state_dict(trained.state_dict())
    x = tensors(MODEL)
    assert torch.equal(view(x)["y"], trained(x)["y"])


def test_a_copy_is_trained_apart():
    view = to_torch(MODEL)
    twin = copy.deepcopy(view)
    with torch.no_grad():
        twin.get_parameter("head.bias").add_(1.0)
    x = tensors(MODEL)
    assert torch.allclose(twin(x)["y"], view(x)["y"] + 1.0)


def test_names_may_be_those_of_a_modules_own_methods():
    nodes = [node("Gemm", ["x", "type.forward", "train"]), node("Identity", ["y"], ["z"])]
    model = graph({"x": (1, 3)}, nodes, {"type.forward": weights(3, 4), "train": weights(4)}, ("z",))
    view = to_torch(model)
    same(view(tensors(model)), run(model, feeds(model)))
    assert {name for name, _ in view.named_parameters()} == {"type.forward", "train"}


def test_inner_values_are_there_when_asked_for():
    inner = MODEL.clone()
    made = {value.name: value for n in inner.graph for value in n.outputs}
    inner.graph.outputs.extend([made["r"], made["d"]])
    found = to_torch(MODEL)(tensors(MODEL), ["y", "r", "d"])
    same(found, run(inner, feeds(MODEL)))


def test_a_part_runs_on_its_own():
    view, x = to_torch(MODEL), tensors(MODEL)
    whole = view(x, ["r", "d", "y"])
    assert torch.equal(view({"r": whole["r"]}, ["d"])["d"], whole["d"])
    assert torch.equal(view({"d": whole["d"]})["y"], whole["y"])


def test_what_is_known_may_stand_for_a_constant():
    view, x = to_torch(MODEL), tensors(MODEL)
    learned = torch.zeros(4, requires_grad=True)
    found = view({**x, "head.bias": learned})["y"]
    assert torch.allclose(found, view(x)["y"] - view.get_parameter("head.bias"), atol=1e-6)
    found.sum().backward()
    assert learned.grad is not None and view.get_parameter("head.bias").grad is None


def test_what_does_not_follow_from_what_is_known_is_our_mistake():
    with pytest.raises(AssertionError, match="'x'"):
        to_torch(MODEL)({"d": torch.zeros(1, CHANNELS, 9, 9)}, ["r"])


def test_every_parameter_gets_a_gradient():
    view = to_torch(MODEL)
    view(tensors(MODEL))["y"].square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in view.parameters())


def test_nothing_trained_gives_the_same_bytes():
    assert files.to_bytes(to_graph(to_torch(MODEL), MODEL)) == files.to_bytes(MODEL)


def test_training_goes_back_to_a_graph_of_its_own():
    view, before = to_torch(MODEL), files.to_bytes(MODEL)
    parameters = list(view.parameters())
    x, target = tensors(MODEL, 8), torch.ones(8, 4)
    losses = []
    for _ in range(20):
        loss = (view(x)["y"] - target).square().mean()
        with torch.no_grad():
            for parameter, slope in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                parameter -= 0.01 * slope
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    trained = to_graph(view, MODEL)
    same(view(tensors(MODEL)), run(trained, feeds(MODEL)))
    assert files.to_bytes(MODEL) == before


# ---- quantized graphs ----------------------------------------------------------------------------------------------

STEP = observed(MODEL)


def test_a_quantized_graph_computes_the_same_steps():
    """But for a sum of floats that lies on a tie: of 20 samples' 80 outputs, none or few are one step apart."""
    quantized = STEP.quantized()
    view, apart = to_torch(quantized), []
    step = float(STEP.scales()["y"].scale)
    for seed in range(20):
        expected = run(quantized, feeds(quantized, 1, seed), fuse=False)["y"]
        found = view(tensors(quantized, 1, seed))["y"].detach().numpy()
        apart.append(np.rint(np.abs(found - expected) / step))
    assert np.max(apart) <= 1 and np.mean(np.array(apart) > 0) <= 0.02


def test_integer_weights_stay_as_they_are():
    view = to_torch(STEP.quantized())
    assert not list(view.parameters())
    stored = view.get_buffer("stem.weight_for_node_a_quantized")
    expected = facts.constant(STEP.quantized().graph.initializers["stem.weight_for_node_a_quantized"])
    assert stored.dtype == torch.int8 and np.array_equal(stored.numpy(), expected)


def test_one_value_is_dequantized_once():
    quantized = STEP.quantized()
    readers = [n for n in quantized.graph if n.op_type == "DequantizeLinear" and n.inputs[0].name == "r_quantized"]
    assert len(readers) == 2
    names = [n.outputs[0].name for n in readers]
    found = to_torch(quantized)(tensors(quantized), names)
    assert found[names[0]] is found[names[1]]


def rounded(x, scale):
    """x -> q -> y, and the view of it."""
    pair = [node("QuantizeLinear", ["x", "s", "z"], ["q"]), node("DequantizeLinear", ["q", "s", "z"])]
    shape = np.shape(x)
    return to_torch(graph({"x": shape}, pair, {"s": np.float32(scale), "z": np.int8(3)}))


def test_the_gradient_goes_straight_through_where_nothing_is_clamped():
    x = torch.tensor([[-50.0, -13.2, -0.3, 0.04, 5.0, 12.0, 40.0]], requires_grad=True)
    y = rounded(x.detach(), 0.1)({"x": x})["y"]
    y.backward(torch.arange(1.0, 8.0)[None])
    assert x.grad.tolist() == [[0.0, 0.0, 3.0, 4.0, 5.0, 6.0, 0.0]]


def test_the_scale_learns_as_a_learned_step_size():
    """(q - z) - x / s inside, q - z at the ends: Esser et al. 2020, equation 3."""
    x = torch.tensor([[-50.0, 0.26, 7.04, 40.0]])
    scale = torch.tensor(0.1, requires_grad=True)
    rounded(x, 0.1)({"x": x, "s": scale})["y"].sum().backward()
    expected = (-131) + (3 - 2.6) + (70 - 70.4) + 124
    assert float(scale.grad) == pytest.approx(expected, abs=1e-4)


def test_halves_round_to_even_and_what_is_read_as_integers_is_integers():
    model = graph(
        {"x": (1, 4)},
        [node("QuantizeLinear", ["x", "s", "z"], ["q"])],
        {"s": np.float32(1), "z": np.int16(0)},
        ("q",),
    )
    q = to_torch(model)({"x": torch.tensor([[0.5, 1.5, -2.5, 1e6]])})["q"]
    assert q.dtype == torch.int16 and q.tolist() == [[0, 2, -2, 32767]]


def test_channels_have_scales_of_their_own():
    x = torch.tensor([[[1.0, -1.0], [1.0, -200.0]]])
    pair = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"], axis=1),
        node("DequantizeLinear", ["q", "s", "z"], axis=1),
    ]
    model = graph({"x": (1, 2, 2)}, pair, {"s": np.float32([0.4, 1.0]), "z": np.int8([0, 0])})
    found = to_torch(model)({"x": x})["y"].numpy()
    np.testing.assert_allclose(found, [[[0.8, -0.8], [1.0, -128.0]]], rtol=1e-6)
    np.testing.assert_array_equal(found, run(model, {"x": x.numpy()}, fuse=False)["y"])


def test_importing_edgekit_loads_no_torch():
    code = "import sys, edgekit, edgekit.pipeline, edgekit.quantize; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
