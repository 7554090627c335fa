"""What the TFLite runtime that is installed answers: `python answers.py FOLDER` needs numpy, that runtime and the shim.

FOLDER holds NAME.tflite beside NAME.in.npz, arrays by input name with one sample per row, as the file takes them.
NAME.out.npz is written: default.OUTPUT and reference.OUTPUT, by kernels; and traced.TENSOR, all int8 tensors of the
first sample on the reference kernels.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from edgekit.run.litert import Arrays, Interpreter, version

KERNELS = {"default": False, "reference": True}


def answered(path: Path) -> Arrays:
    rows = dict(np.load(path.with_suffix(".in.npz")))
    samples = [{name: x[i : i + 1] for name, x in rows.items()} for i in range(len(next(iter(rows.values()))))]
    found: Arrays = {}
    for kernels, plain in KERNELS.items():
        interpreter = Interpreter(str(path), reference_kernels=plain)
        answers = [interpreter.run(sample) for sample in samples]
        found |= {f"{kernels}.{name}": np.concatenate([one[name] for one in answers]) for name in answers[0]}
    tracing = Interpreter(str(path), reference_kernels=True, keep_tensors=True)
    tracing.run(samples[0])
    return found | {f"traced.{name}": x for name, x in tracing.real_values().items()}


if __name__ == "__main__":
    for file in sorted(Path(sys.argv[1]).glob("*.tflite")):
        np.savez(file.with_suffix(".out.npz"), **answered(file))  # type: ignore[arg-type]  # its stub misses **arrays
    print(version())
