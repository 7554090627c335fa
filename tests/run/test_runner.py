from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edgekit import affine
from edgekit.artifact import Artifact, Format
from edgekit.errors import EdgekitError
from edgekit.lower import Wishes, lower
from edgekit.run.runner import Runner
from tests.models import graph, node
from tests.verify import nets


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nets")


@pytest.fixture(scope="module", params=["onnx", "tflite"])
def artifact(request: pytest.FixtureRequest, folder: Path) -> Artifact:
    return nets.onnx_artifact(folder, "int8", np.uint8) if request.param == "onnx" else nets.tflite_artifact(folder)


def test_speaks_the_models_language(artifact: Artifact) -> None:
    x = nets.images(5)
    with Runner(artifact) as runner:
        logits = runner.run({"x": x, "unused": x})["logits"]
        assert logits.shape == (5, nets.CLASSES)
        assert logits.dtype == np.float32
        np.testing.assert_array_equal(logits[3:4], runner.run({"x": x[3:4]})["logits"])


def test_knows_its_runtime(artifact: Artifact) -> None:
    with Runner(artifact) as runner:
        assert runner.runtime().split()[0] in {"onnxruntime", "ai-edge-litert", "tflite-runtime"}
        assert 0 < runner.load_s() < 10


def test_times_runs(artifact: Artifact) -> None:
    with Runner(artifact) as runner:
        runner.prepare({"x": nets.images(1)})
        assert runner.warm_up().run_s > 0
        assert len(runner.time_runs(7).times_s) == 7


def test_integers_at_the_border(folder: Path) -> None:
    from edgekit.lower.tflite import to_tflite

    file = to_tflite(ir.from_proto(nets.net(np.int8)), nhwc=True, io_int8=True, metadata={})
    path = folder / "integers.tflite"
    path.write_bytes(file.data)
    integers = Artifact(path=path, format="tflite", precision="int8", inputs=file.inputs, outputs=file.outputs)
    assert [spec.dtype for spec in (*file.inputs, *file.outputs)] == ["int8", "int8"]
    assert isinstance(file.inputs[0].qparams, affine.QParams)
    x = nets.images(4)
    with Runner(integers) as runner, Runner(nets.tflite_artifact(folder)) as floats:
        np.testing.assert_array_equal(runner.run({"x": x})["logits"], floats.run({"x": x})["logits"])


def test_an_input_that_is_not_there(artifact: Artifact) -> None:
    with Runner(artifact) as runner, pytest.raises(EdgekitError, match="the samples have y") as caught:
        runner.run({"y": nets.images(1)})
    assert caught.value.code == "EK907"


def test_a_file_that_no_runtime_takes(artifact: Artifact, tmp_path: Path) -> None:
    from dataclasses import replace

    path = tmp_path / "bad"
    path.write_bytes(b"nothing")
    with Runner(replace(artifact, path=path)) as runner, pytest.raises(EdgekitError) as caught:
        runner.run({"x": nets.images(1)})
    assert caught.value.code in {"EK905", "EK908"}


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_outputs_without_a_batch_axis_get_one(folder: Path, format: Format) -> None:
    """A number, and a sum over the batch itself, of a model that takes one sample: two of them are no batch."""
    nodes = [
        node("ReduceMax", ["x"], ["most"], keepdims=0),
        node("ReduceSum", ["x", "first"], ["rows"], keepdims=0),
        node("Neg", ["x"]),
    ]
    model = graph({"x": (1, 2, 3)}, nodes, {"first": np.asarray([0])}, ["most", "rows", "y"])
    model.graph.inputs[0].shape = ir.Shape([1, 2, 3])
    path = folder / f"mixed.{format}"
    x = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    wishes = Wishes(activations="uint8", nhwc=False, io_int8=False, metadata={})
    with Runner(lower(model, format, "float32", path, wishes).artifact) as runner:
        found = runner.run({"x": x})
    np.testing.assert_array_equal(found["most"], x.max(axis=(1, 2)))
    np.testing.assert_array_equal(found["rows"], x)
    np.testing.assert_array_equal(found["y"], -x)
