"""Instructions of TFLite's own kernels on a Cortex-A72, counted under emulation: what no published run tells apart.

    python benchmarks/kernel_instructions.py QEMU ROOT GUEST

QEMU: qemu-aarch64 with plugins (Debian's qemu-user); ROOT: a folder with an aarch64 Python 3.11 and its libraries and
a proc/cpuinfo whose CPU part is 0xd08; GUEST: a folder with aarch64 wheels of numpy < 2 and tflite-runtime 2.14. Each
model is one op; it runs once and three times, and half of the difference is what it executes. One thread, no delegate:
the kernels that TFLite has beneath XNNPACK, and that MLPerf's rows of TFLite with ruy ran.

Instructions are no time. What is used of them is how an op compares with a 3x3 depthwise convolution, which was timed.
`COUNTED` is written down from a run of this file. TFLite has a kernel of its own for 3x3 in INT8; any other size there,
and all sizes in float, take the same kind of loop, which keeps a row of sums in memory.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

COUNTED: dict[tuple[str, str], dict[str, float]] = {
    # of one output element; of one input element for mean
    ("tflite", "int8"): {"depthwise 3x3": 6.9, "depthwise 5x5": 55.8, "hard swish": 2.72, "add": 2.84, "mean": 0.57},
    ("tflite", "float32"): {"depthwise 3x3": 15.1, "depthwise 5x5": 41.1, "hard swish": 0.6, "add": 0.62, "mean": 2.54},
}
SIZES = ((28, 96), (14, 384))
"""Height and width, and channels: of the middle of MobileNets."""
PLUGIN = """
#include <stdint.h>
#include <stdio.h>
#include <stddef.h>
typedef uint64_t id_t_;
struct tb;
extern void qemu_plugin_register_vcpu_tb_trans_cb(id_t_, void (*)(id_t_, struct tb *));
extern size_t qemu_plugin_tb_n_insns(const struct tb *);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct tb *, int, void *, uint64_t);
extern void qemu_plugin_register_atexit_cb(id_t_, void (*)(id_t_, void *), void *);
int qemu_plugin_version = 1;
static uint64_t count;
static void translated(id_t_ id, struct tb *tb) {
    qemu_plugin_register_vcpu_tb_exec_inline(tb, 0, &count, qemu_plugin_tb_n_insns(tb));
}
static void ended(id_t_ id, void *p) { fprintf(stderr, "INSTRUCTIONS %lu\\n", (unsigned long)count); }
int qemu_plugin_install(id_t_ id, const void *info, int argc, char **argv) {
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
"""
GUEST_PROGRAM = """
import sys, numpy
from tflite_runtime.interpreter import Interpreter, OpResolverType
plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
model = Interpreter(sys.argv[1], num_threads=1, experimental_op_resolver_type=plain)
model.allocate_tensors()
for entry in model.get_input_details():
    values = numpy.random.default_rng(0).standard_normal(entry["shape"]) * 20
    model.set_tensor(entry["index"], values.astype(entry["dtype"]))
for _ in range(int(sys.argv[2])):
    model.invoke()
"""
LIBRARIES = "/lib/aarch64-linux-gnu:/usr/lib/aarch64-linux-gnu"


def main(qemu: Path, root: Path, guest: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        plugin, program = Path(folder, "count.so"), Path(folder, "run.py")
        Path(folder, "count.c").write_text(PLUGIN)
        subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", plugin, Path(folder, "count.c")], check=True)
        program.write_text(GUEST_PROGRAM)
        command = [qemu, "-L", root, "-cpu", "cortex-a72", "-plugin", plugin, "-E", f"LD_LIBRARY_PATH={LIBRARIES}"]
        command += ["-E", f"PYTHONHOME={root}/usr", "-E", f"PYTHONPATH={guest}", f"{root}/usr/bin/python3.11", program]
        for precision in ("int8", "float32"):
            for size, channels in SIZES:
                counts = dict(instructions([*map(str, command)], Path(folder), size, channels, precision))
                elements = size * size * channels
                print(precision, size, channels, {op: round(count / elements, 2) for op, count in counts.items()})


def instructions(
    command: list[str], folder: Path, size: int, channels: int, precision: str
) -> Iterator[tuple[str, float]]:
    """Each op with the instructions of one run."""
    for op in ("depthwise 3x3", "depthwise 5x5", "hard swish", "logistic", "add", "multiply", "mean"):
        path = folder / "model.tflite"
        path.write_bytes(model(op, size, channels, precision))
        counts = []
        for times in ("1", "3"):
            done = subprocess.run([*command, str(path), times], check=True, capture_output=True, text=True)
            counts.append(int(done.stderr.split("INSTRUCTIONS")[1]))
        yield op, (counts[1] - counts[0]) / 2


def model(op: str, size: int, channels: int, precision: str) -> bytes:
    """A TFLite file with one op on (1, size, size, channels)."""
    draft = Draft(precision)
    image, one = (1, size, size, channels), (1, 1, 1, channels)
    match op.split():
        case ["depthwise", taps]:
            kernel = int(taps[0])
            weights = draft.constant((1, kernel, kernel, channels), axis=3)
            inputs = [draft.value(image), weights, draft.constant((channels,), axis=0, bias=True)]
            options = schema.DepthwiseConv2DOptionsT()
            options.strideH = options.strideW = options.depthMultiplier = 1
            options.dilationHFactor = options.dilationWFactor = 1
            return draft.file("DEPTHWISE_CONV_2D", inputs, image, options, "DepthwiseConv2DOptions", version=3)
        case ["add"]:
            inputs = [draft.value(image), draft.value(image)]
            return draft.file("ADD", inputs, image, schema.AddOptionsT(), "AddOptions", version=2)
        case ["multiply"]:
            inputs = [draft.value(image), draft.value(one)]
            return draft.file("MUL", inputs, image, schema.MulOptionsT(), "MulOptions", version=2)
        case ["mean"]:
            options = schema.ReducerOptionsT()
            options.keepDims = True
            inputs = [draft.value(image), draft.integers([1, 2])]
            return draft.file("MEAN", inputs, one, options, "ReducerOptions", version=2)
        case ["logistic"]:
            inputs = [draft.value(image)]
            return draft.file("LOGISTIC", inputs, image, None, "NONE", version=2, scale=1 / 256, zero_point=-128)
        case _:
            return draft.file("HARD_SWISH", [draft.value(image)], image, None, "NONE", version=1)


class Draft:
    """Tensors and buffers of a model of one op."""

    def __init__(self, precision: str) -> None:
        self.integers_wanted = precision == "int8"
        self.tensors: list[Any] = []
        self.buffers: list[Any] = [schema.BufferT()]
        self.inputs: list[int] = []
        self.rng = np.random.default_rng(0)

    def value(self, shape: tuple[int, ...], scale: float = 0.05, zero_point: int = 3, given: bool = True) -> int:
        kind = schema.TensorType.INT8 if self.integers_wanted else schema.TensorType.FLOAT32
        index = self._tensor(shape, kind, [scale], [zero_point])
        self.inputs += [index] if given else []
        return index

    def constant(self, shape: tuple[int, ...], axis: int, bias: bool = False) -> int:
        """Weights on a grid of 0.01; a bias on that of their products with the input."""
        if not self.integers_wanted:
            data: np.ndarray = self.rng.standard_normal(shape).astype(np.float32)
            return self._tensor(shape, schema.TensorType.FLOAT32, [], [], data=data)
        kind = schema.TensorType.INT32 if bias else schema.TensorType.INT8
        data = self.rng.integers(-100, 100, shape).astype(np.int32 if bias else np.int8)
        scales = [0.01 * 0.05 if bias else 0.01] * shape[axis]
        return self._tensor(shape, kind, scales, [0] * shape[axis], axis, data)

    def integers(self, values: list[int]) -> int:
        return self._tensor((len(values),), schema.TensorType.INT32, [], [], data=np.array(values, np.int32))

    def file(
        self, op: str, inputs: list[int], made: tuple[int, ...], options: Any, options_name: str, *,
        version: int, scale: float = 0.1, zero_point: int = 0,
    ) -> bytes:  # fmt: skip
        number = getattr(schema.BuiltinOperator, op)
        code, graph, node, whole = schema.OperatorCodeT(), schema.SubGraphT(), schema.OperatorT(), schema.ModelT()
        code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)
        code.version = version if self.integers_wanted else 1
        output = self.value(made, scale, zero_point, given=False)
        node.inputs, node.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        node.builtinOptionsType = getattr(schema.BuiltinOptions, options_name)
        node.builtinOptions = options
        graph.tensors, graph.operators = self.tensors, [node]
        graph.inputs, graph.outputs = np.array(self.inputs, np.int32), np.array([output], np.int32)
        whole.version, whole.operatorCodes, whole.subgraphs, whole.buffers = 3, [code], [graph], self.buffers
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(whole.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _tensor(
        self, shape: tuple[int, ...], kind: int, scales: list[float], zeros: list[int], axis: int = 0,
        data: np.ndarray | None = None,
    ) -> int:  # fmt: skip
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.name = np.array(shape, np.int32), kind, f"t{len(self.tensors)}".encode()
        if self.integers_wanted and scales:
            told = schema.QuantizationParametersT()
            told.scale, told.zeroPoint = np.array(scales, np.float32), np.array(zeros, np.int64)
            told.quantizedDimension = axis
            tensor.quantization = told
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            self.buffers.append(buffer)
            tensor.buffer = len(self.buffers) - 1
        self.tensors.append(tensor)
        return len(self.tensors) - 1


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
