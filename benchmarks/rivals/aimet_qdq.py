"""What AIMET makes of a float ONNX file: `aimet_qdq.py FLOAT SAMPLES OUT [cle]`.

Runs in an environment of its own (`pip install aimet-onnx`). int8 by its default configuration; cle: cross-layer
equalization first, as its guide to post-training quantization does.
"""

from __future__ import annotations

import sys

import aimet_onnx
import numpy as np
import onnx
from aimet_onnx.cross_layer_equalization import equalize_model


def main(source: str, samples: str, target: str, repair: str = "") -> None:
    model = onnx.load(source)
    name = model.graph.input[0].name
    if repair == "cle":
        equalize_model(model)
    work = aimet_onnx.QuantizationSimModel(model, param_type=aimet_onnx.int8, activation_type=aimet_onnx.int8)
    work.compute_encodings([{name: sample[None]} for sample in np.load(samples)["inputs"]])
    onnx.save(work.to_onnx_qdq(), target)


if __name__ == "__main__":
    main(*sys.argv[1:])
