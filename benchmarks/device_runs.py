"""Published measurements as runs to fit: which rows make a profile, and which net each row ran.

A profile is a device with its runtime and version, threads and precision. Rows marked SUSPECT and figures of throughput
are left out; rows whose architecture is not known are counted and named. Several rows of one model are one run, their
geometric mean, so that a model measured in two rounds counts once.
"""

from __future__ import annotations

import csv
import functools
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from device_models import Net, by_name
from device_nets import ncnn_nets, traced

from edgekit.profile.fit import Prior, Run
from edgekit.profile.kernels import Kernel
from edgekit.profile.terms import Term, amounts

SHARED = Path(__file__).resolve().parents[2] / "shared" / "devices"
MEASURED = SHARED / "measured"
Row = Mapping[str, str]
Precision = Literal["int8", "float32", "float16"]
KIB = 1024

SAME_PRODUCT: dict[Term, tuple[Term, float]] = {"window_mac": ("mac", 1.0)}
"""Where a convolution of any size becomes a product of matrices, after its patches are gathered."""
CPU_FLOAT = Prior(
    compared={
        "mac": 1, "grouped_mac": 2, "patch": 100, "conv_input": 24, "conv_output": 24, "weight": 10,
        "weight_spill": 100, "depthwise_mac": 10, "depthwise_input": 24, "depthwise_output": 24, "depthwise_step": 200,
        "elementwise": 50, "curve": 100, "pool": 24, "move": 50, "op": 500e3,
    },
    tied=SAME_PRODUCT | {"large_depthwise_mac": ("depthwise_mac", 1.0)},
)  # fmt: skip
CPU_INT8 = Prior(
    compared={
        "mac": 1, "grouped_mac": 2, "patch": 6, "conv_input": 12, "conv_output": 12, "weight": 3, "weight_spill": 6,
        "depthwise_mac": 12, "depthwise_input": 20, "depthwise_output": 20, "depthwise_step": 50, "elementwise": 20,
        "curve": 60, "pool": 12, "move": 10, "op": 700e3,
    },
    tied=SAME_PRODUCT | {"large_depthwise_mac": ("depthwise_mac", 1.0)},
)  # fmt: skip
NCNN = Prior(
    compared={
        "mac": 1, "window_mac": 0.7, "grouped_mac": 4, "conv_output": 8, "weight": 3, "depthwise_mac": 4,
        "elementwise": 8, "curve": 20, "pool": 8, "move": 8, "op": 50e3,
    },
    tied={
        "large_depthwise_mac": ("depthwise_mac", 0.8), "conv_input": ("conv_output", 1.0),
        "depthwise_input": ("conv_output", 1.0), "depthwise_output": ("conv_output", 1.0),
    },
)  # fmt: skip
MCU = Prior(
    compared={
        "mac": 1, "grouped_mac": 1.5, "patch": 1, "conv_input": 1, "conv_output": 8, "weight": 1, "depthwise_mac": 2.5,
        "depthwise_input": 1, "depthwise_output": 8, "depthwise_step": 2, "elementwise": 4, "curve": 20, "pool": 3,
        "move": 2, "op": 3e3,
    },
    tied=SAME_PRODUCT | {"large_depthwise_mac": ("depthwise_mac", 1.0)},
)  # fmt: skip
ACCELERATOR = Prior(
    compared={
        "mac": 1, "grouped_mac": 8, "conv_input": 50, "conv_output": 50, "weight": 300, "depthwise_mac": 30,
        "depthwise_input": 50, "depthwise_output": 50, "elementwise": 50, "curve": 50, "pool": 20, "move": 50,
        "op": 1e6, "run": 2e8,
    },
    tied=SAME_PRODUCT | {"large_depthwise_mac": ("depthwise_mac", 1.0)},
)  # fmt: skip
"""How the terms compare where no run tells them apart, in units of a MAC. Vector units multiply 4 to 16 times per
instruction and core, and move one vector; gathering patches and moving values runs on one thread in TFLite, and a
kernel costs some ten microseconds to start there; a microcontroller multiplies twice per instruction at best; an
accelerator multiplies thousands of times while one byte comes from memory. ncnn has other ways for 3x3 (Winograd)."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a profile's rows are. device: name of its file in devices/; noise: 90 % of repeated measurements differ by
    less, in log space; cache_bytes: the last level that its cores share."""

    device: str
    file: str
    keep: Callable[[Row], bool]
    processor: Literal["cpu", "gpu", "npu", "mcu"]
    runtime: str
    version: str
    threads: int
    precision: Precision
    cache_bytes: int
    prior: Prior
    noise: float
    net: Callable[[Row], tuple[str, tuple[Kernel, ...]] | None]
    threads_note: str = ""


