"""What ONNX Runtime's quantizer makes of a float ONNX file: `onnxruntime_qdq.py FLOAT SAMPLES OUT METHOD`.

METHOD: MinMax, Entropy or Percentile. As its documentation recommends: preprocessed (shapes inferred, graph optimized),
QDQ, weights per channel; activations in uint8, since on x86 ONNX Runtime leaves many int8 ones in float.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process


class Samples(CalibrationDataReader):  # type: ignore[misc]
    """One sample at a time."""

    def __init__(self, name: str, samples: np.ndarray) -> None:
        self._feeds: Iterator[dict[str, np.ndarray]] = iter([{name: sample[None]} for sample in samples])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


def main(source: str, samples: str, target: str, method: str) -> None:
    name = onnxruntime.InferenceSession(source).get_inputs()[0].name
    with tempfile.TemporaryDirectory() as folder:
        prepared = str(Path(folder) / "prepared.onnx")
        quant_pre_process(source, prepared)
        quantize_static(
            prepared,
            target,
            Samples(name, np.load(samples)["inputs"]),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod[method],
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
