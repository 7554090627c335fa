"""A device: what a target can do. Every value in its file says where it is from."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from edgekit.errors import EdgekitError
from edgekit.paths import devices_folder
from edgekit.schema import Section, held_against, read_toml

Runtime = Literal[
    "onnxruntime",
    "litert",
    "tflite-runtime",
    "tflite-micro",
    "tensorrt",
    "edgetpu",
    "qnn",
    "rknn",
    "hailort",
    "stm32cube-ai",
    "ncnn",
]
NonEmpty = Annotated[str, Field(min_length=1)]
Positive = Annotated[float, Field(gt=0)]
Status = Literal["spec", "published", "measured", "fitted", "derived", "unsourced"]
"""spec: the maker says so; published: somebody else; measured, fitted: here; derived: computed from others; unsourced:
common knowledge that nobody was found to vouch for."""
Evidence = Literal["A", "B", "C", "D"]
"""A: fitted to this device and runtime, on 30 runs of two families or more, and within 15 % (median) on families that
were left out; B: fitted to 10 runs or more; C: fitted to fewer, or to few kinds of kernels; D: from specifications."""


class Sources(Section):
    """Where each of a device's values is from, key by key."""

    runtimes: NonEmpty
    formats: NonEmpty
    onnx_activations: NonEmpty
    hard_swish: NonEmpty
    scheme: NonEmpty


class Fact(Section):
    """A number or words with where they are from. note: what the number does not say (a range, a condition)."""

    value: float | str
    source: str = ""
    status: Status
    note: str = ""


class Figure(Fact):
    """A fact that is a positive number, in the unit that its key says."""

    value: Positive


class Compute(Section):
    """clock_hz: the highest; cache_bytes: the last level that a core can use; *_macs_per_s: peaks of the whole chip."""

    soc: Fact | None = None
    cpu: Fact | None = None
    isa: Fact | None = None
    clock_hz: Figure | None = None
    cache_bytes: Figure | None = None
    accelerator: Fact | None = None
    peak: Fact | None = None
    float_macs_per_s: Figure | None = None
    int8_macs_per_s: Figure | None = None
    precisions: Fact | None = None
    software: Fact | None = None


class Memory(Section):
    """ram_bytes: on the chip; dram: beside it."""

    ram_bytes: Figure | None = None
    flash_bytes: Figure | None = None
    dram: Fact | None = None
    bandwidth_bytes_per_s: Figure | None = None


class Power(Section):
    """Of the board, at the wall where the source says no other place."""

    idle_w: Figure | None = None
    load_w: Figure | None = None
    max_w: Figure | None = None


class Price(Section):
    """usd: the lower end where the source gives a range."""

    usd: Figure | None = None


class Security(Section):
    """Secure boot, trusted execution, crypto instructions and blocks, in the source's words."""

    features: Fact | None = None
    note: Fact | None = None


class LatencyModel(Section):
    """What runs cost in one runtime there, with what that is known from.

    seconds: per unit of each term of `profile/terms.py`; unseen: terms that no run had enough of, so that the prior's
    word stands; half_width: of the 90 % interval in log space; noise: by what a repeated measurement differs, in log
    space; macs: the smallest and the largest model it was fitted to; seconds_per_mac: the simplest estimate, to compare
    with; sibling, sibling_factor: a device whose time with this factor is another; power_w: of the board meanwhile.
    """

    processor: Literal["cpu", "gpu", "npu", "mcu"]
    runtime: NonEmpty
    version: str = ""
    threads: Annotated[int, Field(ge=1)]
    precision: Literal["int8", "float32", "float16"]
    evidence: Evidence
    families: tuple[NonEmpty, ...]
    runs: Annotated[int, Field(ge=1)]
    median_error: Annotated[float, Field(ge=0)]
    held_out_error: Annotated[float, Field(ge=0)] | None = None
    half_width: Positive
    noise: Positive
    macs: tuple[Positive, Positive]
    cache_bytes: Annotated[int, Field(ge=0)]
    seconds_per_mac: Positive
    sibling: str = ""
    sibling_factor: Positive | None = None
    power_w: Positive | None = None
    seconds: dict[str, Annotated[float, Field(ge=0)]]
    unseen: tuple[str, ...] = ()
    source: NonEmpty
    status: Status = "fitted"


class Accelerator(Section):
    """What it takes: other ops, weights or precisions run on the CPU beside it.

    ops: names of TFLite's; weights: per-tensor where per-channel weights drive an op to the CPU.
    """

    name: NonEmpty
    ops: tuple[NonEmpty, ...]
    precisions: Annotated[tuple[Literal["int8", "int16x8", "float16", "float32"], ...], Field(min_length=1)]
    weights: Literal["per-channel", "per-tensor"]
    source: NonEmpty
    status: Status


class Compiler(Section):
    """What a compiler must be told to compile for it, so that its own model of the device can be asked.

    system_config, memory_mode: sections of the `Arm/vela.ini` that Vela ships: clocks and bandwidths, and what is kept
    in which memory.
    """

    name: Literal["vela"]
    accelerator: Annotated[str, Field(pattern=r"^ethos-u\d+-\d+$")]
    system_config: Annotated[str, Field(pattern=r"^\w+$")]
    memory_mode: Annotated[str, Field(pattern=r"^\w+$")]
    source: NonEmpty
    status: Status


class Device(Section):
    """The keys of a device's file.

    runtimes, formats: what runs there, the usual one first; onnx_activations: the signedness that ONNX Runtime fuses;
    hard_swish: whole, or as a depthwise convolution and a multiplication where its int8 kernel is slow; scheme: which
    integers it takes (`quantize/scheme.py`). The sections after [source] stand where there are facts; each says where
    it is from.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: NonEmpty
    runtimes: Annotated[tuple[Runtime, ...], Field(min_length=1)]
    formats: Annotated[tuple[Literal["onnx", "tflite"], ...], Field(min_length=1)]
    onnx_activations: Literal["uint8", "int8"]
    hard_swish: Literal["decomposed", "whole"]
    scheme: Literal["default", "symmetric", "per-tensor"]
    source: Sources
    compiler: Compiler | None = None
    compute: Compute = Compute()
    memory: Memory = Memory()
    power: Power = Power()
    price: Price = Price()
    security: Security = Security()
    accelerator: Accelerator | None = None
    latency: tuple[LatencyModel, ...] = ()

    @property
    def evidence(self) -> Evidence:
        """The best that a latency there is known from."""
        return min((model.evidence for model in self.latency), default="D")

    @classmethod
    def from_toml(cls, path: Path) -> Device:
        return held_against(cls, read_toml(path), f"'{path}'")


def device_names() -> tuple[str, ...]:
    """The devices that edgekit carries."""
    return tuple(sorted(path.stem for path in devices_folder().glob("*.toml")))


def load_device(name: str) -> Device:
    """The device of that name, or of that TOML file."""
    return Device.from_toml(device_file(name))


def device_file(name: str) -> Path:
    """Where the device of that name, or of that TOML file, is described. Raises EK160 for a name of none."""
    if name.endswith(".toml"):
        return Path(name)
    names = device_names()
    if name not in names:
        near = difflib.get_close_matches(name.lower(), names, 1, cutoff=0.4)
        raise EdgekitError(
            "EK160",
            f"no device called '{name}'",
            f"edgekit carries {', '.join(names)}",
            f"did you mean '{near[0]}'?" if near else "give one of these, or the path of a device's TOML file",
        )
    return devices_folder() / f"{name}.toml"
