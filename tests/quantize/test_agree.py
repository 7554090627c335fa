from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit import affine
from edgekit.lower.onnx import to_onnx
from edgekit.lower.tflite import to_tflite
from edgekit.quantize.agree import _fixed_point, agreeing_scales, disagreements, widened
from edgekit.quantize.assign import assign
from edgekit.quantize.insert import insert
from edgekit.run import litert, ort
from tests.models import graph, node, weights

WIDEST = 1.01 * (1 + 1e-6)
PAIRS = np.stack(np.meshgrid(np.arange(-128, 128), np.arange(-128, 128), indexing="ij")).reshape(2, 1, -1)


def parameters():
    return st.builds(
        lambda scale, zero: affine.QParams(np.asarray(np.float32(scale)), zero, affine.INT8),
        st.floats(0.01, 0.1),
        st.integers(-128, 127),
    )


def of(scale, zero_point):
    return affine.QParams(np.asarray(np.float32(scale)), zero_point, affine.INT8)


@settings(max_examples=12)
@given(parameters(), parameters(), parameters(), st.sampled_from([1, -1]))
def test_a_widened_scale_has_no_more_disagreements(a, b, output, sign):
    found = widened(a, b, output, sign)
    assert disagreements(a, b, found, sign) <= disagreements(a, b, output, sign)
    assert 1 <= float(found.scale) / float(output.scale) <= WIDEST
    assert found.zero_point == output.zero_point


def test_a_scale_without_disagreements_stays():
    a = of(0.05, 0)
    settled = widened(a, of(0.03, 10), of(0.07, -3))
    assert disagreements(a, of(0.03, 10), settled) == 0
    assert widened(a, of(0.03, 10), settled) is settled


@pytest.mark.parametrize("largest", [2.0**8, 2.0**20, 2.0**24])
def test_a_sum_of_operands_that_cancel_keeps_its_scale(largest):
    output = of(0.004, 0)
    assert widened(of(0.004 * largest, 0), of(0.1, 0), output, -1) is output
    assert widened(of(0.1, 0), of(0.004 * largest, 0), output) is output


@pytest.mark.parametrize(
    ("op", "sign", "scales"),
    [
        ("Add", 1, (of(0.05, 3), of(0.031, -20), of(0.07, 5))),
        ("Add", 1, (of(0.02, -128), of(0.06, 0), of(0.06, -128))),
        ("Sub", -1, (of(0.05, 3), of(0.031, -20), of(0.07, 5))),
    ],
    ids=["Add", "Add of a relu", "Sub"],
)
def test_all_pairs_of_codes_in_both_runtimes(op, sign, scales):
    """XNNPACK computes what `_fixed_point` says, and with an agreeing scale ONNX Runtime gives the same integers."""
    a, b, output = scales[0], scales[1], widened(*scales, sign)
    assert disagreements(a, b, output, sign) == 0
    model = graph({"x": (1, 65536), "z": (1, 65536)}, [node(op, ["x", "z"])])
    plan = assign(model)
    quantized = insert(model, plan, {"x": a, "z": b, "y": output}, {})
    codes = dict(zip("xz", PAIRS.astype(np.int8), strict=True))

    tflite = to_tflite(quantized, nhwc=False, io_int8=True, metadata={})
    found = litert.Interpreter(tflite.data).run(codes)["y"][0]
    onnx = to_onnx(quantized, activations=np.dtype(np.uint8), nhwc=False, io_int8=True, metadata={})
    assert np.array_equal(found, ort.Session(onnx.data).run(codes)["y"][0])

    ratios = np.array([a.scale / output.scale, sign * (b.scale / output.scale)], np.float32)
    axes = (np.arange(-128, 128, dtype=np.int64) - q.zero_point for q in (a, b))
    emulated = _fixed_point(*axes, ratios).reshape(-1) + output.zero_point
    assert np.array_equal(found, np.clip(emulated, -128, 127))


def block():
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Add", ["a", "x"], ["s"]),
        node("Sigmoid", ["s"], ["g"]),
        node("Sub", ["s", "a"], ["d"]),
        node("Add", ["d", "c"], ["e"]),
        node("Concat", ["e", "g"], ["j"], axis=1),
        node("Relu", ["j"]),
    ]
    return graph({"x": (1, 4, 5, 5)}, nodes, {"w": weights(4, 4, 1, 1), "c": weights(1)})


def test_only_the_outputs_of_additions_change():
    model = block()
    plan = assign(model)
    scales = {group.name: group.fixed or of(0.03 + 0.007 * i, i) for i, group in enumerate(plan.groups)}
    agreed = agreeing_scales(model, plan, scales)
    groups = plan.group_of
    changed = {name for name in scales if agreed[name] != scales[name]}
    assert changed <= {groups["s"].name, groups["d"].name}
    for x, z, y, sign in (("a", "x", "s", 1), ("s", "a", "d", -1)):
        q = [agreed[groups[name].name] for name in (x, z, y)]
        assert disagreements(*q, sign) <= disagreements(*q[:2], scales[groups[y].name], sign)


def test_an_addition_of_a_value_with_itself():
    model = graph({"x": (1, 8)}, [node("Add", ["x", "x"])])
    plan = assign(model)
    scales = {"x": of(0.05, 3), "y": of(0.09, 1)}
    agreed = agreeing_scales(model, plan, scales)
    assert agreed["x"] == scales["x"]
    assert disagreements(agreed["x"], agreed["x"], agreed["y"]) == 0


def test_an_addition_kept_float_stays():
    model = graph({"x": (1, 8), "z": (1, 8)}, [node("Add", ["x", "z"])])
    plan = assign(model, ["node_y"])
    assert agreeing_scales(model, plan, {}) == {}


def test_another_scale_is_another_count():
    a, b, y = of(0.5, 0), of(0.5, 0), of(1.0, 0)
    assert disagreements(a, b, y) > disagreements(a, b, replace(y, scale=np.asarray(np.float32(1.0017))))
