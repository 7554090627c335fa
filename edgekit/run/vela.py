"""Vela, Arm's compiler for Ethos-U: what it says a file will cost on the accelerator, by its own model of it.

`ethos-u-vela` is the extra `ethos-u`. It needs NumPy and flatbuffers, and no release of its own of either, so that it
can live beside everything else. It is C++ that trusts the file (a damaged one ends the process by a segmentation
fault), so it only ever runs in a process of its own, in a folder that is removed afterwards.

Its figures are the compiler's model: they were neither measured on a device nor fitted to one, and have no interval.
Arm calls them estimates internal to the compiler, and performance numbers those of a model of the chip or of an FPGA.
What runs on the CPU beside the accelerator is not in them.
"""

from __future__ import annotations

import csv
import importlib.metadata
import importlib.util
import math
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekit.device import Compiler
from edgekit.errors import EdgekitError
from edgekit.run import worker

LIBRARY = "ethos-u-vela"
INSTALL = "pip install 'edgekit[ethos-u]'"
CONFIGURATIONS = "Arm/vela.ini"  # of those that it ships
LIMIT_S = 600.0  # the nets of benchmarks/coverage.py compile in seconds
NAME = "model"  # of the file and of what is written beside it: the user's own may be anything
KIB = 1024
AREAS = (
    ("sram", "SRAM", True),
    ("on_chip_flash", "flash", True),
    ("dram", "DRAM", False),
    ("off_chip_flash", "flash", False),
)
"""As the summary calls a memory, as people do, and whether it is on the chip."""
WARNING = "Warning (supported operators) operator: "
REASON = "Reason: "
UNTOLD = "Vela says no reason"


@dataclass(frozen=True, kw_only=True)
class Area:
    """A memory that the file uses. used_bytes: at most at once."""

    name: str
    on_chip: bool
    used_bytes: int


@dataclass(frozen=True, kw_only=True)
class CompiledOp:
    """An op as Vela lowers it. op: the file's op that it is from, in Vela's words; name: the tensor that it gives;
    cycles: 0 where it is on the CPU; utilisation: share of the multipliers that its cycles use."""

    name: str
    op: str
    on_cpu: bool
    cycles: int
    macs: int
    utilisation: float


@dataclass(frozen=True, kw_only=True)
class LeftOnCpu:
    """An op that the accelerator does not take. reason: Vela's own."""

    name: str
    op: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """One sample through one file on an Ethos-U, by Vela's model: not measured, and not fitted to measurements.

    cycles: of the accelerator, at clock_hz; seconds: both together; utilisation: MACs over those that all multipliers
    could do in these cycles; weights_bytes, packed_bytes: of the weights in the file, and as the accelerator reads
    them; ops: in the order they run; on_cpu: those that fell to the CPU, whose time is in none of the figures.
    """

    compiler: str
    accelerator: str
    system_config: str
    memory_mode: str
    clock_hz: float
    cycles: int
    seconds: float
    macs: int
    utilisation: float
    memory: tuple[Area, ...]
    weights_bytes: int
    packed_bytes: int
    ops: tuple[CompiledOp, ...]
    on_cpu: tuple[LeftOnCpu, ...]
    doubts: tuple[str, ...]
    kind: str = "compiler's model"


def installed() -> bool:
    """Whether the extra is here."""
    return importlib.util.find_spec("ethosu") is not None and importlib.util.find_spec("ethosu.vela") is not None


def compiled(path: Path, compiler: Compiler, limit_s: float = LIMIT_S) -> Compiled:
    """What Vela says of a TFLite file. limit_s: after it Vela is ended.

    Raises EK991 without the extra, EK941 where Vela refuses the file or the configuration, EK942 where it crashes,
    EK943 where its tables are not those that edgekit knows, EK944 where it leaves nothing for the accelerator, EK903
    and EK904 where memory or time runs out.
    """
    if not installed():
        raise EdgekitError("EK991", "Vela is not here", f"{LIBRARY} is not installed", INSTALL)
    with tempfile.TemporaryDirectory(prefix="edgekit-vela-") as folder:
        place = Path(folder)
        shutil.copyfile(path, place / f"{NAME}.tflite")
        said = _run(path, place, compiler, limit_s)
        summary, layers = _written(place, f"summary_{compiler.system_config}"), _written(place, "per-layer")
    return _understood(path, compiler, summary, layers, said)


def _run(path: Path, place: Path, compiler: Compiler, limit_s: float) -> str:
    """Run it, and give what it says on the way."""
    command = [sys.executable, "-m", "ethosu.vela", "--accelerator-config", compiler.accelerator]
    command += ["--config", CONFIGURATIONS, "--system-config", compiler.system_config]
    command += ["--memory-mode", compiler.memory_mode, "--verbose-performance", "--output-dir", ".", f"{NAME}.tflite"]
    what = f"compiling '{path.name}' with Vela"
    try:
        done = subprocess.run(
            command,
            cwd=place,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise worker.death(what, -signal.SIGKILL, "", limit_s) from None
    said = f"{done.stdout}\n{done.stderr}"
    if done.returncode == 0:
        return said
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "it ended without a word")
    if done.returncode == -signal.SIGKILL:
        raise worker.death(what, done.returncode, last)
    if done.returncode < 0:
        raise EdgekitError(
            "EK942",
            f"Vela crashed on '{path.name}'",
            f"{signal.Signals(-done.returncode).name}; its last words: {last}",
            "`edgekit inspect` says whether the file is whole; if it is, please report it to Vela's makers",
        )
    raise EdgekitError(
        "EK941",
        f"Vela refuses '{path.name}' for {compiler.accelerator}",
        last,
        f"`edgekit inspect` shows what the file holds; with a TOML of your own, its [compiler] names sections of"
        f" {CONFIGURATIONS}",
    )


