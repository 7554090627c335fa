"""Files of real models in tflite-runtime 2.14 beside ai-edge-litert, each in its own process."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit import api, flags
from edgekit.artifact import Arrays, Artifact
from edgekit.recipe import load_recipe
from edgekit.run.litert import Interpreter
from edgekit.run.signature import opened
from edgekit.samples import load_samples
from tests.run.answers import answered

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
CALIBRATED_ON, JUDGED_ON = 16, 24

FLOAT_RTOL = 1e-5  # of the largest output: the same float32 sums in another order
# On the reference kernels the two are equal op by op but for FULLY_CONNECTED, which litert 2.3 rounds as XNNPACK does.
ROUNDED_OTHERWISE = "FULLY_CONNECTED"
# tflite-runtime 2.14 has no INT8 delegate. Its builtin kernels requantize in fixed point and round twice, XNNPACK's
# once and half to even: up to 0.3 % of a convolution's elements and 40 % of a mean's move by a step, and moves grow on
# their way through a deep net. LiteRT's own builtin kernels are as far from its XNNPACK.
STEPS = 8
MEAN_STEPS = 1.0
TOP1_AGREEMENT = (JUDGED_ON - 3) / JUDGED_ON  # near ties may go the other way

MODELS: dict[str, tuple[str, str, str, dict[str, Any]]] = {  # factory, weights, samples, options
    "resnet8": (
        "mlperf_ic_resnet8",
        "mlperf_ic_resnet8_jpegft",
        "cifar10_calib.npz",
        {"samples_layout": "nhwc", "layout": "nhwc"},
    ),
    "dscnn": ("mlperf_kws_dscnn", "mlperf_kws_dscnn", "kws_calib_mfcc49x10.npz", {}),
    "mobilenet": (
        "imagenet_mobilenetv1_025",
        "imagenet_mobilenetv1_025_224",
        "imagenet500",
        {"resize": 256, "crop": 224, "scale": "1/127.5", "mean": "1,1,1"},
    ),
    "autoencoder": ("mlperf_ad_autoencoder", "mlperf_ad_autoencoder", "ad01_windows.npz", {}),
    "espcn": ("espcn_x2", "espcn_x2", "sr_x2_eval.npz", {}),
}
CLASSIFIERS = ("resnet8", "dscnn", "mobilenet")


@pytest.mark.parametrize("model", MODELS)
def test_both_runtimes_agree(model: str, shared: Path, old_runtime: Path, tmp_path: Path) -> None:
    artifacts = written(model, shared / "data", tmp_path)
    new = {precision: answered(artifact.path) for precision, artifact in artifacts.items()}
    old = asked_of(old_runtime, tmp_path)
    (output,) = artifacts["int8"].outputs

    for name, expected in new["float32"].items():
        apart = np.abs(old["float32"][name] - expected).max()
        assert apart <= FLOAT_RTOL * np.abs(expected).max(), name

    interpreter = Interpreter(str(artifacts["int8"].path))
    steps = steps_of(interpreter)
    check_ops(interpreter, steps, old["int8"], new["int8"])
    if not any(kernel.op == ROUNDED_OTHERWISE for kernel in interpreter.ops()):
        assert np.array_equal(old["int8"][f"reference.{output.name}"], new["int8"][f"reference.{output.name}"])

    first, second = (answers["int8"][f"default.{output.name}"] for answers in (old, new))
    apart = np.abs(first - second) / steps[output.name]
    assert apart.max() <= STEPS + 0.01
    assert apart.mean() <= MEAN_STEPS
    if model in CLASSIFIERS:
        assert np.mean(first.argmax(1) == second.argmax(1)) >= TOP1_AGREEMENT


def check_ops(interpreter: Interpreter, steps: dict[str, float], old: Arrays, new: Arrays) -> None:
    """Reference kernels: what gets the same gives the same.

    tflite-runtime lets an ADD write over its operand even when it is told to keep tensors; its result speaks for it.
    """
    overwritten = {name for kernel in interpreter.ops() if kernel.op == "ADD" for name in kernel.inputs}
    traced = {name.removeprefix("traced."): x for name, x in new.items() if name.startswith("traced.")}
    apart = {name: np.abs(x - old[f"traced.{name}"]).max() for name, x in traced.items() if name not in overwritten}
    compared = 0
    for kernel in interpreter.ops():
        if any(apart.get(name, 0.0) > 0 for name in kernel.inputs):
            continue
        for name in apart.keys() & kernel.outputs:
            compared += 1
            allowed = 1.01 * steps[name] if kernel.op == ROUNDED_OTHERWISE else 0.0
            assert apart[name] <= allowed, (kernel.op, name)
    assert compared > 1, "nothing was compared"


def steps_of(interpreter: Interpreter) -> dict[str, float]:
    """The scale of every int8 tensor, and of what is only dequantized from one."""
    details = interpreter._interpreter.get_tensor_details()
    steps = {tensor["name"]: float(tensor["quantization"][0]) for tensor in details if tensor["quantization"][0]}
    for kernel in interpreter.ops():
        if kernel.op == "DEQUANTIZE":
            steps[kernel.outputs[0]] = steps[kernel.inputs[0]]
    return steps


def written(model: str, data: Path, folder: Path) -> dict[str, Artifact]:
    """The model's TFLite files by precision, in `folder` beside the samples that both runtimes are asked."""
    factory, weights, samples, options = MODELS[model]
    source = data / samples
    cut = photographs if source.is_dir() else npz
    given = cut(folder / f"data{source.suffix}", source, CALIBRATED_ON + JUDGED_ON)
    asked: dict[str, Any] = {
        **options,
        "model": f"{data / 'models.py'}:{factory}",
        "format": ["tflite"],
        "calib_count": CALIBRATED_ON,
    }
    file = data / "weights" / f"{weights}.pt"
    quantized = api.quantize(file, given, out=folder / "quantized", **asked)
    converted = api.convert(file, given, out=folder / "converted", **asked)
    contract = load_recipe(None, flags.by_section({**options, "path": str(file)})).preprocess
    judged = load_samples(given, contract).take(range(CALIBRATED_ON, CALIBRATED_ON + JUDGED_ON))
    artifacts = {}
    for precision, report in (("float32", converted), ("int8", quantized)):
        path = Path(shutil.copy(report.files[-1].path, folder / f"{precision}.tflite"))
        artifacts[precision] = opened(path)
        (spec,) = artifacts[precision].inputs
        (batch,) = judged.renamed([spec.name]).batches(JUDGED_ON)
        np.savez(path.with_suffix(".in.npz"), **{spec.name: spec.to_file(batch.inputs[spec.name])})
    return artifacts


def npz(path: Path, source: Path, count: int) -> Path:
    """The first samples of a file."""
    with np.load(source) as arrays:
        np.savez(path, inputs=arrays["inputs"][:count])
    return path


def photographs(folder: Path, source: Path, count: int) -> Path:
    folder.mkdir()
    for path in sorted(source.glob("*.jpg"))[:count]:
        shutil.copy(path, folder)
    return folder


def asked_of(python: Path, folder: Path) -> dict[str, Arrays]:
    """What the other runtime answers, by file."""
    run = [python, ROOT / "tests" / "run" / "answers.py", folder]
    done = subprocess.run(run, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "tflite-runtime 2.14.0"
    return {path.stem: dict(np.load(path.with_suffix(".out.npz"))) for path in folder.glob("*.tflite")}
