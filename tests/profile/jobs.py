"""Jobs for the agent about the small classifier of `tests.verify.nets`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.profile import parcel
from tests.verify import nets

Job = dict[str, Any]


def job(folder: Path, **more: object) -> Job:
    """Two files, a float ONNX and an INT8 TFLite one, with one sample, in folder."""
    artifacts = []
    for i, artifact in enumerate((nets.onnx_artifact(folder, "float32", None), nets.tflite_artifact(folder))):
        sample = artifact.to_file({"x": nets.images(1)})
        np.savez(folder / f"{i}.npz", **{str(k): sample[spec.name] for k, spec in enumerate(artifact.inputs)})
        artifacts.append({"path": str(artifact.path), "format": artifact.format, "inputs": str(folder / f"{i}.npz")})
    return {"artifacts": artifacts, "threads": 1, "runs": 20, "outputs_bytes": 2**16, **more}


def answered(folder: Path, wanted: Job, *arguments: str, python: str = sys.executable, **more: Any) -> Any:
    """What the agent answers here; wanted: the job, on stdin."""
    agent = folder / parcel.AGENT
    agent.write_bytes(parcel.agent_file())
    ran = subprocess.run(
        [python, str(agent), *arguments], input=json.dumps(wanted).encode(), capture_output=True, check=False, **more
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)
