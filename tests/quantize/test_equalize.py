import numpy as np
import onnx_ir as ir
import pytest

from edgekit.graph import facts, marks
from edgekit.quantize.equalize import HEADROOM, equalize
from tests.models import feeds, graph, node, run, weights

FACTORS = 2.0 ** np.random.default_rng(5).uniform(-5, 5, 8)
RELU6 = {"low": np.float32(0), "high": np.float32(6)}


def chain(*between, groups=1, linear="Conv", **constants):
    """A linear op, `between` from a to d, and a second linear op; the channels of a are of very different size."""
    uneven = FACTORS.astype(np.float32)
    if linear == "Gemm":
        inputs, first, second = {"x": (1, 5)}, weights(8, 5) * uneven[:, None], weights(6, 8) / uneven
        options = {"transB": 1}
    else:
        inputs, first = {"x": (1, 3, 8, 8)}, weights(8, 3, 3, 3) * uneven.reshape(8, 1, 1, 1)
        second = weights(8 if groups == 8 else 6, 8 // groups, 3, 3)
        second = second / np.repeat(uneven.reshape(groups, -1), len(second) // groups, 0)[:, :, None, None]
        options = {"group": groups}
    nodes = [
        node(linear, ["x", "w", "b"], ["a"], **({"transB": 1} if linear == "Gemm" else {})),
        *between,
        node(linear, ["d", "v"], ["y"], **options),
    ]
    return graph(inputs, nodes, {"w": first, "b": weights(8) * uneven, "v": second.astype(np.float32), **constants})


CHAINS = {
    "relu": chain(node("Relu", ["a"], ["d"])),
    "pooled": chain(node("MaxPool", ["a"], ["d"], kernel_shape=[2, 2])),
    "leaky, pooled": chain(
        node("LeakyRelu", ["a"], ["r"], alpha=0.1), node("AveragePool", ["r"], ["d"], kernel_shape=[2, 2])
    ),
    "depthwise": chain(node("Relu", ["a"], ["d"]), groups=8),
    "grouped": chain(node("Relu", ["a"], ["d"]), groups=2),
    "gemm": chain(node("Relu", ["a"], ["d"]), linear="Gemm"),
}


def peaks(model, count=4):
    """Of the inputs of all linear ops."""
    linear = [n.inputs[0] for n in model.graph if n.op_type in ("Conv", "Gemm", "ConvTranspose")]
    tapped = model.clone()
    values = {value.name: value for n in tapped.graph for value in n.outputs}
    wanted = [value.name for value in linear if value.name in values]
    tapped.graph.outputs.extend(values[name] for name in wanted)
    found = {}
    for seed in range(count):
        fed = feeds(model, 1, seed)
        for name, x in {**run(tapped, fed, fuse=False), **fed}.items():
            peak = np.abs(x).max(axis=tuple(i for i in range(x.ndim) if i != 1))
            found[name] = np.maximum(found.get(name, 0.0), peak)
    return found


def spread(sizes):
    return sizes.max() / sizes[sizes > 0].min()


@pytest.mark.parametrize("name", CHAINS)
def test_the_function_stays_and_channels_become_alike(name):
    model = CHAINS[name]
    even = equalize(model, peaks(model))
    for seed in range(4):
        fed = feeds(model, 2, seed)
        expected = run(model, fed)["y"]
        np.testing.assert_allclose(run(even, fed)["y"], expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    before, after = peaks(model)["d"], peaks(even)["d"]
    assert spread(before) > 30
    assert spread(after) < (1.01 if name == "depthwise" else spread(before) / 4)


def test_a_residual_stream_scales_as_one():
    nodes = [
        node("Conv", ["x", "w", "b"], ["a"]),
        node("Relu", ["a"], ["r"]),
        node("Conv", ["r", "m"], ["c"]),
        node("Add", ["c", "r"], ["s"]),
        node("GlobalAveragePool", ["s"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "v"], ["y"], transB=1),
    ]
    uneven = FACTORS.astype(np.float32)
    middle = weights(8, 8, 1, 1) * uneven.reshape(8, 1, 1, 1) / uneven.reshape(1, 8, 1, 1)
    constants = {"w": weights(8, 3, 1, 1) * uneven.reshape(8, 1, 1, 1), "b": weights(8) * uneven}
    model = graph({"x": (1, 3, 4, 4)}, nodes, {**constants, "m": middle, "v": weights(5, 8) / uneven})
    even = equalize(model, peaks(model))
    fed = feeds(model, 3, 9)
    np.testing.assert_allclose(run(even, fed)["y"], run(model, fed)["y"], rtol=1e-4, atol=1e-4)
    assert spread(peaks(even)["f"]) < spread(peaks(model)["f"]) / 10


def test_a_channel_rises_to_its_clip_and_not_beyond():
    clip = node("Clip", ["a", "low", "high"], ["d"])
    model = chain(clip, groups=8, **RELU6)
    before = peaks(model)
    assert {True, False} == set(before["d"] < 6)
    even = equalize(model, before)
    np.testing.assert_allclose(peaks(even)["d"], np.clip(before["d"], 6 / HEADROOM, 6), rtol=1e-5)
    for seed in range(4):  # what was calibrated
        fed = feeds(model, 1, seed)
        np.testing.assert_allclose(run(even, fed)["y"], run(model, fed)["y"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "between",
    [
        [node("Sigmoid", ["a"], ["d"])],
        [node("Relu", ["a"], ["d"]), node("Tanh", ["d"], ["z"])],
        [node("Clip", ["a", "low", "high"], ["d"])],
        [node("Clip", ["a"], ["d"])],
        [node("Clip", ["a", "", "high"], ["d"])],
    ],
    ids=["does not scale", "read by what does not scale", "bounded from below elsewhere", "no bound", "no lower bound"],
)
def test_what_does_not_scale_stays(between):
    model = chain(*between, low=np.float32(-1), high=np.float32(6))
    if between[-1].op_type == "Tanh":
        model.graph.outputs.append(list(model.graph)[2].outputs[0])
    assert equalize(model, peaks(model)) is None


def test_steps_that_share_weights_are_not_scaled_apart():
    steps = [
        node("Gemm", ["x", "w"], ["a"], transB=1),
        node("Relu", ["a"], ["b"]),
        node("Gemm", ["b", "w"], ["c"], transB=1),
        node("Relu", ["c"]),
    ]
    model = graph({"x": (1, 8)}, steps, {"w": weights(8, 8) * FACTORS.astype(np.float32)[:, None]})
    assert equalize(model, peaks(model)) is not None
    for step in model.graph:
        if step.op_type == "Gemm":
            marks.share_scale(step, "w_product")
    assert equalize(model, peaks(model)) is None


def test_what_is_even_stays():
    even = equalize(CHAINS["relu"], peaks(CHAINS["relu"]))
    again = equalize(even, peaks(even))
    assert again is None


def test_dead_channels_keep_their_size():
    model = CHAINS["relu"].clone()
    weight, bias = (model.graph.initializers[name] for name in ("w", "b"))
    for value in (weight, bias):
        array = facts.constant(value).copy()
        array[2] = 0
        value.const_value = ir.tensor(array, name=value.name)
    even = equalize(model, peaks(model))
    assert all(np.isfinite(facts.constant(value)).all() for value in even.graph.initializers.values())
    fed = feeds(model, 2, 3)
    np.testing.assert_allclose(run(even, fed)["y"], run(model, fed)["y"], rtol=1e-4, atol=1e-4)


def asleep(model, channel=2):
    """The same with a channel that its bias keeps below zero."""
    model = model.clone()
    bias, weight = (model.graph.initializers[name] for name in ("b", "w"))
    array = facts.constant(bias).copy()
    array[channel] = -1e4 * np.abs(facts.constant(weight)[channel]).sum()
    bias.const_value = ir.tensor(array, name="b")
    return model


def rescaled(model, factors):
    """The same function: the channels of a times `factors`."""
    model = model.clone()
    for name, by in (("w", factors.reshape(8, 1, 1, 1)), ("b", factors), ("v", 1 / factors.reshape(1, 8, 1, 1))):
        value = model.graph.initializers[name]
        value.const_value = ir.tensor(facts.constant(value) * by.astype(np.float32), name=name)
    return model


@pytest.mark.parametrize("model", [CHAINS["relu"], asleep(CHAINS["relu"])], ids=["awake", "one asleep"])
def test_it_comes_out_the_same_however_channels_were_scaled(model):
    first, second = model, rescaled(model, 2.0 ** np.random.default_rng(6).uniform(-9, 9, 8))
    first, second = equalize(first, peaks(first)), equalize(second, peaks(second))
    for one, other in zip(first.graph, second.graph, strict=True):
        if one.op_type == "Conv":
            arrays = [facts.constant(each.inputs[1]) for each in (one, other)]
            a, b = (array / np.abs(array).max() for array in arrays)
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_sleeping_channel_widens_no_row():
    model = asleep(CHAINS["relu"])
    reader = model.graph.initializers["v"]
    array = facts.constant(reader).copy()
    array[:, 2] *= 1000
    reader.const_value = ir.tensor(array, name="v")
    even = [facts.constant(n.inputs[1]) for n in equalize(model, peaks(model)).graph if n.op_type == "Conv"][1]
    rows = np.abs(even).max(axis=(2, 3))
    assert (rows[:, 2] <= np.delete(rows, 2, axis=1).max(axis=1) * (1 + 1e-5)).all()


def test_a_sleeping_channel_below_a_clip_is_not_raised():
    model = asleep(chain(node("Clip", ["a", "low", "high"], ["d"]), groups=8, **RELU6))
    even = equalize(model, peaks(model))
    before, after = ([facts.constant(n.inputs[1]) for n in each.graph if n.op_type == "Conv"] for each in (model, even))
    np.testing.assert_array_equal(before[0][2], after[0][2])


def test_few_samples_leave_room_where_weights_say_so():
    model = chain(node("Relu", ["a"], ["d"]), groups=8)
    known = peaks(model)
    drowsy = {**known, "d": np.where(np.arange(8) == 2, known["d"] / 100, known["d"])}
    after = [peaks(equalize(model, drowsy, few=few))["d"] for few in (False, True)]
    beyond = [float(found[2] / np.median(found)) for found in after]
    assert beyond[0] == pytest.approx(100, rel=0.1) and beyond[1] < 20


def test_a_layer_norm_takes_the_scaling_of_its_readers_up():
    uneven = FACTORS.astype(np.float32)
    nodes = [
        node("LayerNormalization", ["x", "g", "c"], ["n"]),
        node("Reshape", ["n", "rows"], ["r"]),
        node("Gemm", ["r", "v"], ["a"], transB=1),
        node("Gemm", ["r", "u"], ["b"], transB=1),
        node("Add", ["a", "b"], ["s"]),
        node("Relu", ["s"]),
    ]
    known = {"v": weights(6, 8) / uneven, "u": weights(6, 8, seed=1) / uneven, "rows": np.array([-1, 8])}
    model = graph({"x": (1, 5, 8)}, nodes, {**known, "g": uneven, "c": weights(8) * uneven})
    after = equalize(model, peaks(model))
    real, found = run(model, feeds(model))["y"], run(after, feeds(model))["y"]
    np.testing.assert_allclose(found, real, rtol=0, atol=1e-5 * np.abs(real).max())
    assert spread(peaks(after)["r"]) < spread(peaks(model)["r"]) / 4


def test_a_layer_norm_that_a_residual_reads_is_left():
    nodes = [
        node("LayerNormalization", ["x", "g"], ["n"]),
        node("Reshape", ["n", "rows"], ["r"]),
        node("Gemm", ["r", "v"], ["a"], transB=1),
        node("Reshape", ["a", "tokens"], ["t"]),
        node("Add", ["n", "t"], ["s"]),
        node("LayerNormalization", ["s", "g"]),
    ]
    known = {"v": weights(8, 8), "rows": np.array([-1, 8]), "tokens": np.array([-1, 5, 8])}
    model = graph({"x": (1, 5, 8)}, nodes, {**known, "g": FACTORS.astype(np.float32)})
    assert equalize(model, peaks(model)) is None


def test_clipped_values_that_are_averaged_stay():
    """What the reader sees is the mean; the clip saw more."""
    nodes = [
        node("Conv", ["x", "w", "b"], ["a"]),
        node("Clip", ["a", "low", "high"], ["c"]),
        node("GlobalAveragePool", ["c"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "v"], ["y"], transB=1),
    ]
    constants = {"w": weights(8, 3, 3, 3), "b": weights(8) * FACTORS.astype(np.float32), "v": weights(5, 8), **RELU6}
    model = graph({"x": (1, 3, 8, 8)}, nodes, constants)
    assert equalize(model, peaks(model)) is None


def test_a_norm_whose_reader_counts_channels_along_another_axis_stays():
    nodes = [
        node("LayerNormalization", ["x", "g"], ["n"], axis=-1),
        node("Conv", ["n", "w"], ["y"]),
    ]
    uneven = FACTORS.astype(np.float32)
    model = graph({"x": (1, 8, 8)}, nodes, {"g": uneven, "w": weights(4, 8, 1) / uneven.reshape(1, 8, 1)})
    assert equalize(model, {"n": FACTORS}) is None


def test_a_number_among_the_values_is_no_channel():
    nodes = [
        node("ReduceMax", ["x"], ["m"], keepdims=0),
        node("Mul", ["x", "m"], ["s"]),
        node("Conv", ["s", "w"], ["y"]),
    ]
    model = graph({"x": (1, 3, 4, 4)}, nodes, {"w": weights(4, 3, 1, 1)})
    assert equalize(model, {"s": np.ones(3)}) is None


def test_a_constant_that_the_model_gives_away_is_left_alone():
    model = CHAINS["relu"].clone()
    constant = ir.node("Constant", [], {"value": ir.tensor(np.ones(3, np.float32), name="z")}, name="z")
    constant.outputs[0].name, constant.outputs[0].dtype, constant.outputs[0].shape = (
        "z",
        ir.DataType.FLOAT,
        ir.Shape([3]),
    )
    model.graph.append(constant)
    model.graph.outputs.append(constant.outputs[0])
    after, before = (run(each, feeds(model)) for each in (equalize(model, peaks(CHAINS["relu"])), model))
    np.testing.assert_array_equal(after["z"], 1)
    np.testing.assert_allclose(after["y"], before["y"], rtol=0, atol=1e-4)
