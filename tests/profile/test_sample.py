from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.affine import QParams
from edgekit.artifact import Artifact, TensorSpec
from edgekit.errors import EdgekitError
from edgekit.profile.sample import noise


def taking(*specs: TensorSpec) -> Artifact:
    return Artifact(path=Path("net.onnx"), format="onnx", precision="float32", inputs=specs, outputs=())


def test_noise_of_every_kind() -> None:
    made = taking(
        TensorSpec(name="real", dtype="float32", shape=(None, 3, 4)),
        TensorSpec(name="half", dtype="float16", shape=(2, 2)),
        TensorSpec(
            name="q", dtype="int8", shape=(1, 5), qparams=QParams(np.asarray(np.float32(0.1)), 0, np.dtype("int8"))
        ),
        TensorSpec(name="ids", dtype="int64", shape=(1, 64)),
        TensorSpec(name="flag", dtype="bool", shape=()),
    )
    arrays = noise(made)
    found = {name: (x.dtype.name, x.shape) for name, x in arrays.items()}
    assert found == {
        "real": ("float32", (1, 3, 4)),
        "half": ("float16", (2, 2)),
        "q": ("int8", (1, 5)),
        "ids": ("int64", (1, 64)),
        "flag": ("bool", ()),
    }
    assert set(arrays["ids"].ravel()) == {0, 1}
    np.testing.assert_array_equal(arrays["real"], noise(made)["real"])


def test_a_size_that_is_open() -> None:
    with pytest.raises(EdgekitError, match=r"\?x3x\?") as caught:
        noise(taking(TensorSpec(name="x", dtype="float32", shape=(None, 3, None))))
    assert caught.value.code == "EK736"
