"""A TFLite file cut into models of one op each, to be measured one by one (`alone.py`).

A cut holds the op with its options, the tensors that it reads and writes with their scales, and its constants; what is
computed from constants only comes along, as a runtime folds it. Ops that differ in nothing that a kernel's speed
depends on (op and version, options, shapes, types, which operands are constant, how many scales) share one cut. Large
constants are not sent twice: a cut names where in the file they are.

What a chain of ops gains where a runtime fuses them, or keeps what flows between them in a cache, a cut does not show;
nor what starting a runtime costs once per file and not once per op. Their sum is therefore scaled to the whole.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.errors import EdgekitError
from edgekit.run.tflite_bytes import tflite_bytes

MOST_CUTS = 200
"""Of one file. The largest of the 32 nets of benchmarks/coverage.py has about 100 kinds of ops among 1 500."""
SMALL_BYTES = 256  # a constant up to this size is sent with its cut
TELLING_VALUES = 64  # so few whole numbers without a scale are axes, shapes, paddings, which decide on an op's work
OWN, FILE = 0, 1
"""Where a piece is from: from what is sent for the cuts, or from the model file."""

_OPS: dict[int, str] = {number: name for name, number in vars(schema.BuiltinOperator).items() if name.isupper()}
_TYPES: dict[int, str] = {number: name for name, number in vars(schema.TensorType).items() if name.isupper()}
_KEPT = frozenset({"RESOURCE", "VARIANT"})  # what such a tensor stands for outlives a run
_WHOLE_NUMBERS = frozenset(
    {schema.TensorType.INT32, schema.TensorType.INT64, schema.TensorType.INT16, schema.TensorType.BOOL}
)

Piece = tuple[int, int, int]
"""Source, first byte, bytes."""


@dataclass(frozen=True, kw_only=True)
class FileOp:
    """An op of the file. node: the first tensor that it gives, or its place where it gives none; cut: the number of the
    cut that stands for it, None where there is none, and then why."""

    node: str
    op: str
    cut: int | None
    why: str | None = None


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A model of one op. pieces: its bytes, one after the other; inputs: the file's tensors that it takes, in order."""

    pieces: tuple[Piece, ...]
    inputs: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Cuts:
    """ops: all of the file but those computed once, in the order they run; own: bytes that only the cuts have."""

    ops: tuple[FileOp, ...]
    cuts: tuple[Cut, ...]
    own: bytes


def cut_ops(path: Path, most: int = MOST_CUTS) -> Cuts:
    """Raises EK745 where the file's ops and tensors do not fit together. most: cuts, of those that move most bytes."""
    data = path.read_bytes()
    try:
        return _Cutter(data).cuts(most)
    except (struct.error, IndexError, ValueError, TypeError, AttributeError) as broken:
        raise EdgekitError(
            "EK745",
            f"cannot cut '{path}' into its ops",
            f"it is no whole TFLite file: {type(broken).__name__}: {broken}",
            "leave --per-op out, or convert the model again; `edgekit inspect` shows what a file holds",
        ) from broken


