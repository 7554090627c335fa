import json

import numpy as np
import onnx
import pytest

from edgekit import pipeline
from edgekit.graph import facts, files, marks
from edgekit.lower.onnx import to_onnx
from edgekit.lower.tflite import to_tflite
from edgekit.quantize.correct import correct_biases
from edgekit.recipe import load_recipe
from edgekit.run.litert import Interpreter
from edgekit.simplify import unroll
from tests.models import feeds, run
from tests.quantize.steps import observed, sqnr_db
from tests.recurrent_layers import HIDDEN, INPUTS, STEPS, layer

BOTH_WAYS = {"direction": "bidirectional", "states": True}
LAYERS = {
    "LSTM": layer("LSTM", outputs="yhc", **BOTH_WAYS),
    "GRU": layer("GRU", outputs="yh", **BOTH_WAYS),
    "GRU-reset-after": layer("GRU", outputs="yh", linear_before_reset=1, **BOTH_WAYS),
    "RNN": layer("RNN", outputs="yh", **BOTH_WAYS),
}


@pytest.mark.parametrize("name", LAYERS)
def test_both_files_compute_the_same(name):
    model = unroll(LAYERS[name])
    quantized = observed(model).quantized()
    onnx = to_onnx(quantized, activations=np.dtype(np.uint8), nhwc=False, io_int8=False, metadata={})
    tflite = Interpreter(to_tflite(quantized, nhwc=False, io_int8=False, metadata={}).data)
    sample = feeds(model, 1, seed=3)  # one that calibration saw: nothing saturates
    real, first, second = run(model, sample), run(onnx.data, sample), tflite.run(sample)
    for output, expected in real.items():
        assert sqnr_db(expected, first[output]) > 25
        assert sqnr_db(first[output], second[output]) > 45


@pytest.mark.parametrize("name", LAYERS)
def test_one_scale_serves_all_steps(name):
    model = unroll(LAYERS[name])
    plan = observed(model).plan
    groups = plan.group_of
    families = {}
    for n in model.graph:
        value = n.outputs[0].name
        if (family := marks.family(n)) is not None and value in groups:
            families.setdefault(family, set()).add(groups[value].name)
    assert families and all(len(names) == 1 for names in families.values())
    assert len(plan.groups) < 4 * STEPS
    products = [n for n in model.graph if n.op_type in ("Gemm", "MatMul")]
    assert {n.name for n in products} <= plan.int8_nodes
    assert all("recurrent cell" in plan.kept_float[n.name] for n in model.graph if n.op_type in ("Sigmoid", "Tanh"))


def test_a_family_is_observed_as_one():
    step = observed(unroll(LAYERS["LSTM"]))
    (states,) = {first for value, first in step.plan.counted_as.items() if value.endswith("forward3_h")}
    counted = step.statistics[states].counts.sum()
    alone = 8 * 4  # samples x hidden
    assert counted == alone * (STEPS - 1)  # nothing multiplies the last state


def test_weights_and_corrections_are_stored_once():
    step = observed(unroll(LAYERS["LSTM"]))
    corrected = correct_biases(step.model, step.plan, step.weights(), step.means)
    gemms = [n for n in corrected.graph if n.op_type == "Gemm"]
    assert len({n.inputs[2] for n in gemms}) == 2  # one per direction
    quantized = step.quantized()
    stored = [n.inputs[1].producer().inputs[0] for n in quantized.graph if n.op_type == "Gemm"]
    assert len(stored) == 2 * STEPS and len(set(stored)) == 2


def test_a_cell_state_comes_in_as_it_is():
    model = unroll(layer("LSTM", states=True))
    quantized = observed(model).quantized()
    (state,) = (value for value in quantized.graph.inputs if value.name == "c")
    readers = [state]
    for value in readers:
        for reader in facts.consumers(value):
            assert reader.op_type != "QuantizeLinear"
            readers += reader.outputs if reader.op_type in ("Transpose", "Reshape") else []


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recurrent")
    model = layer("LSTM", states=True, outputs="yhc")
    (folder / "lstm.onnx").write_bytes(files.to_bytes(model))
    rng = np.random.default_rng(0)
    shapes = {"x": (STEPS, INPUTS), "h": (1, HIDDEN), "c": (1, HIDDEN)}
    samples = {name: rng.normal(0, 0.5, (32, *shape)).astype(np.float32) for name, shape in shapes.items()}
    np.savez(folder / "samples.npz", **samples)
    recipe = load_recipe(
        None,
        {
            "model": {"path": str(folder / "lstm.onnx")},
            "data": {"data": str(folder / "samples.npz")},
            "output": {"directory": folder / "out"},
        },
    )
    return model, samples, folder / "out", pipeline.quantize(recipe)


def test_the_float_file_keeps_the_layer_and_the_int8_files_have_its_steps(street):
    _, _, out, _ = street
    whole = [n.op_type for n in onnx.load(out / "lstm.onnx").graph.node]
    steps = [n.op_type for n in onnx.load(out / "lstm.int8.onnx").graph.node]
    assert "LSTM" in whole and "Gemm" not in whole
    assert "LSTM" not in steps and steps.count("Gemm") == STEPS


def test_products_ran_in_int8_in_both_runtimes_and_the_ledger_names_what_did_not(street):
    _, _, out, report = street
    assert [ledger.int8_macs_share for ledger in report.verification.ledgers] == [1.0, 1.0]
    said = json.loads((out / "report.json").read_text())
    assert "recurrent cell" in json.dumps(said["quantization"])


def test_states_can_be_carried_from_call_to_call(street):
    model, samples, out, _ = street
    tflite = Interpreter((out / "lstm.int8.tflite").read_bytes())
    onnx_file = (out / "lstm.int8.onnx").read_bytes()
    states = {kind: {"h": samples["h"][:1] * 0, "c": samples["c"][:1] * 0} for kind in ("float", "onnx", "tflite")}
    for i in range(8):
        x = {"x": samples["x"][i : i + 1]}
        made = {
            "float": run(model, {**x, **states["float"]}),
            "onnx": run(onnx_file, {**x, **states["onnx"]}),
            "tflite": tflite.run({**x, **states["tflite"]}),
        }
        states = {kind: {"h": found["h_out"], "c": found["c_out"]} for kind, found in made.items()}
        for kind in ("onnx", "tflite"):
            assert sqnr_db(made["float"]["y_out"], made[kind]["y_out"]) > 20
