"""How well `edgekit devices fit` tells what nets cost that it never saw: this machine, fitted and then measured.

    python benchmarks/fit_local.py --files FOLDER [--device FILE] [NAME ...]

Fits this machine (or takes a file that was fitted before), estimates and measures architectures of `zoo.py` in float32
and INT8, ONNX and TFLite, with one thread, and prints each with its error; beside it the same estimate by MACs alone,
and by the fitted terms without what shapes tell. The files are made once and kept in FOLDER (`zoo_files.py`, minutes).
Exit code 1 where a bar is missed. Nothing else should run meanwhile: what disturbs a measurement counts as an error.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from zoo_files import KINDS, files_of, make

from edgekit import fitting, profiling
from edgekit.device import Device
from edgekit.profile.estimate import estimate
from edgekit.recipe import Recipe

NAMES = (
    "mobilenet_v2", "mobilenet_v3_small", "mobilenetv4_conv_small", "mnasnet0_5", "efficientnet_lite0", "squeezenet1_1",
    "shufflenet_v2_x0_5", "ghostnet_100", "regnet_y_400mf", "resnet18", "googlenet", "densenet121", "unet",
    "convnext_atto", "vit_tiny_patch16_224",
)  # fmt: skip
MOST_S = 300.0  # of a fit
MEDIAN, P90, COVERED = 0.10, 0.25, 0.85


@dataclass(frozen=True, kw_only=True)
class Row:
    """A file: seconds as estimated, with the interval, as measured (median), and by the two simpler estimates."""

    name: str
    kind: str
    estimated_s: float
    low_s: float
    high_s: float
    measured_s: float
    macs_s: float
    terms_s: float

    @property
    def error(self) -> float:
        return self.estimated_s / self.measured_s - 1

    @property
    def inside(self) -> bool:
        return self.low_s <= self.measured_s <= self.high_s


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=Path, required=True, help="folder that keeps the files of the architectures")
    parser.add_argument("--device", type=Path, help="a file that was fitted before, instead of a new fit")
    parser.add_argument("names", nargs="*", default=NAMES)
    wanted = parser.parse_args(arguments)
    wanted.files.mkdir(parents=True, exist_ok=True)
    for name in wanted.names:
        make(wanted.files, name)
    took_s = 0.0
    if wanted.device is not None:
        device = Device.from_toml(wanted.device)
    else:
        start = time.perf_counter()
        device = fitting.fit_device("local", name="this-machine").device
        took_s = time.perf_counter() - start
        print(f"fitted in {took_s:.0f} s")
    print(f"{'model':<26}{'file':<14}{'estimated ms':>14}{'90 % interval':>20}{'measured':>10}{'error':>8}")
    rows = [row for name in wanted.names for row in measured(device, wanted.files, name)]
    return told(rows, took_s)


def measured(device: Device, folder: Path, name: str) -> list[Row]:
    """Estimated first, then measured in turns."""
    paths = files_of(folder, name)
    found = profiling.measure(
        [paths[kind] for kind in KINDS], "local", Recipe.model_validate({"model": {"path": str(folder)}})
    )
    plain = device.model_copy(
        update={"latency": tuple(model.model_copy(update={"factors": ()}) for model in device.latency)}
    )
    rows = []
    for kind, one in zip(KINDS, found.measurements, strict=True):
        best, terms = estimate(paths[kind], device)[0], estimate(paths[kind], plain)[0]
        row = Row(
            name=name,
            kind=kind,
            estimated_s=best.seconds,
            low_s=best.low_s,
            high_s=best.high_s,
            measured_s=one.median_s,
            macs_s=best.baselines[0].seconds,
            terms_s=terms.seconds,
        )
        interval = f"{1e3 * row.low_s:.2f}..{1e3 * row.high_s:.2f}"
        print(
            f"{name:<26}{kind:<14}{1e3 * row.estimated_s:>14.2f}{interval:>20}{1e3 * row.measured_s:>10.2f}"
            f"{100 * row.error:>+7.1f}%{'' if row.inside else '  outside'}",
            flush=True,
        )
        rows.append(row)
    return rows


def told(rows: Sequence[Row], took_s: float) -> int:
    errors = [abs(row.error) for row in rows]
    median, p90 = float(np.median(errors)), float(np.percentile(errors, 90))
    covered = float(np.mean([row.inside for row in rows]))
    print(f"\n{len(rows)} files of {len({row.name for row in rows})} models")
    bars = (
        (f"median error {100 * median:.1f} %, at most {100 * MEDIAN:.0f} %", median <= MEDIAN),
        (f"90th percentile {100 * p90:.1f} %, at most {100 * P90:.0f} %", p90 <= P90),
        (f"inside the 90 % interval {100 * covered:.0f} %, at least {100 * COVERED:.0f} %", covered >= COVERED),
        (f"fitted in {took_s:.0f} s, at most {MOST_S:.0f} s", took_s <= MOST_S),
    )
    for words, kept in bars:
        print(f"{'ok    ' if kept else 'MISSED'}  {words}")
    for words, seconds in (
        ("MACs alone", [row.macs_s for row in rows]),
        ("terms without shapes", [row.terms_s for row in rows]),
    ):
        off = [abs(math.expm1(math.log(s / row.measured_s))) for s, row in zip(seconds, rows, strict=True)]
        print(f"beside it: {words}: median {100 * np.median(off):.1f} %, 90th {100 * np.percentile(off, 90):.1f} %")
    return 0 if all(kept for _, kept in bars) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
