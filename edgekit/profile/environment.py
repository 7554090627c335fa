"""What surrounds a measurement: processor, clock, governor, temperature, throttling. Runs on the device.

Part of the agent: Python 3.8, standard library only. A reading is `{"value": ..., "source": ...}` or `{"unavailable":
reason}`: what a device does not say is told with the reason, and never guessed. root: where the system's files are, "/"
but in tests.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Tuple

Reading = Dict[str, Any]
Found = Tuple[Any, str]
"""A value and where it is from."""

VCGENCMD_S = 5.0  # it asks the firmware and answers in 10 ms
HOTTEST_C = 150.0  # zones that are switched off report nonsense beyond what silicon survives
COLDEST_C = -40.0

# What Arm cores call themselves in /proc/cpuinfo, (implementer, part): Linux, arch/arm64/include/asm/cputype.h.
ARM_CORES = {
    (0x41, 0xB76): "Arm ARM1176",
    (0x41, 0xC07): "Arm Cortex-A7",
    (0x41, 0xD03): "Arm Cortex-A53",
    (0x41, 0xD04): "Arm Cortex-A35",
    (0x41, 0xD05): "Arm Cortex-A55",
    (0x41, 0xD07): "Arm Cortex-A57",
    (0x41, 0xD08): "Arm Cortex-A72",
    (0x41, 0xD09): "Arm Cortex-A73",
    (0x41, 0xD0A): "Arm Cortex-A75",
    (0x41, 0xD0B): "Arm Cortex-A76",
    (0x41, 0xD0C): "Arm Neoverse-N1",
    (0x41, 0xD40): "Arm Neoverse-V1",
    (0x41, 0xD41): "Arm Cortex-A78",
    (0x41, 0xD42): "Arm Cortex-A78AE",
    (0x41, 0xD44): "Arm Cortex-X1",
    (0x41, 0xD46): "Arm Cortex-A510",
    (0x41, 0xD47): "Arm Cortex-A710",
    (0x41, 0xD49): "Arm Neoverse-N2",
    (0x41, 0xD4B): "Arm Cortex-A78C",
    (0x41, 0xD4F): "Arm Neoverse-V2",
    (0x4E, 0x003): "NVIDIA Denver 2",
    (0x4E, 0x004): "NVIDIA Carmel",
}

# The bits of `vcgencmd get_throttled`: Raspberry Pi documentation, "The vcgencmd command".
THROTTLED = (
    (0, "under-voltage"),
    (1, "clock capped"),
    (2, "throttled"),
    (3, "soft temperature limit"),
    (16, "under-voltage since it was started"),
    (17, "clock capped since it was started"),
    (18, "throttled since it was started"),
    (19, "soft temperature limit since it was started"),
)

# Thermal zones that stand for the processor, the best first; a part of the zone's type in small letters.
CPU_ZONES = ("x86_pkg_temp", "cpu-thermal", "cpu_thermal", "cpu-therm", "tj-therm", "tj-thermal", "soc", "cpu", "mcpu")


class Unavailable(Exception):  # noqa: N818  (it is an answer)
    """Why there is no value."""


def snapshot(root: str = "/") -> Dict[str, Reading]:
    """The state of now. clock_hz: the fastest core's; throttling: a list of what holds, empty where all is well."""
    at = Path(root)
    return {
        "board": attempt(_board, at),
        "cpu": attempt(_cpu, at),
        "cores": attempt(_cores),
        "memory_bytes": attempt(_memory, at),
        "clock_hz": attempt(_clock, at, "scaling_cur_freq"),
        "clock_max_hz": attempt(_clock, at, "cpuinfo_max_freq"),
        "governor": attempt(_governor, at),
        "temperature_c": attempt(_temperature, at),
        "throttling": attempt(_throttling, at),
        "throttle_count": attempt(_throttle_count, at),
    }


def now(root: str = "/") -> Dict[str, Reading]:
    """What may change while a file runs, and is quick to ask."""
    at = Path(root)
    return {"clock_hz": attempt(_clock, at, "scaling_cur_freq"), "temperature_c": attempt(_temperature, at)}


