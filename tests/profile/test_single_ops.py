"""A cut computes what its op computes in the file, and ops that cost the same share one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from edgekit.errors import EdgekitError
from edgekit.profile.single_ops import FILE, OWN, Cut, Cuts, cut_ops
from edgekit.run.tflite_bytes import tflite_bytes
from tests.lower.tflite import cases
from tests.lower.tflite.graphs import Graph, node
from tests.profile.nets import tflite_file

PLAIN = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES  # whose intermediate values can be read


def opened(data: bytes) -> Interpreter:
    return Interpreter(
        model_content=data,
        num_threads=1,
        experimental_op_resolver_type=PLAIN,
        experimental_preserve_all_tensors=True,
    )


def run(interpreter: Interpreter, inputs: list[NDArray[Any]]) -> None:
    interpreter.allocate_tensors()
    for detail, x in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], x)
    interpreter.invoke()


def bytes_of(cut: Cut, cuts: Cuts, data: bytes) -> bytes:
    return b"".join((cuts.own, data)[source][begin : begin + size] for source, begin, size in cut.pieces)


def alike(path: Path) -> Cuts:
    """Every cut, on what the file computes, gives what the op does there, bit by bit."""
    cuts, data = cut_ops(path), path.read_bytes()
    whole = opened(data)
    details = whole.get_input_details()
    rng = np.random.default_rng(0)
    run(whole, [rng.normal(0, 1, detail["shape"]).astype(detail["dtype"]) for detail in details])
    names = {detail["name"]: detail["index"] for detail in whole.get_tensor_details()}
    assert all(op.cut is not None for op in cuts.ops)
    first = {op.cut: op for op in reversed(cuts.ops)}
    for number, cut in enumerate(cuts.cuts):
        alone = opened(bytes_of(cut, cuts, data))
        run(alone, [whole.get_tensor(place) for place in cut.inputs])
        made = alone.get_tensor(alone.get_output_details()[0]["index"])
        np.testing.assert_array_equal(made, whole.get_tensor(names[first[number].node]), first[number].op)
    return cuts


@pytest.mark.parametrize("integers", [True, False])
def test_a_cut_computes_what_its_op_does(tmp_path: Path, integers: bool) -> None:
    cuts = alike(tflite_file(tmp_path, integers=integers))
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN", "FULLY_CONNECTED"} <= {op.op for op in cuts.ops}


@pytest.mark.slow
@pytest.mark.parametrize("name", cases.cases())
def test_a_cut_of_every_op_in_the_table(tmp_path: Path, name: str) -> None:
    alike(tflite_file(tmp_path, cases.cases()[name]))


def test_weights_are_not_sent_again(tmp_path: Path) -> None:
    case = Graph({"x": (1, 64, 4, 4)}, [node("Conv", ["x", "w"])], {"w": cases.weights(64, 64, 3, 3)})
    path = tflite_file(tmp_path, case)
    cuts = cut_ops(path)
    sizes = {
        source: sum(piece[2] for cut in cuts.cuts for piece in cut.pieces if piece[0] == source) for source in (0, 1)
    }
    assert sizes[FILE] >= 64 * 64 * 9
    assert sizes[OWN] == len(cuts.own) < 12_000, "tables and a scale per channel"


def chain(*pads: int) -> Graph:
    """A 3x3 convolution with padding 1 and a pad by as much, for each of pads."""
    nodes, constants, value = [], {}, "x"
    for i, pad in enumerate(pads):
        constants |= {f"w{i}": cases.weights(8, 8, 3, 3, seed=i), f"p{i}": np.array([0, 0, pad, pad, 0, 0, 0, 0])}
        nodes.append(node("Conv", [value, f"w{i}"], [f"c{i}"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
        made = "y" if i == len(pads) - 1 else f"y{i}"
        nodes.append(node("Pad", [f"c{i}", f"p{i}"], [made]))
        value = made
    return Graph({"x": (1, 8, 6, 6)}, nodes, constants)


def test_ops_that_cost_the_same_share_a_cut(tmp_path: Path) -> None:
    cuts = cut_ops(tflite_file(tmp_path, chain(0, 0, 0)))
    convolutions = [op for op in cuts.ops if op.op == "CONV_2D"]
    assert len(convolutions) == 3
    assert len({op.cut for op in convolutions}) == 1, "whatever their weights and scales"


def test_a_constant_that_decides_on_the_work_tells_ops_apart(tmp_path: Path) -> None:
    cuts = cut_ops(tflite_file(tmp_path, chain(1, 2)))
    pads = [op.cut for op in cuts.ops if op.op.startswith("PAD")]
    assert len(set(pads)) == len(pads) == 2


def test_the_ones_that_move_most_bytes_where_there_are_many(tmp_path: Path) -> None:
    path = tflite_file(tmp_path)
    every, few = cut_ops(path), cut_ops(path, most=2)
    assert (len(few.cuts), len(few.ops)) == (2, len(every.ops))
    left = [op for op in few.ops if op.cut is None]
    assert left and all(op.why == "one of many kinds of ops: the 2 that move most bytes are measured" for op in left)
    assert "MEAN" in {op.op for op in left}


def tensor(name: str, kind: int = schema.TensorType.FLOAT32, buffer: int = 0) -> Any:
    return schema.TensorT(name=name, shape=np.array([4], np.int32), type=kind, buffer=buffer)


def file_of(folder: Path, ops: list[Any], codes: list[Any], tensors: list[Any], data: bytes = b"") -> Path:
    graph = schema.SubGraphT(tensors=tensors, operators=ops, inputs=[0], outputs=[len(tensors) - 1], name="main")
    buffers = [schema.BufferT(), schema.BufferT(data=np.frombuffer(data, np.uint8))]
    path = folder / "made.tflite"
    path.write_bytes(tflite_bytes(schema.ModelT(version=3, operatorCodes=codes, subgraphs=[graph], buffers=buffers)))
    return path


def op(code: int, inputs: list[int], outputs: list[int], options: Any = None) -> Any:
    made = schema.OperatorT(opcodeIndex=code, inputs=inputs, outputs=outputs)
    if options is not None:
        made.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        made.builtinOptions = options
    return made


def code(name: str, custom: str | None = None) -> Any:
    number = getattr(schema.BuiltinOperator, name)
    return schema.OperatorCodeT(
        deprecatedBuiltinCode=min(number, 127), builtinCode=number, version=1, customCode=custom
    )


def test_what_cannot_run_alone_is_named(tmp_path: Path) -> None:
    ops = [
        op(0, [], [], schema.CallOnceOptionsT(initSubgraphIndex=1)),
        op(1, [0], [1], schema.WhileOptionsT(condSubgraphIndex=1, bodySubgraphIndex=2)),
        op(2, [], [2], schema.VarHandleOptionsT()),
        op(3, [2], [3], schema.ReadVariableOptionsT()),
        op(4, [3], []),
        op(4, [3], [4]),
    ]
    codes = [code("CALL_ONCE"), code("WHILE"), code("VAR_HANDLE"), code("READ_VARIABLE"), code("CUSTOM", "Mine")]
    tensors = [tensor("x"), tensor("y"), tensor("handle", schema.TensorType.RESOURCE), tensor("z"), tensor("w")]
    cuts = cut_ops(file_of(tmp_path, ops, codes, tensors))
    assert [(each.op, each.node, each.why) for each in cuts.ops] == [
        ("CALL_ONCE", "op 0", "it runs other graphs of the file: initSubgraphIndex 1"),
        ("WHILE", "y", "it runs other graphs of the file: condSubgraphIndex 1, bodySubgraphIndex 2"),
        ("VAR_HANDLE", "handle", "it works on what outlives a run: a tensor of type RESOURCE"),
        ("READ_VARIABLE", "z", "it works on what outlives a run: a tensor of type RESOURCE"),
        ("custom Mine", "op 4", "it gives nothing"),
        ("custom Mine", "w", None),
    ]
    assert len(cuts.cuts) == 1


def test_what_is_computed_once_comes_along(tmp_path: Path) -> None:
    """Weights in float16, as a runtime widens them when it loads the file."""
    half = np.array([1, 2, 3, 4], np.float16)
    ops = [op(0, [1], [2], schema.DequantizeOptionsT()), op(1, [0, 2], [3], schema.AddOptionsT())]
    tensors = [tensor("x"), tensor("half", schema.TensorType.FLOAT16, 1), tensor("wide"), tensor("y")]
    path = file_of(tmp_path, ops, [code("DEQUANTIZE"), code("ADD")], tensors, half.tobytes())
    cuts = cut_ops(path)
    assert [(each.op, each.cut) for each in cuts.ops] == [("ADD", 0)]
    assert cuts.cuts[0].inputs == (0,)
    alone = opened(bytes_of(cuts.cuts[0], cuts, path.read_bytes()))
    run(alone, [np.ones(4, np.float32)])
    np.testing.assert_array_equal(alone.get_tensor(alone.get_output_details()[0]["index"]), 1 + half)


def test_ops_and_tensors_that_do_not_fit_together(tmp_path: Path) -> None:
    path = file_of(tmp_path, [op(0, [0, 7], [1], schema.AddOptionsT())], [code("ADD")], [tensor("x"), tensor("y")])
    with pytest.raises(EdgekitError, match=r"EK745.*made\.tflite") as caught:
        cut_ops(path)
    assert "IndexError" in caught.value.why
