"""What litert-torch and ai-edge-quantizer make of a model of `zoo.py`: FOLDER/float.tflite and FOLDER/int8.tflite.

    python benchmarks/litert_torch_files.py NAME FOLDER

Runs in an environment of its own (`pip install litert-torch ai-edge-quantizer`), as `converters.py` calls it. Default
settings: convert() on one sample, then static int8 weights and activations calibrated on the zoo's samples.
"""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter

import litert_torch
import torch
import zoo
from ai_edge_quantizer import quantizer, recipe


def main(name: str, folder: Path) -> None:
    model, samples = zoo.built(name), list(zoo.calibration(name))
    start = perf_counter()
    edge = litert_torch.convert(model, (torch.from_numpy(samples[0]),))
    edge.export(str(folder / "float.tflite"))
    print(f"converted in {perf_counter() - start:.1f} s")
    start = perf_counter()
    work = quantizer.Quantizer(str(folder / "float.tflite"))
    work.load_quantization_recipe(recipe.static_wi8_ai8())
    found = work.calibrate({"serving_default": [{"args_0": sample} for sample in samples]})
    work.quantize(found).export_model(str(folder / "int8.tflite"), overwrite=True)
    print(f"quantized in {perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
