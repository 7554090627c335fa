"""A device: what a target can do. Every value in its file says where it is from."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

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
    """Where each of a device's values is from, key by key; channel_multiple: empty where it is the default."""

    runtimes: NonEmpty
    formats: NonEmpty
    channel_multiple: str = ""
    onnx_activations: NonEmpty
    hard_swish: NonEmpty
    scheme: NonEmpty
    io: NonEmpty = "spec: float32, which edgekit's files take and give where nothing else is said"


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


class Factor(Section):
    """By how much kernels of a shape cost more or less than their terms, as `profile/factors.py` has it.

    kind: of kernels; rows, channels, depth, taps, stride: the shape; weight: of this shape in the logarithm of the
    factor of another, by how alike the two are.
    """

    kind: NonEmpty
    rows: Annotated[int, Field(ge=1)]
    channels: Annotated[int, Field(ge=1)]
    depth: Annotated[int, Field(ge=1)]
    taps: Annotated[int, Field(ge=1)]
    stride: Annotated[int, Field(ge=1)]
    weight: float


class LatencyModel(Section):
    """What runs cost in one runtime there, with what that is known from.

    seconds: per unit of each term of `profile/terms.py`; factors: by which kernels depart from these, where a device
    was measured with nets of a design; unseen: terms that no run had enough of, so that the prior's word stands;
    half_width: of the 90 % interval in log space; noise: by what a repeated measurement differs, in log space; macs:
    the smallest and the largest model it was fitted to; seconds_per_mac: the simplest estimate, to compare with;
    sibling, sibling_factor: a device whose time with this factor is another; power_w: of the board meanwhile.
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
    factors: tuple[Factor, ...] = ()
    unseen: tuple[str, ...] = ()
    source: NonEmpty
    status: Status = "fitted"


class RuntimeRam(Section):
    """RAM that a runtime takes there, code's own variables included: share * activations + constant_bytes.

    share: of the activations as `profile/in_place.py` lays them out; half_width: of the 90 % interval in log space;
    held_out_error: median, of families that were not fitted.
    """

    runtime: NonEmpty
    version: str = ""
    share: Positive
    constant_bytes: Annotated[int, Field(ge=0)]
    families: tuple[NonEmpty, ...]
    runs: Annotated[int, Field(ge=1)]
    held_out_error: Annotated[float, Field(ge=0)]
    half_width: Positive
    source: NonEmpty
    status: Status = "fitted"


Computes = Literal["int8", "int16x8", "float16", "float32"]


class Limit(Section):
    """What the source of an accelerator allows of some ops; None where it says nothing.

    ops: their names, or `depthwise` for depthwise convolutions, which have no name of their own in ONNX; taps: the
    largest kernel, height and width; stride: the largest; precisions: fewer than the accelerator's.
    """

    ops: Annotated[tuple[NonEmpty, ...], Field(min_length=1)]
    taps: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None
    stride: Annotated[int, Field(ge=1)] | None = None
    precisions: Annotated[tuple[Computes, ...], Field(min_length=1)] | None = None


class Accelerator(Section):
    """What it takes: other ops, weights or precisions run on the CPU beside it.

    ops, onnx_ops: names of TFLite's and of ONNX's; where a format has none, nothing is said of its files; weights:
    per-tensor where per-channel weights drive an op away; others: what becomes of an op that it does not take. It runs
    on the CPU beside it (`cpu`), and so does all that comes behind it, where the compiler makes one piece only
    (`cpu-from-there`); or its compiler makes nothing of the file (`refused`).
    """

    name: NonEmpty
    ops: tuple[NonEmpty, ...] = ()
    onnx_ops: tuple[NonEmpty, ...] = ()
    precisions: Annotated[tuple[Computes, ...], Field(min_length=1)]
    weights: Literal["per-channel", "per-tensor"]
    others: Literal["cpu", "cpu-from-there", "refused"] = "cpu"
    limits: tuple[Limit, ...] = ()
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

    runtimes, formats: what runs there, the usual one first; channel_multiple: what pruning rounds widths to, since a
    kernel takes about as long for part of a block of channels as for all; onnx_activations: what ONNX Runtime fuses;
    hard_swish: whole, or as a depthwise convolution and a multiplication where its int8 kernel is slow; scheme: which
    integers it takes (`quantize/scheme.py`); io: what INT8 files for it take and give. The sections after [source]
    stand where there are facts; each says where it is from.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: NonEmpty
    runtimes: Annotated[tuple[Runtime, ...], Field(min_length=1)]
    formats: Annotated[tuple[Literal["onnx", "tflite"], ...], Field(min_length=1)]
    channel_multiple: Annotated[int, Field(ge=1, le=256)] = 8
    onnx_activations: Literal["uint8", "int8"]
    hard_swish: Literal["decomposed", "whole"]
    scheme: Literal["default", "symmetric", "per-tensor"]
    io: Literal["float32", "int8"] = "float32"
    source: Sources
    compiler: Compiler | None = None
    compute: Compute = Compute()
    memory: Memory = Memory()
    power: Power = Power()
    price: Price = Price()
    security: Security = Security()
    accelerator: Accelerator | None = None
    runtime_ram: tuple[RuntimeRam, ...] = ()
    latency: tuple[LatencyModel, ...] = ()

    @property
    def evidence(self) -> Evidence:
        """The best that a latency there is known from."""
        return min((model.evidence for model in self.latency), default="D")

    @classmethod
    def from_toml(cls, path: Path) -> Device:
        device = held_against(cls, read_toml(path), f"'{path}'")
        if "channel_multiple" in device.model_fields_set and not device.source.channel_multiple:
            raise EdgekitError(
                "EK153",
                f"'channel_multiple' is missing in [source] of '{path}'",
                "the device gives one, and nothing says where it is from",
                "add channel_multiple = ... there",
            )
        return device


def to_toml(device: Device) -> str:
    """The device's file, which reads as the same device."""
    told = device.model_dump(exclude_defaults=True, exclude={"latency"})
    tables = {key: value for key, value in told.items() if isinstance(value, dict) and value}
    head = [f"{key} = {toml_value(value)}" for key, value in told.items() if not isinstance(value, dict)]
    sections = [
        "\n".join([f"[{name}]", *(f"{key} = {toml_value(value)}" for key, value in table.items())])
        for name, table in tables.items()
    ]
    return "\n\n".join(["\n".join(head), *sections, *map(latency_toml, device.latency)]) + "\n"


def latency_toml(model: LatencyModel) -> str:
    """A [[latency]] section."""
    told = model.model_dump(exclude_none=True, exclude={"seconds", "factors"})
    lines = [f"{key} = {toml_value(value)}" for key, value in told.items() if value not in ("", ())]
    if model.factors:
        rows = [f"  {toml_value(factor.model_dump())}," for factor in model.factors]
        lines += ["factors = [", *rows, "]"]
    seconds = [f"{term} = {toml_value(value)}" for term, value in model.seconds.items()]
    return "\n".join(["[[latency]]", *lines, "", "[latency.seconds]", *seconds])


def toml_value(value: Any) -> str:
    """Numbers with six digits, which is more than any of them carries."""
    match value:
        case float() if abs(value) >= 1e3 and value == int(value):
            return f"{int(value):_}"
        case float():
            return f"{value:.6g}"
        case tuple() | list():
            return "[" + ", ".join(toml_value(item) for item in value) + "]"
        case dict():
            return "{ " + ", ".join(f"{key} = {toml_value(item)}" for key, item in value.items()) + " }"
        case _:
            return json.dumps(value, ensure_ascii=False)


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
