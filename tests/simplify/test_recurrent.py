import numpy as np
import onnx_ir as ir
import pytest

from edgekit.errors import EdgekitError
from edgekit.graph import facts, marks
from edgekit.graph.check import checked
from edgekit.lower.tflite import to_tflite
from edgekit.run.litert import Interpreter
from edgekit.simplify import simplify, unroll
from edgekit.simplify.cells import GATES
from edgekit.simplify.recurrent import MAX_STEPS
from tests.models import feeds, graph, node, ops, run, weights
from tests.recurrent_layers import HIDDEN, INPUTS, STEPS, layer
from tests.simplify.keeps import TOLERANCE, kept

LAYERS = {
    **{kind: (kind, {}) for kind in GATES},
    **{f"{kind}-reverse": (kind, {"direction": "reverse"}) for kind in GATES},
    **{f"{kind}-both": (kind, {"direction": "bidirectional"}) for kind in GATES},
    **{f"{kind}-states": (kind, {"states": True}) for kind in GATES},
    **{f"{kind}-both-states": (kind, {"direction": "bidirectional", "states": True}) for kind in GATES},
    **{f"{kind}-one-step": (kind, {"steps": 1, "states": True}) for kind in GATES},
    "LSTM-all": ("LSTM", {"outputs": "yhc", "direction": "bidirectional"}),
    "LSTM-last": ("LSTM", {"outputs": "hc"}),
    "GRU-all": ("GRU", {"outputs": "yh", "direction": "bidirectional"}),
    "GRU-reset-after": ("GRU", {"linear_before_reset": 1}),
    "GRU-reset-after-states": ("GRU", {"linear_before_reset": 1, "states": True, "direction": "bidirectional"}),
    "RNN-relu": ("RNN", {"activations": ["Relu"]}),
    "LSTM-peepholes": ("LSTM", {"peepholes": True, "outputs": "yc"}),
    "LSTM-peepholes-states": ("LSTM", {"peepholes": True, "states": True}),
    "LSTM-clip": ("LSTM", {"clip": 0.3}),
    "LSTM-coupled": ("LSTM", {"input_forget": 1, "states": True}),
    "GRU-activations": ("GRU", {"activations": ["Tanh", "Softsign"]}),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_steps_give_what_the_layer_gives(name):
    kind, options = LAYERS[name]
    model = layer(kind, **options)
    stepped = unroll(model)
    assert kind not in ops(kept(model, stepped, batch=3))
    sample = feeds(model, 1)
    file = to_tflite(stepped, nhwc=False, io_int8=False, metadata={})
    expected, found = run(model, sample), Interpreter(file.data).run(sample)
    for output, real in expected.items():
        np.testing.assert_allclose(found[output], real, rtol=0, atol=TOLERANCE)


def test_weights_are_stored_once():
    stepped = unroll(layer("LSTM"))
    recurrent = {n.inputs[1] for n in stepped.graph if n.op_type == "Gemm"}
    assert len(recurrent) == 1
    sizes = {steps: len(to_tflite(unroll(layer("LSTM", steps=steps)), nhwc=False, io_int8=False, metadata={}).data)
             for steps in (5, 10)}  # fmt: skip
    assert sizes[10] - sizes[5] < 5 * 4000


def test_gates_and_states_are_kept_in_float_and_products_are_not():
    stepped = unroll(layer("GRU"))
    linear = [n for n in stepped.graph if n.op_type in ("Gemm", "MatMul")]
    assert len(linear) == 1 + 2 * (STEPS - 1)
    assert not any(marks.float_because(n) for n in linear)
    assert all(marks.float_because(n) for n in stepped.graph if n.op_type in ("Sigmoid", "Tanh", "Add", "Sub", "Mul"))
    assert len({marks.family(n) for n in linear}) == 3  # the inputs' product has none


def test_a_classifier_on_the_last_step_reads_the_last_state():
    model = graph(
        {"x": (2, STEPS, INPUTS)},
        [
            node("Transpose", ["x"], ["t"], perm=(1, 0, 2)),
            node("LSTM", ["t", "W", "R"], ["Y"], hidden_size=HIDDEN, direction="bidirectional"),
            node("Transpose", ["Y"], ["m"], perm=(0, 2, 1, 3)),
            node("Reshape", ["m", "shape"], ["merged"]),
            node("Transpose", ["merged"], ["sequence"], perm=(1, 0, 2)),
            node("Gather", ["sequence", "last"], ["y"], axis=1),
        ],
        {
            "W": weights(2, 4 * HIDDEN, INPUTS),
            "R": weights(2, 4 * HIDDEN, HIDDEN, seed=1),
            "shape": np.array([STEPS, -1, 2 * HIDDEN]),
            "last": np.array(-1),
        },
    )
    stepped = kept(model, unroll(simplify(model)))
    assert not {"Transpose", "Gather"} & set(ops(stepped))


def test_layers_on_layers_exchange_batch_first():
    constants = {"W": weights(1, 3 * HIDDEN, HIDDEN), "R": weights(1, 3 * HIDDEN, HIDDEN, seed=1), "one": np.array([1])}
    model = graph(
        {"x": (2, STEPS, HIDDEN)},
        [
            node("Transpose", ["x"], ["t"], perm=(1, 0, 2)),
            node("GRU", ["t", "W", "R"], ["Y"], hidden_size=HIDDEN),
            node("Squeeze", ["Y", "one"], ["first"]),
            node("GRU", ["first", "W", "R"], ["", "H"], hidden_size=HIDDEN),
            node("Transpose", ["H"], ["y"], perm=(1, 0, 2)),
        ],
        constants,
    )
    assert ops(kept(model, unroll(simplify(model)))).count("Transpose") <= 1  # of the output


def test_zero_states_are_left_out():
    model = graph(
        {"x": (2, STEPS, INPUTS)},
        [
            node("Transpose", ["x"], ["t"], perm=(1, 0, 2)),
            node("Shape", ["x"], ["batch"], start=0, end=1),
            node("Concat", ["one", "batch", "hidden"], ["shape"], axis=0),
            node("Expand", ["zero", "shape"], ["state"]),
            node("LSTM", ["t", "W", "R", "", "", "state", "state"], ["", "H"], hidden_size=HIDDEN),
            node("Transpose", ["H"], ["y"], perm=(1, 0, 2)),
        ],
        {
            "W": weights(1, 4 * HIDDEN, INPUTS),
            "R": weights(1, 4 * HIDDEN, HIDDEN, seed=1),
            "one": np.array([1]),
            "hidden": np.array([HIDDEN]),
            "zero": np.zeros((), np.float32),
        },
    )
    simple = kept(model, simplify(model))
    assert "Expand" not in ops(simple) and "LSTM" in ops(simple)
    kept(model, unroll(simple))


def test_batch_first_layers_are_unrolled():
    """ONNX Runtime does not run layout 1."""
    plain, other = layer("GRU", outputs="yh"), layer("GRU", outputs="yh")
    (gru,) = (n for n in other.graph if n.op_type == "GRU")
    gru.attributes["layout"] = ir.AttrInt64("layout", 1)
    for n in list(other.graph):
        if n.op_type == "Transpose":
            ir.convenience.replace_all_uses_with(n.outputs[0], n.inputs[0], replace_graph_outputs=True)
            other.graph.remove(n, safe=True)
    for value, name in zip(other.graph.outputs, ("y_out", "h_out"), strict=True):
        value.name = name
        value.shape = ir.Shape([None, *([STEPS] if name == "y_out" else []), 1, HIDDEN])
    found = run(checked(unroll(other)), feeds(plain))
    for name, real in run(plain, feeds(plain)).items():
        np.testing.assert_allclose(found[name], real, atol=TOLERANCE)


@pytest.mark.parametrize(
    "options",
    [{"steps": MAX_STEPS + 1}, {"activations": ["HardSigmoid", "Tanh", "Tanh"], "activation_alpha": [0.3]}],
    ids=["too-long", "unknown-activation"],
)
def test_what_cannot_be_written_step_by_step_stays(options):
    stepped = unroll(layer("LSTM", **options))
    assert "LSTM" in ops(stepped)
    with pytest.raises(EdgekitError, match="step by step") as refused:
        to_tflite(stepped, nhwc=False, io_int8=False, metadata={})
    assert refused.value.code == "EK501" and str(MAX_STEPS) in refused.value.fix


def test_computed_lengths_stay():
    model = layer("LSTM")
    (lstm,) = (n for n in model.graph if n.op_type == "LSTM")
    lengths = ir.Value(name="lengths", shape=ir.Shape(["batch"]), type=ir.TensorType(ir.DataType.INT32))
    model.graph.inputs.append(lengths)
    lstm.resize_inputs(5)
    lstm.replace_input_with(4, lengths)
    assert "LSTM" in ops(unroll(model))


def test_shapes_keep_the_batch():
    for value in (v for n in unroll(layer("LSTM")).graph for v in n.outputs):
        assert sum(d is None for d in facts.shape(value)) == 1
