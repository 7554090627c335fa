"""Devices: the ones that edgekit carries, and what is said about slips."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.device import Device, device_names, load_device
from edgekit.errors import EdgekitError
from edgekit.paths import devices_folder


@pytest.mark.parametrize("name", device_names())
def test_every_device_reads(name: str) -> None:
    device = load_device(name)
    assert device.name == name
    assert all(source.startswith(("spec: ", "measured: ", "fitted: ", "published: ")) for _, source in device.source)


def test_choices_that_runtimes_force() -> None:
    assert load_device("x86-64").onnx_activations == "uint8"
    assert load_device("x86-64").hard_swish == "decomposed"
    assert load_device("raspberry-pi-5").onnx_activations == "int8"
    assert load_device("ethos-u55-128").formats == ("tflite",)


def test_unknown_name() -> None:
    with pytest.raises(EdgekitError, match=r"EK160.*'RaspberryPi4'") as raised:
        load_device("RaspberryPi4")
    assert raised.value.fix == "did you mean 'raspberry-pi-4'?"
    with pytest.raises(EdgekitError, match=r"EK160") as raised:
        load_device("../devices/x86-64")
    with pytest.raises(EdgekitError, match=r"EK160") as raised:
        load_device("q")
    assert "TOML" in raised.value.fix


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    text = (devices_folder() / "x86-64.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.replace('name = "x86-64"', 'name = "mine"'))
    assert load_device(str(path)) == Device.from_toml(path)
    assert load_device(str(path)).name == "mine"
    with pytest.raises(EdgekitError, match="EK101"):
        load_device(str(tmp_path / "gone.toml"))


@pytest.mark.parametrize(
    ("old", "new", "code", "fix"),
    [
        ('hard_swish = "decomposed"', 'hard_swich = "decomposed"', "EK151", "did you mean 'hard_swish'?"),
        ('"decomposed"', '"decompose"', "EK152", "did you mean 'decomposed'?"),
        ('"litert"', '"liteRT"', "EK152", "did you mean 'litert'?"),
        ('name = "x86-64"', "", "EK153", "add name = ..."),
        ('formats = "published', 'format = "published', "EK151", "did you mean 'formats'?"),
    ],
)
def test_slips_in_a_file(tmp_path: Path, old: str, new: str, code: str, fix: str) -> None:
    text = (devices_folder() / "x86-64.toml").read_text()
    assert old in text
    (tmp_path / "mine.toml").write_text(text.replace(old, new))
    with pytest.raises(EdgekitError, match=code) as raised:
        load_device(str(tmp_path / "mine.toml"))
    assert raised.value.fix == fix