@dataclass(kw_only=True)
class Profile:
    """runs: one per model; kernels: by model; unknown: names without a known net, and their rows."""

    source: Source
    runs: list[Run]
    kernels: dict[str, tuple[Kernel, ...]]
    power_w: float | None = None
    paths: tuple[str, ...] = ()
    unknown: Counter[str] = field(default_factory=Counter)

    @property
    def title(self) -> str:
        s = self.source
        return f"{s.device}, {s.runtime} {s.version}, {s.threads} thread{'s' if s.threads > 1 else ''}, {s.precision}"


def load(source: Source) -> Profile:
    rows = [row for row in _rows(source.file) if source.keep(row) and "SUSPECT" not in row["note"]]
    times: dict[str, list[float]] = {}
    nets: dict[str, tuple[str, tuple[Kernel, ...]]] = {}
    unknown: Counter[str] = Counter()
    for row in rows:
        found = source.net(row)
        name = f"{row['model']} {row['input_hw']}".strip()
        if found is None:
            unknown[name] += 1
            continue
        nets[name] = (found[0], tuple(replace(kernel, precision=source.precision) for kernel in found[1]))
        times.setdefault(name, []).append(_seconds(row))
    runs = [
        Run(
            model=name,
            family=nets[name][0],
            amounts=amounts(nets[name][1], source.cache_bytes),
            seconds=float(np.exp(np.mean(np.log(measured)))),
        )
        for name, measured in times.items()
    ]
    power = [float(row["mean_power_w"]) for row in rows if row.get("mean_power_w")]
    return Profile(
        source=source,
        runs=runs,
        kernels={name: kernels for name, (_, kernels) in nets.items()},
        power_w=float(np.median(power)) if power else None,
        paths=tuple(dict.fromkeys(f"{row['source_repo']} @ {row['commit'][:10]}" for row in rows)),
        unknown=unknown,
    )


def _seconds(row: Row) -> float:
    """ncnn's averages of 4 threads have outliers on the Pi 5; its minimum does not."""
    best = row.get("latency_min_ms") if row["runtime"] == "ncnn" else None
    return float(best or row["latency_ms"]) * 1e-3


@functools.cache
def _rows(file: str) -> list[Row]:
    with (MEASURED / file).open(encoding="utf-8") as opened:
        return [row for row in csv.DictReader(opened) if row["latency_ms"]]


def named(row: Row) -> tuple[str, tuple[Kernel, ...]] | None:
    size = re.match(r"(\d+)", row["input_hw"] or "")
    found = by_name(row["model"], int(size[1]) if size else 224)
    return None if found is None or not found.family else (found.family, tuple(found.net.kernels))


NCNN_FAMILIES = {
    **dict.fromkeys(("mobilenet", "mobilenet_ssd", "mobilenet_yolo"), "MobileNet V1"),
    **dict.fromkeys(("mobilenet_v2", "mobilenetv2_yolov3"), "MobileNet V2"),
    **dict.fromkeys(("squeezenet", "squeezenet_ssd"), "SqueezeNet"),
    **dict.fromkeys(("resnet18", "resnet50"), "ResNet"),
    **dict.fromkeys(("efficientnet_b0", "efficientnetv2_b0"), "EfficientNet"),
    **dict.fromkeys(("shufflenet", "shufflenet_v2"), "ShuffleNet"),
    **dict.fromkeys(("mnasnet", "proxylessnasnet"), "MnasNet"),
    **dict.fromkeys(("yolo-fastest-1.1", "yolo-fastestv2", "yolov4-tiny"), "YOLO"),
}


def of_ncnn(row: Row) -> tuple[str, tuple[Kernel, ...]] | None:
    nets = _ncnn()
    name = row["model"] if row["model"] in nets else row["model"].replace("-", "_")
    return (NCNN_FAMILIES.get(name, name), nets[name]) if name in nets else None


@functools.cache
def _ncnn() -> dict[str, tuple[Kernel, ...]]:
    return ncnn_nets(SHARED / "ncnn_layers.csv")


