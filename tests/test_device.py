"""Devices: the ones that edgekit carries, and what is said about slips."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgekit.device import Device, Factor, device_names, load_device, to_toml
from edgekit.errors import EdgekitError
from edgekit.paths import devices_folder
from edgekit.profile.terms import TERMS


@pytest.mark.parametrize("name", device_names())
def test_every_device_reads(name: str) -> None:
    device = load_device(name)
    assert device.name == name
    said = {key: source for key, source in device.source if source or key != "channel_multiple"}
    assert all(source.startswith(("spec: ", "measured: ", "fitted: ", "published: ")) for source in said.values())
    assert ("channel_multiple" in said) == ("channel_multiple" in device.model_fields_set)


def test_choices_that_runtimes_force() -> None:
    assert load_device("x86-64").onnx_activations == "uint8"
    assert load_device("x86-64").hard_swish == "decomposed"
    assert load_device("raspberry-pi-5").onnx_activations == "int8"
    assert load_device("ethos-u55-128").formats == ("tflite",)


def test_widths_that_kernels_like() -> None:
    known = {name: load_device(name).channel_multiple for name in device_names()}
    assert (known["stm32h743"], known["ethos-u55-128"], known["jetson-orin-nano"], known["x86-64"]) == (4, 16, 32, 16)
    assert known["raspberry-pi-4"] == known["jetson-nano"] == 8  # Maxwell has no tensor cores


@pytest.mark.parametrize("name", device_names())
def test_every_fact_says_where_it_is_from(name: str) -> None:
    device = load_device(name)
    for section in (device.compute, device.memory, device.power, device.price, device.security):
        for key, fact in section:
            assert fact is None or fact.source or fact.status == "unsourced", f"{name}: {key} has no source"
    for model in device.latency:
        assert model.source.startswith(("fitted: ", "measured: "))
        assert set(model.unseen) <= set(model.seconds) <= set(TERMS)
        assert model.half_width >= model.noise


def test_a_compiler_is_told_which_accelerator_and_memory() -> None:
    compilers = {name: compiler for name in device_names() if (compiler := load_device(name).compiler) is not None}
    assert set(compilers) == {"ethos-u55-128", "ethos-u55-256", "ethos-u65-512", "ethos-u85"}
    assert all(compiler.accelerator.startswith(name) for name, compiler in compilers.items())
    assert all(compiler.source and compiler.status == "published" for compiler in compilers.values())


def test_evidence_is_that_of_the_best_known_runtime() -> None:
    assert load_device("raspberry-pi-4").evidence == "A"
    assert load_device("hailo-8").evidence == "D"


def test_runtimes_measured_there_are_of_one_kind_each() -> None:
    models = load_device("raspberry-pi-4").latency
    kinds = [(model.runtime, model.version, model.threads, model.precision) for model in models]
    assert len(set(kinds)) == len(kinds)
    assert ("tflite", "2.7.1", 4, "int8") in kinds


def test_the_schema_for_editors_is_that_of_the_code() -> None:
    published = json.loads((devices_folder() / "schema.json").read_text(encoding="utf-8"))
    assert published == Device.model_json_schema(), "python benchmarks/device_toml.py writes it"


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


@pytest.mark.parametrize("name", ["raspberry-pi-4", "x86-64", "coral-usb"])
def test_a_file_that_is_written_reads_as_the_same_device(name: str, tmp_path: Path) -> None:
    device = load_device(name)
    factor = Factor(kind="depthwise", rows=49, channels=96, depth=1, taps=9, stride=2, weight=-0.125)
    models = tuple(model.model_copy(update={"factors": (factor, factor)}) for model in device.latency)
    device = device.model_copy(update={"latency": models})
    (tmp_path / "mine.toml").write_text(to_toml(device))
    assert Device.from_toml(tmp_path / "mine.toml") == device


@pytest.mark.parametrize(
    ("old", "new", "code", "fix"),
    [
        ('hard_swish = "decomposed"', 'hard_swich = "decomposed"', "EK151", "did you mean 'hard_swish'?"),
        ('"decomposed"', '"decompose"', "EK152", "did you mean 'decomposed'?"),
        ('"litert"', '"liteRT"', "EK152", "did you mean 'litert'?"),
        ('name = "x86-64"', "", "EK153", "add name = ..."),
        ('formats = "published', 'format = "published', "EK151", "did you mean 'formats'?"),
        ('channel_multiple = "measured', '# "measured', "EK153", "add channel_multiple = ..."),
        ("channel_multiple = 16", "channel_multiple = 0", "EK152", "give a value"),
        ("[source]", "[compute]\nclock_hz = { value = -1, status = 'spec' }\n[source]", "EK152", "give a value"),
        (
            "[source]",
            "[compute]\nclok_hz = { value = 1, status = 'spec' }\n[source]",
            "EK151",
            "did you mean 'clock_hz'?",
        ),
        ("[source]", "[price]\nusd = { value = 1, status = 'hearsay' }\n[source]", "EK152", "give a value"),
        ("[source]", "[compiler]\nname = 'velo'\n[source]", "EK152", "did you mean 'vela'?"),
    ],
)
def test_slips_in_a_file(tmp_path: Path, old: str, new: str, code: str, fix: str) -> None:
    text = (devices_folder() / "x86-64.toml").read_text()
    assert old in text
    (tmp_path / "mine.toml").write_text(text.replace(old, new))
    with pytest.raises(EdgekitError, match=code) as raised:
        load_device(str(tmp_path / "mine.toml"))
    assert raised.value.fix.startswith(fix)
