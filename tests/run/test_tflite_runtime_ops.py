"""Ops on int16 activations, and under int8 weights alone, in tflite-runtime 2.14: some of its kernels are wrong there.

What the plan and the writing of files steer around: FULLY_CONNECTED of more than two axes and depthwise convolutions
take the first channel's scale for all, PRELU and SUM answer nonsense.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekit.graph import files
from edgekit.lower.tflite import TFLiteFile, to_tflite
from edgekit.quantize import weights_only
from tests.lower.tflite.graphs import INT16, as_ir, quantized, run_onnx, steps
from tests.lower.tflite.test_ops import DYNAMIC_DB, INT16_STEPS, TABLE, in_int16, of_weights
from tests.run.test_tflite_runtime import asked_of

pytestmark = pytest.mark.slow

# The reference kernels of neither runtime have ELU, and in int8 it stays in float between int16 ops.
ABSENT = "elu"
SCALARS = {"reducesum-all"}  # has no axis along which answers could be put together


def written(folder: Path, name: str, file: TFLiteFile, sample: dict[str, np.ndarray]) -> None:
    (folder / f"{name}.tflite").write_bytes(file.data)
    np.savez(folder / f"{name}.in.npz", **{spec.name: spec.to_file(sample[spec.name]) for spec in file.inputs})


def test_int16(old_runtime: Path, tmp_path: Path) -> None:
    names = [name for name in in_int16() if not name.startswith(ABSENT) and name not in SCALARS]
    expected, made = {}, {}
    for name in names:
        model, sample = quantized(TABLE[name], INT16), TABLE[name].samples(11)[0]
        made[name] = to_tflite(as_ir(model), nhwc=False, io_int8=False, metadata={})
        expected[name] = run_onnx(model, sample, fuse=False)
        written(tmp_path, name, made[name], sample)
    found = asked_of(old_runtime, tmp_path)
    for name in names:
        size = steps(TABLE[name], INT16)
        for kernels in ("default", "reference"):
            for spec in made[name].outputs:
                y, wanted = spec.from_file(found[name][f"{kernels}.{spec.name}"]), expected[name][spec.name]
                apart = np.abs(y.astype(np.float64) - wanted) / size.get(spec.name, 1.0)
                assert np.rint(apart).max(initial=0) <= INT16_STEPS, f"{name}, {kernels} kernels"


def test_int8_weights_under_float_activations(
    old_runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights_only, "SMALLEST", 1)
    expected, made = {}, {}
    for name in of_weights():
        model = weights_only.quantize_weights(as_ir(TABLE[name].model())).graph
        sample = TABLE[name].samples(11)[0]
        made[name] = to_tflite(model, nhwc=False, io_int8=False, metadata={})
        expected[name] = run_onnx(onnx.load_from_string(files.to_bytes(model)), sample)
        written(tmp_path, name, made[name], sample)
    found = asked_of(old_runtime, tmp_path)
    for name, file in made.items():
        for kernels in ("default", "reference"):
            for spec in file.outputs:
                y, wanted = spec.from_file(found[name][f"{kernels}.{spec.name}"]), expected[name][spec.name]
                allowed = 10 ** (-DYNAMIC_DB / 10) * np.square(wanted).sum()
                assert np.square(y - wanted).sum() < allowed, f"{name}, {kernels} kernels"
