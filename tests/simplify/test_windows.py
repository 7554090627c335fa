import onnx_ir as ir
import pytest

from edgekit.errors import EdgekitError
from edgekit.graph import facts
from edgekit.simplify import simplify
from edgekit.simplify.windows import explicit_pads
from tests.models import graph, node, weights
from tests.simplify.keeps import kept

PLANE = {"x": (1, 4, 9, 8)}
MODES = ("SAME_UPPER", "SAME_LOWER", "VALID")


def explicit(op, constants, **attributes):
    model = graph(PLANE, [node(op, ["x", *constants], **attributes)], constants)
    (after,) = kept(model, explicit_pads(model)).graph
    assert not {"auto_pad", "output_shape"} & set(after.attributes)
    return facts.attribute(after, "pads")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [(3, 3), (2, 5), (1, 1), (4, 4)], ids=str)
def test_convolution(mode, stride, kernel):
    explicit("Conv", {"w": weights(6, 4, *kernel)}, auto_pad=mode, strides=[stride, stride])


def test_same_puts_the_odd_pad_at_its_end():
    assert explicit("Conv", {"w": weights(6, 4, 3, 3)}, auto_pad="SAME_UPPER", strides=[2, 2]) == (1, 0, 1, 1)
    assert explicit("Conv", {"w": weights(6, 4, 3, 3)}, auto_pad="SAME_LOWER", strides=[2, 2]) == (1, 1, 1, 0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_pools(op, mode, stride):
    explicit(op, {}, auto_pad=mode, kernel_shape=[3, 3], strides=[stride, stride])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("batch", [None, 1])
@pytest.mark.parametrize("kernel", [2, 3])
def test_a_pool_that_rounds_up(mode, batch, kernel):
    """SAME rounds up by itself, which ONNX's shape inference does once more."""
    sizes = {"kernel_shape": [kernel] * 2, "strides": [2, 3], "ceil_mode": 1}
    model = graph(PLANE, [node("MaxPool", ["x"], ["p"], auto_pad=mode, **sizes), node("Relu", ["p"])])
    if batch is not None:
        model.graph.inputs[0].shape = ir.Shape([batch, *PLANE["x"][1:]])
    kept(model, simplify(model), batch=batch or 2)


@pytest.mark.parametrize(
    ("op", "settings"),
    [
        ("MaxPool", {"kernel_shape": [3, 3], "dilations": [2, 1]}),
        ("AveragePool", {"kernel_shape": [1, 1], "strides": [3, 3]}),
        ("AveragePool", {"kernel_shape": [2, 1], "strides": [1, 2], "count_include_pad": 1}),
    ],
)
def test_a_pool_of_which_the_padding_is_not_sure(op, settings):
    pool = node(op, ["x"], auto_pad="SAME_UPPER", **settings)
    with pytest.raises(EdgekitError, match="not known before the model runs") as refused:
        explicit_pads(graph(PLANE, [pool]))
    assert refused.value.code == "EK213"
    assert "has SAME_UPPER" in refused.value.why


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kernel", [(3, 3), (4, 4), (1, 1)], ids=str)
def test_transposed_convolution(mode, kernel):
    explicit("ConvTranspose", {"w": weights(4, 6, *kernel)}, auto_pad=mode, strides=[2, 2])


@pytest.mark.parametrize("size", [(18, 16), (17, 15), (19, 17), (20, 18)], ids=str)
def test_transposed_convolution_to_a_size(size):
    explicit("ConvTranspose", {"w": weights(4, 6, 3, 3)}, output_shape=list(size), strides=[2, 2])


def test_explicit_pads_stay():
    assert explicit("Conv", {"w": weights(6, 4, 3, 3)}, pads=[1, 0, 0, 1]) == (1, 0, 0, 1)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("batch", [None, 1])
def test_transposed_convolution_with_output_padding(mode, batch):
    """Runtimes take it as part of the size that SAME asks for, ONNX's shape inference adds it."""
    nodes = [node("ConvTranspose", ["x", "w"], ["c"], auto_pad=mode, strides=[2, 2], output_padding=[1, 1])]
    model = graph(PLANE, [*nodes, node("Relu", ["c"])], {"w": weights(4, 6, 2, 3)})
    if batch is not None:
        model.graph.inputs[0].shape = ir.Shape([batch, *PLANE["x"][1:]])
    after = kept(model, simplify(model), batch=batch or 2)
    assert facts.shape(after.graph.outputs[0])[2:] == ((19, 18) if mode == "VALID" else (18, 16))
