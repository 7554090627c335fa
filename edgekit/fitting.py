"""What `edgekit devices fit` does: a device that is at hand becomes a file by which any model is estimated without it.

draw       the nets of a design, in each precision and format that works there (`profile/design.py`)
sweep      run them there, by the agent, in one connection
fit        parameters for each runtime and precision (`profile/fitted.py`)
describe   the device's file, with where each value is from
"""

from __future__ import annotations

import io
import math
import re
import time
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import onnx_ir as ir

from edgekit import profiling, staging, units
from edgekit.artifact import Format
from edgekit.device import Compute, Device, Fact, LatencyModel, Memory, Runtime, Sources, to_toml
from edgekit.errors import EdgekitError
from edgekit.lower.onnx import to_onnx
from edgekit.lower.tflite import to_tflite
from edgekit.plain import plain
from edgekit.profile import address, answer, remote
from edgekit.profile.advice import processor
from edgekit.profile.design import nets
from edgekit.profile.fitted import Context, FittedDevice, Measured, Skipped, model_of
from edgekit.profile.kernels import Kernel, kernels_of
from edgekit.profile.parcel import parcel
from edgekit.profile.sketch import Net, graph
from edgekit.progress import SILENT, Advance, Progress

PASSES = 2
BURST_S = 0.06  # of a net in each pass
EVICT_BYTES = 16 * 2**20
"""Written between two runs, about the size of a net and what it computes with: weights then come from where those of a
whole net do, whose other layers have used the caches since."""
FEWEST_NETS = 0.5  # of a design: a runtime that refuses more is not worth an estimate
RUNTIMES = {"ai-edge-litert": "litert"}  # as a device's file calls them
NAMES: dict[Format, str] = {"tflite": "TFLite", "onnx": "ONNX"}
PRECISIONS: tuple[Literal["float32", "int8"], ...] = ("float32", "int8")
NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A net as a file. file: its name in the archive; shapes: of its inputs."""

    net: Net
    precision: Literal["float32", "int8"]
    format: Format
    file: str
    kernels: tuple[Kernel, ...]
    shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Place:
    """What the device is called, and the file to write."""

    name: str
    path: Path


def place_of(on: str, name: str | None, path: Path | None, *, overwrite: bool) -> Place:
    """Before anything is measured. name, path: as the user gives them. Raises EK740 for a name that is none, EK742 for
    a file that --device would not take for one, EK195 where a file is in the way."""
    called = name if name is not None else _slug(address.parsed(on))
    if NAME.fullmatch(called) is None:
        raise EdgekitError(
            "EK740",
            f"cannot call a device '{called}'",
            "a name is of small letters, digits and '-', and does not begin with '-'",
            f"write it like --name {_plain_name(called) or 'my-board'}",
        )
    file = path if path is not None else Path(f"{called}.toml")
    if file.suffix != ".toml":
        raise EdgekitError(
            "EK742",
            f"cannot write a device to '{file}'",
            "--device takes a name, or a file that ends in .toml",
            f"write it like -o {file.with_suffix('.toml')}",
        )
    staging.refuse_existing(file.parent, [file.name], overwrite)
    return Place(called, file)


def write(device: Device, place: Place, *, overwrite: bool) -> None:
    """The device's file, whole or not at all. Raises EK195 and EK196."""
    staging.refuse_existing(place.path.parent, [place.path.name], overwrite)
    with staging.staged(place.path.parent) as folder:
        file = folder / place.path.name
        file.write_text(to_toml(device), encoding="utf-8")
        Device.from_toml(file)


