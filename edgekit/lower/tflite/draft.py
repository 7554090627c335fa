"""The file while it is written: ops in execution order, and each value's tensors in the orders they were asked for.

Data moves only here. A value taken in the order it is stored in costs nothing; in another order it is transposed once
and remembered; where only axes of size 1 change places, a RESHAPE does, and a RESHAPE of a RESHAPE is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit import affine
from edgekit.affine import QParams
from edgekit.lower.tflite.layout import Layout
from edgekit.lower.tflite.ops import Array, Node, Op, Order, Tensor, Value, moves_data, plain, stored_shape

FUSED: Mapping[str, int] = {
    "NONE": schema.ActivationFunctionType.NONE,
    "RELU": schema.ActivationFunctionType.RELU,
    "RELU6": schema.ActivationFunctionType.RELU6,
    "RELU_N1_TO_1": schema.ActivationFunctionType.RELU_N1_TO_1,
}


class Draft:
    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.ops: list[Op] = []
        self.node: Node | None = None
        self._tensors: dict[tuple[Value, Order], Tensor] = {}
        self._moved: dict[tuple[Tensor, tuple[int, ...], Order | None], Tensor] = {}
        self._reshaped_from: dict[Tensor, Tensor] = {}
        self._constants: dict[Any, Tensor] = {}
        self._names: set[str] = set()

    # -- what a lowering asks for -------------------------------------------------------------------------------------

    def input(self, node: Node, index: int) -> Tensor:
        """An input of the node in the order that the layout chose for it."""
        return self.take(node.input(index), self.order(node, index))

    def order(self, node: Node, index: int = 0) -> Order:
        return self.layout.taken[node][index]

    def output(self, value: Value) -> Tensor:
        """The tensor in which a node stores its result."""
        order = self.layout.stored[value]
        if (value, order) in self._tensors:
            return self._tensors[value, order]
        tensor = Tensor(
            name=self.unique(value.name),
            shape=stored_shape(value.shape, order),
            dtype=value.dtype,
            qparams=value.qparams,
        )
        self._tensors[value, order] = tensor
        return tensor

    def take(self, value: Value, order: Order) -> Tensor:
        """The value with its axes in this order."""
        if (value, order) in self._tensors:
            return self._tensors[value, order]
        if value.data is not None:
            tensor = self._take_constant(value, order)
        else:
            stored = self.layout.stored[value]
            permutation = tuple(stored.index(axis) for axis in order)
            tensor = self.transpose(self._tensors[value, stored], permutation)
        self._tensors[value, order] = tensor
        return tensor

    def emit(
        self, code: str, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor] | Tensor, options: Any = None
    ) -> None:
        origin = self.node.origin if self.node is not None else None
        results = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
        if code in ("ADD", "SUB") and results[0].dtype == np.int16:
            options.potScaleInt16 = False  # the first int16 kernels took powers of two only, and that is the default
        source = "" if origin is None else origin.name or ""
        self.ops.append(Op(code=code, inputs=tuple(inputs), outputs=results, options=options, source=source))

    def alias(self, value: Value, tensor: Tensor) -> None:
        """The value is this tensor: nothing to compute."""
        self._tensors[value, self.layout.stored[value]] = tensor

    # -- tensors ------------------------------------------------------------------------------------------------------

    def constant(self, data: Array, name: str, qparams: QParams | None = None) -> Tensor:
        """A constant tensor; equal ones are stored once, float16 ones are widened at run time."""
        data = np.asarray(data, order="C")  # ascontiguousarray would give a scalar an axis
        key = (data.dtype.str, data.shape, data.tobytes(), qparams)
        if key not in self._constants:
            stored = Tensor(name=self.unique(name), shape=data.shape, dtype=data.dtype, qparams=qparams, data=data)
            self._constants[key] = self._widened(stored) if data.dtype == np.float16 else stored
        return self._constants[key]

    def numbers(self, numbers: Sequence[int] | int, name: str) -> Tensor:
        return self.constant(np.asarray(numbers, np.int32), name)

    def temporary(self, like: Tensor, label: str, shape: Sequence[int] | None = None, **changes: Any) -> Tensor:
        """A tensor between two ops of one lowering, named after its neighbour."""
        fields = {"dtype": like.dtype, "qparams": like.qparams, **changes}
        return Tensor(
            name=self.unique(f"{like.name}_{label}"), shape=tuple(like.shape if shape is None else shape), **fields
        )

    def reshape(self, tensor: Tensor, shape: Sequence[int], result: Tensor | None = None) -> Tensor:
        """The same data under another shape. result: the tensor to write, where that one is wanted by name."""
        source = self._reshaped_from.get(tensor, tensor)
        shape = tuple(shape)
        if result is None:
            if source.shape == shape:
                return source
            if (source, shape, None) in self._moved:
                return self._moved[source, shape, None]
        made = self.temporary(tensor, "reshaped", shape) if result is None else result
        self.emit("RESHAPE", (source, self.numbers(shape, "shape")), made, schema.ReshapeOptionsT(newShape=list(shape)))
        self._reshaped_from[made] = source
        self._moved.setdefault((source, shape, None), made)
        return made

    def transpose(self, tensor: Tensor, permutation: Order, result: Tensor | None = None) -> Tensor:
        shape = stored_shape(tensor.shape, permutation)
        if not moves_data(tensor.shape, permutation):
            return self.reshape(tensor, shape, result)
        key = (tensor, shape, permutation)
        if result is None and key in self._moved:
            return self._moved[key]
        made = self.temporary(tensor, "transposed", shape) if result is None else result
        self.emit("TRANSPOSE", (tensor, self.numbers(permutation, "permutation")), made, schema.TransposeOptionsT())
        self._moved.setdefault(key, made)
        return made

    def broadcastable(self, value: Value, order: Order) -> Tensor:
        """An operand of an elementwise op whose result has this order: lower ranks get leading axes of size 1."""
        rank = len(order)
        if value.rank == rank:
            return self.take(value, order)
        shape = (1,) * (rank - value.rank) + value.shape
        if value.data is not None:
            return self._take_constant(value, order, shape)
        return self.transpose(self.reshape(self.take(value, plain(value.rank)), shape), order)

    def unique(self, name: str) -> str:
        found, count = name, 1
        while found in self._names:
            found, count = f"{name}_{count}", count + 1
        self._names.add(found)
        return found

    def _take_constant(self, value: Value, order: Order, shape: tuple[int, ...] | None = None) -> Tensor:
        assert value.data is not None
        data = value.data if shape is None else value.data.reshape(shape)
        qparams = value.qparams
        if qparams is not None and qparams.axis is not None:  # elementwise kernels take one scale: store it in float
            data, qparams = affine.dequantize(data, qparams), None
        return self.constant(data.transpose(order), value.name, qparams)

    def _widened(self, half: Tensor) -> Tensor:
        """float16 is how a constant is stored; kernels compute in float32."""
        wide = self.temporary(half, "float32", dtype=np.dtype(np.float32))
        self.emit("DEQUANTIZE", (half,), wide, schema.DequantizeOptionsT())
        return wide
