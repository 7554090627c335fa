"""Kernel lists of architectures that others define: torchvision's and timm's, traced on the meta device, and ncnn's.

A trace sees each ATen op with its shapes and no weights. What a runtime fuses is fused here too: batch norms and clamps
go into the product before them, an activation that is no clamp is a kernel of its own.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from edgekit.profile.kernels import Kernel, Kind

KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("add", "add_", "mul", "mul_", "sub", "rsub", "where", "maximum", "clone_sum"), "elementwise"),
    **dict.fromkeys(("hardswish", "hardswish_", "silu", "silu_", "sigmoid", "gelu", "hardsigmoid", "div"), "curve"),
    **dict.fromkeys(("native_layer_norm", "pow", "exp", "tanh", "hardsigmoid_", "elu", "leaky_relu_"), "curve"),
    **dict.fromkeys(("max_pool2d_with_indices", "avg_pool2d"), "pool"),
    **dict.fromkeys(("mean", "_adaptive_avg_pool2d", "sum"), "reduce"),
    **dict.fromkeys(("_softmax",), "softmax"),
    **dict.fromkeys(("upsample_bilinear2d", "upsample_nearest2d"), "resize"),
    **dict.fromkeys(("cat", "clone", "constant_pad_nd", "_reshape_copy", "pixel_shuffle", "roll", "stack"), "move"),
}
PRODUCTS = {"convolution", "addmm", "mm", "bmm"}


class Tracer(TorchDispatchMode):
    """Collects a kernel for every op that computes or moves."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels: list[Kernel] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        op = func.overloadpacket.__name__
        out = result[0] if isinstance(result, tuple) else result
        if isinstance(out, torch.Tensor):
            tensors = [x for x in _flat(args) if isinstance(x, torch.Tensor)]
            if op in PRODUCTS:
                self.kernels.append(_product(op, args, out, len(self.kernels)))
            elif op in KINDS:
                taps = tuple(args[1]) if KINDS[op] == "pool" else (1, 1)
                inputs = sum(x.numel() for x in tensors if not isinstance(x, nn.Parameter))
                self.kernels.append(
                    Kernel(
                        name=f"{op}_{len(self.kernels)}",
                        op=op,
                        kind=KINDS[op],
                        precision="float32",
                        inputs=inputs,
                        outputs=out.numel(),
                        taps=taps,
                    )
                )
        return result


def traced(module: nn.Module, *shape: int) -> tuple[Kernel, ...]:
    """The kernels of one sample. shape: of the input, its batch of 1 included."""
    module = module.to("meta").eval()
    with torch.no_grad(), Tracer() as tracer:
        module(torch.zeros(shape, device="meta"))
    return tuple(tracer.kernels)


def _flat(args: Any) -> list[Any]:
    found: list[Any] = []
    for arg in args:
        found += _flat(arg) if isinstance(arg, (list, tuple)) else [arg]
    return found


def _product(op: str, args: Any, out: torch.Tensor, index: int) -> Kernel:
    facts: dict[str, Any] = {"name": f"{op}_{index}", "op": op, "precision": "float32", "outputs": out.numel()}
    if op == "convolution":
        x, weight, stride, groups = args[0], args[1], args[3], args[8]
        taps = (weight.shape[2], math.prod(weight.shape[3:]))
        return Kernel(
            kind="depthwise" if 1 < groups == weight.shape[0] else "conv",
            macs=out.numel() * math.prod(weight.shape[1:]),
            inputs=x.numel(),
            weights=weight.numel(),
            taps=taps,
            stride=stride[0],
            groups=groups,
            depth=weight.shape[1],
            **facts,
        )
    x, y = args[-2:] if op == "addmm" else args[:2]
    weights = y.numel() if op != "bmm" else 0
    return Kernel(
        kind="dense" if op != "bmm" else "matmul",
        macs=out.numel() * x.shape[-1],
        inputs=x.numel() + (0 if weights else y.numel()),
        weights=weights,
        depth=x.shape[-1],
        **facts,
    )


NCNN_KINDS: Mapping[str, Kind] = {
    "conv": "conv",
    "gconv": "conv",
    "dwconv": "depthwise",
    "deconv": "transpose-conv",
    "fc": "dense",
    "gap": "reduce",
    "pool": "pool",
    "mha": "matmul",
    "op": "elementwise",
}


def ncnn_nets(layers: Path) -> dict[str, tuple[Kernel, ...]]:
    """The graphs of ncnn's benchmark by name. layers: a table with one row per layer that multiplies or pools."""
    found: dict[str, list[Kernel]] = {}
    with layers.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["model"], []).append(_ncnn_kernel(row))
    return {name: tuple(kernels) for name, kernels in found.items()}


def _ncnn_kernel(row: Mapping[str, str]) -> Kernel:
    kind, groups = NCNN_KINDS[row["op"]], int(row["group"] or 1)
    taps = (int(row["kh"] or 1), int(row["kw"] or 1))
    depth = 1 if kind == "depthwise" else max(1, int(row["in_c"] or 1) // groups)
    outputs = int(row["out_elems"])
    weights = int(row["out_c"] or 1) * depth * math.prod(taps) if int(row["macs"]) and kind != "matmul" else 0
    return Kernel(
        name=f"{row['op']}_{row['index']}",
        op=row["op"],
        kind=kind,
        precision="float32",
        macs=int(row["macs"]),
        inputs=int(row["in_elems"]),
        outputs=outputs,
        weights=int(row["params"]) if kind in {"dense", "matmul"} else weights,
        taps=taps,
        stride=int(row["stride"] or 1),
        groups=groups,
        depth=int(row["in_elems"]) if kind == "dense" else depth,
    )
