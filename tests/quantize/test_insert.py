import numpy as np
import pytest

from edgekit import affine
from edgekit.graph import facts
from tests.models import graph, histogram, node, run, weights
from tests.quantize.steps import observed, sqnr_db

PLANE = {"x": (1, 4, 8, 8)}
W, B = weights(4, 4, 3, 3), weights(4, seed=1)
NEAR_DB = 25  # random weights, 8 bits, a handful of layers: 30 to 45 dB; a wrong scale gives less than 15


def near_float(nodes, constants=None, inputs=PLANE, outputs=("y",), keep_float=()):
    """The QDQ graph, once its outputs were close to the float ones in ONNX Runtime, fused and not."""
    step = observed(graph(inputs, nodes, constants, outputs), keep_float=keep_float)
    model = step.quantized()
    for fuse in (False, True):
        for row in step.rows[:3]:
            real, found = run(step.model, row), run(model, row, fuse)
            assert list(found) == list(real)
            for name in real:
                assert sqnr_db(real[name], found[name]) > NEAR_DB, name
    return model


def quantizers(model):
    """Value -> the DequantizeLinears behind its QuantizeLinear."""
    return {
        made.inputs[0].name: [use.node for use in made.outputs[0].uses()]
        for made in model.graph
        if made.op_type == "QuantizeLinear"
    }


def test_a_residual_block():
    nodes = [
        node("Conv", ["x", "w", "b"], ["a"], pads=[1] * 4),
        node("Relu", ["a"], ["r"]),
        node("Conv", ["r", "w", "b"], ["c"], pads=[1] * 4),
        node("Add", ["c", "x"], ["s"]),
        node("Relu", ["s"]),
    ]
    model = near_float(nodes, {"w": W, "b": B})
    assert histogram(model) == {"Conv": 2, "Add": 1, "QuantizeLinear": 4, "DequantizeLinear": 4 + 1 + 4}


def test_one_quantizer_per_value_and_one_dequantizer_per_use():
    nodes = [node("Conv", ["x", "w"], ["a"]), node("Add", ["a", "a"], ["d"]), node("Mul", ["a", "d"])]
    found = quantizers(near_float(nodes, {"w": W}))
    assert {name: len(readers) for name, readers in found.items()} == {"x": 1, "a": 3, "d": 1, "y_unquantized": 1}
    dequantizers = [reader for readers in found.values() for reader in readers]
    assert all(len(reader.outputs[0].uses()) + reader.outputs[0].is_graph_output() == 1 for reader in dequantizers)


def test_inputs_and_outputs_keep_their_names():
    nodes = [node("Conv", ["x", "w"], ["a"]), node("Relu", ["a"])]
    model = near_float(nodes, {"w": W}, outputs=("y", "a"))
    assert [value.name for value in (*model.graph.inputs, *model.graph.outputs)] == ["x", "y", "a"]


def test_an_input_that_is_an_output_stays_float():
    step = observed(graph(PLANE, [node("Relu", ["x"])], None, ("y",)))
    step.model.graph.outputs.append(step.model.graph.inputs[0])
    model = step.quantized()
    assert model.graph.inputs[0].name == "x"
    assert [value.name for value in model.graph.outputs] == ["y", "x"]


@pytest.mark.parametrize(
    ("clamp", "bounds", "kept"),
    [
        (node("Relu", ["a"]), {}, False),
        (node("Clip", ["a", "low", "high"]), {"low": 0.0, "high": 1.0}, False),
        (node("Clip", ["a", "low"]), {"low": -1.0}, False),
        (node("Clip", ["a", "", "high"]), {"high": 1.0}, False),
        (node("Clip", ["a", "low", "high"]), {"low": 0.5, "high": 1.0}, True),
        (node("Clip", ["a"]), {}, False),
    ],
    ids=["relu", "both", "low", "high", "above 0", "none"],
)
def test_a_clamp_is_dropped_where_the_range_does_its_work(clamp, bounds, kept):
    constants = {"w": W, **{name: np.float32(bound) for name, bound in bounds.items()}}
    model = near_float([node("Conv", ["x", "w"], ["a"]), clamp], constants)
    assert (clamp.op_type in histogram(model)) is kept
    assert [value.name for value in model.graph.outputs] == ["y"]


def test_a_clamp_of_a_value_with_other_readers_stays():
    nodes = [node("Conv", ["x", "w"], ["a"]), node("Relu", ["a"], ["r"]), node("Add", ["a", "r"])]
    assert histogram(near_float(nodes, {"w": W}))["Relu"] == 1


def test_a_gate_is_requantized_for_its_neighbours():
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Sigmoid", ["a"], ["s"]),
        node("Concat", ["s", "a", "s"], ["c"], axis=1),
    ]
    nodes.append(node("Relu", ["c"]))
    model = near_float(nodes, {"w": W})
    concat = next(made for made in model.graph if made.op_type == "Concat")
    scales = {value.producer().inputs[1] for value in concat.inputs}
    assert len(scales) == 1, "TFLite's concatenation wants one scale"


def test_constants_that_are_moved_take_the_groups_scale():
    nodes = [node("Conv", ["x", "w"], ["a"], pads=[1] * 4), node("Concat", ["c", "a", "c"], axis=1)]
    model = near_float(nodes, {"w": W, "c": weights(1, 4, 8, 8, scale=20)})
    concat = next(made for made in model.graph if made.op_type == "Concat")
    assert len({float(facts.scalar(value.producer().inputs[1])) for value in concat.inputs}) == 1


def test_a_pad_with_a_number():
    constants = {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "c": np.float32(20)}
    near_float([node("Pad", ["x", "p", "c"], ["a"]), node("Conv", ["a", "w"])], {**constants, "w": W})


