"""An environment of its own for the runtime that many devices have."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REQUIREMENTS = ("tflite-runtime==2.14.0", "numpy<2")  # its wheels are for Python 3.10 and 3.11, and for NumPy 1


@pytest.fixture(scope="session")
def old_runtime(request: pytest.FixtureRequest) -> Path:
    """A Python with tflite-runtime 2.14, NumPy 1 and nothing else; made once and kept in pytest's cache."""
    base = sys.executable if sys.version_info < (3, 12) else shutil.which("python3.11")
    if base is None:
        pytest.skip("tflite-runtime 2.14 has wheels for Python 3.11 at most, and there is no python3.11")
    assert request.config.cache is not None
    folder = Path(request.config.cache.mkdir("tflite-runtime-2.14.0"))
    python, complete = folder / "bin" / "python", folder / "complete"
    with folder.with_suffix(".lock").open("w") as lock:  # beside the folder, which `venv --clear` empties
        fcntl.flock(lock, fcntl.LOCK_EX)  # several workers of pytest may want it at once
        if complete.exists():
            return python
        subprocess.run([base, "-m", "venv", "--clear", folder], check=True)
        install = [python, "-m", "pip", "install", "--quiet", *REQUIREMENTS]
        if (done := subprocess.run(install, capture_output=True, text=True)).returncode:
            pytest.skip(f"cannot install {' '.join(REQUIREMENTS)}: {(done.stderr.splitlines() or ['no reason'])[-1]}")
        complete.touch()
    return python
