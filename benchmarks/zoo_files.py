"""Float and INT8 files of `zoo.py`'s architectures, made once and kept in a folder.

    python benchmarks/zoo_files.py FOLDER NAME ...

For their latency only: ranges are the smallest and largest value of two samples, and nothing is judged.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

SAMPLES = 2
KINDS = ("onnx", "int8.onnx", "tflite", "int8.tflite")


def files_of(folder: Path, name: str) -> dict[str, Path]:
    """Kind of KINDS -> file, whether it is there or not."""
    return {kind: folder / f"{name}.{kind}" for kind in KINDS}


def make(folder: Path, name: str) -> None:
    """Those that are not there yet."""
    wanted = files_of(folder, name)
    if all(path.is_file() for path in wanted.values()):
        return
    import itertools

    import zoo

    import edgekit

    model = zoo.built(name)
    samples = np.concatenate(list(itertools.islice(zoo.calibration(name), SAMPLES)))
    with tempfile.TemporaryDirectory(dir=folder) as made:
        edgekit.quantize(model, out=made, calib=samples, ranges="minmax", overwrite=True)
        edgekit.convert(model, samples, out=made, format=["tflite"], overwrite=True)
        for path in Path(made).iterdir():
            kind = path.name.partition(".")[2]
            if kind in wanted:
                path.replace(wanted[kind])


def main(arguments: Sequence[str]) -> None:
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name in arguments[1:]:
        make(folder, name)
        print(name, *(path.stat().st_size for path in files_of(folder, name).values()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
