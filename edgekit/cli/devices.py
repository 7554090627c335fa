"""`edgekit devices ...`: the devices that edgekit knows, which of them suit, what one has, and a file made of one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit import units
from edgekit.cli import options
from edgekit.cli.profile import Python, Timeout
from edgekit.cli.progress import watching
from edgekit.cli.recommend import recommend
from edgekit.errors import Exit
from edgekit.plain import plain

if TYPE_CHECKING:
    from edgekit.profiling import Condition

HELP = "List devices, find one for a model, ask one, or fit one."

Where = Annotated[
    str,
    typer.Argument(help="local, ssh://[user@]host[:port] or adb://serial.", metavar="DEVICE", show_default=False),
]
On = Annotated[
    str,
    typer.Option(
        "--on",
        metavar="DEVICE",
        help="The device to measure: local, ssh://[user@]host[:port] or adb://serial. Default: local.",
    ),
]
FileOf = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="The file to write. Default: <name>.toml.")
]
Name = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="What to call the device. Default: its host name, or this-machine."),
]
Row = tuple[str, str]
NAMES = {"tflite": "TFLite", "onnx": "ONNX"}


def devices() -> typer.Typer:
    """The commands under `edgekit devices`."""
    made = typer.Typer(name="devices", help=HELP, add_completion=False, rich_markup_mode=None)
    made.command("list")(list_devices)
    made.command()(probe)
    made.command()(recommend)
    made.command()(fit)
    return made


def list_devices(json: options.Json = False) -> None:
    """List the devices that --device knows by name."""
    from edgekit.device import device_names, load_device

    known = [load_device(name) for name in device_names()]
    if json:
        from edgekit.report.json import to_json

        print(to_json({"devices": [device.model_dump() for device in known]}))
        return
    width = max(len(device.name) for device in known)
    for device in known:
        print(f"{device.name:<{width}}  {plain(device.title)}; {', '.join(device.runtimes)}")


def probe(where: Where, python: Python = None, timeout: Timeout = 60.0, json: options.Json = False) -> int:
    """Ask a device what it has, and say how to install what measuring needs.

    Nothing is installed, and nothing is left there.
    """
    from edgekit import profiling

    condition = profiling.probe(where, python=python, silence_s=timeout)
    if json:
        from edgekit.report.json import to_json

        print(to_json({"on": condition.on, "found": condition.found.model_dump(), "advice": condition.advice}))
    else:
        rows = [*_machine(condition), *_sensors(condition), *_packages(condition), *_advice(condition)]
        width = max(len(key) for key, _ in rows)
        print("\n".join(f"{plain(key):<{width}}  {plain(value)}" for key, value in rows))
    return Exit.DONE if condition.fit else Exit.ENVIRONMENT


def fit(
    on: On = "local",
    output: FileOf = None,
    name: Name = None,
    threads: options.Threads = None,
    python: Python = None,
    timeout: Timeout = 60.0,
    overwrite: options.Overwrite = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> int:
    """Measure what kernels cost on a device, and write a file by which --device estimates any model for it.

    Takes some minutes: small nets of all kinds run there, in float32 and INT8, in each runtime that works. Nothing is
    installed, and nothing is left there.
    """
    from edgekit import fitting

    place = fitting.place_of(on, name, output, overwrite=bool(overwrite))
    with watching(verbose) as progress:
        found = fitting.fit_device(
            on, name=place.name, threads=threads or 1, python=python, silence_s=timeout, progress=progress
        )
    fitting.write(found.device, place, overwrite=bool(overwrite))
    if json:
        from edgekit.report.json import to_json

        print(to_json({"file": place.path, **vars(found), "device": found.device.model_dump()}))
    else:
        from edgekit.report.fitted import fitted_in_words

        print(fitted_in_words(found, place.path))
    return Exit.DONE


def _machine(condition: Condition) -> list[Row]:
    system, state = condition.found.system, condition.found.before
    memory = state.memory_bytes.value
    return [
        ("device", condition.on),
        ("board", str(state.board)),
        ("processor", f"{state.cpu}; {state.cores} cores, {system.architecture}"),
        ("memory", units.size(memory) if isinstance(memory, int) else str(state.memory_bytes)),
        ("system", f"{system.system} {system.release}, {system.libc or 'no glibc'}"),
        ("Python", f"{system.python}, {system.bits} bits, {condition.found.installing.executable}"),
        ("room", f"{units.size(condition.found.installing.free_bytes)} for temporary files"),
    ]


def _sensors(condition: Condition) -> list[Row]:
    state = condition.found.before
    clock = state.clock_hz.value
    throttling = state.throttling.value
    rows = [
        ("clock", f"{clock / 1e9:.2f} GHz" if isinstance(clock, (int, float)) else str(state.clock_hz)),
        ("governor", str(state.governor)),
        ("temperature", str(state.temperature_c)),
        ("throttling", (", ".join(throttling) or "none") if isinstance(throttling, tuple) else str(state.throttling)),
    ]
    for sensor in condition.found.power:
        now = f"{sensor.value:.2f} W" if sensor.value is not None else sensor.unavailable or "counts energy"
        rows.append(("power", f"{sensor.name}: {now} ({sensor.source})"))
    return rows if condition.found.power else [*rows, ("power", "unavailable: no sensor that edgekit knows")]


def _packages(condition: Condition) -> list[Row]:
    rows = []
    for name, package in condition.found.packages.items():
        broken = f", broken: {package.broken}" if package.broken else ""
        rows.append((name, "not installed" if package.version is None else f"{package.version}{broken}"))
    return rows


def _advice(condition: Condition) -> list[Row]:
    rows = []
    for one in condition.advice:
        match one.state:
            case "works":
                rows.append((NAMES[one.format], f"can be measured, with {one.runtime}"))
            case "missing":
                rows.append((NAMES[one.format], f"cannot be measured yet: {one.why}; run there:"))
            case "impossible":
                fix = "; with another Python, run there:" if one.commands else ""
                rows.append((NAMES[one.format], f"cannot be measured: {one.why}{fix}"))
        rows += [("", f"  {command}") for command in one.commands]
    return rows
