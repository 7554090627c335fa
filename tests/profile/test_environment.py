from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.profile import environment
from tests.profile import trees


def values(root: str) -> dict[str, object]:
    return {name: reading.get("value") for name, reading in environment.snapshot(root).items()}


def test_a_raspberry_pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees.vcgencmd(tmp_path / "bin", monkeypatch, "echo throttled=0x50005")
    found = values(trees.raspberry_pi_4(tmp_path / "root"))
    assert found["board"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert found["cpu"] == "4x Arm Cortex-A72"
    assert found["memory_bytes"] == 3884416 * 1024
    assert (found["clock_hz"], found["clock_max_hz"]) == (1_500_000_000, 1_800_000_000)
    assert found["governor"] == "ondemand"
    assert found["temperature_c"] == 61.835, "the processor's zone, not the hottest"
    assert found["throttling"] == [
        "under-voltage",
        "throttled",
        "under-voltage since it was started",
        "throttled since it was started",
    ]


def test_a_kernel_that_shows_the_firmwares_bits(tmp_path: Path) -> None:
    trees.planted(tmp_path, {"sys/devices/platform/soc/soc:firmware/get_throttled": "20002\n"})
    reading = environment.snapshot(str(tmp_path))["throttling"]
    assert reading["value"] == ["clock capped", "clock capped since it was started"]
    assert reading["source"] == "/sys/devices/platform/soc/soc:firmware/get_throttled"


def test_a_jetson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    found = values(trees.jetson_orin_nano(tmp_path))
    assert found["cpu"] == "6x Arm Cortex-A78AE"
    assert found["temperature_c"] == 48.0, "a zone that is switched off reads -256"
    assert found["throttling"] == ["cpufreq-cpu0 slowed down (step 3)"], "a fan slows nothing down"


def test_a_pc_counts_what_heat_did(tmp_path: Path) -> None:
    folder = f"{trees.CPU}/cpu{{}}/thermal_throttle/core_throttle_count"
    trees.planted(
        tmp_path, {"proc/cpuinfo": "model name\t: Some CPU @ 2 GHz\n", folder.format(0): "3", folder.format(1): "4"}
    )
    found = values(str(tmp_path))
    assert (found["cpu"], found["throttle_count"]) == ("Some CPU @ 2 GHz", 7)


def test_the_hottest_zone_where_none_is_the_processors(tmp_path: Path) -> None:
    zone = f"{trees.THERMAL}/thermal_zone{{}}"
    files = {
        f"{zone.format(i)}/{k}": v for i in range(2) for k, v in (("type", f"acpitz{i}"), ("temp", f"{40 + i}000"))
    }
    reading = environment.snapshot(trees.planted(tmp_path, files))["temperature_c"]
    assert reading == {"value": 41.0, "source": "/sys/class/thermal/thermal_zone1 (acpitz1)"}


def test_unknown_cores_are_named_by_number(tmp_path: Path) -> None:
    trees.planted(tmp_path, {"proc/cpuinfo": "CPU implementer\t: 0x61\nCPU part\t: 0x022\n"})
    assert values(str(tmp_path))["cpu"] == "1x core 0x022 of maker 0x61"


def test_what_is_not_there_has_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    readings = environment.snapshot(str(tmp_path))
    known = {name for name, reading in readings.items() if "value" in reading}
    assert known == {"cores"}
    assert all(reading.get("unavailable") for name, reading in readings.items() if name not in known)
    assert "No such file" in readings["cpu"]["unavailable"]
    assert "virtual machines" in readings["governor"]["unavailable"]


@pytest.mark.parametrize(
    ("files", "name", "reason"),
    [
        ({"proc/cpuinfo": "nothing: here\n"}, "cpu", "names no processor"),
        ({"proc/cpuinfo": "CPU implementer: x\nCPU part: y\n"}, "cpu", "reads as something else"),
        ({"proc/meminfo": "MemFree: 1 kB\n"}, "memory_bytes", "no MemTotal"),
    ],
)
def test_odd_files(tmp_path: Path, files: dict[str, str], name: str, reason: str) -> None:
    assert reason in environment.snapshot(trees.planted(tmp_path, files))[name]["unavailable"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("echo 'VCHI initialization failed' >&2; exit 255", "vcgencmd ended with 255: VCHI initialization failed"),
        ("sleep 5", "no answer within 0.2 s"),
        ("echo what?", "reads as something else"),
    ],
)
def test_a_firmware_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, reason: str
) -> None:
    monkeypatch.setattr(environment, "VCGENCMD_S", 0.2)
    trees.vcgencmd(tmp_path / "bin", monkeypatch, f"exec {body}" if body.startswith("sleep") else body)
    assert reason in environment.snapshot(str(tmp_path))["throttling"]["unavailable"]


def test_no_firmware_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(environment.Unavailable, match="only a Raspberry Pi"):
        environment.vcgencmd("get_throttled")


def test_this_system_has_names() -> None:
    assert set(environment.system()) == {"system", "release", "architecture", "python", "bits", "libc"}
    assert set(environment.now()) == {"clock_hz", "temperature_c"}
