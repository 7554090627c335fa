import numpy as np
import onnx_ir as ir
import pytest

from edgekit.errors import EdgekitError
from edgekit.lower import Wishes, lower
from edgekit.run.runner import Runner
from tests.models import graph, node, weights


def net(shape=(-1, 8)):
    """A convolution, and a Reshape to `shape`."""
    nodes = [
        node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        node("GlobalAveragePool", ["c"], ["p"]),
        node("Concat", ["p", "p"], ["d"], axis=1),
        node("Reshape", ["d", "shape"], ["y"]),
    ]
    constants = {"w": weights(4, 2, 3, 3), "shape": np.array(shape, np.int64)}
    return graph({"x": (1, 2, 6, 6)}, nodes, constants)


def at_one():
    model = net()
    model.graph.inputs[0].shape = ir.Shape([1, 2, 6, 6])
    return model


def written(model, path, batch, format="tflite"):
    wishes = Wishes(activations="uint8", nhwc=False, io_int8=False, batch=batch, metadata={})
    return lower(model, format, "float32", path / f"net{batch}.{format}", wishes).artifact


@pytest.mark.parametrize("count", [1, 4, 6])
def test_every_sample_gets_its_own_answer(tmp_path, count):
    x = np.random.default_rng(0).normal(size=(count, 2, 6, 6)).astype(np.float32)
    answers = []
    for batch in (1, 4):
        artifact = written(net(), tmp_path, batch)
        assert (artifact.batch, artifact.inputs[0].shape[0]) == (batch, batch)
        with Runner(artifact) as runner:
            answers.append(runner.run({"x": x})["y"])
    assert answers[0].shape == (count, 8)
    np.testing.assert_allclose(answers[1], answers[0], rtol=1e-6)


def test_onnx_takes_any_number(tmp_path):
    artifact = written(net(), tmp_path, 4, "onnx")
    assert (artifact.batch, artifact.inputs[0].shape[0]) == (1, None)


@pytest.mark.parametrize("model", [at_one(), net(shape=(-1, 4))], ids=["fixed", "mixed"])
def test_what_has_no_batch_is_refused(tmp_path, model):
    with pytest.raises(EdgekitError, match="EK505"):
        written(model, tmp_path, 4)
