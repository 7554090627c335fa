"""What NNCF makes of a float ONNX file: `nncf_qdq.py FLOAT SAMPLES OUT [transformer]`.

Runs in an environment of its own (`pip install nncf onnx onnxruntime`). Default settings, over all samples;
transformer: the model type that its documentation asks to name.
"""

from __future__ import annotations

import sys

import nncf
import numpy as np
import onnx


def main(source: str, samples: str, target: str, kind: str = "") -> None:
    model, inputs = onnx.load(source), np.load(samples)["inputs"]
    name = model.graph.input[0].name
    quantized = nncf.quantize(
        model,
        nncf.Dataset(inputs, lambda sample: {name: sample[None]}),
        subset_size=len(inputs),
        model_type=nncf.ModelType.TRANSFORMER if kind == "transformer" else None,
    )
    onnx.save(quantized, target)


if __name__ == "__main__":
    main(*sys.argv[1:])
