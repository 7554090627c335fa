"""Holds what edgekit says of the Ethos-U against what Vela does: the ops that each leaves to the CPU.

    python benchmarks/placement.py VELA FILE.tflite ...

VELA: the program, as of `pip install ethos-u-vela` in an environment of its own. Exits with 1 where they differ.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from edgekit.device import load_device
from edgekit.profile.flow import read_flow
from edgekit.profile.kernels import kernels_of
from edgekit.profile.kernels_tflite import FREE
from edgekit.profile.placement import fallen_from

CONFIGS = {"ethos-u55-128": "ethos-u55-128", "ethos-u65-512": "ethos-u65-512", "ethos-u85": "ethos-u85-256"}


def main(arguments: Sequence[str]) -> int:
    vela, *files = arguments
    differences = 0
    for device, config in CONFIGS.items():
        for path in map(Path, files):
            expected, found = by_vela(vela, config, path), by_edgekit(device, path)
            differences += expected != found
            told = "same" if expected == found else f"edgekit {dict(found)}, Vela"
            print(f"{device:<14} {path.stem:<36} {told} {dict(expected)}")
    return int(differences > 0)


def by_vela(vela: str, config: str, path: Path) -> Counter[str]:
    with tempfile.TemporaryDirectory() as folder:
        command = [vela, "--accelerator-config", config, "--output-dir", folder, str(path)]
        subprocess.run(command, check=True, capture_output=True, timeout=600)
        flow = read_flow((Path(folder) / f"{path.stem}_vela.tflite").read_bytes())
    return Counter(op.kind for op in flow.ops if op.kind not in FREE and "ethos-u" not in op.kind)


def by_edgekit(device: str, path: Path) -> Counter[str]:
    return Counter(fallen.op for fallen in fallen_from(load_device(device).accelerator, kernels_of(path)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
