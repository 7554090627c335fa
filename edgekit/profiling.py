"""What `edgekit profile` and `edgekit devices probe` do: files and a sample in, what they cost on a device out.

Measured and estimated are two functions and two types: nothing that was not run is ever called measured.

Beside `pipeline` and not in it, since nothing here needs PyTorch, which takes two seconds to load.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from edgekit.artifact import FORMAT_NAMES, Arrays, Artifact
from edgekit.data import Given, read_data
from edgekit.device import Device, device_names, load_device
from edgekit.errors import EdgekitError
from edgekit.graph.source import source_line
from edgekit.profile import address, remote
from edgekit.profile.advice import Advice, advice
from edgekit.profile.answer import Probed, probed
from edgekit.profile.measured import MeasuredThere, measure_there
from edgekit.profile.parcel import parcel
from edgekit.profile.prospect import Prospect, prospect
from edgekit.profile.recommend import Candidate, Limits, SortKey, candidate
from edgekit.profile.sample import noise
from edgekit.progress import SILENT, Progress
from edgekit.recipe import Recipe
from edgekit.run import vela
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
    `measure_there`; per_op: also the time of each op.
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


def prospects(files: Sequence[Path], device: str, *, progress: Progress = SILENT) -> tuple[Prospect, ...]:
    """device: a name that `load_device` takes. Raises EK710 to EK717 where nothing can be said of a file, EK941 to
    EK944 where its compiler has nothing to say."""
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
    return tuple(_prospect(path, there, progress) for path in files)


def _prospect(path: Path, device: Device, progress: Progress) -> Prospect:
    """Its compiler is asked too, where it is here."""
    if device.compiler is None:
        return prospect(path, device)
    if not vela.installed():
        return prospect(path, device, missing=vela.INSTALL)
    with progress.step(f"compiling {path.name} for {device.compiler.accelerator}"):
        found = vela.compiled(path, device.compiler)
    return prospect(path, device, compiled=found)


def recommended(
    files: Sequence[Path], limits: Limits, key: SortKey = "latency", names: Sequence[str] = ()
) -> tuple[Candidate, ...]:
    """Every device with what the files would cost there, held against the limits; by `key`, the smallest first.

    files: of one model, each device takes the one that it runs best; names: of the devices, all of edgekit's if empty.
    """
    offered = [(path, _artifact(path).format) for path in files]
    found = [candidate(offered, load_device(name), limits) for name in names or device_names()]
    return tuple(sorted(found, key=lambda one: (one.sort_value(key), one.device)))


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
    """Node, or tensor that it gives -> line of the user's code, where the file carries it. A TFLite file carries none;
    the ONNX file that edgekit wrote beside it does, and calls tensors alike."""
    if artifact.format == "onnx":
        return _lines_in(artifact.path)
    for path in beside(artifact.path):
        with contextlib.suppress(OSError, ValueError, DecodeError):  # whatever it is, it is not asked for
            if path.is_file() and (found := _lines_in(path)):
                return found
    return {}


def beside(path: Path) -> tuple[Path, ...]:
    """net.int8.tflite -> net.int8.onnx, net.onnx: where edgekit puts the same model in ONNX."""
    same = path.with_suffix(".onnx")
    return (same, same.with_suffix("").with_suffix(".onnx"))


def _lines_in(path: Path) -> dict[str, str]:
    graph = ir.from_proto(onnx.load(path, load_external_data=False))
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
