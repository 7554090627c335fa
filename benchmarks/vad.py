"""The silero VAD, a recurrent net that runs chunk by chunk: how far INT8 takes the speech probability off.

    python benchmarks/vad.py [OPTION OF edgekit quantize ...]

Quantizes the model on the first seconds of the audio: the inputs of a step are a chunk and the states that the float
model had before it. Then both INT8 files run over all of it, each on the states that it gave itself. difference: mean
of |p - p of torch| over the chunks that calibration did not hear, and over all; worst: the largest; flips: chunks on
the other side of 0.5.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from shared_models import SHARED, require

CHUNK, CONTEXT, STATE = 512, 64, 128  # new samples per step, samples kept from the step before, width of h and c
CALIBRATION_CHUNKS = 312  # 10 s
BAR = 0.015
WEIGHTS = SHARED / "weights" / "silero_vad_16k.pt"
FACTORY = f"{SHARED / 'models.py'}:silero_vad_16k"

Step = Callable[[Mapping[str, NDArray[np.float32]]], Mapping[str, NDArray[np.float32]]]
"""One chunk and its states (x, h, c) in, probability and states (output_0, output_1, output_2) out."""


def main(options: list[str]) -> None:
    require()
    expected = probabilities(torch_step())
    published = np.load(SHARED / "silero_test_audio.npz")["reference_prob"].reshape(-1)
    print(f"torch: {np.abs(expected - published).mean():.1e} from the published probabilities, {len(expected)} chunks")
    print(f"{'file':12} {'difference':>10} {'over all':>9} {'worst':>6} {'flips':>6}   bar {BAR}")
    passed = True
    with tempfile.TemporaryDirectory() as folder:
        quantize(folder, options)
        for label, step in (("INT8 ONNX", onnx_step(folder)), ("INT8 TFLite", tflite_step(folder))):
            found = probabilities(step)
            apart = np.abs(found - expected)
            unheard = float(apart[CALIBRATION_CHUNKS:].mean())
            passed &= max(unheard, float(apart.mean())) <= BAR
            flips = int(((found > 0.5) != (expected > 0.5)).sum())
            print(f"{label:12} {unheard:10.4f} {apart.mean():9.4f} {apart.max():6.3f} {flips:6}", flush=True)
    if not passed:
        raise SystemExit(f"a file is more than {BAR} off")


def quantize(folder: str, options: list[str]) -> None:
    command = [sys.executable, "-m", "edgekit", "quantize", str(WEIGHTS), "--model", FACTORY, "-o", folder]
    calibration = ["--calib", f"{Path(__file__).resolve()}:calibration", "--calib-count", str(CALIBRATION_CHUNKS)]
    done = subprocess.run([*command, *calibration, *options, "--overwrite"], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)


def calibration() -> Iterator[dict[str, NDArray[np.float32]]]:
    """Chunks with the states that the float model had before each: `--calib vad.py:calibration`."""
    for feeds, _ in run(torch_step(), chunks()[:CALIBRATION_CHUNKS]):
        yield feeds


def chunks() -> NDArray[np.float32]:
    """(N, CONTEXT + CHUNK) samples in [-1, 1)."""
    audio = np.load(SHARED / "silero_test_audio.npz")["audio"].astype(np.float32) / 32768
    padded = np.concatenate([np.zeros(CONTEXT, np.float32), audio])
    return np.stack([padded[i : i + CONTEXT + CHUNK] for i in range(0, len(audio) - CHUNK + 1, CHUNK)])


def probabilities(step: Step) -> NDArray[np.float64]:
    return np.array([probability for _, probability in run(step, chunks())])


def run(step: Step, audio: NDArray[np.float32]) -> Iterator[tuple[dict[str, NDArray[np.float32]], float]]:
    """What each chunk is fed with, and its probability; the states go from chunk to chunk."""
    h = c = np.zeros((1, STATE), np.float32)
    for chunk in audio:
        feeds = {"x": chunk[None], "h": h, "c": c}
        made = step(feeds)
        yield feeds, float(made["output_0"].reshape(()))
        h, c = made["output_1"], made["output_2"]


def torch_step() -> Step:
    import torch

    sys.path.insert(0, str(SHARED))
    import models

    model = models.silero_vad_16k().eval()
    model.load_state_dict(torch.load(WEIGHTS, weights_only=True))

    def step(feeds: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        with torch.inference_mode():
            made = model(*(torch.from_numpy(feeds[name]) for name in ("x", "h", "c")))
        return {f"output_{i}": tensor.numpy() for i, tensor in enumerate(made)}

    return step


def onnx_step(folder: str) -> Step:
    import onnxruntime

    session = onnxruntime.InferenceSession(Path(folder) / f"{WEIGHTS.stem}.int8.onnx")
    names = [value.name for value in session.get_outputs()]
    return lambda feeds: dict(zip(names, session.run(None, dict(feeds)), strict=True))


def tflite_step(folder: str) -> Step:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(Path(folder) / f"{WEIGHTS.stem}.int8.tflite")).get_signature_runner()
    return lambda feeds: runner(**feeds)


if __name__ == "__main__":
    main(sys.argv[1:])
