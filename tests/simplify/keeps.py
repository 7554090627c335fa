"""What every rewrite must do: keep the function, and names, and the house's invariants."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgekit.graph import facts
from edgekit.graph.check import checked
from tests.models import feeds, run

TOLERANCE = 1e-5  # relative to the output's largest value: what reordering float32 sums costs, with room


def kept(before: ir.Model, after: ir.Model, batch: int = 2) -> ir.Model:
    """`after`, once it gave what `before` gives on random inputs."""
    checked(after)
    names = [node.name for node in after.graph]
    assert len(set(names)) == len(names)
    inputs = feeds(before, batch)
    expected, found = run(before, inputs), run(after, inputs)
    assert list(found) == list(expected)
    for name, real in expected.items():
        assert found[name].shape == real.shape
        np.testing.assert_allclose(found[name], real, rtol=0, atol=TOLERANCE * max(float(np.abs(real).max()), 1e-6))
    for value in after.graph.outputs:
        sizes = zip(facts.shape(value), found[value.name or ""].shape, strict=True)
        assert all(declared in (None, size) for declared, size in sizes)
    return after
