"""The whole street on one tiny ONNX model, from files to files."""

import json
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekit import pipeline
from edgekit.artifact import METADATA_KEY
from edgekit.errors import EdgekitError
from edgekit.graph import files
from edgekit.quantize.qat import Student
from edgekit.recipe import load_recipe
from edgekit.report.summary import warnings
from edgekit.run.signature import opened
from tests.models import graph, node, run, weights

COUNT = 48


@dataclass(frozen=True)
class Place:
    folder: Path
    model: Path
    samples: Path
    training: Path | None = None

    def recipe(self, out, data=None, output=None, **sections):
        return load_recipe(
            None,
            {
                "model": {"path": str(self.model)},
                "data": data or {"data": str(self.samples)},
                "output": {"directory": self.folder / out, **(output or {})},
                **sections,
            },
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    """A classifier of 5 classes and samples with the labels that it gives."""
    folder = tmp_path_factory.mktemp("street")
    nodes = [
        node("Conv", ["image", "w", "b"], ["a"], auto_pad="SAME_UPPER"),
        node("Relu", ["a"], ["r"]),
        node("Add", ["r", "image"], ["s"]),
        node("GlobalAveragePool", ["s"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "v", "u"], ["scores"]),
    ]
    constants = {"w": weights(4, 4, 3, 3), "b": weights(4), "v": weights(4, 5, scale=2), "u": weights(1, 5)}
    model = graph({"image": (1, 4, 6, 6)}, nodes, constants, ("scores",))
    (folder / "tiny.onnx").write_bytes(files.to_bytes(model))
    rng = np.random.default_rng(0)
    images = rng.normal(rng.normal(0, 1, (COUNT, 4, 1, 1)), 1, (COUNT, 4, 6, 6)).astype(np.float32)
    labels = run(model, {"image": images})["scores"].argmax(axis=1)
    np.savez(folder / "samples.npz", inputs=images, labels=labels)
    more = rng.normal(rng.normal(0, 1, (COUNT, 4, 1, 1)), 1, (COUNT, 4, 6, 6)).astype(np.float32)
    np.savez(folder / "more.npz", inputs=more, labels=run(model, {"image": more})["scores"].argmax(axis=1))
    order = rng.permutation(COUNT)
    np.savez(folder / "shuffled.npz", inputs=images[order], labels=labels[order])
    return Place(folder, folder / "tiny.onnx", folder / "samples.npz", folder / "more.npz")


@pytest.fixture(scope="module")
def report(place):
    return pipeline.quantize(place.recipe("out"))


def trained(place, out, **sections):
    data = {"data": str(place.samples), "training": str(place.training)}
    return pipeline.quantize(place.recipe(out, data, qat={"epochs": 3, "batch": 8, "lr": 0.01}, **sections))


def test_a_model_that_came_as_onnx_is_trained_on_integers(place):
    report = trained(place, "trained")
    found = report.training
    assert (found.epochs, found.samples + found.held_out, found.labels) == (3, COUNT, True)
    assert json.loads((place.folder / "trained" / "report.json").read_text())["training"]["where"] == found.where
    assert report.verification.agreements[0].top1 == 1.0
    assert "training     3 epochs on " in str(report)
    assert sorted(path.name for path in (place.folder / "trained").iterdir())[0] == "report.json"


def test_an_interrupted_training_ends_with_the_same_bytes(place, monkeypatch):
    settle, seen = Student.settle, []

    def stopping(self, share):
        seen.append(share)
        if len(seen) == 7:
            signal.raise_signal(signal.SIGINT)
        settle(self, share)

    whole = trained(place, "whole")
    monkeypatch.setattr(Student, "settle", stopping)
    with pytest.raises(KeyboardInterrupt):
        trained(place, "stopped")
    assert [path.name for path in (place.folder / "stopped").iterdir()] == ["tiny.training"]
    resumed = trained(place, "stopped", output={"resume": True})
    assert [file.sha256 for file in resumed.files] == [file.sha256 for file in whole.files]
    assert resumed.training == whole.training


def test_the_files_and_the_report(place, report):
    names = sorted(path.name for path in (place.folder / "out").iterdir())
    assert names == ["report.json", "tiny.int8.onnx", "tiny.int8.tflite", "tiny.onnx"]
    said = json.loads((place.folder / "out" / "report.json").read_text())
    assert said["schema_version"] == 1
    assert [file["label"] for file in said["files"]] == ["float32 ONNX", "INT8 ONNX", "INT8 TFLite"]
    for file in report.files:
        artifact = opened(Path(file.path))
        assert (artifact.sha256, artifact.size_bytes) == (file.sha256, file.size_bytes)
        assert [spec.name for spec in artifact.inputs] == ["image"]


def test_what_the_report_says_is_so(report):
    assert report.command is not None and report.command.startswith("edgekit quantize ")
    assert [op.op for op in report.ops if op.macs] == ["Conv", "Gemm"]
    assert sum(op.macs for op in report.ops) == report.model.macs
    assert sum(op.parameters for op in report.ops) == report.model.parameters
    assert report.model.macs == 4 * 36 * 4 * 9 + 20
    assert report.model.parameters == 4 * 4 * 9 + 4 + 20 + 5
    assert (report.data.calibration_count, report.data.evaluation_count) == (COUNT // 2, COUNT // 2)
    assert report.data.split
    assert report.quantization.kept_float == ()
    assert report.verification.metric == "top1"
    assert report.verification.reference.value == 1.0
    assert [score.label for score in report.verification.scores] == ["INT8 ONNX", "INT8 TFLite"]
    assert all(ledger.int8_macs_share == 1.0 for ledger in report.verification.ledgers if "INT8" in ledger.label)
    assert {latency.label for latency in report.latencies} >= {"INT8 ONNX", "INT8 TFLite"}


def test_the_order_of_the_samples_changes_no_byte(place, report):
    again = pipeline.quantize(
        place.recipe("shuffled", {"data": str(place.folder / "shuffled.npz")}, verify={"threads": 2})
    )
    assert [file.sha256 for file in again.files] == [file.sha256 for file in report.files]


@pytest.mark.usefixtures("report")
def test_existing_outputs_are_refused_before_any_work(place):
    with pytest.raises(EdgekitError) as refused:
        pipeline.quantize(place.recipe("out", {"data": "missing.npz"}))
    assert refused.value.code == "EK195"


@pytest.mark.parametrize("ranges", ["minmax", "percentile"])
def test_ranges_and_integers_as_asked(place, ranges):
    data = {"calibration": str(place.samples)}
    found = pipeline.quantize(
        place.recipe(f"as-asked-{ranges}", data, {"layout": "nhwc"}, quantize={"ranges": ranges, "io": "int8"})
    )
    assert found.verification is None
    assert set(found.quantization.chosen) == {ranges}
    float_file, *int8 = (opened(Path(file.path)) for file in found.files)
    assert float_file.inputs[0].dtype == "float32"
    assert {artifact.inputs[0].qparams is not None for artifact in int8} == {True}
    assert {artifact.inputs[0].axes for artifact in int8} == {(0, 2, 3, 1)}


def test_inputs_are_made_up_where_there_are_none_to_calibrate_on(place):
    made = pipeline.quantize(place.recipe("none", {"evaluation": str(place.samples)}))
    assert not made.quantization.calibrated
    assert (made.data.calibration, made.data.evaluation) == ("synthesised inputs", str(place.samples))
    assert warnings(made)[0].endswith("so inputs were synthesised")
    assert all(score.drop < 0.3 for score in made.verification.scores)
    stamped = onnx.load(place.folder / "none" / "tiny.int8.onnx").metadata_props
    assert json.loads({prop.key: prop.value for prop in stamped}[METADATA_KEY])["uncalibrated"]


def test_nothing_but_a_model(place):
    recipe = load_recipe(None, {"model": {"path": str(place.model)}, "output": {"directory": place.folder / "alone"}})
    made = pipeline.quantize(recipe)
    assert warnings(made)[0].endswith("so inputs were synthesised and accuracy is unknown")
    assert (made.data.calibration_count, made.data.evaluation_count) == (24, 8)
    assert made.verification.agreements[0].identical > 0.9


def test_sensitivity_where_asked(place, report):
    assert report.quantization.sensitivity == ()
    found = pipeline.quantize(place.recipe("sensitive", quantize={"sensitivity": True}))
    ranked = found.quantization.sensitivity
    assert {each.op for each in ranked} == {"Conv", "Gemm"}
    assert sum(each.macs for each in ranked) == found.model.macs
    assert all(0 < each.sqnr_db < each.int16_sqnr_db for each in ranked)
    assert "most sensitive ops" in str(found)
    assert [file.sha256 for file in found.files] == [file.sha256 for file in report.files]


@pytest.mark.parametrize("precision", ["float16", "int8-dynamic"])
def test_nothing_to_be_sensitive_to(place, precision):
    with pytest.raises(EdgekitError, match="--sensitivity") as refused:
        pipeline.quantize(place.recipe("refused", quantize={"sensitivity": True, "precision": precision}))
    assert refused.value.code == "EK420"


def test_learned_rounding_where_asked(place, report):
    found = pipeline.quantize(place.recipe("learned", quantize={"effort": "high"}))
    learned = "learned rounding of weights" in found.quantization.repairs
    plain = {file.sha256 for file in report.files if file.precision == "int8"}
    assert learned == plain.isdisjoint(file.sha256 for file in found.files)
    assert "learning the rounding" in found.stages_s
    assert found.verification.agreements[0].identical > 0.99


@pytest.mark.parametrize("precision", ["float16", "int8-dynamic"])
def test_nothing_to_learn(place, precision):
    with pytest.raises(EdgekitError, match="--effort") as refused:
        pipeline.quantize(place.recipe("refused", quantize={"effort": "high", "precision": precision}))
    assert refused.value.code == "EK422"


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_convert(place, precision):
    found = pipeline.convert(place.recipe(precision, {"evaluation": str(place.samples)}), precision)
    assert [file.label for file in found.files] == [f"{precision} ONNX", f"{precision} TFLite"]
    assert all(score.drop in (None, 0.0) for score in found.verification.scores)


@pytest.mark.parametrize(("precision", "formats"), [("float16", ["onnx"]), ("float32", ["tflite"])])
def test_an_onnx_model_is_what_its_files_are_held_against(tmp_path, precision, formats):
    """Of weights of 1e-9, float16 leaves nothing."""
    w = weights(64, 16) * np.float32(1e-9)
    nodes = [node("Gemm", ["x", "w"], ["scores"])]
    (tmp_path / "faint.onnx").write_bytes(files.to_bytes(graph({"x": (1, 64)}, nodes, {"w": w}, ("scores",))))
    x = np.random.default_rng(0).normal(0, 1, (40, 64)).astype(np.float32)
    np.savez(tmp_path / "samples.npz", inputs=x, labels=(x @ w).argmax(axis=1))
    said = {"model": {"path": str(tmp_path / "faint.onnx")}, "data": {"evaluation": str(tmp_path / "samples.npz")}}
    recipe = load_recipe(None, {**said, "output": {"directory": tmp_path / "out", "formats": formats}})
    found = pipeline.convert(recipe, precision)
    assert (found.verification.reference.label, found.verification.reference.value) == ("float32 ONNX", 1.0)
    assert [score.drop > 0.5 for score in found.verification.scores] == [precision == "float16"]
    assert [file.format for file in found.files] == formats
    assert [latency.label for latency in found.latencies] == [file.label for file in found.files]


def test_convert_without_samples(place):
    recipe = load_recipe(None, {"model": {"path": str(place.model)}, "output": {"directory": place.folder / "bare"}})
    assert pipeline.convert(recipe, "float32").verification is None


@pytest.mark.usefixtures("report")
def test_compare(place):
    first, second = (place.folder / "out" / name for name in ("tiny.int8.onnx", "tiny.int8.tflite"))
    found = pipeline.compare(first, second, place.recipe("unused", {"evaluation": str(place.samples)}))
    assert found.reference.label == "INT8 ONNX"
    assert [score.label for score in found.scores] == ["INT8 TFLite"]


@pytest.mark.usefixtures("report")
def test_no_samples_to_compare_on(place):
    path = place.folder / "out" / "tiny.onnx"
    recipe = load_recipe(None, {"model": {"path": str(place.model)}})
    with pytest.raises(EdgekitError, match="neither --data nor --eval") as refused:
        pipeline.compare(path, path, recipe)
    assert refused.value.code == "EK413"


def test_an_op_without_a_tflite_form_still_gives_onnx(place):
    """The refusal comes when the other files are there."""
    nodes = [node("Det", ["x"], ["e"]), node("Relu", ["e"])]
    path = place.folder / "odd.onnx"
    path.write_bytes(files.to_bytes(graph({"x": (1, 5, 3, 3)}, nodes)))
    samples = np.random.default_rng(0).normal(0, 1, (16, 5, 3, 3)).astype(np.float32)
    recipe = load_recipe(None, {"model": {"path": str(path)}, "output": {"directory": place.folder / "odd"}})
    with pytest.raises(EdgekitError) as refused:
        pipeline.quantize(recipe, given=pipeline.Given(data=samples))
    assert refused.value.code.startswith("EK5")
    assert sorted(made.name for made in (place.folder / "odd").iterdir()) == [
        "odd.int8.onnx",
        "odd.onnx",
        "report.json",
    ]
    said = json.loads((place.folder / "odd" / "report.json").read_text())
    assert any("not written" in note for note in said["notes"])


def test_several_samples_per_run(place, report):
    made = pipeline.quantize(place.recipe("four", output={"batch": 4}, verify={"layers": True}))
    by_label = {file.label: opened(Path(file.path)) for file in made.files}
    assert [by_label[label].batch for label in ("INT8 ONNX", "INT8 TFLite")] == [1, 4]
    assert "a run of a TFLite file takes 4 samples, and so does its latency" in made.notes
    one, four = report.verification, made.verification
    assert four.agreements[0].identical == one.agreements[0].identical
    assert [score.value for score in four.scores] == [score.value for score in one.scores]
    assert {error.label for error in four.layers} == {"INT8 ONNX", "INT8 TFLite"}


@pytest.fixture(scope="module")
def uneven(tmp_path_factory) -> Place:
    """A classifier of tokens whose first channel is a thousand times the others."""
    folder = tmp_path_factory.mktemp("uneven")
    sizes = np.array([1000, 1, 1, 1, 1, 1], np.float32)
    nodes = [node("MatMul", ["frames", "w"], ["m"]), node("ReduceMean", ["m", "tokens"], ["scores"], keepdims=0)]
    constants = {"w": weights(6, 5) / sizes[:, None], "tokens": np.array([1])}
    model = graph({"frames": (1, 7, 6)}, nodes, constants, ("scores",))
    (folder / "tiny.onnx").write_bytes(files.to_bytes(model))
    frames = np.random.default_rng(0).normal(0, 1, (COUNT, 7, 6)).astype(np.float32) * sizes
    np.savez(folder / "samples.npz", inputs=frames)
    return Place(folder, folder / "tiny.onnx", folder / "samples.npz")


def test_an_uneven_input_is_evened_before_it_is_rounded(uneven):
    report = pipeline.quantize(uneven.recipe("out"))
    (kept,) = report.quantization.kept_float
    assert (kept.node, kept.op) == ("frames_even", "Mul")
    assert all(score.sqnr_db["scores"] > 25 for score in report.verification.scores[1:])


def test_integer_inputs_have_one_scale(uneven):
    report = pipeline.quantize(uneven.recipe("integers", quantize={"io": "int8"}))
    assert not report.quantization.kept_float
    assert {spec.dtype for file in report.files[1:] for spec in file.inputs} == {"int8"}


@pytest.mark.parametrize(
    ("precision", "title"), [("int16x8", "INT16x8"), ("int8-dynamic", "dynamic"), ("float16", "float16")]
)
def test_other_precisions_through_the_same_door(place, precision, title):
    report = pipeline.quantize(place.recipe(f"as-{precision}", quantize={"precision": precision}))
    names = {path.name for path in (place.folder / f"as-{precision}").iterdir()}
    assert {f"tiny.{precision}.onnx", f"tiny.{precision}.tflite"} <= names
    labels = [f"{title} ONNX", f"{title} TFLite"]
    assert [file.label for file in report.files][-2:] == labels
    assert all(score.value > 0.9 for score in report.verification.scores)
    for file in report.files:
        assert opened(Path(file.path)).precision == file.precision
    if precision == "float16":
        assert report.quantization is None
        return
    assert [ledger.label for ledger in report.verification.ledgers] == labels
    assert (report.quantization.precision, report.quantization.calibrated) == (precision, True)
    assert "\nintegers " in str(report)
    lite = report.verification.ledgers[1]
    assert lite.int16_macs_share == 1.0 if precision == "int16x8" else lite.int8_macs_share == 0.0
    assert [agreement.top1 for agreement in report.verification.agreements] == [1.0]


def test_float32_leaves_the_model_as_it_is(place):
    pipeline.quantize(place.recipe("as-float32", quantize={"precision": "float32"}))
    assert {path.name for path in (place.folder / "as-float32").iterdir()} == {
        "tiny.onnx",
        "tiny.tflite",
        "report.json",
    }


def test_weights_alone_need_no_samples(place):
    report = pipeline.quantize(place.recipe("weights-alone", {"seed": 0}, quantize={"precision": "int8-dynamic"}))
    assert report.verification is None
    assert not any("uncalibrated" in warning for warning in warnings(report))


@pytest.mark.parametrize(
    ("wanted", "scheme"),
    [
        ({"quantize": {"scheme": "symmetric"}}, "int8 activations per tensor with zero point 0"),
        ({"": {"device": "jetson-orin-nano"}}, "float biases (for TensorRT)"),
        ({"quantize": {"scheme": "per-tensor"}}, "int8 weights per tensor"),
        ({"": {"device": "jetson-orin-nano"}, "quantize": {"scheme": "default"}}, "int8 weights per channel"),
    ],
    ids=["symmetric", "jetson", "per-tensor", "over the device"],
)
def test_schemes(place, wanted, scheme, request):
    report = pipeline.quantize(place.recipe(f"scheme {request.node.name}", **wanted))
    assert scheme in report.quantization.scheme
    assert ("\nintegers " in str(report)) is ("over" not in request.node.name)
    assert all(score.value > 0.9 for score in report.verification.scores)
    assert [agreement.top1 for agreement in report.verification.agreements] == [1.0]


def test_a_device_of_integers_gets_one_file_of_integers(place):
    report = pipeline.quantize(place.recipe("edge-tpu", **{"": {"device": "coral-usb"}}))
    assert [Path(file.path).name for file in report.files] == ["tiny.onnx", "tiny.int8.tflite"]
    artifact = opened(Path(report.files[1].path))
    assert [spec.dtype for spec in (*artifact.inputs, *artifact.outputs)] == ["int8", "int8"]
    assert report.quantization.io == "int8"


def test_samples_that_nothing_is_calibrated_on_are_named(place):
    data = {"calibration": str(place.samples), "evaluation": str(place.samples)}
    report = pipeline.quantize(place.recipe("unneeded", data, quantize={"precision": "int8-dynamic"}))
    assert (report.data.calibration, report.data.evaluation_count) == (None, COUNT)
    assert any("samples.npz' was not needed: nothing is calibrated" in note for note in report.notes)