def _written(place: Path, what: str) -> list[dict[str, str]]:
    """The rows of a table that it wrote, none where it did not."""
    path = place / f"{NAME}_{what}.csv"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _understood(
    path: Path, compiler: Compiler, summary: list[dict[str, str]], layers: list[dict[str, str]], said: str
) -> Compiled:
    try:
        (row,) = summary
        ops = tuple(map(_op, layers))
        found = _compiled(compiler, row, ops, dict(_reasons(said.splitlines())))
    except (KeyError, ValueError, ZeroDivisionError) as unknown:
        raise EdgekitError(
            "EK943",
            f"cannot read what Vela says of '{path.name}'",
            f"its tables are not as edgekit knows them: {type(unknown).__name__} {unknown}",
            f"{INSTALL} for a version that edgekit knows",
        ) from unknown
    if all(op.on_cpu for op in ops):
        reasons = "; ".join(dict.fromkeys(left.reason for left in found.on_cpu)) or "it holds no op"
        raise EdgekitError(
            "EK944",
            f"Vela leaves all of '{path.name}' on the CPU",
            reasons,
            "the accelerator computes in INT8: quantize the model first, edgekit quantize MODEL",
        )
    return found


def _compiled(
    compiler: Compiler, row: Mapping[str, str], ops: tuple[CompiledOp, ...], reasons: Mapping[str, tuple[str, str]]
) -> Compiled:
    cycles, macs = round(float(row["cycles_total"])), round(float(row["nn_macs"]))
    clock_hz = float(row["core_clock"])
    used = [
        Area(name=name, on_chip=on_chip, used_bytes=round(float(row[f"{area}_memory_used"]) * KIB))
        for area, name, on_chip in AREAS
    ]
    left = tuple(_left(op, reasons) for op in ops if op.on_cpu)
    multipliers = int(compiler.accelerator.rpartition("-")[2])  # each does a MAC per cycle
    return Compiled(
        compiler=f"{LIBRARY} {importlib.metadata.version(LIBRARY)}",
        accelerator=compiler.accelerator,
        system_config=compiler.system_config,
        memory_mode=compiler.memory_mode,
        clock_hz=clock_hz,
        cycles=cycles,
        seconds=cycles / clock_hz,
        macs=macs,
        utilisation=macs / (cycles * multipliers) if cycles else 0.0,
        memory=tuple(area for area in used if area.used_bytes),
        weights_bytes=round(float(row["total_original_weights"])),
        packed_bytes=round(float(row["total_npu_encoded_weights"])),
        ops=ops,
        on_cpu=left,
        doubts=_doubts(left),
    )


def _doubts(left: tuple[LeftOnCpu, ...]) -> tuple[str, ...]:
    model = "the compiler's model of the chip: Arm asks for a run on the chip, an FPGA or its simulator to rely on"
    if not left:
        return (model,)
    ops = "1 op runs" if len(left) == 1 else f"{len(left)} ops run"
    return (model, f"{ops} on the CPU, and the time there is in none of the figures")


def _op(row: Mapping[str, str]) -> CompiledOp:
    used = float(row["Util% (MAC)"])
    macs = round(float(row["MAC Count"]))
    return CompiledOp(
        name=row["Name"],
        op=row["Original Operator"],
        on_cpu={"CPU": True, "NPU": False}[row["Target"]],
        cycles=round(float(row["Op Cycles"])),
        macs=macs,
        utilisation=used / 100 if macs and math.isfinite(used) else 0.0,
    )


def _left(op: CompiledOp, reasons: Mapping[str, tuple[str, str]]) -> LeftOnCpu:
    """By the file's name for the op where Vela complains of it, which is in its words otherwise."""
    name, reason = reasons.get(op.name, (op.op, UNTOLD))
    return LeftOnCpu(name=op.name, op=name, reason=reason)


def _reasons(lines: Iterable[str]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Tensor -> the op that gives it and why the accelerator does not take it, from such as

    Warning (supported operators) operator: QUANTIZE, ofm: 'x'
    Reason: Operation has tensor with unsupported DataType Float32 (y)
    Feature-map dataTypes must be one of {"INT16", "INT32", "INT8"}
                                                                        (a blank line, or another warning)
    """
    name, op, words = "", "", list[str]()
    for line in (*lines, ""):
        if words and (not line.strip() or line.startswith((WARNING, "#"))):
            yield name, (op, "; ".join(words))
            words = []
        if line.startswith(WARNING):
            op, _, rest = line.removeprefix(WARNING).partition(", ofm: ")
            name = rest.strip().removeprefix("'").removesuffix("'")
        elif line.startswith(REASON):
            words = [line.removeprefix(REASON).strip()]
        elif words:
            words.append(line.strip())
