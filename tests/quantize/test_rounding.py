import numpy as np
import pytest

from edgekit import affine
from edgekit.quantize.rounding import has_kernels, rounded
from edgekit.quantize.weights import weight_qparams
from tests.models import graph, node, run, weights

SHAPES = {"conv": (6, 8, 3, 3), "depthwise": (16, 1, 5, 5), "of a signal": (4, 3, 256), "transposed": (8, 6, 3, 3)}


def steps_off(weight, q, qparams):
    """(kernels, taps) errors in steps."""
    scale = affine.along_axis(qparams, weight.ndim).astype(np.float64)
    return (q - weight / scale).reshape(-1, weight[0, 0].size)


def rule_of(name):
    return None if name == "one scale" else int(name == "transposed")


@pytest.mark.parametrize("name", [*SHAPES, "one scale"])
def test_the_errors_of_a_kernel_add_up_to_half_a_step(name):
    weight = weights(*SHAPES.get(name, (6, 8, 3, 3)))
    qparams = weight_qparams(weight, rule_of(name), None, 1.0, "minmax")
    nearest, balanced = (rounded(weight, qparams, how) for how in ("nearest", "balanced"))
    assert np.abs(steps_off(weight, nearest, qparams).sum(axis=1)).max() > 0.8
    errors = steps_off(weight, balanced, qparams)
    assert np.abs(errors.sum(axis=1)).max() <= 0.5 + 1e-4  # of float32 scales
    assert np.abs(errors).max() < 1
    assert balanced.dtype == np.int8 and np.abs(balanced.astype(int) - nearest).max() == 1


def test_those_next_to_their_other_integer_are_turned_over():
    weight = np.array([0.45, 0.4, -0.3, 0.35, 1.2, 127.0], np.float32).reshape(1, 1, 2, 3)
    qparams = weight_qparams(weight, 0, None, 1.0, "minmax")
    # Errors -0.45, -0.4, 0.3, -0.35, -0.2, 0 add up to -1.1: one is turned over.
    assert rounded(weight, qparams, "balanced").reshape(-1).tolist() == [1, 0, 0, 0, 1, 127]


def test_saturated_weights_stay():
    """Their errors are of many steps: the others make up for as much as they can, each by less than a step."""
    weight = np.array([300.0, 0.6, 0.4, 0.0], np.float32).reshape(1, 1, 2, 2)
    qparams = affine.QParams(np.ones(1, np.float32), 0, affine.INT8, 0)
    assert rounded(weight, qparams, "balanced").reshape(-1).tolist() == [127, 1, 1, 0]
    assert rounded(-weight, qparams, "balanced").reshape(-1).tolist() == [-127, -1, -1, 0]


def test_without_taps_there_is_nothing_to_balance():
    for shape in ((6, 8), (6, 8, 1, 1), (6, 8, 1)):
        weight = weights(*shape)
        assert not has_kernels(weight)
        qparams = weight_qparams(weight, 0, None, 1.0, "minmax")
        np.testing.assert_array_equal(rounded(weight, qparams, "balanced"), rounded(weight, qparams, "nearest"))


def test_on_a_smooth_plane_outputs_come_closer():
    weight = weights(8, 4, 5, 5)
    qparams = weight_qparams(weight, 0, None, 1.0, "minmax")
    rows = np.linspace(0, 1, 12, dtype=np.float32)
    plane = np.stack([np.outer(rows, rows) + i for i in range(4)])[None]

    def output(kernel):
        return run(graph({"x": plane.shape}, [node("Conv", ["x", "w"])], {"w": kernel}), {"x": plane})["y"]

    real = output(weight)
    lost = {
        how: output(affine.dequantize(rounded(weight, qparams, how), qparams)) - real for how in ("nearest", "balanced")
    }
    assert np.square(lost["balanced"]).sum() < np.square(lost["nearest"]).sum() / 4
