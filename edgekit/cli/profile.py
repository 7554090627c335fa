"""`edgekit profile FILE ...`: what does it cost on a device?"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli import options
from edgekit.cli.progress import watching
from edgekit.errors import EdgekitError, Exit

if TYPE_CHECKING:
    from edgekit.profile.measured import MeasuredThere
    from edgekit.profile.prospect import Prospect

DURATION = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)(s|m|h)", re.A)
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
SHORTEST_S, LONGEST_S = 10.0, 86400.0

Files = Annotated[
    list[Path], typer.Argument(help="ONNX and TFLite files, measured in turns.", metavar="FILE...", show_default=False)
]
On = Annotated[
    str,
    typer.Option(
        "--on",
        metavar="DEVICE",
        help="Where to measure: local, ssh://[user@]host[:port] or adb://serial. Default: local.",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="Estimate instead, for a device that is not at hand: a name of edgekit devices list, or a TOML file. "
        "Default: measure.",
    ),
]
Python = Annotated[
    str | None,
    typer.Option("--python", metavar="PATH", help="Python to run there. Default: python3, or edgekit's own here."),
]
Runs = Annotated[
    int | None,
    typer.Option(
        "--runs", metavar="N", min=1, max=100_000, help="Counted runs of each file. Default: 20 to 500, by its speed."
    ),
]
Soak = Annotated[
    str | None,
    typer.Option(
        "--soak",
        metavar="DURATION",
        help="First keep the file running for 90s, 10m or 1h, and see what heat does. Default: no.",
    ),
]
PerOp = Annotated[bool, typer.Option("--per-op", help="Also show the time of each op, as a bar chart. Default: no.")]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        min=1,
        help="Give up when a device says nothing for so long. Default: 60.",
    ),
]
Sample = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="PATH",
        help="Samples, of which the first is run: .npz, .npy, folder, file.py:factory. Default: noise.",
    ),
]


def profile(
    context: typer.Context,
    files: Files,
    on: On = "local",
    device: Device = None,
    python: Python = None,
    runs: Runs = None,
    soak: Soak = None,
    per_op: PerOp = False,
    threads: options.Threads = None,
    timeout: Timeout = 60.0,
    data: Sample = None,
    recipe: options.Recipe = None,
    resize: options.Resize = None,
    crop: options.Crop = None,
    scale: options.Scale = None,
    mean: options.Mean = None,
    std: options.Std = None,
    samples_layout: options.SamplesLayout = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> int:
    """Measure files, here or on a device, or estimate them for one.

    Latency, memory, power and outputs are measured by an agent that is copied to the device and removed again.
    """
    if device is not None:
        _estimate(context, files, device, json, verbose)
        return Exit.DONE
    wanted = options.recipe({**context.params, "path": str(files[0])})
    soak_s = None if soak is None else seconds(soak)
    from edgekit import profiling

    with watching(verbose) as progress:
        found = profiling.measure(
            files,
            on,
            wanted,
            python=python,
            runs=runs,
            soak_s=soak_s,
            per_op=per_op,
            silence_s=timeout,
            progress=progress,
        )
    _print(found, json)
    if (wrong := different(found)) is not None:
        raise wrong
    return Exit.DONE


def _estimate(context: typer.Context, files: list[Path], device: str, json: bool, verbose: bool) -> None:
    if measures := _said(context):
        raise EdgekitError(
            "EK738",
            f"--{measures[0].replace('_', '-')} does not go with --device",
            "an estimate runs nothing: it is made of the device's fitted parameters",
            f"leave --{measures[0].replace('_', '-')} out, or --device to measure",
        )
    from edgekit import profiling

    with watching(verbose) as progress:
        found = profiling.prospects(files, device, progress=progress)
    if json:
        from edgekit.report.json import to_json

        print(to_json({"kind": "estimated", "device": device, "files": found}))
    else:
        print("\n\n".join(_in_words(one) for one in found))


def _said(context: typer.Context) -> list[str]:
    """Options on the command line that only measuring has a use for."""
    ours = {"files", "device", "json", "verbose"}
    sources = {name: context.get_parameter_source(name) for name in context.params if name not in ours}
    return [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]


def _in_words(found: Prospect) -> str:
    from edgekit.report.compiled import compiled_in_words, file_in_words, missing_in_words
    from edgekit.report.estimates import estimates_in_words, fit_in_words, placement_in_words, ram_in_words

    blocks = [estimates_in_words(found.estimates) if found.estimates else file_in_words(found.path, found.device)]
    if found.placement is not None:
        blocks.append(placement_in_words(found.placement))
    if found.compiled is not None:
        blocks.append(compiled_in_words(found.compiled))
    if found.missing is not None:
        blocks.append(missing_in_words(found.missing))
    if found.ram:
        blocks.append("\n".join(ram_in_words(ram) for ram in found.ram))
    if found.fit is not None:
        blocks.append(fit_in_words(found.fit))
    return "\n\n".join(blocks)


def _print(found: MeasuredThere, json: bool) -> None:
    """Not by `cli/result`, which loads what verifying needs."""
    import sys

    from rich.console import Console

    from edgekit.report.json import to_json
    from edgekit.report.measured import measured_text, show_measured

    console = Console(file=sys.stdout, markup=False, highlight=False, emoji=False)
    if json:
        print(to_json(found))
    elif console.is_terminal:
        show_measured(found, console)
    else:
        print(measured_text(found, console.width))


def seconds(duration: str) -> float:
    """'10m' -> 600.0. Raises EK737."""
    match = DURATION.fullmatch(duration.strip().lower())
    if match is None or not SHORTEST_S <= float(match[1]) * UNITS[match[2]] <= LONGEST_S:
        raise EdgekitError(
            "EK737",
            f"cannot soak for '{duration}'",
            "it is not a number with s, m or h, from 10s to 24h",
            "write it like --soak 10m",
        )
    return float(match[1]) * UNITS[match[2]]


def different(found: MeasuredThere) -> EdgekitError | None:
    """The error for a device that computes something else, None where all is well."""
    for one in found.measurements:
        if one.outputs is not None and one.outputs.verdict == "different":
            return EdgekitError(
                "EK732",
                f"'{found.place.on}' computes something else with '{one.file}'",
                f"{one.outputs.why} ({one.runtime} there)",
                "do not trust its times; install another version of the runtime there, and see `edgekit compare`",
            )
    return None
