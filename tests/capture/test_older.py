"""Models of old opsets compute what they computed then, as ONNX Runtime runs both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.simplify import simplify
from tests.capture.conftest import run_graph, take
from tests.models import ops, run

X = np.random.default_rng(0).normal(size=(2, 2, 7, 9)).astype(np.float32)
GROWING, SHRINKING, BOTH = (1.0, 1.0, 2.0, 1.5), (1.0, 1.0, 0.5, 0.75), (1.0, 1.0, 1.7, 0.6)


def saved(folder: Path, opset: int, nodes: list[onnx.NodeProto], **constants: np.ndarray) -> Path:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", 2, 7, 9))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ("N", 2, None, None))
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, folder / "old.onnx")
    return folder / "old.onnx"


def check_means_the_same(file: Path) -> list[str]:
    """The ops that are left once the model is simplified."""
    captured = take(file)
    expected = run(file.read_bytes(), {"x": X}, fuse=False)["y"]
    np.testing.assert_allclose(run_graph(captured, {"x": X})["y"], expected, rtol=0, atol=1e-5)
    simple = simplify(captured.graph)
    np.testing.assert_allclose(run(simple, {"x": X})["y"], expected, rtol=0, atol=1e-5)
    return ops(simple)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_upsample(tmp_path: Path, mode: str) -> None:
    node = helper.make_node("Upsample", ["x"], ["y"], mode=mode, scales=GROWING)
    assert check_means_the_same(saved(tmp_path, 7, [node])) == ["Resize"]
    node = helper.make_node("Upsample", ["x", "s"], ["y"], mode=mode)
    assert check_means_the_same(saved(tmp_path, 9, [node], s=np.array(GROWING, np.float32))) == ["Resize"]


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("scales", [GROWING, SHRINKING, BOTH])
def test_the_first_resize(tmp_path: Path, mode: str, scales: tuple[float, ...]) -> None:
    node = helper.make_node("Resize", ["x", "s"], ["y"], mode=mode)
    left = check_means_the_same(saved(tmp_path, 10, [node], s=np.array(scales, np.float32)))
    assert left == ["Resize"] * (2 if (mode, scales) == ("nearest", BOTH) else 1)


def test_the_first_resize_by_computed_scales(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Cast", ["s"], ["before"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["before", "factors"], ["sizes"]),
        helper.make_node("Floor", ["sizes"], ["after"]),
        helper.make_node("Div", ["after", "before"], ["scales"]),
        helper.make_node("Resize", ["x", "scales"], ["y"]),
    ]
    check_means_the_same(saved(tmp_path, 10, nodes, factors=np.array(BOTH, np.float32)))


@pytest.mark.parametrize("axis", [None, 0, 2, 3])
@pytest.mark.parametrize("opset", [7, 11])
def test_hardmax_of_a_matrix(tmp_path: Path, opset: int, axis: int | None) -> None:
    given = {} if axis is None else {"axis": axis}
    check_means_the_same(saved(tmp_path, opset, [helper.make_node("Hardmax", ["x"], ["y"], **given)]))


def test_hardmax_of_one_axis(tmp_path: Path) -> None:
    file = saved(tmp_path, 13, [helper.make_node("Hardmax", ["x"], ["y"], axis=1)])
    assert check_means_the_same(file) == ["Hardmax"]