def fit_device(
    on: str,
    *,
    name: str,
    threads: int = 1,
    python: str | None = None,
    silence_s: float = remote.SILENCE_S,
    design: Sequence[Net] | None = None,
    progress: Progress = SILENT,
) -> FittedDevice:
    """Measure nets of a design on a device, and fit what kernels cost there.

    on: its address; name: of the device; threads: of each run; python: the one to run there; design: nets, None for all
    of `profile/design.py`. Raises EK739 where no format runs there, EK741 where too few nets ran.
    """
    start = time.perf_counter()
    there = address.parsed(on)
    with progress.step(f"asking {there.text}"):
        condition = profiling.probe(on, python=python, silence_s=silence_s)
    working = [one.format for one in condition.advice if one.state == "works"]
    skipped = [Skipped(what=NAMES[one.format], why=one.why) for one in condition.advice if one.state != "works"]
    if not working:
        raise EdgekitError(
            "EK739",
            f"nothing to fit on '{there.text}'",
            "; ".join(f"{one.what}: {one.why}" for one in skipped),
            f"`edgekit devices probe {there.text}` prints the commands that install a runtime",
        )
    intel = processor(condition.found) == "x86_64"
    chosen = nets() if design is None else design
    drawn, archive = _draw(chosen, working, intel, progress)
    swept = _sweep(there, drawn, archive, threads, profiling.python_of(there, python), silence_s, progress)
    with progress.step("fitting", len(PRECISIONS) * len(working)) as advance:
        models = _models(there, drawn, swept, threads, advance)
    failed = [(one, net.failed) for one, net in zip(drawn, swept.nets, strict=True) if net.failed is not None]
    skipped += [Skipped(what=f"{one.net.name}, {one.precision} {NAMES[one.format]}", why=why) for one, why in failed]
    return FittedDevice(
        on=there.text,
        device=_device(name, there, condition.found, working, models),
        nets=len(drawn),
        took_s=time.perf_counter() - start,
        skipped=tuple(skipped),
    )


