"""Which packages a device's Python has that measuring needs, and how others could be installed. Runs on the device.

Part of the agent: Python 3.8, standard library only.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict

# The package's name, and the module that must be importable.
WANTED = {
    "numpy": "numpy",
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
    "onnxruntime": "onnxruntime",
}
IMPORT_S = 60.0  # a slow card reads a runtime of 50 MB in some seconds


def installed(tick: Callable[[], None]) -> Dict[str, Dict[str, Any]]:
    """Per package: its version, None where it is not there, and why it cannot be imported, None where it can.

    tick: called now and then, since a slow card takes its time.
    """
    found = {}
    for name, module in WANTED.items():
        tick()
        found[name] = {"version": version(name), "broken": _broken(name, module)}
    return found


def version(name: str) -> Any:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def installing() -> Dict[str, Any]:
    """What an installation would meet: executable, venv (is this one?), managed (does the system forbid pip to write
    into it, PEP 668), pip and ensurepip (are they there?), free_bytes where temporary files go."""
    marker = Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED"
    return {
        "executable": sys.executable,
        "venv": sys.prefix != sys.base_prefix,
        "managed": marker.is_file(),
        "pip": _there("pip"),
        "ensurepip": _there("ensurepip"),
        "free_bytes": shutil.disk_usage(tempfile.gettempdir()).free,
    }


def _there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _broken(name: str, module: str) -> Any:
    """Imported in a process of its own: a library that was built for another processor ends it."""
    if version(name) is None:
        return None
    try:
        tried = subprocess.run(
            [sys.executable, "-c", "import " + module],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=IMPORT_S,
        )
    except subprocess.TimeoutExpired:
        return "importing it took longer than {:g} s".format(IMPORT_S)
    if tried.returncode == 0:
        return None
    said = tried.stderr.decode("utf-8", "replace").strip().splitlines()
    ended = "ended by signal {}".format(-tried.returncode) if tried.returncode < 0 else "failed"
    return said[-1][:500] if said else ended
