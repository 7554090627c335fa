"""How far each value inside a quantized file is from the float model's, layer by layer.

ONNX: every value that the file quantizes gets a second DequantizeLinear that leads out of the graph; the fused kernels
stay as they are, since only an integer tensor gains a reader. TFLite: the interpreter keeps its inner tensors, also
inside the XNNPACK delegate. A tensor there may lie in another order of axes than the model's value: it is the order
that the sizes allow, and where several are allowed the one that agrees best, since a wrong one does not agree at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from itertools import permutations
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.artifact import Arrays, Artifact
from edgekit.graph import facts, source
from edgekit.progress import Advance
from edgekit.run import litert, ort
from edgekit.run.worker import Worker
from edgekit.samples import Samples
from edgekit.verify import metrics, qdq_file
from edgekit.verify.result import LayerError

SAMPLES = 16  # a layer's SQNR is an average over thousands of elements already
Ask = Callable[[Arrays], Arrays]  # a sample in the model's terms -> inner values by the model's names
TAP = "/layer"  # ends the names of the values that are led out; no exporter ends a name so


def layer_errors(
    graph: ir.Model, artifacts: Mapping[str, Artifact], samples: Samples, advance: Advance
) -> tuple[LayerError, ...]:
    """Worst first. graph: the float model that was quantized; artifacts: files made of it, by label."""
    nodes = {
        value.name or "": node for node in facts.real_nodes(graph) for value in node.outputs if facts.is_float(value)
    }
    found: dict[tuple[str, str], list[float]] = {}
    orders: dict[tuple[str, str], tuple[int, ...]] = {}
    fed = {value.name or "": value.dtype.numpy() for value in graph.graph.inputs if value.dtype is not None}
    with ExitStack() as stack:
        exact = stack.enter_context(
            Worker(ort.Session, _float_taps(graph, list(nodes)), what="running the float model")
        )
        asks = {label: _opened(artifact, stack) for label, artifact in artifacts.items()}
        for batch in samples.take(range(min(SAMPLES, len(samples)))).batches(1):
            expected: Arrays = exact.call("run", {name: x.astype(fed[name]) for name, x in batch.inputs.items()})
            for label, ask in asks.items():
                for value, y in ask(batch.inputs).items():
                    if value not in nodes or sorted(y.shape) != sorted(expected[value].shape):
                        continue
                    if (label, value) not in orders:
                        orders[label, value] = _order(y, expected[value])
                    row = _sqnr_db(y.transpose(orders[label, value]), expected[value])
                    found.setdefault((label, value), []).append(row)
            advance(1)
    errors = [
        LayerError(
            node=nodes[value].name or "",
            label=label,
            sqnr_db=float(np.mean(rows)),
            source=source.source_line(nodes[value]),
        )
        for (label, value), rows in found.items()
    ]
    return tuple(sorted(errors, key=lambda error: error.sqnr_db))


def _opened(artifact: Artifact, stack: ExitStack) -> Ask:
    what = f"running '{artifact.path.name}'"

    if artifact.format == "onnx":
        session = stack.enter_context(Worker(ort.Session, _int8_taps(artifact), what=what))

        def ask_onnx(inputs: Arrays) -> Arrays:
            seen: Arrays = session.call("run", artifact.to_file(inputs))
            return {name.removesuffix(TAP): y for name, y in seen.items() if name.endswith(TAP)}

        return ask_onnx
    interpreter = stack.enter_context(Worker(litert.Interpreter, str(artifact.path), 1, False, True, what=what))

    def ask_tflite(inputs: Arrays) -> Arrays:
        interpreter.call("run", artifact.to_file(inputs))
        values: Arrays = interpreter.call("real_values")
        return {name: y[:1] if artifact.batch > 1 and len(y.shape) else y for name, y in values.items()}

    return ask_tflite


def _order(y: NDArray[Any], expected: NDArray[Any]) -> tuple[int, ...]:
    """How y's axes must be permuted to be those of the model's value."""
    plain = tuple(range(y.ndim))
    allowed = [order for order in permutations(plain) if y.transpose(order).shape == expected.shape]
    return max(allowed, key=lambda order: _sqnr_db(y.transpose(order), expected))


def _sqnr_db(y: NDArray[Any], expected: NDArray[Any]) -> float:
    return float(metrics.sqnr({"": y}, {"": expected})[""][0])


def _float_taps(graph: ir.Model, values: list[str]) -> bytes:
    """The float graph with every inner value among its outputs."""
    model = ir.to_proto(graph)
    given = {output.name for output in model.graph.output}
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in values if name not in given
    )
    return bytes(model.SerializeToString())


def _int8_taps(artifact: Artifact) -> bytes:
    """The QDQ file with every quantized value led out, as float, under its name with TAP behind it."""
    model = onnx.load(str(artifact.path))
    for value, quantizer in qdq_file.read(artifact.path).quantized.items():
        name = value + TAP
        model.graph.node.append(
            onnx.helper.make_node(
                "DequantizeLinear", [quantizer.output[0], *quantizer.input[1:]], [name], name=name, domain=""
            )
        )
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return bytes(model.SerializeToString())
