"""The float TFLite file that litert-torch makes: `litert_torch_float.py WEIGHTS FILE.py:FACTORY SAMPLES OUT`.

Runs in an environment of its own (`pip install litert-torch`).
"""

from __future__ import annotations

import importlib.util
import sys

import litert_torch
import numpy as np
import torch


def main(weights: str, factory: str, samples: str, target: str) -> None:
    file, _, name = factory.rpartition(":")
    spec = importlib.util.spec_from_file_location("models", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = getattr(module, name)().eval()
    model.load_state_dict(torch.load(weights, weights_only=True))
    sample = torch.from_numpy(np.load(samples)["inputs"][:1])
    litert_torch.convert(model, (sample,)).export(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
