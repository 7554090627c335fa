"""The op table, continued: windows that TFLite slides by other ops, resizes by weights, pads, products of vectors."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from tests.lower.tflite.cases import IMAGE, SIGNAL, one, weights
from tests.lower.tflite.graphs import Graph, node

CUBE = (1, 4, 5, 6, 7)
Rows = Iterator[tuple[str, Graph]]


def cases() -> Rows:
    for family in (volumes, pools, resizes, pads, products):
        yield from family()


def volumes() -> Rows:
    for stride, pad, groups in product((1, 2), (0, 1), (1, 2)):
        name = f"s{stride}-p{pad}-g{groups}"
        attributes = {"kernel_shape": [3, 3, 3], "strides": [stride] * 3, "pads": [pad] * 6, "group": groups}
        constants = {"w": weights(6, 4 // groups, 3, 3, 3), "b": weights(6, 1)[:, 0]}
        yield f"conv3d-{name}", one("Conv", CUBE, constants, **attributes)
        constants = {"w": weights(4, 6 // groups, 3, 3, 3), "b": weights(6, 1)[:, 0]}
        yield f"convtranspose3d-{name}", one("ConvTranspose", CUBE, constants, **attributes)
    constants = {"w": weights(6, 4, 2, 2, 2)}
    yield "conv3d-dilated", one("Conv", CUBE, constants, kernel_shape=[2] * 3, dilations=[2, 1, 3])
    constants = {"w": weights(6, 3, 3, 2)}
    yield "convtranspose-dilated", one("ConvTranspose", IMAGE, constants, kernel_shape=[3, 2], dilations=[2, 3])


def pools() -> Rows:
    for op, stride, pad in product(("MaxPool", "AveragePool", "LpPool"), (1, 2), (0, 1)):
        attributes = {"strides": [stride] * 3, "pads": [pad] * 6}
        yield f"{op.lower()}3d-s{stride}-p{pad}", one(op, CUBE, kernel_shape=[2, 3, 2], **attributes)
    yield "averagepool3d-all", one("AveragePool", CUBE, kernel_shape=[3] * 3, pads=[1] * 6, count_include_pad=1)
    yield "averagepool3d-ceil", one("AveragePool", CUBE, kernel_shape=[3] * 3, strides=[2] * 3, ceil_mode=1)
    for op, pad in product(("MaxPool", "AveragePool"), (0, 1)):
        attributes = {"dilations": [2, 2], "pads": [pad] * 4, "strides": [1, 2]}
        yield f"{op.lower()}-dilated-p{pad}", one(op, IMAGE, kernel_shape=[3, 2], **attributes)
    yield "maxpool1d-dilated", one("MaxPool", SIGNAL, kernel_shape=[3], dilations=[3], pads=[2, 2], strides=[2])
    for p in (1, 2, 3):
        yield f"lppool-{p}", one("LpPool", IMAGE, kernel_shape=[3, 2], pads=[1, 0, 1, 1], strides=[2, 1], p=p)


def resizes() -> Rows:
    for rule, size in product(("half_pixel", "align_corners", "asymmetric"), ((18, 16), (5, 6))):
        sizes = {"sizes": np.asarray([1, 6, *size])}
        attributes = {"mode": "cubic", "coordinate_transformation_mode": rule}
        yield f"resize-cubic-{rule}-{size[0]}", resize(IMAGE, sizes, **attributes)
    scales = {"scales": np.asarray([1, 1, 1.3, 0.7], np.float32)}
    yield "resize-linear-odd-scales", resize(IMAGE, scales, mode="linear")
    yield "resize-cubic-outside", resize(IMAGE, scales, mode="cubic", exclude_outside=1, cubic_coeff_a=-0.5)
    yield "resize-antialias", resize(IMAGE, {"sizes": np.asarray([1, 6, 4, 3])}, mode="linear", antialias=1)
    yield "resize-nearest-odd-scales", resize(IMAGE, scales, mode="nearest", nearest_mode="ceil")
    yield "resize-axes", resize(IMAGE, {"scales": np.asarray([2, 3], np.float32)}, mode="linear", axes=[3, 2])
    scales = {"scales": np.asarray([1, 1, 1.7], np.float32)}
    yield "resize-linear-signal", resize(SIGNAL, scales, mode="linear")


def resize(shape: tuple[int, ...], setting: dict[str, np.ndarray], **attributes: object) -> Graph:
    inputs = ["x", "", *("" if name == "sizes" else name for name in setting), *(n for n in setting if n == "sizes")]
    return Graph({"x": shape}, [node("Resize", inputs, **attributes)], setting)


def pads() -> Rows:
    for mode in ("reflect", "edge", "wrap"):
        yield f"pad-{mode}-3", one("Pad", IMAGE, {"p": np.asarray([0, 0, 3, 2, 0, 0, 1, 4])}, mode=mode)
        yield f"pad-{mode}-signal", one("Pad", SIGNAL, {"p": np.asarray([0, 0, 5, 0, 0, 2])}, mode=mode)
    for name, amounts in {"inside": [0, 0, 1, 0, 0, 0] * 2, "ends": [0, 2, 0, 0, 0, 1] * 2}.items():
        for mode in ("constant", "reflect", "edge"):
            yield f"pad-deep-{name}-{mode}", one("Pad", (1, 3, 2, 2, 3, 2), {"p": np.asarray(amounts)}, mode=mode)
        number = {"p": np.asarray(amounts), "v": np.float32(0.5)}
        yield f"pad-deep-{name}-number", one("Pad", (1, 3, 2, 2, 3, 2), number)
    yield "pad-negative", one("Pad", IMAGE, {"p": np.asarray([0, 0, -1, 2, 0, 0, 3, -2])})


def products() -> Rows:
    yield "matmul-row", Graph({"x": (1, 3, 8), "z": (1, 8, 1)}, [node("MatMul", ["x", "z"])])
    picked = [node("Gather", ["z", "first"], ["v"], axis=0), node("MatMul", ["x", "v"])]
    yield "matmul-vector", Graph({"x": (1, 3, 8), "z": (1, 8)}, picked, {"first": np.asarray(0)})
    picked = [node("Gather", ["z", "first"], ["v"], axis=0), node("MatMul", ["v", "x"])]
    yield "vector-matmul", Graph({"x": (1, 8, 3), "z": (1, 8)}, picked, {"first": np.asarray(0)})
