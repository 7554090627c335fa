"""All that is said of a file on a device that is not at hand: what it costs, whether it fits, where its ops run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit.device import Device
from edgekit.errors import EdgekitError
from edgekit.profile import in_place, room
from edgekit.profile.estimate import Estimate, estimate
from edgekit.profile.flow import read_flow
from edgekit.profile.kernels import kernels_of
from edgekit.profile.memory import plan_of
from edgekit.profile.placement import Placement, placed
from edgekit.profile.room import Fit, RamEstimate
from edgekit.run.signature import is_tflite
from edgekit.run.vela import Compiled


@dataclass(frozen=True, kw_only=True)
class Prospect:
    """What a file will cost on a device that is not at hand.

    estimates: the best known first, none where only the device's compiler can speak of the file; fit: whether it fits
    into a microcontroller, None where the device's memory is no such, or the file none for it; placement: how much of
    it the device's accelerator takes, None where nothing is said of one; ram: that it takes in other runtimes than
    TFLite Micro, the newest of each last; compiled: what the device's compiler says, None where it has none that
    edgekit knows, or it is not here, when missing is the command that brings it.
    """

    path: str
    device: str
    estimates: tuple[Estimate, ...]
    fit: Fit | None
    placement: Placement | None
    ram: tuple[RamEstimate, ...] = ()
    compiled: Compiled | None = None
    missing: str | None = None


def prospect(path: Path, device: Device, compiled: Compiled | None = None, missing: str | None = None) -> Prospect:
    """Raises EK710 to EK717 where nothing can be said of the file."""
    return Prospect(
        path=str(path),
        device=device.name,
        estimates=_estimates(path, device, compiled, missing),
        fit=_fit(path, device),
        placement=placed(device.accelerator, kernels_of(path)),
        ram=_ram(path, device),
        compiled=compiled,
        missing=missing,
    )


def _estimates(path: Path, device: Device, compiled: Compiled | None, missing: str | None) -> tuple[Estimate, ...]:
    """Where the fit, or a peak, cannot speak of a file, its compiler may."""
    try:
        return estimate(path, device)
    except EdgekitError as refused:
        if compiled is not None:
            return ()
        if missing is not None:
            fix = f"{refused.fix}; or bring the device's compiler, which has a model of it: {missing}"
            raise EdgekitError(refused.code, refused.what, refused.why, fix) from None
        raise


def _ram(path: Path, device: Device) -> tuple[RamEstimate, ...]:
    if not device.runtime_ram or not is_tflite(path):
        return ()
    activations_bytes = in_place.peak_bytes(read_flow(path.read_bytes()))
    return tuple(room.ram_in(known, activations_bytes) for known in device.runtime_ram)


def _fit(path: Path, device: Device) -> Fit | None:
    ram, flash = device.memory.ram_bytes, device.memory.flash_bytes
    if ram is None or flash is None or (memory := plan_of(path.read_bytes())) is None:
        return None
    return room.fit(memory, path.stat().st_size, ram_bytes=int(ram.value), flash_bytes=int(flash.value))
