"""devices/*.toml: a head that people write or that follows from what kind of device it is, facts, and fitted figures.

    python benchmarks/device_toml.py        writes the facts of every device, and keeps what was fitted; and the schema

What an accelerator takes stands in `accelerators.py`.
Facts come from ../shared/devices/specs_facts.csv with their sources; a number is read off the front of its text, and
the whole text stays beside it as a note. Nothing is filled in where there is no fact.
"""

from __future__ import annotations

import csv
import functools
import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerators import ACCELERATORS

from edgekit.device import Device, LatencyModel, RuntimeRam, latency_toml, toml_value

ROOT = Path(__file__).resolve().parents[1]
FACTS = ROOT.parent / "shared" / "devices" / "specs_facts.csv"
EDITORS = "#:schema schema.json"  # completes and checks the keys where an editor knows the comment
MARK = "# Below: written by benchmarks/device_toml.py (facts) and benchmarks/fit_devices.py (fitted figures)."

ARM = "published: aarch64 wheels of ai-edge-litert 2.3, onnxruntime 1.31 and tflite-runtime 2.14"
HEADS: dict[str, dict[str, Any]] = {
    "arm": {
        "runtimes": (["litert", "onnxruntime", "tflite-runtime"], ARM),
        "formats": (["tflite", "onnx"], "published: what these runtimes read"),
        "onnx_activations": ("int8", "measured: onnxruntime 1.31 for aarch64, emulated, fuses int8 and uint8 alike"),
        "hard_swish": ("whole", "measured: instructions of MobileNetV3-small in ai-edge-litert 2.3 under emulation"),
        "scheme": ("default", "published: what these runtimes' kernels take"),
    },
    "jetson": {
        "runtimes": (["tensorrt"], "published: JetPack ships TensorRT"),
        "formats": (["onnx"], "published: TensorRT reads ONNX files"),
        "onnx_activations": ("int8", "published: TensorRT documentation, operator Quantize: int8, not uint8"),
        "hard_swish": ("whole", "published: TensorRT documentation, Types of Fusions: pointwise operations"),
        "scheme": (
            "symmetric",
            "published: TensorRT documentation, Explicit Quantization: symmetric; a zero point other than 0 is refused",
        ),
    },
    "micro": {
        "runtimes": (["tflite-micro"], "published: TFLite Micro has CMSIS-NN and ESP-NN kernels for such cores"),
        "formats": (["tflite"], "published: TFLite Micro reads TFLite files"),
        "onnx_activations": ("int8", "published: INT8 is what its kernels compute in: the same integers"),
        "hard_swish": ("whole", "published: TFLite Micro has an int8 kernel for it"),
        "scheme": ("default", "published: TFLite Micro takes asymmetric activations and weights per channel"),
    },
    "ethos-u": {
        "runtimes": (["tflite-micro"], "published: ethos-u-vela 5.2 compiles TFLite files for TFLite Micro"),
        "formats": (["tflite"], "published: ethos-u-vela 5.2 reads TFLite files"),
        "onnx_activations": ("int8", "published: INT8 is the type that Ethos-U computes in: the same integers"),
        "hard_swish": ("whole", "measured: cycles that ethos-u-vela 5.2 estimates are fewer for the whole op"),
        "scheme": ("default", "published: ethos-u-vela 5.2 takes asymmetric activations and weights per channel"),
        "io": ("int8", "published: ethos-u-vela 5.2 leaves float values, and what converts them, to the CPU"),
    },
    "edgetpu": {
        "runtimes": (["edgetpu"], "published: the Edge TPU delegate of TFLite"),
        "formats": (["tflite"], "published: the Edge TPU compiler reads TFLite files"),
        "onnx_activations": ("int8", "published: INT8 is the type that the Edge TPU computes in"),
        "hard_swish": ("decomposed", "published: coral.ai/docs/edgetpu/models-intro has no HARD_SWISH, but its parts"),
        "scheme": ("default", "published: fully quantized TFLite files, weights per channel or per tensor"),
        "io": ("int8", "published: coral.ai/docs/edgetpu/faq, fully quantized files; float values stay on the CPU"),
    },
    "hexagon": {
        "runtimes": (["qnn", "litert", "onnxruntime"], "published: AI Hub's rows: TFLite, ONNX Runtime, QNN DLC"),
        "formats": (["tflite", "onnx"], "published: what these runtimes read"),
        "onnx_activations": ("uint8", "published: ONNX Runtime's QNN provider takes uint8 by default"),
        "hard_swish": ("whole", "published: QNN has an op for it"),
        "scheme": ("default", "published: AI Hub's w8a8 files have asymmetric activations"),
    },
    "hailo": {
        "runtimes": (["hailort"], "published: HailoRT and the Dataflow Compiler"),
        "formats": (["onnx", "tflite"], "published: the Dataflow Compiler reads ONNX and TFLite files"),
        "onnx_activations": ("uint8", "published: the compiler quantizes by itself; an INT8 file is for comparing"),
        "hard_swish": ("whole", "published: the compiler reads the op"),
        "scheme": ("default", "published: the compiler quantizes float files by itself"),
    },
}  # fmt: skip
DEVICES: dict[str, tuple[str, str, str]] = {
    # name -> kind of head, title, name of its facts
    "raspberry-pi-3b-plus": ("arm", "Raspberry Pi 3 Model B+ (BCM2837B0, 4x Cortex-A53)", "raspberry-pi-3b-plus"),
    "raspberry-pi-4": ("arm", "Raspberry Pi 4 (BCM2711, 4x Cortex-A72)", "raspberry-pi-4b"),
    "raspberry-pi-5": ("arm", "Raspberry Pi 5 (BCM2712, 4x Cortex-A76)", "raspberry-pi-5"),
    "raspberry-pi-zero-2w": ("arm", "Raspberry Pi Zero 2 W (BCM2710A1, 4x Cortex-A53)", ""),
    "jetson-nano": ("jetson", "NVIDIA Jetson Nano (GPU, TensorRT)", "jetson-nano-4gb"),
    "jetson-xavier-nx": ("jetson", "NVIDIA Jetson Xavier NX (GPU, TensorRT)", "jetson-xavier-nx-8gb"),
    "jetson-agx-xavier": ("jetson", "NVIDIA Jetson AGX Xavier (GPU, TensorRT)", "jetson-agx-xavier-32gb"),
    "jetson-agx-xavier-cpu": ("arm", "NVIDIA Jetson AGX Xavier (CPU, 8x Carmel)", "jetson-agx-xavier-32gb"),
    "jetson-orin-nano": ("jetson", "NVIDIA Jetson Orin Nano (GPU, TensorRT)", "jetson-orin-nano-8gb"),
    "jetson-orin-nx": ("jetson", "NVIDIA Jetson Orin NX (GPU, TensorRT)", "jetson-orin-nx-16gb"),
    "jetson-agx-orin": ("jetson", "NVIDIA Jetson AGX Orin (GPU, TensorRT)", "jetson-agx-orin-64gb"),
    "jetson-agx-orin-cpu": ("arm", "NVIDIA Jetson AGX Orin (CPU, 12x Cortex-A78AE)", "jetson-agx-orin-64gb"),
    "coral-usb": ("edgetpu", "Coral USB Accelerator (Edge TPU)", "coral-usb-accelerator"),
    "rb3-gen2": ("hexagon", "Qualcomm Dragonwing RB3 Gen 2 (QCS6490, Hexagon NPU)", "qualcomm-rb3gen2-qcs6490"),
    "snapdragon-8-gen2": ("hexagon", "Qualcomm Snapdragon 8 Gen 2 (Hexagon NPU)", "snapdragon-8-gen2"),
    "snapdragon-8-gen3": ("hexagon", "Qualcomm Snapdragon 8 Gen 3 (Hexagon NPU)", "snapdragon-8-gen3"),
    "pixel-3": ("arm", "Google Pixel 3 (Snapdragon 845)", "pixel-3"),
    "rk3588": ("arm", "Rockchip RK3588 (4x Cortex-A76, 4x Cortex-A55)", "rk3588"),
    "stm32h743": ("micro", "STM32H743 (Cortex-M7)", "stm32h743"),
    "stm32f746": ("micro", "STM32F746 (Cortex-M7)", "stm32f746"),
    "stm32l4r5": ("micro", "STM32L4R5 (Cortex-M4)", "stm32l4r5zi"),
    "stm32n6": ("micro", "STM32N6 (Cortex-M55 and Neural-ART)", "stm32n6"),
    "esp32-s3": ("micro", "ESP32-S3 (2x Xtensa LX7)", "esp32-s3"),
    "ethos-u55-128": ("ethos-u", "Arm Ethos-U55, 128 MACs per cycle, beside a Cortex-M", "ethos-u55"),
    "ethos-u55-256": ("ethos-u", "Arm Ethos-U55, 256 MACs per cycle, beside a Cortex-M", "ethos-u55"),
    "ethos-u65-512": ("ethos-u", "Arm Ethos-U65, 512 MACs per cycle", "ethos-u65"),
    "ethos-u85": ("ethos-u", "Arm Ethos-U85, 128 to 2048 MACs per cycle", "ethos-u85"),
    "hailo-8": ("hailo", "Hailo-8", "hailo-8"),
    "imx8m-plus": ("arm", "NXP i.MX 8M Plus (4x Cortex-A53 and NPU)", "imx8m-plus"),
}


