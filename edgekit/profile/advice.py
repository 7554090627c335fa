"""What a device needs so that it can be measured: which runtime can work there, and the command that installs it.

What can work is a question of wheels: Python's version, the processor and the C library decide. The table holds what
the Python Package Index has, by the names of its files in November 2026.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from edgekit.artifact import Format
from edgekit.profile.answer import Package, Probed

VENV = "~/edgekit-venv"  # beside whatever the device's owner has installed


@dataclass(frozen=True, kw_only=True)
class Wheels:
    """python: the first and the last version, as (major, minor), with no last one where none is missing yet; glibc: the
    oldest C library per processor; also: what must be installed with it."""

    package: str
    formats: tuple[Format, ...]
    python: tuple[tuple[int, int], tuple[int, int] | None]
    glibc: dict[str, tuple[int, int]]
    also: tuple[str, ...] = ()


# The better one first: ai-edge-litert runs INT8 in XNNPACK, tflite-runtime does not.
WHEELS = (
    Wheels(
        package="ai-edge-litert",
        formats=("tflite",),
        python=((3, 9), None),
        glibc={"x86_64": (2, 27), "aarch64": (2, 27)},
        also=("numpy",),
    ),
    Wheels(
        package="tflite-runtime==2.14.0",
        formats=("tflite",),
        python=((3, 8), (3, 11)),
        glibc={"x86_64": (2, 17), "aarch64": (2, 34), "armv7l": (2, 34)},
        also=("'numpy<2'",),  # it was built for NumPy 1
    ),
    Wheels(
        package="onnxruntime",
        formats=("onnx",),
        python=((3, 8), None),
        glibc={"x86_64": (2, 28), "aarch64": (2, 28)},
        also=("numpy",),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Advice:
    """For one format. state: it works, a runtime is missing, or none can work there; why: in the last two cases;
    commands: to be run on the device, in order."""

    format: Format
    state: Literal["works", "missing", "impossible"]
    runtime: str | None = None
    why: str = ""
    commands: tuple[str, ...] = ()


def advice(found: Probed) -> tuple[Advice, ...]:
    """For TFLite and for ONNX."""
    return tuple(_for(format, found) for format in ("tflite", "onnx"))


def processor(found: Probed) -> str:
    """As wheels name it: a 32-bit Python on a 64-bit kernel takes 32-bit wheels."""
    machine = found.system.architecture.lower()
    machine = {"amd64": "x86_64", "arm64": "aarch64", "armv8l": "armv7l"}.get(machine, machine)
    if found.system.bits == "32":
        return {"aarch64": "armv7l", "x86_64": "i686"}.get(machine, machine)
    return machine


def _for(format: Format, found: Probed) -> Advice:
    candidates = [wheels for wheels in WHEELS if format in wheels.formats]
    reasons = []
    for wheels in candidates:
        name = wheels.package.partition("==")[0]
        package = found.packages.get(name, Package(version=None, broken=None))
        if package.version is None:
            continue
        if (reason := _broken(name, package, found)) is None:
            return Advice(format=format, state="works", runtime=f"{name} {package.version}")
        reasons.append(reason)
    obstacles = []
    for wheels in candidates:
        if (obstacle := _obstacle(wheels, found)) is None:
            why = "; ".join(reasons) or "no runtime for it is installed"
            return Advice(format=format, state="missing", why=why, commands=_commands(wheels, found))
        obstacles.append(obstacle)
    why = "; ".join([*reasons, *obstacles])
    return Advice(format=format, state="impossible", why=why, commands=_other_python(candidates, found))


def _broken(name: str, package: Package, found: Probed) -> str | None:
    """Why a package that is installed does not work."""
    numpy = found.packages.get("numpy", Package(version=None, broken=None))
    if numpy.version is None:
        return f"{name} {package.version} is there, but numpy is not"
    if numpy.broken is not None:
        return f"numpy {numpy.version} cannot be imported: {numpy.broken}"
    if name == "tflite-runtime" and not numpy.version.startswith("1."):
        return f"tflite-runtime was built for NumPy 1, and NumPy {numpy.version} is there"
    if package.broken is not None:
        return f"{name} {package.version} cannot be imported: {package.broken}"
    return None


def _obstacle(wheels: Wheels, found: Probed) -> str | None:
    """Why no wheel of it fits."""
    name, here = wheels.package.partition("==")[0], processor(found)
    if found.system.system != "Linux":
        return None  # its wheels for other systems are not in the table: pip knows
    if here not in wheels.glibc:
        return f"{name} has no wheel for {here}"
    python, (first, last) = _version(found.system.python), wheels.python
    if python < first or (last is not None and python > last):
        until = f" to {_dotted(last)}" if last is not None else " and newer"
        return f"{name} has wheels for Python {_dotted(first)}{until}, not for {_dotted(python)}"
    if not found.system.libc.startswith("glibc"):
        return f"{name} has no wheel for a system without glibc ({found.system.libc or 'musl'})"
    if _version(found.system.libc) < wheels.glibc[here]:
        return f"{name} needs glibc {_dotted(wheels.glibc[here])} on {here}, {found.system.libc} is there"
    return None


def _commands(wheels: Wheels, found: Probed) -> tuple[str, ...]:
    """Into the virtual environment that was asked, else into a new one: a system's own Python is not touched."""
    wanted = " ".join((wheels.package, *wheels.also))
    if found.installing.venv and found.installing.pip:
        return (f"{found.installing.executable} -m pip install {wanted}",)
    first = () if found.installing.ensurepip else ("sudo apt install python3-venv",)
    python = found.installing.executable or "python3"
    return (*first, f"{python} -m venv {VENV}", f"{VENV}/bin/python -m pip install {wanted}")


def _other_python(candidates: list[Wheels], found: Probed) -> tuple[str, ...]:
    """With an older or newer Python beside the system's, where that is all that stands in the way."""
    here = processor(found)
    for wheels in candidates:
        last = wheels.python[1] or (3, 11)
        other = found.model_copy(update={"system": found.system.model_copy(update={"python": _dotted(last)})})
        if here in wheels.glibc and _obstacle(wheels, other) is None:
            wanted = " ".join((wheels.package, *wheels.also))
            return (
                f"uv venv --python {_dotted(last)} {VENV}",
                f"uv pip install --python {VENV}/bin/python {wanted}",
            )
    return ()


def _version(text: str) -> tuple[int, int]:
    """'glibc 2.36' -> (2, 36); (0, 0) where there is no number."""
    match = re.search(r"(\d{1,6})\.(\d{1,6})", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