def _draw(
    design: Sequence[Net], formats: Sequence[Format], intel: bool, progress: Progress
) -> tuple[list[Drawn], bytes]:
    """Files of the design, and a zip that holds them."""
    drawn: list[Drawn] = []
    archive = io.BytesIO()
    with (
        progress.step("drawing nets", len(design)) as advance,
        TemporaryDirectory() as folder,
        zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for net in design:
            for precision in PRECISIONS:
                model = graph(net, integers=precision == "int8", whole=not intel)
                for format in formats:
                    data, shapes = _lowered(ir.from_proto(model), format, intel, image=net.shape[1] == 3)
                    path = Path(folder) / f"{len(drawn)}.{format}"
                    path.write_bytes(data)
                    kernels = kernels_of(path)
                    path.unlink()
                    packed.writestr(path.name, data)
                    drawn.append(
                        Drawn(
                            net=net,
                            precision=precision,
                            format=format,
                            file=path.name,
                            kernels=kernels,
                            shapes=shapes,
                        )
                    )
            advance(1)
    return drawn, archive.getvalue()


def _lowered(model: ir.Model, format: Format, intel: bool, *, image: bool) -> tuple[bytes, tuple[tuple[int, ...], ...]]:
    if format == "onnx":
        integers = np.dtype(np.uint8 if intel else np.int8)
        file = to_onnx(model, activations=integers, nhwc=False, io_int8=False, metadata={})
        return file.data, tuple(tuple(side or 1 for side in spec.shape) for spec in file.inputs)
    made = to_tflite(model, nhwc=not image, io_int8=False, metadata={})
    return made.data, tuple(tuple(side or 1 for side in spec.shape) for spec in made.inputs)


def _sweep(
    there: address.Address,
    drawn: Sequence[Drawn],
    archive: bytes,
    threads: int,
    python: str,
    silence_s: float,
    progress: Progress,
) -> answer.Swept:
    job = {
        "nets": [{"name": one.file, "format": one.format, "shapes": one.shapes} for one in drawn],
        "archive": "nets.zip",
        "passes": PASSES,
        "threads": threads,
        "burst_s": BURST_S,
        "evict_bytes": EVICT_BYTES,
        "limit_s": silence_s,
    }
    with progress.step(f"measuring on {there.text}", PASSES * len(drawn)) as advance:
        seen = [0]

        def count(done: int, _: int) -> None:
            advance(max(0, done - seen[0]))
            seen[0] = max(seen[0], done)

        sent = parcel(job, {"nets.zip": archive})
        document = remote.run(there, sent, python=python, silence_s=silence_s, advance=count)
    return answer.swept(document, there, len(drawn))


def _models(
    there: address.Address, drawn: Sequence[Drawn], swept: answer.Swept, threads: int, advance: Advance
) -> tuple[LatencyModel, ...]:
    """The parameters of each runtime: float32 first, since INT8 files hold float kernels too."""
    made: list[LatencyModel] = []
    for format in dict.fromkeys(one.format for one in drawn):
        software = swept.runtimes.get(format)
        other: LatencyModel | None = None
        for precision in PRECISIONS:
            rows = [
                (one, net.seconds)
                for one, net in zip(drawn, swept.nets, strict=True)
                if (one.format, one.precision) == (format, precision)
            ]
            ran = [(one, seconds) for one, seconds in rows if len(seconds) == PASSES]
            if software is None or len(ran) < FEWEST_NETS * len(rows):
                raise _too_few(there, format, precision, len(ran), len(rows))
            context = Context(
                runtime=RUNTIMES.get(software.runtime, software.runtime),
                version=software.version or "",
                threads=threads,
                source=f"measured: edgekit devices fit, {len(ran)} nets",
                noise=_noise(seconds for _, seconds in ran),
            )
            measured = [
                Measured(name=one.net.name, family=one.net.family, kernels=one.kernels, seconds=min(seconds))
                for one, seconds in ran
            ]
            model = model_of(measured, precision, context, other)
            made.append(model)
            other = model
            advance(1)
    return tuple(made)


def _too_few(there: address.Address, format: Format, precision: str, ran: int, wanted: int) -> EdgekitError:
    return EdgekitError(
        "EK741",
        f"cannot fit {NAMES[format]} on '{there.text}'",
        f"{ran} of {wanted} nets in {precision} ran there, and half of them is the least that tells anything",
        "install a newer runtime there; `edgekit devices probe` says which one is there",
    )


def _noise(times: Iterable[Sequence[float]]) -> float:
    """By what 90 % of two measurements of a net differ from their mean, in log space."""
    differences = [abs(math.log(max(seconds) / min(seconds))) for seconds in times]
    return float(np.percentile(differences, 90)) / math.sqrt(2)


def _device(
    name: str,
    there: address.Address,
    found: answer.Probed,
    formats: Sequence[Format],
    models: tuple[LatencyModel, ...],
) -> Device:
    runtimes: list[Runtime] = [model.runtime for model in models]  # type: ignore[misc]
    state, intel = found.before, processor(found) == "x86_64"
    here = f"measured: by the agent on {there.text}"
    return Device(
        name=name,
        title=_title(there, found),
        runtimes=tuple(dict.fromkeys(runtimes)),
        formats=tuple(formats),
        onnx_activations="uint8" if intel else "int8",
        hard_swish="decomposed" if intel else "whole",
        scheme="default",
        source=Sources(
            runtimes=f"{here}: what ran the nets",
            formats="published: what these runtimes read",
            onnx_activations="published: onnxruntime on x86 fuses uint8 only, elsewhere both",
            hard_swish="published: devices/x86-64.toml and devices/raspberry-pi-4.toml, measured for such processors",
            scheme="published: what these runtimes' kernels take",
        ),
        compute=Compute(
            cpu=_fact(state.cpu), isa=_fact(answer.Reading(value=found.system.architecture, source="platform.machine"))
        ),
        memory=Memory(dram=_fact(state.memory_bytes, units.size)),
        latency=models,
    )


def _title(there: address.Address, found: answer.Probed) -> str:
    names = [str(reading.value) for reading in (found.before.board, found.before.cpu) if reading.value]
    return plain(", ".join(names) or f"{there.text}, {found.system.architecture}")


def _fact(reading: answer.Reading, words: Callable[[int], str] = str) -> Fact | None:
    """What the device says of itself, None where it does not."""
    if reading.value is None:
        return None
    value = words(reading.value) if isinstance(reading.value, int) else str(reading.value)
    return Fact(value=plain(value), source=plain(reading.source or "the agent"), status="measured")


def _slug(there: address.Address) -> str:
    """A device's name from its address."""
    return _plain_name(there.place.rpartition("@")[2]) or "this-machine"


def _plain_name(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
