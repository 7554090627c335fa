"""`edgekit doctor`: can this machine do the work?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit import units
from edgekit.cli import options
from edgekit.errors import Exit
from edgekit.plain import plain

if TYPE_CHECKING:
    from edgekit.report.health import Health, RuntimeHealth

Row = tuple[str, str]


def doctor(json: options.Json = False) -> int:
    """Say what is installed, and whether it really works."""
    from edgekit.report.health import examine
    from edgekit.report.json import to_json

    health = examine()
    if json:
        print(to_json(health))
    else:
        rows = [*_machine(health), *_libraries(health), *_extras(health)]
        width = max(len(key) for key, _ in rows)
        print("\n".join(f"{plain(key):<{width}}  {plain(value)}" for key, value in rows))
    return Exit.DONE if health.well else Exit.ENVIRONMENT


def _machine(health: Health) -> list[Row]:
    machine = health.machine
    memory = f", {units.size(machine.memory_bytes)} of memory" if machine.memory_bytes is not None else ""
    features = ", ".join(machine.features) or "no INT8 extensions that the kernels use"
    return [
        ("machine", f"{machine.system}, {machine.architecture}, {units.plural(machine.cores, 'core')}{memory}"),
        ("processor", f"{machine.cpu} ({features})"),
        ("Python", machine.python),
    ]


def _libraries(health: Health) -> list[Row]:
    tried = {runtime.name: runtime for runtime in health.runtimes}
    rows = []
    for library, version in health.machine.versions.items():
        build = f", {health.torch_build} build" if library == "torch" else ""
        rows.append((library, f"{version}{build}{_outcome(tried.pop(library, None))}"))
    rows += [(name, _outcome(runtime).removeprefix(": ")) for name, runtime in tried.items()]
    known = {name for name, _ in rows}
    rows += [(name, "missing: pip install edgekit") for name in health.missing if name not in known]
    return rows


def _outcome(runtime: RuntimeHealth | None) -> str:
    if runtime is None:
        return ""
    if runtime.problem is not None:
        return f": FAILED, {runtime.problem}"
    return f": runs a model in its own process ({units.time(runtime.took_s or 0)})"


def _extras(health: Health) -> list[Row]:
    return [
        (f"edgekit[{extra}]", f"missing {', '.join(gone)}: pip install 'edgekit[{extra}]'" if gone else "installed")
        for extra, gone in health.extras.items()
    ]
