from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.profile import power
from edgekit.profile.environment import Unavailable
from tests.profile import trees

PMIC = """
  3V3_SYS_A current(1)=0.07124070A
     VDD_CORE_A current(7)=1.37000000A
       3V3_SYS_V volt(9)=3.30000000V
      VDD_CORE_V volt(15)=0.80000000V
         EXT5V_V volt(24)=5.15268000V
"""


@pytest.fixture(autouse=True)
def no_firmware(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))


def watts(root: str) -> dict[str, float]:
    return {meter.name: meter.reading()["value"] for meter in power.meters(root)}


def test_a_jetson_has_rails(tmp_path: Path) -> None:
    found = watts(trees.jetson_orin_nano(tmp_path))
    assert found == pytest.approx({"VDD_IN": 6.096, "VDD_CPU_GPU_CV": 1.21728, "VDD_SOC": 2.0288})


def test_an_older_jetson(tmp_path: Path) -> None:
    rail = "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0"
    root = trees.planted(tmp_path, {f"{rail}/rail_name_0": "POM_5V_IN\n", f"{rail}/in_power0_input": "2510\n"})
    assert watts(root) == {"POM_5V_IN": pytest.approx(2.51)}


def test_any_monitor_of_the_kernels(tmp_path: Path) -> None:
    chip = f"{trees.HWMON}/hwmon0"
    files = {"name": "ina226", "power1_input": "5250000", "power2_input": "1000000", "power2_label": "5V rail"}
    root = trees.planted(tmp_path, {f"{chip}/{name}": content for name, content in files.items()})
    assert watts(root) == pytest.approx({"ina226": 5.25, "5V rail": 1.0})


def test_a_raspberry_pi_5_adds_its_rails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees.vcgencmd(tmp_path / "bin", monkeypatch, f"cat <<'END'\n{PMIC}END")
    (meter,) = power.meters(str(tmp_path))
    assert meter.reading()["value"] == pytest.approx(0.0712407 * 3.3 + 1.37 * 0.8)
    assert meter.source == "vcgencmd pmic_read_adc"


def test_a_raspberry_pi_4_has_no_such_controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees.vcgencmd(tmp_path / "bin", monkeypatch, "echo 'error=1 error_msg=\"Command not registered\"'")
    assert power.meters(str(tmp_path)) == []
    with pytest.raises(Unavailable, match="no rail"):
        power._pmic_watts()


def rapl(root: Path, joules: float) -> str:
    zone = "sys/class/powercap/intel-rapl:0"
    files = {"name": "package-0", "max_energy_range_uj": "262143000000", "energy_uj": str(int(joules * 1e6))}
    trees.planted(root, {f"{zone}:0/name": "core", f"{zone}:0/energy_uj": "1"})
    return trees.planted(root, {f"{zone}/{name}": content for name, content in files.items()})


@pytest.mark.parametrize(("before", "after"), [(100.0, 130.0), (262140.0, 27.0)], ids=["plain", "wrapped"])
def test_a_counter_of_energy(tmp_path: Path, before: float, after: float) -> None:
    watch = power.Watch(power.meters(rapl(tmp_path, before)))
    watch.start()
    watch.look()
    rapl(tmp_path, after)
    watch.stop(2.0)
    (mean,) = watch.means()
    assert mean["name"] == "package-0"
    assert mean["watts"] == pytest.approx(15.0)


def test_a_mean_over_looks(tmp_path: Path) -> None:
    chip = f"{trees.HWMON}/hwmon0"
    watch = power.Watch(power.meters(trees.planted(tmp_path, {f"{chip}/name": "x", f"{chip}/power1_input": "1000000"})))
    assert watch.means()[0]["unavailable"] == "it was not asked while the file ran"
    watch.start()
    watch.look()
    trees.planted(tmp_path, {f"{chip}/power1_input": "3000000"})
    watch.stop(1.0)
    assert (watch.means()[0]["watts"], watch.means()[0]["looks"]) == (pytest.approx(2.0), 2)


def test_a_sensor_that_stops_answering(tmp_path: Path) -> None:
    root = rapl(tmp_path, 1.0)
    watch = power.Watch(power.meters(root))
    watch.start()
    (tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj").unlink()
    watch.stop(1.0)
    assert "No such file" in watch.means()[0]["unavailable"]
