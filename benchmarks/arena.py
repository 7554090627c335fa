"""The arena that edgekit plans for TFLite Micro beside the one that TFLite Micro reports, on the real models.

    python benchmarks/arena.py [--float-io] [MODEL ...]

Needs the extra `micro`. The published INT8 files, and those that edgekit makes of the shared nets, with integer inputs
and outputs, or float ones. In bytes: *alive*, what is alive at once; *planned*, *reported*, the head (activations as
they are placed) and the tail (what lasts); *off*, of their sums; *needed*, the smallest arena in which it should start;
*starts*: whether it does; *95 %*: whether it starts in 5 % less, which it should not. A file that TFLite Micro has no
kernel for says so. The exit code is 1 where a plan is off by more than 5 %, or a file does not start as planned.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from faces import FACTORY as FACE_FACTORY
from faces import WEIGHTS as FACE_WEIGHTS
from shared_models import MODELS, SHARED, require

from edgekit.errors import EdgekitError
from edgekit.profile.memory import plan
from edgekit.run import micro

ALLOWED = 0.05
CALIBRATED_ON = "8"  # ranges move no tensor
NOT_HERE = ("EK931", "EK901")  # it said that it cannot start, or ended by a segmentation fault


def main(words: list[str]) -> None:
    require()
    micro.require()
    io, wanted = ("float32" if "--float-io" in words else "int8"), [word for word in words if word[:2] != "--"]
    print(f"{'file':34} {'ops':>4} {'alive':>9} {'planned':>16} {'reported':>16} {'off':>6} {'needed':>8} starts  95 %")
    with tempfile.TemporaryDirectory() as folder:
        kept = [show(name, path) for name, path in files(Path(folder), wanted, io)]
    if not all(kept):
        raise SystemExit(f"a plan is off by more than {ALLOWED:.0%}, or a file does not start as planned")


def files(folder: Path, wanted: list[str], io: str) -> Iterator[tuple[str, Path]]:
    for path in sorted((SHARED / "reference_models").glob("*.tflite")):
        if not wanted or path.stem in wanted:
            yield path.stem, path
    for name, words in commands().items():
        if not wanted or name in wanted:
            yield name, made(words, folder / name, io)


def commands() -> dict[str, list[str]]:
    """What is quantized, as `edgekit quantize` is asked, with nothing to judge on."""
    found = {}
    for model in MODELS:
        words = model.command()
        for option in ("--eval", "--calib-count"):
            if option in words:
                at = words.index(option)
                words = words[:at] + words[at + 2 :]
        found[model.name] = ["--calib" if word == "--data" else word for word in words]
    photographs = f"{Path(__file__).with_name('faces.py').resolve()}:first"
    found["face_slim320"] = [str(FACE_WEIGHTS), "--model", FACE_FACTORY, "--calib", photographs]
    return found


def made(words: list[str], folder: Path, io: str) -> Path:
    asked = ["--calib-count", CALIBRATED_ON, "--io", io, "--format", "tflite", "-o", str(folder)]
    command = [sys.executable, "-m", "edgekit", "quantize", *words, *asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{words[0]}: {done.stderr}")
    (path,) = folder.glob("*.int8.tflite")
    return path


def show(name: str, path: Path) -> bool:
    """Prints a row; whether the plan is as good as it should be."""
    plans = plan(path)
    told = f"{name:34} {len(plans.timeline):4} {plans.peak_bytes:9} {plans.head_bytes:9} {plans.tail_bytes:6}"
    if plans.without_kernel:
        refused = not starts(path, micro.ROOMY_BYTES)
        print(f"{told} {'no kernel for ' + ', '.join(plans.without_kernel):>16}", flush=True)
        return refused
    arena = micro.reported(path)
    off = plans.arena_bytes / arena.total_bytes - 1
    here, less = starts(path, plans.needed_bytes), starts(path, int(plans.needed_bytes * (1 - ALLOWED)))
    reported = f"{arena.head_bytes:9} {arena.tail_bytes:6}"
    print(f"{told} {reported} {off:6.2%} {plans.needed_bytes:8} {said(here):>6} {said(less):>5}", flush=True)
    return abs(off) <= ALLOWED and here and not less


def starts(path: Path, arena_bytes: int) -> bool:
    try:
        micro.reported(path, arena_bytes)
    except EdgekitError as error:
        if error.code not in NOT_HERE:
            raise
        return False
    return True


def said(true: bool) -> str:
    return "yes" if true else "no"


if __name__ == "__main__":
    main(sys.argv[1:])