@dataclass(frozen=True)
class Place:
    """Where a fact goes. unit: what a number in its text is worth; None where the text is the value."""

    section: str
    key: str
    unit: float | None = None


PLACES = {
    "soc": Place("compute", "soc"),
    "cpu": Place("compute", "cpu"),
    "isa": Place("compute", "isa"),
    "clock_ghz": Place("compute", "clock_hz", 1e9),
    "accelerator": Place("compute", "accelerator"),
    "peak": Place("compute", "peak"),
    "cpu_peak_fp32_gmac_s": Place("compute", "float_macs_per_s", 1e9),
    "cpu_peak_int8_gmac_s": Place("compute", "int8_macs_per_s", 1e9),
    "dtypes": Place("compute", "precisions"),
    "runtimes": Place("compute", "software"),
    "sram_kb": Place("memory", "ram_bytes", 1024),
    "flash_kb": Place("memory", "flash_bytes", 1024),
    "dram": Place("memory", "dram"),
    "dram_bw_gb_s": Place("memory", "bandwidth_bytes_per_s", 1e9),
    "idle_w": Place("power", "idle_w", 1),
    "load_w": Place("power", "load_w", 1),
    "max_power_w": Place("power", "max_w", 1),
    "price_usd": Place("price", "usd", 1),
    "security": Place("security", "features"),
    "security_note": Place("security", "note"),
}
CPU_PEAKS = {"cpu_peak_fp32_gmac_s", "cpu_peak_int8_gmac_s"}
STATUSES = {"sourced": "published", "derived": "derived", "unsourced": "unsourced"}
TOPS = re.compile(r"^(?:about )?([\d.]+)(?:-[\d.]+)?( sparse)?(?: int8)? TOPS")
GFLOPS = re.compile(r"^([\d.]+) GFLOPS fp16")
SIZES = {"KB": 1024, "MB": 1024**2}
FEW = 6  # items that stay on one line
Entry = dict[str, Any]


