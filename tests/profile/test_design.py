"""The design spans what it says, and each of its nets can be drawn."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edgekit.lower.onnx import to_onnx
from edgekit.lower.tflite import to_tflite
from edgekit.profile.design import nets
from edgekit.profile.factors import shape_of
from edgekit.profile.kernels import Kernel, kernels_of
from edgekit.profile.sketch import graph

NETS = nets()


def test_every_net_has_a_name_of_its_own() -> None:
    assert max(Counter(net.name for net in NETS).values()) == 1


def test_blocks_are_of_families_and_chains_of_none() -> None:
    families = Counter(net.family for net in NETS)
    assert families[""] > 100
    assert len(families) > 10
    assert all(net.name.startswith(net.family) for net in NETS)


def test_neighbours_are_not_alike() -> None:
    kinds = [net.name.partition(" ")[0] for net in NETS]
    same = sum(one == other for one, other in itertools.pairwise(kinds))
    assert same < len(kinds) / 3


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> list[Kernel]:
    """Of all nets in float ONNX."""
    path, found = tmp_path_factory.mktemp("design") / "net.onnx", []
    for net in NETS:
        path.write_bytes(graph(net, integers=False).SerializeToString())
        found += kernels_of(path)
    return found


@pytest.mark.slow
def test_spans_the_shapes_of_nets_for_small_devices(kernels: list[Kernel]) -> None:
    shapes = {shape_of(kernel) for kernel in kernels}
    for kind in ("pointwise", "window", "depthwise"):
        rows = {shape.rows for shape in shapes if shape.kind == kind}
        assert min(rows) <= 49
        assert max(rows) >= 112**2
    assert {kernel.stride for kernel in kernels if kernel.kind == "depthwise"} >= {1, 2}
    assert not [kernel for kernel in kernels if kernel.kind == "other"]


@pytest.mark.slow
@pytest.mark.parametrize("integers", [False, True])
def test_every_net_is_a_file_of_both_formats(integers: bool, tmp_path: Path) -> None:
    for net in NETS:
        made = graph(net, integers=integers, whole=False)
        onnx = to_onnx(ir.from_proto(made), activations=np.dtype(np.uint8), nhwc=False, io_int8=False, metadata={})
        tflite = to_tflite(ir.from_proto(made), nhwc=True, io_int8=False, metadata={})
        for format, data in (("onnx", onnx.data), ("tflite", tflite.data)):
            path = tmp_path / f"net.{format}"
            path.write_bytes(data)
            assert kernels_of(path), net.name