TORCHVISION = {
    # what a table calls it -> family, torchvision's name
    "googlenet": ("GoogLeNet", "googlenet"),
    "regnet_y_800mf": ("RegNet", "regnet_y_800mf"),
    "regnet": ("RegNet", "regnet_x_3_2gf"),
    "resnext50": ("ResNeXt", "resnext50_32x4d"),
    "resnext101": ("ResNeXt", "resnext101_32x8d"),
    "shufflenet_v2": ("ShuffleNet", "shufflenet_v2_x1_0"),
    "squeezenet1_1": ("SqueezeNet", "squeezenet1_1"),
    "squeezenet1_0": ("SqueezeNet", "squeezenet1_0"),
    "densenet121": ("DenseNet", "densenet121"),
    **{name: ("DenseNet", name) for name in ("densenet161", "densenet169", "densenet201")},
    **{name: ("VGG", name) for name in ("vgg11", "vgg13", "vgg16", "vgg11_bn", "vgg13_bn", "vgg16_bn")},
    **{name: ("ResNet", name) for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")},
    "wideresnet50": ("ResNet", "wide_resnet50_2"),
    "mnasnet05": ("MnasNet", "mnasnet0_5"),
    "mobilenet_v2": ("MobileNet V2", "mobilenet_v2"),
    "mobilenet_v3_small": ("MobileNet V3", "mobilenet_v3_small"),
    "mobilenet_v3_large": ("MobileNet V3", "mobilenet_v3_large"),
    "efficientnet_b0": ("EfficientNet", "efficientnet_b0"),
    "convnext_tiny": ("ConvNeXt", "convnext_tiny"),
    "convnext_base": ("ConvNeXt", "convnext_base"),
    "inception_v3": ("Inception", "inception_v3"),
}


def of_torchvision(row: Row) -> tuple[str, tuple[Kernel, ...]] | None:
    if row["model"] not in TORCHVISION or int(row.get("layers_cpu") or 0):
        return None
    family, name = TORCHVISION[row["model"]]
    size = re.match(r"(\d+)", row["input_hw"] or "224")
    return family, _traced(name, int(size[1]) if size else 224)


@functools.cache
def _traced(name: str, size: int) -> tuple[Kernel, ...]:
    models = _torchvision()
    options: dict[str, Any] = {"init_weights": False} if name in {"googlenet", "inception_v3"} else {}
    return traced(getattr(models, name)(weights=None, **options), 1, 3, size, size)


def _torchvision() -> Any:
    """The ordinary wheel's operators do not load beside a CPU torch."""
    if "torchvision" not in sys.modules:
        sys.path.insert(0, str(SHARED.parent / "tools"))
        import torchvision_cpu  # noqa: F401
    import torchvision

    return torchvision.models


def of_tiny(row: Row) -> tuple[str, tuple[Kernel, ...]] | None:
    """The four tasks of MLPerf Tiny. Source: mlcommons/tiny, benchmark/training."""
    from device_models import mobilenet_v1, resnet_cifar

    match row["task"]:
        case "ic":
            return "ResNet, small", tuple(resnet_cifar(1).kernels)
        case "vww":
            return "MobileNet V1", tuple(mobilenet_v1(0.25, 96, classes=2).kernels)
        case "kws":
            return "DS-CNN", tuple(_ds_cnn().kernels)
        case "ad":
            return "autoencoder", tuple(_autoencoder().kernels)
        case _:
            return None


def _ds_cnn() -> Net:
    net = Net()
    x = net.start(49, 10, channels=1)
    made = (25, 5, 64)
    weights = 64 * 10 * 4
    x = net.add_kernel("conv", [x], made, macs=25 * 5 * weights, weights=weights, taps=(10, 4), stride=2, depth=1)
    for _ in range(4):
        x = net.conv(net.depthwise(x), 64)
    net.softmax(net.dense(net.global_pool(x), 12))
    return net


def _autoencoder() -> Net:
    net = Net()
    x = net.start(1, 1, channels=640)
    for width in (128, 128, 128, 128, 8, 128, 128, 128, 128, 640):
        x = net.dense(x, width)
    return net


def ram_rows(source: Source) -> list[tuple[str, float, float]]:
    """Family, planned activation bytes and measured RAM in bytes of the rows that give it."""
    rows = [row for row in _rows(source.file) if source.keep(row) and "SUSPECT" not in row["note"]]
    found = []
    for row in rows:
        size = re.match(r"(\d+)", row["input_hw"])
        net = by_name(row["model"], int(size[1]) if size else 224)
        if net is not None and net.family and row["peak_ram_kb"]:
            found.append((net.family, float(net.net.peak_elements(in_place=True)), float(row["peak_ram_kb"]) * KIB))
    return found