class _Cutter:
    """model: in the schema's classes; places: of each buffer in the file, first byte and bytes, None where empty."""

    def __init__(self, data: bytes) -> None:
        self.model = schema.ModelT.InitFromPackedBuf(data, 0)
        self.places = _places(data)
        self.graph = self.model.subgraphs[0]
        self.made_by = {int(t): op for op in self.graph.operators for t in _numbers(op.outputs)}

    def cuts(self, most: int) -> Cuts:
        kinds: dict[bytes, tuple[int, Any]] = {}
        found: list[tuple[Any, bytes | None, str | None]] = []
        for op in self.graph.operators:
            if self.folded(op):
                continue
            why = self.why_not(op)
            key = None if why else self.key(op)
            if key is not None:
                kinds.setdefault(key, (self.moved_bytes(op), op))
            found.append((op, key, why))
        kept = sorted(kinds, key=lambda key: -kinds[key][0])[:most]
        chosen = [key for key in kinds if key in set(kept)]
        own, cuts = bytearray(), list[Cut]()
        for key in chosen:
            cuts.append(self.cut(kinds[key][1], own))
        numbers = {key: number for number, key in enumerate(chosen)}
        ops = [self.file_op(op, key, why, numbers) for op, key, why in found]
        return Cuts(ops=tuple(ops), cuts=tuple(cuts), own=bytes(own))

    def file_op(self, op: Any, key: bytes | None, why: str | None, numbers: dict[bytes, int]) -> FileOp:
        number = None if key is None else numbers.get(key)
        if key is not None and number is None:
            why = f"one of many kinds of ops: the {len(numbers)} that move most bytes are measured"
        results = _numbers(op.outputs)
        node = _text(self.graph.tensors[results[0]].name) if results else f"op {self.graph.operators.index(op)}"
        return FileOp(node=node, op=self.name(op), cut=number, why=why)

    def name(self, op: Any) -> str:
        code = self.code(op)
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        if number == schema.BuiltinOperator.CUSTOM:
            return f"custom {_text(code.customCode)}"
        return _OPS.get(number, f"op {number}")

    def code(self, op: Any) -> Any:
        return self.model.operatorCodes[op.opcodeIndex]

    def constant(self, tensor: int) -> bool:
        return self.places[self.graph.tensors[tensor].buffer] is not None

    def folded(self, op: Any) -> bool:
        """Computed once, when the file is loaded, from constants alone."""
        operands = _operands(op)
        return bool(operands) and all(
            self.constant(t) or (t in self.made_by and self.folded(self.made_by[t])) for t in operands
        )

    def why_not(self, op: Any) -> str | None:
        """Why it cannot run alone."""
        types = {_TYPES.get(self.graph.tensors[t].type, "") for t in (*_operands(op), *_numbers(op.outputs))}
        if graphs := _graphs_of(op):
            return f"it runs other graphs of the file: {', '.join(graphs)}"
        if kept := sorted(types & _KEPT):
            return f"it works on what outlives a run: a tensor of type {kept[0]}"
        if not _numbers(op.outputs):
            return "it gives nothing"
        return None

    def moved_bytes(self, op: Any) -> int:
        return sum(_size(self.graph.tensors[t]) for t in (*_operands(op), *_numbers(op.outputs)))

    def chain(self, op: Any) -> list[Any]:
        """The op, after those that compute its operands from constants."""
        before = [self.made_by[t] for t in _operands(op) if t in self.made_by and self.folded(self.made_by[t])]
        ordered = [each for one in before for each in self.chain(one)] + [op]
        return [each for i, each in enumerate(ordered) if not any(each is other for other in ordered[:i])]

    def key(self, op: Any) -> bytes:
        """Equal for ops that cost the same."""
        model, _, tensors = self.alone(op, numbered=True)
        told: list[object] = []
        for tensor, number in zip(model.subgraphs[0].tensors, tensors, strict=True):
            scales = tensor.quantization.scale if tensor.quantization is not None else None
            told.append((self.constant(number), 0 if scales is None else len(scales)))
            if not self.telling(number):
                tensor.buffer = 0
            if tensor.quantization is not None:
                tensor.quantization = schema.QuantizationParametersT(
                    quantizedDimension=tensor.quantization.quantizedDimension
                )
        used = {tensor.buffer for tensor in model.subgraphs[0].tensors}
        model.buffers = [b if i in used else schema.BufferT() for i, b in enumerate(model.buffers)]
        return tflite_bytes(model) + repr(told).encode()

    def telling(self, tensor: int) -> bool:
        """A constant by which an op does other work: axes, shapes, paddings; not weights, nor biases."""
        told = self.graph.tensors[tensor]
        scaled = told.quantization is not None and told.quantization.scale is not None and len(told.quantization.scale)
        few = self.constant(tensor) and _elements(told) <= TELLING_VALUES
        return bool(few and told.type in _WHOLE_NUMBERS and not scaled)

    def alone(self, op: Any, *, numbered: bool = False) -> tuple[Any, tuple[int, ...], list[int]]:
        """A model of the op, its inputs, and the number in the file of each of its tensors. numbered: its tensors are
        called by their place."""
        ops = self.chain(op)
        tensors = list(dict.fromkeys(t for each in ops for t in _tensors(each)))
        place = {t: i for i, t in enumerate(tensors)} | {-1: -1}
        made = {t for each in ops for t in _numbers(each.outputs)}
        inputs = tuple(
            t for t in _operands(op) if t not in made and not self.constant(t) and not self.graph.tensors[t].isVariable
        )
        inputs = tuple(dict.fromkeys(inputs))
        buffers: list[Any] = [schema.BufferT()]  # by convention buffer 0 is empty
        model = schema.ModelT(version=self.model.version)
        model.operatorCodes = [self.code(each) for each in ops]
        graph = schema.SubGraphT(name="main")
        graph.tensors = [self.tensor(t, buffers, str(place[t]) if numbered else None) for t in tensors]
        graph.operators = [_renumbered(each, i, place) for i, each in enumerate(ops)]
        graph.inputs = [place[t] for t in inputs]
        graph.outputs = [place[t] for t in _numbers(op.outputs)]
        model.subgraphs, model.buffers = [graph], buffers
        return model, inputs, tensors

    def tensor(self, number: int, buffers: list[Any], name: str | None) -> Any:
        told = self.graph.tensors[number]
        made = schema.TensorT()
        vars(made).update(vars(told))
        made.buffer = 0
        if name is not None:
            made.name = name
        if self.constant(number):
            buffers.append(self.model.buffers[told.buffer])
            made.buffer = len(buffers) - 1
        return made

    def cut(self, op: Any, own: bytearray) -> Cut:
        """own: what this cut has of its own is added to it."""
        model, inputs, tensors = self.alone(op)
        held = {
            tensor.buffer: self.places[self.graph.tensors[number].buffer]
            for tensor, number in zip(model.subgraphs[0].tensors, tensors, strict=True)
            if tensor.buffer
        }
        data = tflite_bytes(model)
        pieces: list[Piece] = []
        done = 0
        here = [(place, held[buffer]) for buffer, place in enumerate(_places(data)) if place is not None]
        for place, there in sorted((a, b) for a, b in here if b is not None):
            if place[1] > SMALL_BYTES:
                pieces += _own(data[done : place[0]], own)
                pieces.append((FILE, *there))
                done = place[0] + place[1]
        pieces += _own(data[done:], own)
        return Cut(pieces=tuple(pieces), inputs=inputs)


