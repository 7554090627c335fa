"""Where the numbers come from: the processor, what it can do that matters to INT8 kernels, and the versions in use."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

import psutil

from edgekit.report.facts import Machine

LIBRARIES = (
    "edgekit",
    "torch",
    "onnx",
    "onnx-ir",
    "onnxscript",
    "onnxruntime",
    "ai-edge-litert",
    "tflite-runtime",
    "numpy",
)

# What the kernels of ONNX Runtime and XNNPACK ask for, in /proc/cpuinfo's spelling; x86 first, then Arm.
FEATURES = (
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "amx_int8",
    "asimd",
    "asimddp",
    "i8mm",
    "sve",
)


def this_machine() -> Machine:
    """The machine that runs this process."""
    info = _cpuinfo()
    flags = set((info.get("flags") or info.get("Features") or "").split())
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        cpu=info.get("model name") or platform.processor() or platform.machine(),
        architecture=platform.machine(),
        cores=_usable_cores(),
        memory_bytes=psutil.virtual_memory().total,
        features=tuple(feature for feature in FEATURES if feature in flags),
        python=platform.python_version(),
        versions=versions(LIBRARIES),
    )


def versions(libraries: tuple[str, ...]) -> dict[str, str]:
    """library -> version, without those that are not installed; nothing is imported."""
    found = {}
    for library in libraries:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _usable_cores() -> int:
    """What the scheduler gives this process, which in a container is fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpuinfo() -> dict[str, str]:
    """The first processor's block of /proc/cpuinfo, empty where there is none (macOS, Windows)."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    block = path.read_text(errors="replace").split("\n\n")[0]
    pairs = (line.partition(":") for line in block.splitlines())
    return {key.strip(): value.strip() for key, colon, value in pairs if colon}
