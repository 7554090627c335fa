import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit import affine
from edgekit.quantize.rounding import rounded
from edgekit.quantize.weights import bias_qparams, output_axis, weight_qparams
from tests.models import graph, node, weights
from tests.quantize.steps import observed

magnitudes = st.sampled_from([0.0, 1e-30, 1e-12, 1e-6, 1e-3, 1.0, 50.0])
biases = st.sampled_from([0.0, -1e-9, 1e-3, 1.0, -70.0, 1e4])


@given(st.lists(st.tuples(magnitudes, biases), min_size=1, max_size=4), st.sampled_from([1e-4, 0.01, 1.0]))
def test_a_bias_always_fits(channels, input_scale):
    """Dead channels among others: tiny weights and a large bias."""
    scale, bias = (np.array(column, np.float32) for column in zip(*channels, strict=True))
    weight = weights(len(channels), 8, seed=3) * scale[:, None]
    qparams = weight_qparams(weight, 0, bias, input_scale, "minmax")
    stored = bias_qparams(qparams, input_scale, bias.size)
    steps = bias.astype(np.float64) / stored.scale
    assert np.all(np.abs(steps) <= affine.BIAS_MAX * (1 + 1e-6))
    assert np.all(np.isfinite(qparams.scale) & (qparams.scale > 0))
    back = affine.dequantize(affine.quantize(bias, stored), stored)
    assert np.all(np.abs(back - bias) <= 0.5 * stored.scale + 1e-6 * np.abs(bias))


def test_scales_are_the_channels_own():
    weight = weights(6, 4, 3, 3) * np.arange(1, 7, dtype=np.float32)[:, None, None, None]
    qparams = weight_qparams(weight, 0, None, 1.0, "minmax")
    np.testing.assert_allclose(qparams.scale, np.abs(weight).max(axis=(1, 2, 3)) / 127, rtol=1e-6)
    assert np.abs(rounded(weight, qparams, "nearest")).reshape(6, -1).max(axis=1).tolist() == [127] * 6


@pytest.mark.parametrize("rule", ["minmax", "mse"])
def test_all_zero_weights_have_a_scale(rule):
    qparams = weight_qparams(np.zeros((4, 8), np.float32), 0, None, 0.1, rule)
    assert np.all(qparams.scale == np.float32(1 / 127))


def test_a_zero_channel_takes_the_layers_scale():
    weight = weights(4, 8)
    weight[2] = 0
    qparams = weight_qparams(weight, 0, None, 0.1, "minmax")
    assert qparams.scale[2] == qparams.scale.max()


@pytest.mark.parametrize("axis", [0, None])
def test_mse_loses_less_than_minmax(axis):
    weight = np.random.default_rng(0).standard_t(5, (4, 5000)).astype(np.float32)

    def lost(rule):
        qparams = weight_qparams(weight, axis, None, 0.1, rule)
        return np.square(affine.dequantize(rounded(weight, qparams, "nearest"), qparams) - weight).sum(axis=1)

    assert lost("mse").sum() < lost("minmax").sum()
    if axis == 0:
        assert np.all(lost("mse") <= lost("minmax"))


@pytest.mark.parametrize("axis", [0, None])
def test_minus_128_is_never_used(axis):
    weight = np.random.default_rng(0).standard_t(2, (4, 256)).astype(np.float32)
    qparams = weight_qparams(weight, axis, None, 0.1, "mse")
    assert rounded(weight, qparams, "nearest").min() == -127


@pytest.mark.parametrize(
    ("one", "shape", "axis"),
    [
        (node("Conv", ["x", "w"], group=2), (6, 2, 1, 1), 0),
        (node("ConvTranspose", ["x", "w"]), (4, 6, 2, 2), 1),
        (node("ConvTranspose", ["x", "w"], group=2), (4, 3, 2, 2), None),
    ],
    ids=["conv", "transposed", "transposed in groups"],
)
def test_output_axis_of_images(one, shape, axis):
    assert output_axis(graph({"x": (1, 4, 5, 5)}, [one], {"w": weights(*shape)}).graph[0]) == axis


@pytest.mark.parametrize(
    ("one", "shape", "axis"),
    [
        (node("Gemm", ["x", "w"]), (4, 6), 1),
        (node("Gemm", ["x", "w"], transB=1), (6, 4), 0),
        (node("MatMul", ["x", "w"]), (4, 6), 1),
        (node("MatMul", ["x", "w"]), (1, 4, 6), None),
    ],
    ids=["gemm", "gemm transposed", "matmul", "matmul of rank 3"],
)
def test_output_axis_of_rows(one, shape, axis):
    assert output_axis(graph({"x": (1, 4)}, [one], {"w": weights(*shape)}).graph[0]) == axis


def test_other_ops_have_no_output_axis():
    assert output_axis(graph({"x": (1, 4)}, [node("Relu", ["x"])]).graph[0]) is None


def test_every_constant_weight_has_parameters():
    nodes = [node("Gemm", ["x", "w"], ["a"]), node("MatMul", ["a", "v"], ["b"]), node("MatMul", ["b", "b"])]
    model = graph({"x": (1, 4)}, [*nodes[:2], node("Add", ["b", "b"])], {"w": weights(4, 4), "v": weights(4, 4)})
    assert set(observed(model).weights()) == {"node_a", "node_b"}
