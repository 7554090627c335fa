"""The precision ledger: which op of the model ran in which precision, and its share of the MACs.

Rows are the model's nodes, since those are what the user knows. A runtime fuses, renames and drops nodes, so a node is
found in what was executed

    1. by its name (ONNX Runtime keeps a fused node's name);
    2. by its output's name (a fused activation leaves its output, TFLite names tensors and not ops);
    3. through its only reader: a convolution whose activation was fused into it has lost name and output in TFLite;
    4. for a clamp, through what it clamps: an integer range that ends at the bound has done the clamp's work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import onnx_ir as ir

from edgekit.artifact import REORDERED
from edgekit.graph import cost, facts, source
from edgekit.run.runner import Runner
from edgekit.verify import executed, qdq_file
from edgekit.verify.executed import ExecutedOp
from edgekit.verify.result import Ledger, LedgerRow, RanIn

_RAN_IN: Mapping[str | None, RanIn] = {
    "int8": "int8",
    "int16": "int16",
    "float16": "float16",
    "float32": "float32",
}

CLAMPS = frozenset({"Relu", "Clip"})
FORMS = frozenset({"RESHAPE"})  # gives what another op computed another shape: the op is what counts
ON_INT8_WEIGHTS = "its int8 weights are widened when the file is loaded"
ON_INT16 = "onnxruntime has no int16 kernel: it computes in float on values rounded to 16 bits"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the file asks for. int8_nodes, int16_nodes: names of the nodes it wants in these; int8_weights: of those
    whose weights alone are integers; aliases: integer tensor -> the model's value that it stands for; excuse: why a
    runtime may run in float what the file wants in int8."""

    int8_nodes: frozenset[str] = frozenset()
    int16_nodes: frozenset[str] = frozenset()
    int8_weights: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = field(default_factory=dict)
    excuse: str = ""


def read(label: str, runner: Runner, graph: ir.Model | None, because: Mapping[str, str]) -> Ledger:
    """What the runner's runtime does with its file. graph: the model that was lowered, for names, MACs and sources;
    without it the rows are the executed ops; because: why nodes were not put into INT8, by name."""
    if runner.artifact.format == "onnx":
        ops, asked = executed.from_onnxruntime(runner.optimized()), _asked(runner.artifact.path)
    else:  # a TFLite op computes in the types of its tensors: what the file wants is what is done
        ops, asked = executed.from_litert(runner.kernels()), Asked()
    rows = _rows(graph, ops, asked, because) if graph else _bare_rows(ops)
    return Ledger(
        label=label,
        runtime=runner.runtime(),
        rows=rows,
        int8_macs_share=_share(rows, "int8"),
        int16_macs_share=_share(rows, "int16"),
    )


def _share(rows: Sequence[LedgerRow], precision: RanIn) -> float | None:
    total = sum(row.macs for row in rows)
    return sum(row.macs for row in rows if row.precision == precision) / total if total else None


def _asked(path: Path) -> Asked:
    file = qdq_file.read(path)
    return Asked(
        int8_nodes=file.int8_nodes,
        int16_nodes=file.int16_nodes,
        int8_weights=file.int8_weights,
        aliases={quantizer.output[0]: value for value, quantizer in file.quantized.items()},
        excuse="onnxruntime fuses it for uint8 activations only on this processor, or has no int8 kernel for it"
        if file.signed
        else "onnxruntime has no int8 kernel for it, or could not fuse it with its Q/DQ pairs",
    )


def _rows(
    graph: ir.Model, ops: Sequence[ExecutedOp], asked: Asked, because: Mapping[str, str]
) -> tuple[LedgerRow, ...]:
    by_name = {op.name: op for op in ops if op.name and op.dtype is not None}
    by_output = {
        asked.aliases.get(name, name).removesuffix(REORDERED): op
        for op in sorted(ops, key=lambda op: op.op not in FORMS)
        if op.dtype is not None
        for name in op.outputs
    }

    def found(node: ir.Node) -> ExecutedOp | None:
        op = _found(node, by_name, by_output)
        clamped = node.inputs[0].producer() if node.op_type in CLAMPS and node.inputs[0] is not None else None
        return _found(clamped, by_name, by_output) if op is None and clamped is not None else op

    return tuple(_row(node, found(node), asked, because) for node in facts.real_nodes(graph))


def _found(node: ir.Node, by_name: Mapping[str, ExecutedOp], by_output: Mapping[str, ExecutedOp]) -> ExecutedOp | None:
    if op := by_name.get(node.name or ""):
        return op
    for value in node.outputs:
        if op := by_output.get(value.name or ""):
            return op
    reader = facts.only_consumer(node.outputs[0]) if len(node.outputs) == 1 else None
    return _found(reader, by_name, by_output) if reader else None


def _row(node: ir.Node, op: ExecutedOp | None, asked: Asked, because: Mapping[str, str]) -> LedgerRow:
    precision: RanIn = _RAN_IN.get(op.dtype, "none") if op else "none"
    return LedgerRow(
        node=node.name or "",
        op=node.op_type,
        macs=cost.macs(node),
        precision=precision,
        reason=_reason(node.name or "", op, precision, asked, because),
        source=source.source_line(node),
    )


def _reason(node: str, op: ExecutedOp | None, precision: RanIn, asked: Asked, because: Mapping[str, str]) -> str | None:
    """Why it did not run in INT8, None where it did."""
    if op is None:
        return "not among the executed ops: folded away by the runtime"
    if precision == "int8":
        return None
    if precision == "none":
        return f"works on {op.dtype}, not on real numbers"
    if node in asked.int8_nodes:
        return asked.excuse
    if node in asked.int16_nodes and precision != "int16":
        return "; ".join([ON_INT16, *filter(None, [because.get(node)])])
    if node in asked.int8_weights:
        return ON_INT8_WEIGHTS
    return because.get(node) or f"{precision} in the file"


def _bare_rows(ops: Sequence[ExecutedOp]) -> tuple[LedgerRow, ...]:
    """Without the model: the ops under the runtime's own names."""
    return tuple(
        LedgerRow(
            node=op.name or op.outputs[0],
            op=op.op,
            macs=0,
            precision=_RAN_IN.get(op.dtype, "none"),
            reason=None if op.dtype == "int8" else f"computes in {op.dtype}",
        )
        for op in ops
        if op.dtype is not None
    )
