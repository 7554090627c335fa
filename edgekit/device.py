"""A device: what a target can do. Every value in its file says where it is from."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from edgekit.errors import EdgekitError
from edgekit.paths import devices_folder
from edgekit.schema import Section, held_against, read_toml

Runtime = Literal["onnxruntime", "litert", "tflite-runtime", "tflite-micro", "tensorrt"]
NonEmpty = Annotated[str, Field(min_length=1)]


class Sources(Section):
    """Where each of a device's values is from, key by key."""

    runtimes: NonEmpty
    formats: NonEmpty
    onnx_activations: NonEmpty
    hard_swish: NonEmpty
    scheme: NonEmpty


class Device(Section):
    """The keys of a device's file.

    runtimes, formats: what runs there, the usual one first; onnx_activations: the signedness that ONNX Runtime fuses;
    hard_swish: whole, or as a depthwise convolution and a multiplication where its int8 kernel is slow; scheme: which
    integers it takes (`quantize/scheme.py`).
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: NonEmpty
    runtimes: Annotated[tuple[Runtime, ...], Field(min_length=1)]
    formats: Annotated[tuple[Literal["onnx", "tflite"], ...], Field(min_length=1)]
    onnx_activations: Literal["uint8", "int8"]
    hard_swish: Literal["decomposed", "whole"]
    scheme: Literal["default", "symmetric", "per-tensor"]
    source: Sources

    @classmethod
    def from_toml(cls, path: Path) -> Device:
        return held_against(cls, read_toml(path), f"'{path}'")


def device_names() -> tuple[str, ...]:
    """The devices that edgekit carries."""
    return tuple(sorted(path.stem for path in devices_folder().glob("*.toml")))


def load_device(name: str) -> Device:
    """The device of that name, or of that TOML file."""
    if name.endswith(".toml"):
        return Device.from_toml(Path(name))
    names = device_names()
    if name not in names:
        near = difflib.get_close_matches(name.lower(), names, 1, cutoff=0.4)
        raise EdgekitError(
            "EK160",
            f"no device called '{name}'",
            f"edgekit carries {', '.join(names)}",
            f"did you mean '{near[0]}'?" if near else "give one of these, or the path of a device's TOML file",
        )
    return Device.from_toml(devices_folder() / f"{name}.toml")
