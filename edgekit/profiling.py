"""What `edgekit profile` and `edgekit devices probe` do: files and a sample in, what they cost on a device out.

Measured and estimated are two functions and two types: nothing that was not run is ever called measured.

Beside `pipeline` and not in it, since nothing here needs PyTorch, which takes two seconds to load.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir

from edgekit.artifact import FORMAT_NAMES, Arrays, Artifact
from edgekit.data import Given, read_data
from edgekit.device import Device, load_device
from edgekit.errors import EdgekitError
from edgekit.graph.source import source_line
from edgekit.profile import Estimate, address, estimate, remote, room
from edgekit.profile.advice import Advice, advice
from edgekit.profile.answer import Probed, probed
from edgekit.profile.measured import MeasuredThere, measure_there
from edgekit.profile.memory import plan_of
from edgekit.profile.parcel import parcel
from edgekit.profile.room import Fit
from edgekit.profile.sample import noise
from edgekit.progress import SILENT, Progress
from edgekit.recipe import Recipe
from edgekit.run.signature import is_lowered, opened

MADE_UP = "noise"


def measure(
    files: Sequence[Path],
    on: str,
    recipe: Recipe,
    *,
    python: str | None = None,
    runs: int | None = None,
    soak_s: float | None = None,
    per_op: bool = False,
    silence_s: float = remote.SILENCE_S,
    progress: Progress = SILENT,
) -> MeasuredThere:
    """Latency, memory, power and outputs of the files on a device.

    on: its address; python: the one to run there, None for python3, or edgekit's own here; recipe: samples, preprocess
    and threads, without samples the files get noise; soak_s: see
    `measure_there`; per_op: also the time of each op of ONNX files.
    """
    there = address.parsed(on)
    if soak_s is not None and len(files) > 1:
        raise EdgekitError(
            "EK737",
            "cannot soak more than one file",
            f"{len(files)} were given, and each would cool the device for the others",
            "give --soak with a single file",
        )
    artifacts = [_artifact(path) for path in files]
    samples, sample_from = _samples(artifacts, recipe)
    return measure_there(
        there,
        artifacts,
        samples,
        python=python_of(there, python),
        threads=recipe.verify.threads,
        runs=runs,
        soak_s=soak_s,
        sources=[_sources(artifact) for artifact in artifacts] if per_op else (),
        silence_s=silence_s,
        sample_from=sample_from,
        progress=progress,
    )


@dataclass(frozen=True, kw_only=True)
class Prospect:
    """What a file will cost on a device that is not at hand. estimates: the best known first; fit: whether it fits into
    a microcontroller, None where the device's memory is no such, or the file none for it."""

    estimates: tuple[Estimate, ...]
    fit: Fit | None


def prospects(files: Sequence[Path], device: str) -> tuple[Prospect, ...]:
    """device: a name that `load_device` takes. Raises EK710 to EK716 where nothing can be said of a file."""
    there = load_device(device)
    for path in files:
        if (format := _artifact(path).format) not in there.formats:
            raise EdgekitError(
                "EK716",
                f"'{there.name}' does not run '{path}'",
                f"it is {FORMAT_NAMES[format]}, and {' or '.join(there.runtimes)} there takes "
                f"{' or '.join(there.formats)}",
                f"make a file for it: edgekit quantize MODEL --device {there.name}",
            )
    return tuple(Prospect(estimates=estimate(path, there), fit=_fit(path, there)) for path in files)


def _fit(path: Path, device: Device) -> Fit | None:
    ram, flash = device.memory.ram_bytes, device.memory.flash_bytes
    if ram is None or flash is None or (memory := plan_of(path.read_bytes())) is None:
        return None
    return room.fit(memory, path.stat().st_size, ram_bytes=int(ram.value), flash_bytes=int(flash.value))


@dataclass(frozen=True)
class Condition:
    """What a device has, and what it lacks to be measured."""

    on: str
    found: Probed
    advice: tuple[Advice, ...]

    @property
    def fit(self) -> bool:
        """It can run one of the formats."""
        return any(one.state == "works" for one in self.advice)


def probe(on: str, *, python: str | None = None, silence_s: float = remote.SILENCE_S) -> Condition:
    """Ask a device what it has. on, python: as for `measure`."""
    there = address.parsed(on)
    document = remote.run(there, parcel({"probe": True}, {}), python=python_of(there, python), silence_s=silence_s)
    found = probed(document, there)
    return Condition(on, found, advice(found))


def python_of(there: address.Address, python: str | None) -> str:
    """The Python to run there. python: what the user named, None for the usual one."""
    if python is not None:
        return python
    return remote.this_python() if there.kind == "local" else "python3"


def _artifact(path: Path) -> Artifact:
    if is_lowered(path):
        return opened(path)
    if not path.exists():
        raise EdgekitError("EK101", f"no file at '{path}'", "the path does not exist", "check the path")
    raise EdgekitError(
        "EK102",
        f"cannot measure '{path}'",
        "it is neither an ONNX nor a TFLite file",
        "convert the model first: edgekit convert MODEL, or edgekit quantize MODEL",
    )


def _sources(artifact: Artifact) -> dict[str, str]:
    """Node, or tensor that it gives -> line of the user's code, where the file carries it."""
    if artifact.format != "onnx":
        return {}
    graph = ir.from_proto(onnx.load(artifact.path, load_external_data=False))
    found: dict[str, str] = {}
    for node in graph.graph:
        if (line := source_line(node)) is not None:
            found |= dict.fromkeys([str(node.name), *(str(value.name) for value in node.outputs)], line)
    return found


def _samples(artifacts: Sequence[Artifact], recipe: Recipe) -> tuple[list[Arrays], str]:
    """The same sample for each artifact, in its own layout and types, and where it is from."""
    data = read_data(recipe, Given(), calibrate=False).evaluation
    if data is None:
        return [noise(artifact) for artifact in artifacts], MADE_UP
    first = data.take([0])
    prepared = [
        artifact.to_file(next(first.renamed([spec.name for spec in artifact.inputs]).batches(1)).inputs)
        for artifact in artifacts
    ]
    return prepared, f"the first sample of '{data.where}'"
