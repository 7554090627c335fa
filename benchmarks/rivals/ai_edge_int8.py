"""What ai-edge-quantizer makes of a float TFLite file: `ai_edge_int8.py FLOAT SAMPLES OUT`.

Runs in an environment of its own (`pip install ai-edge-quantizer`). Default recipe for static int8 weights and
activations.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import quantizer, recipe


def main(source: str, samples: str, target: str) -> None:
    ((signature, ends),) = Interpreter(model_path=source).get_signature_list().items()
    work = quantizer.Quantizer(source)
    work.load_quantization_recipe(recipe.static_wi8_ai8())
    feeds = [{ends["inputs"][0]: sample[None]} for sample in np.load(samples)["inputs"]]
    found = work.calibrate({signature: feeds})
    work.quantize(found).export_model(str(Path(target).resolve()), overwrite=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
