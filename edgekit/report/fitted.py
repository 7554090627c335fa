"""What was fitted on a device, in words: the file, how it was measured, and how far its estimates may be off."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit import units
from edgekit.plain import plain

if TYPE_CHECKING:  # types only: both take a second to load
    from edgekit.device import LatencyModel
    from edgekit.profile.fitted import FittedDevice

SHOWN = 3  # of what was left out
GAP = 12  # columns of the titles


def fitted_in_words(found: FittedDevice, file: Path) -> str:
    """file: where the device was written."""
    device = found.device
    rows = [
        ("device", f"{device.name}: {device.title}"),
        ("measured", f"{units.plural(found.nets, 'net')} on {found.on} in {found.took_s:.0f} s"),
        *(("fitted", _model(model)) for model in device.latency),
        *(("left out", f"{one.what}: {one.why}") for one in found.skipped[:SHOWN]),
    ]
    if others := found.skipped[SHOWN:]:
        rows.append(("left out", f"{len(others)} more"))
    rows.append(("file", f"{file}; edgekit profile FILE --device {file}"))
    return "\n".join(f"{title:<{GAP}}{plain(text)}" for title, text in rows)


def _model(model: LatencyModel) -> str:
    """The error is that of blocks whose kind was left out, and so is the interval."""
    assert model.held_out_error is not None
    runtime = f"{model.runtime} {model.version}".strip()
    width = math.expm1(model.half_width)
    return (
        f"{runtime}, {units.plural(model.threads, 'thread')}, {model.precision}: {units.percent(model.held_out_error)}"
        f" off on blocks that were left out (median), 90 % within {units.percent(width, 0)}"
    )
