"""`edgekit profile FILE ...`: what does it cost on a device?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli import options
from edgekit.cli.progress import watching
from edgekit.errors import EdgekitError, Exit

if TYPE_CHECKING:
    from edgekit.profile.measured import MeasuredThere

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
    python: Python = None,
    runs: Runs = None,
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
    """Measure files on this machine or on a device.

    Latency, memory, power and outputs, by an agent that is copied to the device and removed again.
    """
    wanted = options.recipe({**context.params, "path": str(files[0])})
    from edgekit import profiling
    from edgekit.cli import result

    with watching(verbose) as progress:
        found = profiling.measure(files, on, wanted, python=python, runs=runs, silence_s=timeout, progress=progress)
    if json:
        result.print_json(found)
    else:
        result.print_measured(found)
    if (wrong := different(found)) is not None:
        raise wrong
    return Exit.DONE


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
