import numpy as np

from edgekit.quantize.norms import first_norm, input_axes
from tests.models import graph, node, weights

GAMMA, BETA = np.array([1.0, -2.0, 1e-9], np.float32), np.array([0.5, 0.0, 1.0], np.float32)


def normed(mean=1.0, variance=4.0, gamma=GAMMA):
    constants = {
        "w": weights(3, 2, 1, 1),
        "g": gamma,
        "b": BETA,
        "m": np.full(3, mean, np.float32),
        "v": np.full(3, variance, np.float32),
    }
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("BatchNormalization", ["c", "g", "b", "m", "v"], ["n"]),
        node("Relu", ["n"]),
    ]
    return graph({"x": (1, 2, 4, 4)}, nodes, constants)


def test_a_batch_norm_tells_what_its_output_was_in_training() -> None:
    ((name, norm),) = first_norm(normed()).items()
    assert name == "n"
    np.testing.assert_allclose(norm.mean, BETA)
    np.testing.assert_allclose(norm.deviation, np.abs(GAMMA))
    assert norm.alive.tolist() == [True, True, False]


def test_one_that_was_never_trained_tells_nothing() -> None:
    assert not first_norm(normed(mean=0.0, variance=1.0))
    assert not first_norm(normed(gamma=np.zeros(3, np.float32)))
    assert not first_norm(graph({"x": (1, 4)}, [node("Relu", ["x"])]))


def test_channels_are_where_a_convolution_looks_for_them() -> None:
    conv = {"w": weights(3, 2, 1, 1), "s": np.float32(2)}
    scaled = [node("Mul", ["x", "s"], ["m"]), node("Conv", ["m", "w"])]
    assert input_axes(graph({"x": (1, 2, 4, 4)}, scaled, conv)) == {"x": 1}
    turned = [node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]), node("Conv", ["t", "w"])]
    assert input_axes(graph({"x": (1, 4, 4, 2)}, turned, conv)) == {"x": 3}
    linear = [node("Gemm", ["x", "w"])]
    assert input_axes(graph({"x": (1, 4)}, linear, {"w": weights(4, 2)})) == {"x": None}
