"""How far each value inside a quantized file is from the float model's, layer by layer.

Every value that the file quantizes gets a second DequantizeLinear that leads out of the graph; the fused kernels stay
as they are, since only an integer tensor gains a reader. It is the ONNX file that is opened so: the TFLite file holds
the same integers, and how far the two are apart is said by their agreement.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

import numpy as np
import onnx
import onnx_ir as ir

from edgekit.artifact import Arrays, Artifact
from edgekit.graph import facts, source
from edgekit.progress import Advance
from edgekit.run import ort
from edgekit.run.worker import Worker
from edgekit.samples import Samples
from edgekit.verify import metrics, qdq_file
from edgekit.verify.result import LayerError

SAMPLES = 16  # a layer's SQNR is an average over thousands of elements already
TAP = "/layer"  # ends the names of the values that are led out; no exporter ends a name so


def layer_errors(
    graph: ir.Model, artifacts: Mapping[str, Artifact], samples: Samples, advance: Advance
) -> tuple[LayerError, ...]:
    """Worst first. graph: the float model that was quantized; artifacts: files made of it, by label."""
    nodes = {
        value.name or "": node for node in facts.real_nodes(graph) for value in node.outputs if facts.is_float(value)
    }
    found: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        exact = stack.enter_context(
            Worker(ort.Session, _float_taps(graph, list(nodes)), what="running the float model")
        )
        tapped = {
            label: stack.enter_context(
                Worker(ort.Session, _int8_taps(artifact), what=f"running '{artifact.path.name}'")
            )
            for label, artifact in artifacts.items()
            if artifact.format == "onnx"
        }
        for batch in samples.take(range(min(SAMPLES, len(samples)))).batches(1):
            expected: Arrays = exact.call("run", batch.inputs)
            for label, worker in tapped.items():
                artifact = artifacts[label]
                seen = worker.call(
                    "run", {spec.name: spec.to_file(batch.inputs[spec.name]) for spec in artifact.inputs}
                )
                for name, y in seen.items():
                    if name.endswith(TAP) and (value := name.removesuffix(TAP)) in nodes:
                        rows = metrics.sqnr({value: y}, {value: expected[value]})
                        found.setdefault((label, value), []).append(float(rows[value][0]))
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