def write(device: str, models: Sequence[LatencyModel] | None = None, ram: Sequence[RuntimeRam] | None = None) -> None:
    """The device's file. models, ram: what was fitted, None to keep what its file has."""
    path = ROOT / "devices" / f"{device}.toml"
    if models is None:
        models = Device.from_toml(path).latency if path.is_file() else ()
    if ram is None:
        ram = Device.from_toml(path).runtime_ram if path.is_file() else ()
    head = path.read_text(encoding="utf-8").partition(MARK)[0].rstrip() if path.is_file() else _head(device)
    head = head if head.startswith(EDITORS) else f"{EDITORS}\n{head}"
    body = [_section(name, entries) for name, entries in _facts(device).items() if entries]
    if device in ACCELERATORS:
        body.append(_accelerator(ACCELERATORS[device]))
    entries = [*body, *map(_ram, ram), *map(latency_toml, models)]
    path.write_text("\n\n".join([head, MARK, *entries]) + "\n", encoding="utf-8")
    Device.from_toml(path)


def _head(device: str) -> str:
    kind, title, _ = DEVICES[device]
    lines = [f'name = "{device}"', f'title = "{title}"']
    lines += [f"{key} = {json.dumps(value)}" for key, (value, _) in HEADS[kind].items()]
    lines += ["", "[source]"]
    return "\n".join(lines + [f"{key} = {json.dumps(source)}" for key, (_, source) in HEADS[kind].items()])


