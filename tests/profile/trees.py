"""Systems' files of boards that are not here, as their kernels lay them out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

CPU = "sys/devices/system/cpu"
THERMAL = "sys/class/thermal"
HWMON = "sys/class/hwmon"


def planted(root: Path, files: Mapping[str, str]) -> str:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return str(root)


def raspberry_pi_4(root: Path) -> str:
    core = "processor\t: {}\nBogoMIPS\t: 108.00\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n\n"
    return planted(
        root,
        {
            "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
            "proc/cpuinfo": "".join(core.format(i) for i in range(4)) + "Model\t: Raspberry Pi 4 Model B Rev 1.4\n",
            "proc/meminfo": "MemTotal:        3884416 kB\nMemFree: 1 kB\n",
            **{f"{CPU}/cpu{i}/cpufreq/scaling_cur_freq": f"{600000 + i * 300000}\n" for i in range(4)},
            **{f"{CPU}/cpu{i}/cpufreq/cpuinfo_max_freq": "1800000\n" for i in range(4)},
            **{f"{CPU}/cpu{i}/cpufreq/scaling_governor": "ondemand\n" for i in range(4)},
            f"{THERMAL}/thermal_zone0/type": "cpu-thermal\n",
            f"{THERMAL}/thermal_zone0/temp": "61835\n",
            f"{THERMAL}/thermal_zone1/type": "gpu-thermal\n",
            f"{THERMAL}/thermal_zone1/temp": "70000\n",
        },
    )


def jetson_orin_nano(root: Path) -> str:
    core = "processor\t: {}\nmodel name\t: ARMv8 Processor rev 1 (v8l)\nCPU implementer\t: 0x41\nCPU part\t: 0xd42\n\n"
    rails = {1: ("VDD_IN", 5080, 1200), 2: ("VDD_CPU_GPU_CV", 5072, 240), 3: ("VDD_SOC", 5072, 400)}
    return planted(
        root,
        {
            "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
            "proc/cpuinfo": "".join(core.format(i) for i in range(6)),
            **{f"{CPU}/cpu{i}/cpufreq/scaling_cur_freq": "1510400\n" for i in range(6)},
            **{f"{CPU}/cpu{i}/cpufreq/scaling_governor": "schedutil\n" for i in range(6)},
            f"{THERMAL}/thermal_zone0/type": "cpu-thermal\n",
            f"{THERMAL}/thermal_zone0/temp": "48000\n",
            f"{THERMAL}/thermal_zone1/type": "cv0-thermal\n",
            f"{THERMAL}/thermal_zone1/temp": "-256000\n",
            f"{THERMAL}/cooling_device0/type": "pwm-fan\n",
            f"{THERMAL}/cooling_device0/cur_state": "2\n",
            f"{THERMAL}/cooling_device1/type": "cpufreq-cpu0\n",
            f"{THERMAL}/cooling_device1/cur_state": "3\n",
            f"{HWMON}/hwmon4/name": "ina3221\n",
            **{f"{HWMON}/hwmon4/in{i}_label": f"{name}\n" for i, (name, _, _) in rails.items()},
            **{f"{HWMON}/hwmon4/in{i}_input": f"{volts}\n" for i, (_, volts, _) in rails.items()},
            **{f"{HWMON}/hwmon4/curr{i}_input": f"{amperes}\n" for i, (_, _, amperes) in rails.items()},
        },
    )


def vcgencmd(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """A firmware's answers: body is a shell script, which sees the question as $1."""
    folder.mkdir(exist_ok=True)
    tool = folder / "vcgencmd"
    tool.write_text(f"#!/bin/sh\n{body}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