@pytest.mark.parametrize("operands", [["a", "c"], ["c", "a"]], ids=str)
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul"])
def test_constant_operands(op, operands):
    near_float([node("Conv", ["x", "w"], ["a"]), node(op, operands)], {"w": W, "c": weights(4, 1, 6)})


def test_weights_and_biases_are_integers():
    nodes = [node("Conv", ["x", "w", "b"], ["a"]), node("ConvTranspose", ["a", "v"])]
    model = near_float(nodes, {"w": W, "b": B, "v": weights(4, 6, 2, 2)})
    conv, transposed = (made for made in model.graph if made.op_type in ("Conv", "ConvTranspose"))
    weight, bias = (conv.inputs[i].producer() for i in (1, 2))
    assert facts.constant(weight.inputs[0]).dtype == np.int8
    assert facts.constant(bias.inputs[0]).dtype == np.int32
    assert (facts.attribute(weight, "axis"), facts.attribute(transposed.inputs[1].producer(), "axis")) == (0, 1)
    x_scale = facts.constant(conv.inputs[0].producer().inputs[1])
    assert np.array_equal(facts.constant(bias.inputs[1]), x_scale * facts.constant(weight.inputs[1]))


@pytest.mark.parametrize("shape", [(8, 6), (1, 8, 6)], ids=str)
def test_a_product_with_constant_weights(shape):
    near_float([node("MatMul", ["x", "w"])], {"w": weights(*shape)}, {"x": (1, 5, 8)})


def test_a_product_of_two_values_and_one_with_weights_on_the_left():
    nodes = [node("Transpose", ["x"], ["t"], perm=[0, 2, 1]), node("MatMul", ["x", "t"], ["m"])]
    near_float([*nodes, node("MatMul", ["w", "m"])], {"w": weights(3, 5)}, {"x": (1, 5, 8)})


def test_dead_channels_beside_live_ones():
    weight, bias = W.copy(), np.array([50, 0, -70, 0.5], np.float32)
    weight[0] *= 1e-12
    weight[1] = 0
    weight[2] *= 1e-12
    near_float([node("Conv", ["x", "w", "b"])], {"w": weight, "b": bias})


def test_a_value_that_is_zero_throughout():
    nodes = [node("Conv", ["x", "zero"], ["a"]), node("Conv", ["a", "v"], ["b"]), node("Add", ["b", "x"])]
    near_float(nodes, {"zero": np.zeros((4, 4, 1, 1), np.float32), "v": weights(4, 4, 1, 1)})


def test_float_ops_among_integers():
    nodes = [node("Conv", ["x", "w"], ["a"]), node("Erf", ["a"], ["e"]), node("Conv", ["e", "w"])]
    model = near_float(nodes, {"w": W})
    assert model.graph.num_nodes() == 3 + 4 + 6


def test_an_op_kept_float_on_request():
    nodes = [node("Conv", ["x", "w"], ["a"]), node("Conv", ["a", "w"])]
    model = near_float(nodes, {"w": W}, keep_float=["node_a"])
    first = next(made for made in model.graph if made.op_type == "Conv")
    assert facts.constant(first.inputs[1]).dtype == np.float32


def test_a_clamp_between_float_ops_clamps():
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Clip", ["a", "low", "high"], ["c"]),
        node("Conv", ["c", "w"], ["d"]),
        node("Relu", ["d"], ["r"]),
        node("Conv", ["r", "w"]),
    ]
    constants = {"w": W, "low": np.float32(0), "high": np.float32(1)}
    model = near_float(nodes, constants, keep_float=["node_a", "node_d"])
    assert (histogram(model)["Clip"], histogram(model)["Relu"]) == (1, 1)


@pytest.mark.parametrize("clamped", [True, False], ids=["clamped", "bare"])
@pytest.mark.parametrize("op", ["Conv", "ConvTranspose", "Gemm"])
def test_float_weights_between_integers_are_not_rounded(op, clamped):
    """A channel that is always zero has weights beside which one scale for all would leave nothing of the others."""
    size = (4, 4) if op == "Gemm" else (4, 4, 3, 3)
    first, kept, last = (weights(*size, seed=seed) for seed in range(3))
    first[(slice(None), 0) if op == "Gemm" else 0] = 0
    kept[(slice(None), 0) if op == "Conv" else 0] *= 1e5
    linear = "Gemm" if op == "Gemm" else "Conv"
    nodes = [node(linear, ["x", "first"], ["a"]), node(op, ["a", "kept", "b"], ["c"])]
    clamp = [node("Relu", ["c"], ["r"])] if clamped else []
    last_node = node(linear, ["r" if clamped else "c", "last"])
    constants = {"first": first, "kept": kept, "b": np.abs(B) + 1, "last": last}
    model = near_float(
        [*nodes, *clamp, last_node], constants, {"x": (1, 4)} if op == "Gemm" else PLANE, keep_float=["node_c"]
    )
    assert histogram(model)["Clip"] == 1


def test_names_that_the_model_has_taken():
    nodes = [node("Conv", ["x", "a_quantized"], ["a"]), node("Erf", ["a"], ["a_scale"]), node("Mul", ["a_scale", "a"])]
    near_float(nodes, {"a_quantized": W})


def test_scales_are_those_of_the_plan():
    step = observed(graph(PLANE, [node("Conv", ["x", "w"])], {"w": W}))
    model, scales = step.quantized(), step.scales()
    found = {
        made.inputs[0].name: affine.QParams(
            facts.constant(made.inputs[1]), int(facts.constant(made.inputs[2])), affine.INT8
        )
        for made in model.graph
        if made.op_type == "QuantizeLinear"
    }
    assert found == {"x": scales["x"], "y_unquantized": scales["y"]}