def _facts(device: str) -> dict[str, dict[str, Entry]]:
    kind, _, name = DEVICES[device]
    found: dict[str, dict[str, Entry]] = {"compute": {}, "memory": {}, "power": {}, "price": {}, "security": {}}
    rows = {row["field"]: row for row in _rows() if row["device"] == name}
    for field, place in PLACES.items():
        row = rows.get(field)
        if row is None or (field in CPU_PEAKS and kind not in {"arm"}):
            continue
        entry = _entry(row, place)
        if entry is not None:
            found[place.section][place.key] = entry
    if cache := _cache(rows):
        found["compute"]["cache_bytes"] = cache
    if kind != "arm" and "peak" in rows:
        found["compute"] |= _peaks(device, rows["peak"])
    return found


@functools.cache
def _rows() -> tuple[Mapping[str, str], ...]:
    with FACTS.open(encoding="utf-8") as file:
        return tuple(csv.DictReader(file))


def _entry(row: Mapping[str, str], place: Place) -> Entry | None:
    text = row["value"]
    if place.unit is None:
        return _told(text, row)
    number = re.match(r"(?:about |up to (?:about )?)?(\d[\d.]*)", text)
    if number is None or not float(number[1]):
        return None
    return _told(float(number[1]) * place.unit, row, "" if number[0] == text else text)


def _told(value: float | str, row: Mapping[str, str], note: str = "") -> Entry:
    entry: Entry = {"value": value}
    if row["source"]:
        entry["source"] = row["source"]
    entry["status"] = STATUSES[row["status"]]
    return {**entry, "note": note} if note else entry


def _cache(rows: Mapping[str, Mapping[str, str]]) -> Entry | None:
    """The last level that its text gives as one number."""
    for field in ("l3", "l2"):
        found = re.match(r"([\d.]+) (KB|MB)", rows[field]["value"]) if field in rows else None
        if found:
            return _told(float(found[1]) * SIZES[found[2]], rows[field], f"{field}: {rows[field]['value']}")
    return None


def _peaks(device: str, row: Mapping[str, str]) -> dict[str, Entry]:
    """MACs are half of the operations; sparse figures are twice the dense ones."""
    if found := TOPS.match(row["value"]):
        macs = float(found[1]) * 1e12 / (4 if found[2] else 2)
        macs /= 2 if device == "ethos-u55-128" else 1  # the figure is that of 256 MACs per cycle
        return {"int8_macs_per_s": _derived(macs, row)}
    if found := GFLOPS.match(row["value"]):
        return {"float_macs_per_s": _derived(float(found[1]) * 1e9 / 2, row)}
    return {}


def _derived(value: float, row: Mapping[str, str]) -> Entry:
    """From a fact with a source; what follows from one without has none either."""
    told = _told(value, row, row["value"])
    return {**told, "status": "derived" if row["source"] else told["status"]}


def _section(name: str, entries: Mapping[str, Entry]) -> str:
    return "\n".join([f"[{name}]", *(f"{key} = {toml_value(entry)}" for key, entry in entries.items())])


def _accelerator(table: Mapping[str, Any]) -> str:
    """Its lists a screen wide, its limits a line each."""
    lines = [f"{key} = {_listed(value)}" for key, value in table.items() if key != "limits"]
    limits = [f"    {toml_value(limit)}," for limit in table.get("limits", ())]
    return "\n".join(["[accelerator]", *lines, *(["limits = [", *limits, "]"] if limits else [])])


def _listed(value: Any) -> str:
    """A long list, wrapped."""
    if not isinstance(value, list) or len(value) <= FEW:
        return toml_value(value)
    wrapped = textwrap.wrap(", ".join(map(json.dumps, value)), 116)
    return "\n".join(["[", *(f"    {line}" for line in wrapped), "]"])


def _ram(ram: RuntimeRam) -> str:
    return "\n".join(["[[runtime_ram]]", *(f"{key} = {toml_value(value)}" for key, value in ram.model_dump().items())])


if __name__ == "__main__":
    schema = json.dumps(Device.model_json_schema(), indent=1, ensure_ascii=False)
    (ROOT / "devices" / "schema.json").write_text(schema + "\n", encoding="utf-8")
    for device in DEVICES:
        write(device)
