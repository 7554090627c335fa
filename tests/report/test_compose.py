from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgekit import recipe
from edgekit.artifact import Artifact, TensorSpec
from edgekit.capture import Captured
from edgekit.graph import source
from edgekit.lower import Lowered
from edgekit.lower.tflite import to_tflite
from edgekit.preprocess import Preprocess
from edgekit.profile.memory import plan
from edgekit.quantize.assign import assign
from edgekit.quantize.clusters import clusters
from edgekit.quantize.sensitivity import CEILING_DB, Sensitivity
from edgekit.quantize.weights import WeightRule
from edgekit.report import compose
from edgekit.samples import load_samples
from tests.models import graph, node, weights

MODEL = graph({"x": (1, 4, 5, 5)}, [node("Conv", ["x", "w"], ["a"]), node("Erf", ["a"])], {"w": weights(6, 4, 1, 1)})
CAPTURED = Captured(graph=MODEL, kind="ONNX", sha256="0", notes=())


def test_model_facts_are_of_the_simplified_graph():
    found = compose.model_facts("net", recipe.Model(path="net.onnx"), CAPTURED, MODEL)
    assert (found.path, found.kind, found.parameters, found.macs) == ("net.onnx", "ONNX", 24, 24 * 25)
    assert [(value.name, value.dtype, value.shape) for value in found.inputs] == [("x", "float32", (None, 4, 5, 5))]


def test_data_facts_know_a_split():
    x = weights(8, 4)
    samples, other = load_samples({"x": x}), load_samples({"x": x + 1})
    found = compose.data_facts(samples.take([0, 1]), samples.take([2, 3, 4]), 0, Preprocess())
    assert (found.calibration_count, found.evaluation_count, found.split) == (2, 3, True)
    again = compose.data_facts(other.take([0, 1]), samples.take([4, 3, 2]), 0, Preprocess())
    assert again.evaluation_ids == found.evaluation_ids, "the same samples in another order"
    assert again.calibration_ids != found.calibration_ids
    assert not compose.data_facts(None, other, 0, Preprocess()).split
    nothing = compose.data_facts(None, None, 0, Preprocess())
    assert (nothing.calibration, nothing.evaluation, nothing.class_names) == (None, None, None)


def test_file_facts_name_the_place_where_it_will_be(tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(to_tflite(MODEL, nhwc=True, io_int8=False, metadata={}).data)
    spec = TensorSpec(name="x", dtype="int8", shape=(1, 4))
    artifact = Artifact(path=path, format="tflite", precision="int8", inputs=(spec,), outputs=(spec,))
    found = compose.file_facts(Lowered(artifact=artifact, transposes=2, transposed_bytes=96), Path("out"))
    assert (found.path, found.label) == ("out/net.tflite", "INT8 TFLite")
    assert found.size_bytes == path.stat().st_size
    assert (found.transposes, found.transposed_bytes) == (2, 96)
    assert found.memory == plan(path)
    assert compose.file_facts(Lowered(artifact=replace(artifact, format="onnx")), Path("out")).memory is None


def test_quantization_facts_give_each_float_op_its_reason_and_line():
    model = MODEL.clone()
    model.graph[1].metadata_props[source.STACK_TRACE] = 'File "/home/me/model.py", line 7, in forward'
    done = SimpleNamespace(
        methods={"x": "mse", "a": "minmax", "y": "mse"},
        plan=assign(model),
        equalized=False,
        biases_corrected=True,
        weight_rule=WeightRule("mse", "balanced"),
        rounding_learned=False,
        base=model,
        int16_because={"node_a": "over budget"},
    )
    (cluster,) = clusters(model, done.plan)
    ranked = [Sensitivity(cluster=cluster, error=1e-3, int16_error=0.0)]
    found = compose.quantization_facts(done, recipe.Quantize(io="int8"), "default", ranked, calibrated=True)
    assert [(kept.node, kept.op, kept.reason, kept.source) for kept in found.kept_float] == [
        ("node_y", "Erf", "no INT8 form of Erf", "model.py:7")
    ]
    assert [(kept.node, kept.reason) for kept in found.kept_int16] == [("node_a", "over budget")]
    (sensitive,) = found.sensitivity
    assert (sensitive.node, sensitive.op, sensitive.ops, sensitive.macs) == ("node_a", "Conv", 1, 24 * 25)
    assert (sensitive.sqnr_db, sensitive.int16_sqnr_db) == (pytest.approx(30), CEILING_DB)
    assert found.chosen == {"mse": 2, "minmax": 1}
    assert found.repairs == (
        "bias correction",
        "weight scales of least squared error",
        "balanced rounding of weights",
    )
    plain = SimpleNamespace(
        methods={},
        plan=assign(model),
        equalized=True,
        biases_corrected=False,
        weight_rule=WeightRule("minmax", "balanced"),
        rounding_learned=True,
        base=model,
        int16_because={},
    )
    assert compose.quantization_facts(plain, recipe.Quantize(), "default", (), calibrated=False).repairs == (
        "cross-layer equalization",
        "learned rounding of weights",
    )


def test_ops_in_the_order_they_run():
    model = MODEL.clone()
    model.graph[1].metadata_props[source.STACK_TRACE] = 'File "/home/me/model.py", line 7, in forward'
    conv, erf = compose.op_facts(model)
    model.graph[1].outputs[0].shape = None
    assert compose.op_facts(model)[1].shape is None
    assert (conv.op, conv.macs, conv.parameters, conv.shape, conv.source) == ("Conv", 600, 24, (None, 6, 5, 5), None)
    assert (erf.op, erf.macs, erf.parameters, erf.source) == ("Erf", 0, 0, "model.py:7")