def _own(part: bytes, own: bytearray) -> list[Piece]:
    own += part
    return [(OWN, len(own) - len(part), len(part))] if part else []


def _places(data: bytes) -> list[tuple[int, int] | None]:
    """Of each buffer: first byte and bytes, None where it is empty. Files of over 2 GB keep them after the tables."""
    model = schema.Model.GetRootAsModel(data, 0)
    found: list[tuple[int, int] | None] = []
    for buffer in (model.Buffers(i) for i in range(model.BuffersLength())):
        field = buffer._tab.Offset(4)  # the schema's classes copy the bytes, and do not say where they are
        if buffer.Offset() > 1 and buffer.Size():
            found.append((int(buffer.Offset()), int(buffer.Size())))
        elif field and buffer.DataLength():
            found.append((int(buffer._tab.Vector(field)), int(buffer.DataLength())))
        else:
            found.append(None)
    return found


def _renumbered(op: Any, code: int, place: dict[int, int]) -> Any:
    made = schema.OperatorT()
    vars(made).update(vars(op))
    made.opcodeIndex = code
    made.inputs = [place[t] for t in _numbers(op.inputs)]
    made.outputs = [place[t] for t in _numbers(op.outputs)]
    made.intermediates = [place[t] for t in _numbers(op.intermediates)]
    return made


def _graphs_of(op: Any) -> list[str]:
    """The settings that name another graph, with its number."""
    found = []
    for options in (op.builtinOptions, op.builtinOptions2):
        for name, value in vars(options).items() if options is not None else ():
            if "subgraph" in name.lower() and value is not None:
                found.append(f"{name} {value}")
    return found


def _tensors(op: Any) -> list[int]:
    """All that it names; intermediates hold the scales of an LSTM's inner values."""
    return [*_operands(op), *_numbers(op.outputs), *_numbers(op.intermediates)]


def _operands(op: Any) -> list[int]:
    return [t for t in _numbers(op.inputs) if t >= 0]


def _numbers(values: Sequence[int] | None) -> list[int]:
    return [] if values is None else [int(value) for value in values]


def _elements(tensor: Any) -> int:
    return int(np.prod([max(1, int(dim)) for dim in _numbers(tensor.shape)], initial=1))


def _size(tensor: Any) -> int:
    """Bytes, about: a type that is not known counts as one of 4."""
    name = _TYPES.get(tensor.type, "")
    bits = "".join(character for character in name if character.isdigit())
    return _elements(tensor) * max(1, int(bits or 32) // 8)


def _text(name: Any) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name or "")


def entries(cuts: Cuts) -> Iterator[dict[str, object]]:
    """The cuts as `alone.Row` takes them."""
    for cut in cuts.cuts:
        yield {"pieces": [list(piece) for piece in cut.pieces], "inputs": list(cut.inputs)}
