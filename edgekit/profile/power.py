"""Power sensors of a device: INA3221 and other hwmon monitors, RAPL, the power controller of a Raspberry Pi 5.

Part of the agent: Python 3.8, standard library only. A meter gives watts, or joules counted since some start. What it
measures is a rail of the board: which one is always said, since no two boards measure the same.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from edgekit.profile.environment import Reading, Unavailable, attempt, text, vcgencmd

MILLI, MICRO = 1e-3, 1e-6
# A line of `vcgencmd pmic_read_adc`: "  VDD_CORE_A current(7)=1.37000000A".
PMIC_LINE = re.compile(r"^\s*(\w+)_([AV])\s+(?:current|volt)\(\d+\)=([0-9.]+)[AV]\s*$")


class Meter:
    """A rail. read: watts now, or with `counts` joules since some start, which begin anew after wraps_j."""

    def __init__(
        self, name: str, source: str, read: Callable[[], float], counts: bool = False, wraps_j: float = 0.0
    ) -> None:
        self.name, self.source, self.read, self.counts, self.wraps_j = name, source, read, counts, wraps_j

    def reading(self) -> Reading:
        return attempt(lambda: (self.read(), self.source))


class Watch:
    """Means over the time that is watched. Meters are asked at `look`; counting ones at both ends."""

    def __init__(self, meters: List[Meter]) -> None:
        self._meters = meters
        self._watts: Dict[int, List[float]] = {i: [] for i in range(len(meters))}
        self._joules: Dict[int, float] = dict.fromkeys(range(len(meters)), 0.0)
        self._before: Dict[int, Optional[float]] = {}
        self._failed: Dict[int, str] = {}
        self._watched_s = 0.0

    def start(self) -> None:
        """A stretch of time begins that counts."""
        self._before = {i: self._value(i) for i, meter in enumerate(self._meters) if meter.counts}

    def look(self) -> None:
        for i, meter in enumerate(self._meters):
            if not meter.counts:
                now = self._value(i)
                if now is not None:
                    self._watts[i].append(now)

    def stop(self, took_s: float) -> None:
        """It has ended, after took_s seconds."""
        self.look()
        for i, before in self._before.items():
            now = self._value(i)
            if before is not None and now is not None:
                used = now - before
                self._joules[i] += used if used >= 0 else used + self._meters[i].wraps_j
        self._watched_s += took_s

    def means(self) -> List[Dict[str, Any]]:
        """Per meter: name, source, and watts (mean of so many looks) or why there are none."""
        return [self._mean(i, meter) for i, meter in enumerate(self._meters)]

    def _mean(self, i: int, meter: Meter) -> Dict[str, Any]:
        rail: Dict[str, Any] = {"name": meter.name, "source": meter.source}
        if i in self._failed:
            rail["unavailable"] = self._failed[i]
        elif meter.counts and self._watched_s > 0:
            rail.update(watts=self._joules[i] / self._watched_s, looks=2)
        elif self._watts[i]:
            rail.update(watts=sum(self._watts[i]) / len(self._watts[i]), looks=len(self._watts[i]))
        else:
            rail["unavailable"] = "it was not asked while the file ran"
        return rail

    def _value(self, i: int) -> Optional[float]:
        reading = self._meters[i].reading()
        if "unavailable" in reading:
            self._failed[i] = reading["unavailable"]
            return None
        found: float = reading["value"]
        return found


def meters(root: str = "/") -> List[Meter]:
    """Every rail that is measured here, those of the whole board or package first where the kind of sensor has some."""
    at = Path(root)
    return [*_ina3221(at), *_ina3221x(at), *_hwmon(at), *_rapl(at), *_pmic()]


def _number(path: Path, unit: float) -> float:
    return int(text(path)) * unit


def _monitors(root: Path) -> List[Any]:
    """(folder, name) of each hwmon chip."""
    found = []
    for folder in sorted(root.glob("sys/class/hwmon/hwmon[0-9]*")):
        name = attempt(lambda at: (text(at / "name"), ""), folder)
        if "value" in name:
            found.append((folder, name["value"]))
    return found


def _ina3221(root: Path) -> List[Meter]:
    """Jetson, JetPack 5 and later: millivolts times milliamperes per channel."""
    found = []
    for folder, chip in _monitors(root):
        for label in sorted(folder.glob("in[0-9]_label")) if chip == "ina3221" else ():
            volts, amperes = (
                folder / label.name.replace("label", "input"),
                folder / "curr{}_input".format(label.name[2]),
            )
            name = attempt(lambda at: (text(at), ""), label)
            if "value" in name and volts.is_file() and amperes.is_file():
                found.append(Meter(name["value"], _shown(folder, root), _product(volts, amperes)))
    return found


def _product(volts: Path, amperes: Path) -> Callable[[], float]:
    return lambda: _number(volts, MILLI) * _number(amperes, MILLI)


def _ina3221x(root: Path) -> List[Meter]:
    """Jetson, JetPack 4: milliwatts per channel."""
    found = []
    for path in sorted(root.glob("sys/bus/i2c/drivers/ina3221x/*/iio:device*/in_power[0-9]_input")):
        name = attempt(lambda at: (text(at.parent / "rail_name_{}".format(at.name[8])), ""), path)
        if "value" in name:
            found.append(Meter(name["value"], _shown(path, root), _reader(path, MILLI)))
    return found


def _hwmon(root: Path) -> List[Meter]:
    """Microwatts, as any other monitor of the kernel gives them."""
    found = []
    for folder, chip in _monitors(root):
        for path in sorted(folder.glob("power[0-9]*_input")):
            label = attempt(lambda at: (text(at.with_name(at.name.replace("input", "label"))), ""), path)
            found.append(Meter(label.get("value", chip), _shown(path, root), _reader(path, MICRO)))
    return found


def _rapl(root: Path) -> List[Meter]:
    """x86: microjoules per package since some start. Most systems show them to root only."""
    found = []
    for folder in sorted(root.glob("sys/class/powercap/intel-rapl:[0-9]*")):
        if folder.name.count(":") == 1:  # intel-rapl:0:1 is a part of intel-rapl:0
            name = attempt(lambda at: (text(at / "name"), ""), folder).get("value", folder.name)
            wraps = attempt(lambda at: (_number(at / "max_energy_range_uj", MICRO), ""), folder).get("value", 0.0)
            path = folder / "energy_uj"
            found.append(Meter(name, _shown(path, root), _reader(path, MICRO), counts=True, wraps_j=wraps))
    return found


def _reader(path: Path, unit: float) -> Callable[[], float]:
    return lambda: _number(path, unit)


def _pmic() -> List[Meter]:
    """Raspberry Pi 5: the sum of its rails. Not all of the board: what USB ports and the fan take is not in it."""
    source = "vcgencmd pmic_read_adc"
    if "value" not in attempt(lambda: (_pmic_watts(), source)):
        return []
    return [Meter("sum of the PMIC's rails", source, _pmic_watts)]


def _pmic_watts() -> float:
    rails: Dict[str, Dict[str, float]] = {}
    for line in vcgencmd("pmic_read_adc").splitlines():
        match = PMIC_LINE.match(line)
        if match:
            rails.setdefault(match.group(1), {})[match.group(2)] = float(match.group(3))
    products = [rail["A"] * rail["V"] for rail in rails.values() if len(rail) == 2]
    if not products:
        raise Unavailable("vcgencmd pmic_read_adc names no rail with both a current and a voltage")
    return sum(products)


def _shown(path: Path, root: Path) -> str:
    return "/" + str(path.relative_to(root))
