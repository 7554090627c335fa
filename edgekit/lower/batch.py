"""A graph at a fixed batch, for a format that has no open one."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from edgekit.errors import EdgekitError
from edgekit.graph.pools import settle_pools


def at_batch(graph: ir.Model, batch: int) -> ir.Model:
    """The same graph with `batch` samples per run. Raises EK505 where the model fixes its batch."""
    fixed = settle_pools(graph).clone()
    for value in fixed.graph.inputs:
        first, *rest = list(value.shape or ()) or [1]
        if isinstance(first, int):
            raise _fixed(f"input '{value.name}' is {value.shape}")
        value.shape = ir.Shape([batch, *rest])
    for value in [*(v for node in fixed.graph for v in node.outputs), *fixed.graph.outputs]:
        value.shape = None
    inferred = ShapeInferencePass()(fixed).model
    for value in inferred.graph.outputs:
        if value.shape is None or value.shape.rank() == 0 or value.shape[0] != batch:
            raise _fixed(f"output '{value.name}' comes as {value.shape} of {batch} samples")
    return inferred


def _fixed(why: str) -> EdgekitError:
    return EdgekitError(
        "EK505",
        "cannot write a TFLite file for several samples per run",
        why,
        "leave --batch out; a model that fixes its batch runs one sample at a time",
    )
