"""The op table: operator x shape x attributes. Each row is a small graph that both runtimes must compute alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np

from tests.lower.tflite.graphs import Graph, node

IMAGE = (1, 6, 9, 8)
SIGNAL = (1, 6, 17)


def cases() -> dict[str, Graph]:
    found: dict[str, Graph] = {}
    for family in (
        convolutions,
        convolutions_in_one_dimension,
        transposed_convolutions,
        matrices,
        arithmetic,
        activations,
        pools,
        reductions,
        movers,
        resizes,
        chains,
    ):
        for name, graph in family():
            assert name not in found, name
            found[name] = graph
    return found


Rows = Iterator[tuple[str, Graph]]


def weights(*shape: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng([seed, *shape])
    return (rng.normal(size=shape) / np.sqrt(max(1, np.prod(shape[1:])))).astype(np.float32)


def one(op: str, shape: tuple[int, ...], constants: Mapping[str, Any] | None = None, **attributes: Any) -> Graph:
    """A graph of one op on `x` and constants."""
    constants = {name: np.asarray(data) for name, data in (constants or {}).items()}
    return Graph({"x": shape}, [node(op, ["x", *constants], **attributes)], constants)


def convolutions() -> Rows:
    for kernel, stride, pads, dilation in product((1, 3, 5), (1, 2), ("none", "same", "one", "uneven"), (1, 2)):
        extent = (kernel - 1) * dilation + 1
        if extent > 8 or (dilation > 1 and stride > 1) or (kernel == 1 and dilation > 1):
            continue
        low = {"none": 0, "same": extent // 2, "one": 1, "uneven": 2}[pads]
        amounts = [low, low, max(0, low - (pads == "uneven")), low]
        for groups, outputs in ((1, 7), (6, 6), (6, 12), (2, 4), (3, 6)):
            if groups in (2, 3) and (kernel != 3 or pads == "one"):
                continue
            constants = {"w": weights(outputs, 6 // groups, kernel, kernel), "b": weights(outputs, 1)[:, 0]}
            name = f"conv-k{kernel}-s{stride}-{pads}-d{dilation}-g{groups}-o{outputs}"
            attributes = {"strides": [stride] * 2, "dilations": [dilation] * 2, "pads": amounts, "group": groups}
            yield name, one("Conv", IMAGE, constants, kernel_shape=[kernel] * 2, **attributes)
    yield "conv-no-bias", one("Conv", IMAGE, {"w": weights(5, 6, 3, 3)}, kernel_shape=[3, 3])
    yield "conv-tall", one("Conv", IMAGE, {"w": weights(5, 6, 5, 1)}, kernel_shape=[5, 1], pads=[2, 0, 2, 0])
    yield "conv-one-channel", one("Conv", (1, 1, 8, 8), {"w": weights(4, 1, 3, 3)}, kernel_shape=[3, 3])
    for clamp in ("relu", "relu6", "one", "odd"):
        bounds = {"relu": None, "relu6": (0, 6), "one": (-1, 1), "odd": (-0.3, 0.4)}[clamp]
        yield f"conv-{clamp}", clamped(node("Conv", ["x", "w", "b"], ["a"], kernel_shape=[3, 3]), bounds)


def clamped(first: Any, bounds: tuple[float, float] | None) -> Graph:
    constants: dict[str, np.ndarray] = {"w": weights(5, 6, 3, 3) * 4, "b": weights(5, 1)[:, 0]}
    if bounds is None:
        return Graph({"x": IMAGE}, [first, node("Relu", ["a"])], constants)
    constants |= {"low": np.float32(bounds[0]), "high": np.float32(bounds[1])}
    return Graph({"x": IMAGE}, [first, node("Clip", ["a", "low", "high"])], constants)


def convolutions_in_one_dimension() -> Rows:
    for kernel, stride, pad, groups in product((1, 3, 4), (1, 2), (0, 1), (1, 6)):
        constants = {"w": weights(6, 6 // groups, kernel), "b": weights(6, 1)[:, 0]}
        attributes = {"strides": [stride], "pads": [pad, pad], "group": groups}
        name = f"conv1d-k{kernel}-s{stride}-p{pad}-g{groups}"
        yield name, one("Conv", SIGNAL, constants, kernel_shape=[kernel], **attributes)
    yield (
        "conv1d-chain",
        Graph(
            {"x": SIGNAL},
            [
                node("Conv", ["x", "w"], ["a"], kernel_shape=[3], pads=[1, 1]),
                node("Relu", ["a"], ["r"]),
                node("Conv", ["r", "v"], ["y"], kernel_shape=[3], dilations=[2], pads=[2, 2]),
            ],
            {"w": weights(4, 6, 3), "v": weights(5, 4, 3)},
        ),
    )


def transposed_convolutions() -> Rows:
    for kernel, stride, pad, extra, groups in product((2, 3, 4), (1, 2), (0, 1), (0, 1), (1, 2)):
        if extra >= stride or (groups == 2 and kernel != 3):
            continue
        constants = {"w": weights(6, 4 // groups, kernel, kernel), "b": weights(4, 1)[:, 0]}
        attributes = {"strides": [stride] * 2, "pads": [pad] * 4, "output_padding": [extra] * 2, "group": groups}
        name = f"convtranspose-k{kernel}-s{stride}-p{pad}-e{extra}-g{groups}"
        yield name, one("ConvTranspose", (1, 6, 5, 4), constants, kernel_shape=[kernel] * 2, **attributes)
    yield (
        "convtranspose-1d",
        one("ConvTranspose", SIGNAL, {"w": weights(6, 4, 4)}, kernel_shape=[4], strides=[2], pads=[1, 1]),
    )


def matrices() -> Rows:
    for shape in ((1, 12), (1, 5, 12), (1, 2, 5, 12)):
        yield f"matmul-constant-{len(shape)}", one("MatMul", shape, {"w": weights(12, 7)})
    yield "gemm", one("Gemm", (1, 12), {"w": weights(7, 12), "b": weights(7, 1)[:, 0]}, transB=1)
    yield "gemm-no-bias", one("Gemm", (1, 12), {"w": weights(7, 12)}, transB=1)
    yield "gemm-wide", one("Gemm", (1, 500), {"w": weights(100, 500), "b": weights(100, 1)[:, 0]}, transB=1)
    yield (
        "gemm-relu",
        Graph(
            {"x": (1, 12)},
            [node("Gemm", ["x", "w", "b"], ["a"], transB=1), node("Relu", ["a"])],
            {"w": weights(7, 12), "b": weights(7, 1)[:, 0]},
        ),
    )
    yield "matmul", Graph({"x": (1, 3, 5, 8), "z": (1, 3, 8, 4)}, [node("MatMul", ["x", "z"])])
    yield (
        "matmul-transposed",
        Graph(
            {"x": (1, 3, 5, 8), "z": (1, 3, 4, 8)},
            [node("Transpose", ["z"], ["t"], perm=[0, 1, 3, 2]), node("MatMul", ["x", "t"])],
        ),
    )


def arithmetic() -> Rows:
    for op in ("Add", "Sub", "Mul"):
        for shape in (IMAGE, SIGNAL, (1, 12)):
            yield f"{op.lower()}-{len(shape)}", Graph({"x": shape, "z": shape}, [node(op, ["x", "z"])])
        yield f"{op.lower()}-gate", Graph({"x": IMAGE, "z": (1, 6, 1, 1)}, [node(op, ["x", "z"])])
        yield f"{op.lower()}-channel", one(op, IMAGE, {"c": weights(6, 1, 1)})
        yield f"{op.lower()}-scalar", one(op, IMAGE, {"c": np.float32(0.7)})
        yield f"{op.lower()}-after-conv", around(node(op, ["a", "c"], ["s"]), {"c": weights(5, 1, 1)})
    yield "add-lower-rank", Graph({"x": IMAGE, "z": (1, 8)}, [node("Add", ["x", "z"])])
    yield "add-relu", Graph({"x": IMAGE, "z": IMAGE}, [node("Add", ["x", "z"], ["a"]), node("Relu", ["a"])])
    yield "div", Graph({"x": IMAGE}, [node("Exp", ["x"], ["e"]), node("Div", ["x", "e"])])
    yield "div-scalar", one("Div", IMAGE, {"c": np.float32(3.0)})
    yield "pow-2", one("Pow", IMAGE, {"c": np.float32(2.0)})
    yield "pow-3", one("Pow", IMAGE, {"c": np.float32(3.0)})
    for op in ("Min", "Max"):
        yield op.lower(), Graph({"x": IMAGE, "z": IMAGE}, [node(op, ["x", "z"])])
        yield f"{op.lower()}-three", Graph({"x": IMAGE, "z": IMAGE, "v": IMAGE}, [node(op, ["x", "z", "v"])])
        yield f"{op.lower()}-constant", one(op, IMAGE, {"c": np.float32(0.25)})


def around(middle: Any, constants: Mapping[str, np.ndarray]) -> Graph:
    """conv -> middle (a to s) -> conv: channels last on both sides."""
    nodes = [
        node("Conv", ["x", "w"], ["a"], kernel_shape=[3, 3]),
        middle,
        node("Conv", ["s", "v"], ["y"], kernel_shape=[1, 1]),
    ]
    return Graph({"x": IMAGE}, nodes, {"w": weights(5, 6, 3, 3), "v": weights(4, 5, 1, 1), **constants})


def activations() -> Rows:
    plain = ("Relu", "Sigmoid", "Tanh", "HardSwish", "Elu", "Neg", "Abs", "Exp", "Floor")
    for op, shape in product(plain, (IMAGE, (1, 12))):
        yield f"{op.lower()}-{len(shape)}", one(op, shape)
    for shape in (IMAGE, SIGNAL, (1, 12)):
        yield f"hardsigmoid-{len(shape)}", one("HardSigmoid", shape, alpha=1 / 6, beta=0.5)
    yield "hardsigmoid-steep", one("HardSigmoid", IMAGE, alpha=0.2, beta=0.5)
    for op in ("Sqrt", "Log"):
        yield op.lower(), Graph({"x": IMAGE}, [node("Exp", ["x"], ["e"]), node(op, ["e"])])
    for alpha in (0.01, 0.3):
        yield f"leakyrelu-{alpha}", one("LeakyRelu", IMAGE, alpha=alpha)
    yield "prelu-channel", one("PRelu", IMAGE, {"c": np.abs(weights(6, 1, 1))})
    yield "prelu-scalar", one("PRelu", IMAGE, {"c": np.asarray([0.2], np.float32)})
    for approximate in ("none", "tanh"):
        yield f"gelu-{approximate}", one("Gelu", (1, 5, 12), approximate=approximate)
    for low, high in ((0, 6), (-1, 1), (0, 1), (-0.5, 2.0), (None, 1.5), (-0.5, None)):
        bounds = {"low": low, "high": high}
        names = [name if value is not None else "" for name, value in bounds.items()]
        constants = {name: np.float32(value) for name, value in bounds.items() if value is not None}
        yield f"clip-{low}-{high}", Graph({"x": IMAGE}, [node("Clip", ["x", *names])], constants)
    for shape, axis in (((1, 12), 1), ((1, 5, 12), -1), (IMAGE, 1), (IMAGE, 3), (IMAGE, 2), ((1, 1000), 1)):
        yield f"softmax-{len(shape)}-{axis}-{shape[-1]}", one("Softmax", shape, axis=axis)
    stats = {"s": weights(6, 1)[:, 0], "b": weights(6, 1)[:, 0], "m": weights(6, 1)[:, 0], "v": np.full(6, 0.7, "f4")}
    yield "batchnormalization", one("BatchNormalization", IMAGE, stats)
    yield "layernormalization", one("LayerNormalization", (1, 5, 12), {"s": weights(12, 1)[:, 0] + 1}, axis=-1)
    affine = {"s": weights(8, 1)[:, 0] + 1, "b": weights(8, 1)[:, 0]}
    yield "layernormalization-image", one("LayerNormalization", IMAGE, affine, axis=-1)
    yield "swish", Graph({"x": IMAGE}, [node("Sigmoid", ["x"], ["s"]), node("Mul", ["x", "s"])])
    yield (
        "hardswish-in-two",
        Graph({"x": IMAGE}, [node("HardSigmoid", ["x"], ["s"], alpha=1 / 6, beta=0.5), node("Mul", ["x", "s"])]),
    )


def pools() -> Rows:
    for op, kernel, stride, pad, ceil in product(("MaxPool", "AveragePool"), (2, 3), (1, 2), (0, 1), (0, 1)):
        attributes: dict[str, Any] = {"strides": [stride] * 2, "pads": [pad] * 4, "ceil_mode": ceil}
        for counted in (0, 1) if op == "AveragePool" and pad else (None,):
            extra = {} if counted is None else {"count_include_pad": counted}
            name = f"{op.lower()}-k{kernel}-s{stride}-p{pad}-c{ceil}" + ("" if counted is None else f"-i{counted}")
            yield name, one(op, IMAGE, kernel_shape=[kernel] * 2, **attributes, **extra)
    for op in ("MaxPool", "AveragePool"):
        yield f"{op.lower()}-1d", one(op, SIGNAL, kernel_shape=[3], strides=[2])
        yield f"{op.lower()}-wide", one(op, IMAGE, kernel_shape=[1, 4], strides=[1, 4])
        yield f"{op.lower()}-whole", one(op, IMAGE, kernel_shape=[9, 8])
        yield f"global{op.lower()}", one(f"Global{op}", IMAGE)
        yield f"global{op.lower()}-1d", one(f"Global{op}", SIGNAL)
        yield f"global{op.lower()}-3d", one(f"Global{op}", (1, 6, 3, 4, 5))
    relu = [node("Relu", ["x"], ["r"]), node("MaxPool", ["r"], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)]
    yield "maxpool-after-relu", Graph({"x": IMAGE}, relu)


def reductions() -> Rows:
    for op, axes, keep in product(
        ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum"), ([2, 3], [1], [-1], [1, 2, 3]), (0, 1)
    ):
        name = f"{op.lower()}-{'_'.join(map(str, axes))}-k{keep}"
        yield name, one(op, IMAGE, {"axes": np.asarray(axes)}, keepdims=keep)
    yield (
        "reducemean-after-conv",
        Graph(
            {"x": IMAGE},
            [
                node("Conv", ["x", "w"], ["a"], kernel_shape=[3, 3]),
                node("ReduceMean", ["a", "axes"], ["m"], keepdims=0),
                node("Gemm", ["m", "v"], ["y"], transB=1),
            ],
            {"w": weights(5, 6, 3, 3), "axes": np.asarray([2, 3]), "v": weights(4, 5)},
        ),
    )


def movers() -> Rows:
    for axis in (1, 2, 3):
        other = tuple(3 if i == axis else n for i, n in enumerate(IMAGE))
        yield f"concat-{axis}", Graph({"x": IMAGE, "z": other}, [node("Concat", ["x", "z"], axis=axis)])
        yield f"split-even-{axis}", split(axis, [IMAGE[axis] // 2] * 2 if IMAGE[axis] % 2 == 0 else [3, 3, 3])
        yield f"split-uneven-{axis}", split(axis, [2, IMAGE[axis] - 2])
    yield "concat-constant", one("Concat", (1, 12), {"c": weights(1, 3)}, axis=1)
    for mode, amounts in (
        ("constant", [0, 0, 1, 2, 0, 0, 2, 1]),
        ("constant", [0, 1, 0, 0, 0, 2, 0, 0]),
        ("reflect", [0, 0, 1, 2, 0, 0, 2, 1]),
        ("edge", [0, 0, 1, 1, 0, 0, 1, 0]),
    ):
        yield f"pad-{mode}-{amounts[1]}", one("Pad", IMAGE, {"pads": np.asarray(amounts)}, mode=mode)
    value = {"pads": np.asarray([0, 0, 1, 1, 0, 0, 1, 1]), "value": np.float32(0.5)}
    yield "pad-value", one("Pad", IMAGE, value)
    for shape in ([1, 6, 72], [1, 432], [1, 54, 8], [1, 2, 3, 9, 8], [1, 6, 3, 3, 8], [-1, 8]):
        yield f"reshape-{'_'.join(map(str, shape))}", one("Reshape", IMAGE, {"shape": np.asarray(shape)})
    for permutation in ((0, 2, 3, 1), (0, 3, 1, 2), (0, 1, 3, 2)):
        yield f"transpose-{''.join(map(str, permutation))}", one("Transpose", IMAGE, perm=permutation)
    for name, (starts, ends, axes, steps) in {
        "rows": ([1], [7], [2], [1]),
        "step": ([0, 1], [9, 8], [2, 3], [2, 3]),
        "end": ([-3], [2**31], [1], [1]),
        "back": ([-1], [-(2**31)], [3], [-1]),
    }.items():
        arrays = {"starts": starts, "ends": ends, "axes": axes, "steps": steps}
        yield f"slice-{name}", one("Slice", IMAGE, {key: np.asarray(x) for key, x in arrays.items()})
    thin = {"starts": [0, 0], "ends": [9, 8], "axes": [2, 3], "steps": [2, 2]}
    yield "slice-thin", around(node("Slice", ["a", *thin], ["s"]), {key: np.asarray(x) for key, x in thin.items()})
    for axis, indices in ((1, [3, 0, -1]), (3, [2]), (2, 4), (1, [[0, 1], [2, 3]])):
        name = f"gather-{axis}-{np.ndim(indices)}"
        yield name, one("Gather", IMAGE, {"indices": np.asarray(indices)}, axis=axis)
    yield "expand", one("Expand", (1, 6, 1, 1), {"shape": np.asarray([1, 6, 4, 5])})
    yield "expand-rank", one("Expand", (1, 6), {"shape": np.asarray([1, 3, 4, 6])})
    yield "tile", one("Tile", IMAGE, {"repeats": np.asarray([1, 2, 1, 3])})
    for mode in ("DCR", "CRD"):
        yield f"depthtospace-{mode.lower()}", one("DepthToSpace", (1, 12, 4, 5), blocksize=2, mode=mode)
        nodes = [
            node("Conv", ["x", "w", "b"], ["a"], kernel_shape=[3, 3]),
            node("DepthToSpace", ["a"], blocksize=2, mode=mode),
        ]
        constants = {"w": weights(12, 6, 3, 3), "b": weights(12, 1)[:, 0]}
        yield f"depthtospace-{mode.lower()}-conv", Graph({"x": IMAGE}, nodes, constants)
    yield "spacetodepth", one("SpaceToDepth", (1, 3, 8, 4), blocksize=2)
    compare = [node("Greater", ["x", "z"], ["g"]), node("Where", ["g", "x", "z"])]
    yield "where", Graph({"x": IMAGE, "z": IMAGE}, compare)
    yield "flatten", one("Flatten", IMAGE)
    yield "squeeze", one("Squeeze", (1, 6, 1, 8), {"axes": np.asarray([2])})
    yield "unsqueeze", one("Unsqueeze", SIGNAL, {"axes": np.asarray([2])})
    yield "identity", Graph({"x": IMAGE}, [node("Identity", ["x"], ["i"]), node("Relu", ["i"])])


def split(axis: int, sizes: list[int]) -> Graph:
    outputs = tuple(f"y{i}" for i in range(len(sizes)))
    splitting = node("Split", ["x", "sizes"], outputs, axis=axis)
    return Graph({"x": IMAGE}, [splitting], {"sizes": np.asarray(sizes)}, outputs)


def resizes() -> Rows:
    for mode, rule, size in product(
        ("linear", "nearest"), ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"), ((18, 16), (5, 6))
    ):
        nearest = {"nearest_mode": "floor"} if mode == "nearest" else {}
        attributes = {"mode": mode, "coordinate_transformation_mode": rule, **nearest}
        sizes = np.asarray([1, 6, *size])
        yield (
            f"resize-{mode}-{rule}-{size[0]}",
            Graph({"x": IMAGE}, [node("Resize", ["x", "", "", "sizes"], **attributes)], {"sizes": sizes}),
        )
    scales = np.asarray([1, 1, 2, 2], np.float32)
    for rule, nearest_mode in (("asymmetric", "floor"), ("half_pixel", "round_prefer_floor")):
        attributes = {"coordinate_transformation_mode": rule, "nearest_mode": nearest_mode}
        graph = Graph({"x": IMAGE}, [node("Resize", ["x", "", "scales"], **attributes)], {"scales": scales})
        yield f"resize-scales-{rule}", graph


def chains() -> Rows:
    yield (
        "flatten-gemm",
        Graph(
            {"x": IMAGE},
            [
                node("Conv", ["x", "w"], ["a"], kernel_shape=[3, 3]),
                node("Reshape", ["a", "shape"], ["f"]),
                node("Gemm", ["f", "v", "b"], ["y"], transB=1),
            ],
            {"w": weights(5, 6, 3, 3), "shape": np.asarray([-1, 210]), "v": weights(4, 210), "b": weights(4, 1)[:, 0]},
        ),
    )
    yield (
        "squeeze-excite",
        Graph(
            {"x": IMAGE},
            [
                node("Conv", ["x", "w"], ["a"], kernel_shape=[3, 3]),
                node("GlobalAveragePool", ["a"], ["p"]),
                node("Conv", ["p", "v"], ["q"], kernel_shape=[1, 1]),
                node("Sigmoid", ["q"], ["g"]),
                node("Mul", ["a", "g"], ["y"]),
            ],
            {"w": weights(5, 6, 3, 3), "v": weights(5, 5, 1, 1)},
        ),
    )
    yield (
        "channel-shuffle",
        Graph(
            {"x": IMAGE},
            [
                node("Conv", ["x", "w"], ["a"], kernel_shape=[1, 1]),
                node("Reshape", ["a", "apart"], ["b"]),
                node("Transpose", ["b"], ["c"], perm=[0, 2, 1, 3, 4]),
                node("Reshape", ["c", "together"], ["d"]),
                node("Conv", ["d", "v"], ["y"], kernel_shape=[1, 1]),
            ],
            {
                "w": weights(6, 6, 1, 1),
                "v": weights(4, 6, 1, 1),
                "apart": np.asarray([1, 2, 3, 9, 8]),
                "together": np.asarray([1, 6, 9, 8]),
            },
        ),
    )
    yield (
        "tokens",
        Graph(
            {"x": IMAGE},
            [
                node("Conv", ["x", "w"], ["a"], kernel_shape=[2, 2], strides=[2, 2]),
                node("Reshape", ["a", "shape"], ["b"]),
                node("Transpose", ["b"], ["t"], perm=[0, 2, 1]),
                node("MatMul", ["t", "v"], ["y"]),
            ],
            {"w": weights(5, 6, 2, 2), "shape": np.asarray([1, 5, 16]), "v": weights(5, 7)},
        ),
    )
    yield (
        "group-norm",
        Graph(
            {"x": IMAGE},
            [
                node("Conv", ["x", "w"], ["a"], kernel_shape=[3, 3]),
                node("Reshape", ["a", "rows"], ["b"]),
                node("InstanceNormalization", ["b", "s", "t"], ["n"], epsilon=1e-3),
                node("Reshape", ["n", "image"], ["d"]),
                node("Conv", ["d", "v"], ["y"], kernel_shape=[1, 1]),
            ],
            {
                "w": weights(4, 6, 3, 3),
                "rows": np.asarray([0, 2, -1]),
                "s": weights(2, 1)[:, 0],
                "t": weights(2, 1, seed=2)[:, 0],
                "image": np.asarray([1, 4, 7, 6]),
                "v": weights(4, 4, 1, 1),
            },
        ),
    )
    yield (
        "image-pooling",
        Graph(
            {"x": IMAGE},
            [
                node("Conv", ["x", "w"], ["a"], kernel_shape=[3, 3]),
                node("GlobalAveragePool", ["a"], ["p"]),
                node("Expand", ["p", "shape"], ["e"]),
                node("Concat", ["e", "a"], ["c"], axis=1),
                node("Conv", ["c", "v"], ["y"], kernel_shape=[1, 1]),
            ],
            {"w": weights(5, 6, 3, 3), "shape": np.asarray([1, 5, 7, 6]), "v": weights(4, 10, 1, 1)},
        ),
    )
    yield (
        "pools-in-three-dimensions",
        Graph(
            {"x": (1, 2, 5, 6, 7)},
            [
                node("Relu", ["x"], ["r"]),
                node("Conv", ["r", "w"], ["a"], kernel_shape=[1, 1, 1]),
                node("MaxPool", ["a"], ["m"], kernel_shape=[2, 2, 2], strides=[1, 2, 2]),
                node("Conv", ["m", "v"], ["c"], kernel_shape=[1, 1, 1]),
                node("AveragePool", ["c"], ["p"], kernel_shape=[1, 2, 2]),
                node("Conv", ["p", "u"], ["y"], kernel_shape=[1, 1, 1]),
            ],
            {"w": weights(3, 2, 1, 1, 1), "v": weights(4, 3, 1, 1, 1), "u": weights(3, 4, 1, 1, 1)},
        ),
    )
    constants = {"w": weights(5, 3, 4, 4), "v": weights(60, 12), "b": weights(60, 1)[:, 0]}
    nodes = [
        node("Gemm", ["x", "v", "b"], ["a"], transB=1),
        node("Relu", ["a"], ["r"]),
        node("Reshape", ["r", "shape"], ["i"]),
        node("ConvTranspose", ["i", "w"], ["y"], kernel_shape=[4, 4], strides=[2, 2], pads=[1] * 4),
    ]
    yield "unflatten-conv", Graph({"x": (1, 12)}, nodes, {**constants, "shape": np.asarray([-1, 5, 3, 4])})