def system() -> Dict[str, str]:
    """The names of the system that runs this process."""
    libc, version = platform.libc_ver()
    return {
        "system": platform.system(),
        "release": platform.release(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "bits": "64" if sys.maxsize > 2**32 else "32",
        "libc": "{} {}".format(libc, version).strip(),
    }


def attempt(read: Callable[..., Found], *args: Any) -> Reading:
    """What `read(*args)` finds, or why it finds nothing."""
    try:
        value, source = read(*args)
    except Unavailable as reason:
        return {"unavailable": str(reason)}
    except OSError as refused:
        return {"unavailable": "{}: {}".format(refused.filename or "it", refused.strerror or refused)}
    except ValueError as odd:
        return {"unavailable": "it reads as something else: {}".format(odd)}
    return {"value": value, "source": source}


def text(path: Path) -> str:
    """A file of the system's, without the zero bytes of a device tree."""
    return path.read_bytes().decode("utf-8", "replace").strip("\0 \t\r\n")


def vcgencmd(*words: str) -> str:
    """What the firmware of a Raspberry Pi answers."""
    tool = shutil.which("vcgencmd")
    if tool is None:
        raise Unavailable("no vcgencmd here, which only a Raspberry Pi has")
    try:
        ran = subprocess.run([tool, *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=VCGENCMD_S)
    except subprocess.TimeoutExpired:
        raise Unavailable("vcgencmd gave no answer within {:g} s".format(VCGENCMD_S)) from None
    if ran.returncode != 0:
        said = (ran.stderr or ran.stdout).decode("utf-8", "replace").strip()
        raise Unavailable("vcgencmd ended with {}: {}".format(ran.returncode, said[:200]))
    return ran.stdout.decode("utf-8", "replace")


def _board(root: Path) -> Found:
    for name in ("proc/device-tree/model", "sys/devices/virtual/dmi/id/product_name"):
        path = root / name
        if path.is_file() and text(path):
            return text(path), "/" + name
    raise Unavailable("neither a device tree nor a BIOS names it")


def _cpu(root: Path) -> Found:
    """The processor's own name, or its Arm cores by their part numbers: '4x Arm Cortex-A72'."""
    keys = [line.partition(":")[::2] for line in text(root / "proc/cpuinfo").splitlines() if ":" in line]
    pairs = [(key.strip(), value.strip()) for key, value in keys]
    implementers = [int(value, 16) for key, value in pairs if key == "CPU implementer"]
    parts = [int(value, 16) for key, value in pairs if key == "CPU part"]
    if parts:
        cores = [
            ARM_CORES.get((maker, part), "core 0x{:03x} of maker 0x{:02x}".format(part, maker))
            for maker, part in zip(implementers, parts)
        ]
        kinds = list(dict.fromkeys(cores))
        return ", ".join("{}x {}".format(cores.count(kind), kind) for kind in kinds), "/proc/cpuinfo"
    names = [value for key, value in pairs if key in ("model name", "Processor", "cpu model", "uarch") and value]
    if names:
        return names[0], "/proc/cpuinfo"
    raise Unavailable("/proc/cpuinfo names no processor")


def _cores() -> Found:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)), "sched_getaffinity"
    return os.cpu_count() or 1, "os.cpu_count"


def _memory(root: Path) -> Found:
    for line in text(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024, "/proc/meminfo"
    raise Unavailable("/proc/meminfo has no MemTotal")


def _clock(root: Path, name: str) -> Found:
    paths = sorted(root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/" + name))
    if not paths:
        raise Unavailable("no /sys/devices/system/cpu/cpu*/cpufreq, as in most virtual machines")
    return max(int(text(path)) for path in paths) * 1000, "/sys/devices/system/cpu/cpu*/cpufreq/" + name


def _governor(root: Path) -> Found:
    paths = sorted(root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"))
    if not paths:
        raise Unavailable("no /sys/devices/system/cpu/cpu*/cpufreq, as in most virtual machines")
    words = sorted({text(path) for path in paths})
    return ", ".join(words), "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"


def _temperature(root: Path) -> Found:
    """Of the processor's zone; of the hottest zone where none is called after the processor."""
    zones = []
    for folder in sorted(root.glob("sys/class/thermal/thermal_zone[0-9]*")):
        kind = attempt(lambda at: (text(at / "type"), ""), folder)
        degrees = attempt(lambda at: (int(text(at / "temp")) / 1000, ""), folder)
        if "value" in kind and "value" in degrees and COLDEST_C < degrees["value"] < HOTTEST_C:
            zones.append((_rank(kind["value"].lower()), -degrees["value"], folder.name, kind["value"]))
    if not zones:
        raise Unavailable("no thermal zone in /sys/class/thermal gives a temperature")
    _, degrees_negated, name, kind_of = min(zones)
    return -degrees_negated, "/sys/class/thermal/{} ({})".format(name, kind_of)


def _rank(kind: str) -> int:
    fitting = [i for i, known in enumerate(CPU_ZONES) if known in kind]
    return fitting[0] if fitting else len(CPU_ZONES)


def _throttling(root: Path) -> Found:
    """Raspberry Pi: what the firmware says, from sysfs where the kernel shows it; elsewhere the cooling devices."""
    path = root / "sys/devices/platform/soc/soc:firmware/get_throttled"
    if path.is_file():
        return _throttled_bits(text(path)), "/" + str(path.relative_to(root))
    if shutil.which("vcgencmd") is not None:
        return _throttled_bits(vcgencmd("get_throttled").strip().partition("=")[2]), "vcgencmd get_throttled"
    active, seen = [], 0
    for folder in sorted(root.glob("sys/class/thermal/cooling_device[0-9]*")):
        kind = attempt(lambda at: (text(at / "type"), ""), folder)
        state = attempt(lambda at: (int(text(at / "cur_state")), ""), folder)
        if "value" not in kind or "value" not in state or not _slows(kind["value"].lower()):
            continue
        seen += 1
        if state["value"] > 0:
            active.append("{} slowed down (step {})".format(kind["value"], state["value"]))
    if not seen:
        raise Unavailable("neither vcgencmd nor a cooling device of the processor in /sys/class/thermal")
    return active, "/sys/class/thermal/cooling_device*"


def _slows(kind: str) -> bool:
    """A cooling device that takes clock away; fans do not."""
    return "cpu" in kind or "processor" in kind or "freq" in kind


def _throttled_bits(word: str) -> Any:
    bits = int(word, 16)
    return [name for bit, name in THROTTLED if bits >> bit & 1]


def _throttle_count(root: Path) -> Found:
    """x86: how often the cores were slowed down by heat; the difference over a measurement tells."""
    paths = sorted(root.glob("sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count"))
    if not paths:
        raise Unavailable("no /sys/devices/system/cpu/cpu*/thermal_throttle, which x86 machines have")
    return sum(int(text(path)) for path in paths), "/sys/devices/system/cpu/cpu*/thermal_throttle"
