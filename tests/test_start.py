"""What a device asks of the files where the recipe says nothing."""

from __future__ import annotations

from typing import Any

import pytest

from edgekit import start
from edgekit.device import load_device
from edgekit.progress import SILENT, Timed
from edgekit.recipe import Recipe, load_recipe


def recipe(**sections: Any) -> Recipe:
    return load_recipe(None, {"model": {"path": "net.onnx"}, **sections})


@pytest.mark.parametrize(
    ("device", "io", "formats"),
    [
        ("coral-usb", "int8", ("tflite",)),
        ("ethos-u55-128", "int8", ("tflite",)),
        ("stm32h743", "float32", ("tflite",)),
        ("raspberry-pi-4", "float32", ("onnx", "tflite")),
        ("jetson-orin-nano", "float32", ("onnx", "tflite")),
    ],
)
def test_the_devices_files(device: str, io: str, formats: tuple[str, ...]) -> None:
    found = start.for_device(recipe(), load_device(device), SILENT)
    assert (found.quantize.io, found.output.formats) == (io, formats)


def test_what_is_said_wins() -> None:
    said = recipe(quantize={"io": "float32"}, output={"formats": ["onnx", "tflite"]})
    assert start.for_device(said, load_device("coral-usb"), SILENT) == said
    assert start.for_device(recipe(), None, SILENT) == recipe()


def test_other_precisions_keep_real_numbers() -> None:
    wide = start.for_device(recipe(quantize={"precision": "int16x8"}), load_device("ethos-u55-128"), SILENT)
    assert (wide.quantize.io, wide.output.formats) == ("float32", ("tflite",))


def test_it_is_said() -> None:
    notes: list[str] = []
    watched = Timed(SILENT)
    watched.note = notes.append  # type: ignore[method-assign]
    start.for_device(recipe(), load_device("coral-usb"), watched)
    assert ["--io float32" in notes[0], "--format onnx" in notes[1]] == [True, True]
