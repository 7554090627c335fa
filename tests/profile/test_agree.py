from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.affine import QParams
from edgekit.artifact import Artifact, Precision, TensorSpec
from edgekit.profile.agree import Agreement, agreement
from edgekit.profile.answer import Output
from tests.profile.test_answer import output

Y = np.random.default_rng(0).normal(size=1000).astype(np.float32)


def artifact(precision: Precision = "float32", dtype: str = "float32", qparams: QParams | None = None) -> Artifact:
    spec = TensorSpec(name="y", dtype=dtype, shape=(1000,), qparams=qparams)
    return Artifact(path=Path("a"), format="tflite", precision=precision, inputs=(), outputs=(spec,))


def as_output(y: Any, **more: Any) -> Output:
    return Output(**output(y) | {"shape": np.asarray(y).shape} | more)


def compared(there: Any, here: Any = Y, which: Artifact | None = None) -> Agreement:
    return agreement(which or artifact(), [as_output(here)], [as_output(there)])


def test_equal_bytes() -> None:
    assert compared(Y) == Agreement(verdict="identical", sqnr_db=math.inf, worst=0.0)


@pytest.mark.parametrize(
    ("precision", "noise", "verdict"),
    [("float32", 1e-6, "close"), ("float32", 0.05, "different"), ("int8", 0.05, "close"), ("int8", 0.6, "different")],
)
def test_rounding_or_not(precision: Precision, noise: float, verdict: str) -> None:
    other = Y + np.float32(noise) * np.roll(Y, 1)
    found = compared(other, which=artifact(precision))
    assert found.verdict == verdict
    assert found.sqnr_db == pytest.approx(-20 * math.log10(noise), abs=0.2)
    assert ("'y' has an SQNR of" in found.why) == (verdict == "different")


def test_other_forms() -> None:
    found = compared(Y[:10])
    assert (found.verdict, found.why) == ("different", "outputs of float32 10 instead of float32 1000")
    assert agreement(artifact(), [as_output(Y)], []).why == "outputs of nothing instead of float32 1000"


def test_not_finite() -> None:
    other = Y.copy()
    other[3] = np.nan
    assert compared(other).why == "'y' is not finite in the same places"
    assert compared(other, other).verdict == "identical"


def test_nothing_but_zeros_here() -> None:
    assert compared(Y, np.zeros_like(Y)).sqnr_db == -math.inf
    assert compared(-np.zeros_like(Y), np.zeros_like(Y)).verdict == "close", "another zero is no other number"


def test_whole_numbers() -> None:
    classes = np.arange(1000, dtype=np.int64)
    other = classes.copy()
    other[:5] = 0
    which = artifact("int8", "int64")
    assert compared(other, classes, which).verdict == "close"
    other[:50] = 0
    assert compared(other, classes, which).why == "4.90% of the whole numbers of 'y' differ"


def test_integers_that_stand_for_real_numbers() -> None:
    which = artifact("int8", "int8", QParams(np.asarray(np.float32(0.1)), 3, np.dtype(np.int8)))
    q = np.random.default_rng(0).integers(-128, 127, 1000).astype(np.int8)
    found = compared(q + np.int8(1), q, which)
    assert found.verdict == "close"
    assert found.worst == pytest.approx(0.1, rel=1e-5)


def test_too_large_to_compare() -> None:
    found = agreement(artifact(), [as_output(Y)], [as_output(Y + 1, data=None)])
    assert found.verdict == "unknown"


def test_the_worst_output_counts() -> None:
    spec = artifact().outputs[0]
    both = Artifact(path=Path("a"), format="onnx", precision="float32", inputs=(), outputs=(spec, spec))
    found = agreement(both, [as_output(Y)] * 2, [as_output(Y), as_output(-Y)])
    assert found.verdict == "different"
