"""The op table, continued: functions of numbers, comparisons and normalizations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from onnx import TensorProto

from tests.lower.tflite.graphs import Graph, node

IMAGE = (1, 6, 9, 8)
ROWS = (1, 5, 12)
Rows = Iterator[tuple[str, Graph]]


def cases() -> Rows:
    for family in (
        curves,
        inverses,
        integers,
        unsigned,
        large,
        comparisons,
        choices,
        chains_of_operands,
        norms,
        clips,
        deep,
    ):
        yield from family()


def one(op: str, shape: tuple[int, ...] = ROWS, *constants: Any, **attributes: Any) -> Graph:
    """A graph of one op on `x` and constants."""
    named = {f"c{index}": np.asarray(data) for index, data in enumerate(constants)}
    return Graph({"x": shape}, [node(op, ["x", *named], **attributes)], named)


def after_conv(*behind: Any, **constants: Any) -> Graph:
    """conv -> nodes (c to y): channels last before them."""
    kernel = np.random.default_rng(5).normal(0, 0.3, (6, 6, 3, 3)).astype(np.float32)
    nodes = [node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3]), *behind]
    return Graph({"x": IMAGE}, nodes, {"w": kernel, **{name: np.asarray(data) for name, data in constants.items()}})


def numbers(count: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(1, 0.3, count).astype(np.float32)


def curves() -> Rows:
    for op in ("Ceil", "Round", "Sign", "Sin", "Cos", "Tan", "Erf", "Softplus", "Softsign", "Mish", "Sinh", "Cosh"):
        yield op.lower(), one(op)
        if op != "Tan":  # near its poles no digit is sure
            yield f"{op.lower()}-image", after_conv(node(op, ["c"]))
    for op, attributes in (
        ("Elu", {"alpha": 0.5}),
        ("Selu", {}),
        ("Selu", {"alpha": 2.0, "gamma": 3.0}),
        ("Celu", {"alpha": 2.0}),
        ("ThresholdedRelu", {"alpha": 0.7}),
        ("Shrink", {"lambd": 0.4, "bias": 0.1}),
    ):
        yield f"{op.lower()}-{'-'.join(map(str, attributes.values()))}", one(op, **attributes)
    yield "asinh", one("Asinh")
    yield "atan", one("Atan")
    yield "hardmax", one("Hardmax", axis=-1)
    yield "hardmax-image", after_conv(node("Hardmax", ["c"], axis=1))
    for axis in (1, -1):
        yield f"logsoftmax-{axis}", one("LogSoftmax", axis=axis)


def inverses() -> Rows:
    """Inside what they are defined on."""
    for op in ("Asin", "Acos", "Atanh"):
        nodes = [node("Tanh", ["x"], ["t"]), node("Mul", ["t", "c"], ["s"]), node(op, ["s"])]
        yield op.lower(), Graph({"x": ROWS}, nodes, {"c": np.float32(0.9)})
    yield "acosh", Graph({"x": ROWS}, [node("Cosh", ["x"], ["t"]), node("Acosh", ["t"])])
    yield "reciprocal", Graph({"x": ROWS}, [node("Exp", ["x"], ["e"]), node("Reciprocal", ["e"])])
    yield "fmod", one("Mod", ROWS, np.float32(0.7), fmod=1)
    yield "pow-integer", one("Pow", ROWS, np.asarray(3, np.int64))
    yield "pow-computed", Graph({"x": ROWS, "z": ROWS}, [node("Exp", ["x"], ["e"]), node("Pow", ["e", "z"])])


def integers() -> Rows:
    """float -> integers -> op -> float."""
    kinds = {
        "int8": TensorProto.INT8,
        "int16": TensorProto.INT16,
        "int32": TensorProto.INT32,
        "int64": TensorProto.INT64,
    }
    for name, kind in kinds.items():
        for op in ("Add", "Sub", "Mul", "Min", "Max", "Mod", "Abs", "Neg", "Sign", "ReduceSum", "ReduceMax"):
            operands = ["i", "three"] if op in ("Add", "Sub", "Mul", "Min", "Max", "Mod") else ["i"]
            nodes = [
                node("Mul", ["x", "ten"], ["t"]),
                node("Cast", ["t"], ["i"], to=kind),
                node(op, operands, ["j"]),
                node("Cast", ["j"], to=TensorProto.FLOAT),
            ]
            constants = {"ten": np.float32(10), "three": np.asarray(3, name)}
            if (name in ("int8", "int16") and op.startswith("Reduce")) or (name == "int16" and op in ("Min", "Max")):
                continue  # ONNX Runtime has none
            yield (
                f"{name}-{op.lower()}",
                Graph({"x": ROWS}, nodes, constants if len(operands) > 1 else {"ten": constants["ten"]}),
            )
    for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor"):
        nodes = [node("Cast", ["z"], ["i"], to=TensorProto.INT16), node(op, ["i", "m"], ["j"]),
                 node("Cast", ["j"], to=TensorProto.FLOAT)]  # fmt: skip
        yield op.lower(), Graph({"z": (1, 12)}, nodes, {"m": np.asarray(6, np.int16)}, int64_inputs={"z": 16})
    nodes = [node("Cast", ["z"], ["i"], to=TensorProto.INT32), node("Div", ["i", "three"], ["j"]),
             node("Cast", ["j"], to=TensorProto.FLOAT)]  # fmt: skip
    yield "div-integers", Graph({"z": (1, 12)}, nodes, {"three": np.asarray(3, np.int32)}, int64_inputs={"z": 16})


def unsigned() -> Rows:
    """Integers -> unsigned ones, some above the largest signed one -> op -> integers."""
    for kind in (TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32):
        name = TensorProto.DataType.Name(kind).lower()
        for op, attributes in (("Abs", {}), ("Sign", {}), ("Mod", {"fmod": 1})):
            steps = [
                node("Cast", ["z"], ["u"], to=kind),
                node(op, ["u", "seven"] if op == "Mod" else ["u"], ["v"], **attributes),
                node("Cast", ["v"], to=TensorProto.INT64),
            ]
            constants = {"seven": np.asarray(7, name)} if op == "Mod" else {}
            bound = min(np.iinfo(name).max, 2**33) + 1
            yield f"{name}-{op.lower()}", Graph({"z": (1, 40)}, steps, constants, int64_inputs={"z": bound})
    nodes = [
        node("Cast", ["z"], ["u"], to=TensorProto.UINT8),
        node("TopK", ["u", "k"], ["v", "i"], largest=0),
        node("Cast", ["v"], to=TensorProto.INT64),
    ]
    yield "uint8-topk", Graph({"z": (1, 40)}, nodes, {"k": np.asarray([9])}, ("y", "i"), {"z": 256})
    for name, kind in (("int32", TensorProto.INT32), ("int64", TensorProto.INT64)):
        least = np.iinfo(name).min
        nodes = [
            node("Cast", ["z"], ["s"], to=kind),
            node("Mul", ["s", "half"], ["w"]),  # of odd numbers the smallest there is
            node("TopK", ["w", "k"], ["y", "i"], largest=0),
        ]
        constants = {"half": np.asarray(least, name), "k": np.asarray([9])}
        yield f"{name}-topk", Graph({"z": (1, 40)}, nodes, constants, ("y", "i"), {"z": 256})


def large() -> Rows:
    """Integers of which float has not all digits."""
    least, most = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    for low, high in ((0, most), (least, 3), (2**53 + 1, 2**53 + 5), (least, most)):
        nodes = [node("Add", ["z", "base"], ["w"]), node("Clip", ["w", "low", "high"])]
        constants = {"base": np.asarray(2**53 if low > 3 else 0), "low": np.asarray(low), "high": np.asarray(high)}
        yield f"clip-{low}-{high}", Graph({"z": (1, 40)}, nodes, constants, int64_inputs={"z": 9})
    constants = {"amounts": np.asarray([0, 1, 0, 1]), "value": np.asarray(2**60 + 1)}
    yield "pad-large", Graph({"z": (1, 5)}, [node("Pad", ["z", *constants])], constants, int64_inputs={"z": 9})


def comparisons() -> Rows:
    """Two comparisons, joined, as a factor."""
    for op in ("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"):
        nodes = [node(op, ["x", "z"], ["b"]), node("Cast", ["b"], ["f"], to=TensorProto.FLOAT), node("Mul", ["x", "f"])]
        yield op.lower(), Graph({"x": ROWS, "z": ROWS}, nodes)
    for op in ("And", "Or", "Xor"):
        nodes = [
            node("Greater", ["x", "half"], ["a"]),
            node("Greater", ["z", "half"], ["b"]),
            node(op, ["a", "b"], ["c"]),
            node("Not", ["c"], ["d"]),
            node("Cast", ["d"], ["f"], to=TensorProto.FLOAT),
            node("Add", ["x", "f"]),
        ]
        yield op.lower(), Graph({"x": ROWS, "z": ROWS}, nodes, {"half": np.float32(0.5)})
    for op in ("IsNaN", "IsInf"):
        nodes = [node(op, ["x"], ["b"]), node("Cast", ["b"], ["f"], to=TensorProto.FLOAT), node("Add", ["x", "f"])]
        yield op.lower(), Graph({"x": ROWS}, nodes)


def choices() -> Rows:
    greater = node("Greater", ["x", "z"], ["b"])
    yield "where", Graph({"x": ROWS, "z": ROWS}, [greater, node("Where", ["b", "x", "z"])])
    yield (
        "where-constant",
        Graph({"x": ROWS, "z": ROWS}, [greater, node("Where", ["b", "x", "c"])], {"c": np.float32(0.5)}),
    )
    mask = np.tril(np.ones((5, 12), np.bool_))
    yield "where-mask", Graph({"x": ROWS}, [node("Where", ["m", "x", "c"])], {"m": mask, "c": np.float32(0)})


def chains_of_operands() -> Rows:
    for op in ("Sum", "Mean"):
        yield f"{op.lower()}-three", Graph({"x": ROWS, "z": ROWS, "v": (1, 1, 12)}, [node(op, ["x", "z", "v"])])
        yield f"{op.lower()}-one", one(op)


def norms() -> Rows:
    for shape in ((1, 6, 17), IMAGE):
        channels = (numbers(6), numbers(6, 4))
        yield f"instancenormalization-{len(shape)}", one("InstanceNormalization", shape, *channels)
    scale, bias = numbers(6), numbers(6, 4)
    yield (
        "instancenormalization-conv",
        after_conv(node("InstanceNormalization", ["c", "s", "b"], epsilon=1e-3), s=scale, b=bias),
    )
    yield "lpnormalization-1", one("LpNormalization", ROWS, p=1, axis=1)
    yield "lpnormalization-2", after_conv(node("LpNormalization", ["c"], p=2, axis=1))
    yield "meanvariancenormalization", one("MeanVarianceNormalization", IMAGE, axes=[0, 2, 3])
    yield "lrn", after_conv(node("LRN", ["c"], size=3, alpha=0.1, beta=0.6, bias=1.5))
    yield "layernormalization-middle", one("LayerNormalization", ROWS, numbers(60).reshape(5, 12), axis=1)
    statistics = Graph(
        {"x": ROWS}, [node("LayerNormalization", ["x", "s"], ["y", "m", "i"])], {"s": numbers(12)}, ("y", "m", "i")
    )
    yield "layernormalization-statistics", statistics


def deep() -> Rows:
    """Operands of many axes that broadcast."""
    for rank in (5, 6, 7):
        first, second = ((1, *(3 if axis % 2 == side else 1 for axis in range(rank - 1))) for side in (0, 1))
        for op in ("Add", "Mul", "Max", "Div"):
            nodes = [node("Exp", ["z"], ["e"]), node(op, ["x", "e"])]
            yield f"{op.lower()}-deep-{rank}", Graph({"x": first, "z": second}, nodes)
        joined = [node("Greater", ["x", "z"], ["b"]), node("And", ["b", "t"], ["c"]), node("Where", ["c", "x", "z"])]
        yield f"where-deep-{rank}", Graph({"x": first, "z": second}, joined, {"t": np.asarray([True])})


def clips() -> Rows:
    """Bounds that are computed: the largest of z's elements, and the smallest."""
    least, most = (node(op, ["z"], [name], keepdims=0) for op, name in (("ReduceMin", "low"), ("ReduceMax", "high")))
    yield "clip-computed", Graph({"x": ROWS, "z": (1, 3)}, [least, most, node("Clip", ["x", "low", "high"])])
    above = [node("Add", ["x", "x"], ["a"]), most, node("Clip", ["a", "zero", "high"])]
    yield "clip-computed-above", Graph({"x": ROWS, "z": (1, 3)}, above, {"zero": np.float32(0)})
    yield "prelu-computed", Graph({"x": ROWS, "z": (1, 1, 12)}, [node("PRelu", ["x", "z"])])
