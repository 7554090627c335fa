import hashlib

import numpy as np
import pytest

from edgekit import affine
from edgekit.artifact import Artifact, TensorSpec

NHWC = (0, 2, 3, 1)


def test_a_tensor_goes_to_the_file_and_back():
    spec = TensorSpec(name="x", dtype="float32", shape=(1, 4, 5, 3), axes=NHWC)
    x = np.arange(60, dtype=np.float32).reshape(1, 3, 4, 5)
    stored = spec.to_file(x)
    assert stored.shape == (1, 4, 5, 3)
    assert stored.flags.c_contiguous
    assert np.array_equal(spec.from_file(stored), x)


def test_integers_stand_for_reals():
    qparams = affine.from_range(-1.0, 1.0)
    spec = TensorSpec(name="x", dtype="int8", shape=(1, 4, 5, 3), axes=NHWC, qparams=qparams)
    x = np.linspace(-1, 1, 60, dtype=np.float32).reshape(1, 3, 4, 5)
    stored = spec.to_file(x)
    assert stored.dtype == np.int8
    np.testing.assert_allclose(spec.from_file(stored), x, atol=float(qparams.scale))


def test_a_plain_tensor_stays():
    spec = TensorSpec(name="x", dtype="int64", shape=(None, 2))
    x = np.array([[1, 2]])
    assert np.array_equal(spec.from_file(spec.to_file(x)), x)


@pytest.mark.parametrize(
    ("format", "precision", "label"),
    [("onnx", "float32", "float32 ONNX"), ("onnx", "int8", "INT8 ONNX"), ("tflite", "int8", "INT8 TFLite")],
)
def test_facts_of_a_file(tmp_path, format, precision, label):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    artifact = Artifact(path=path, format=format, precision=precision, inputs=(), outputs=())
    assert artifact.label == label
    assert artifact.size_bytes == 3
    assert artifact.sha256 == hashlib.sha256(b"abc").hexdigest()
