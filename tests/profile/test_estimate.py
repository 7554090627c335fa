"""Estimates: the sum of what kernels cost, its interval, what stands beside it, and what is refused."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from edgekit.device import Accelerator, Device, Factor, Figure, LatencyModel, load_device
from edgekit.errors import EdgekitError
from edgekit.profile.estimate import Estimate, estimate, main_precision
from edgekit.profile.factors import KIND_SPREAD, SHAPE_SPREAD, shape_of
from edgekit.profile.kernels import kernels_of
from edgekit.profile.measure import Latency
from edgekit.profile.terms import amounts
from tests.lower.tflite.graphs import Graph, node
from tests.profile.nets import onnx_file, tflite_file

MODEL = LatencyModel(
    processor="cpu",
    runtime="tflite",
    version="2.7.1",
    threads=4,
    precision="int8",
    evidence="A",
    families=("MobileNet V1", "MobileNet V2"),
    runs=37,
    median_error=0.02,
    held_out_error=0.03,
    half_width=0.1,
    noise=0.07,
    macs=(1e4, 1e8),
    cache_bytes=0,
    seconds_per_mac=1e-9,
    power_w=6.0,
    seconds={"mac": 1e-10, "window_mac": 1e-10, "conv_output": 1e-9, "depthwise_mac": 1e-9, "op": 1e-5, "run": 1e-4},
    source="fitted: in this test",
)


def device(*models: LatencyModel, **more: object) -> Device:
    return load_device("x86-64").model_copy(update={"name": "board", "latency": models, **more})


def float_model(**more: object) -> LatencyModel:
    return MODEL.model_copy(update={"precision": "float32", **more})


def test_the_sum_of_its_kernels(tmp_path: Path) -> None:
    path = tflite_file(tmp_path)
    (found,) = estimate(path, device(MODEL))
    work = amounts(kernels_of(path), 0)
    expected = sum(MODEL.seconds.get(term, 0.0) * amount for term, amount in work.items())
    assert found.seconds == pytest.approx(expected)
    assert sum(part.seconds for part in found.kernels) == pytest.approx(found.seconds - 1e-4)
    assert sum(part.seconds for part in found.ops) == pytest.approx(found.seconds - 1e-4)
    assert found.low_s == pytest.approx(found.seconds * math.exp(-0.1))
    assert found.high_s == pytest.approx(found.seconds * math.exp(0.1))
    assert found.energy_j == pytest.approx(6.0 * found.seconds)
    assert found.energy_high_j == pytest.approx(6.0 * found.high_s)
    assert (found.evidence, found.precision, found.threads) == ("A", "int8", 4)
    assert "37 runs" in found.basis
    assert not found.doubts


def test_an_estimate_is_no_latency() -> None:
    measured = {field.name for field in fields(Latency)}
    estimated = {field.name for field in fields(Estimate)}
    assert not {"median_s", "p05_s", "p95_s", "runs"} & estimated
    assert not {"seconds", "low_s", "high_s", "evidence"} & measured


def test_onnx_files_too(tmp_path: Path) -> None:
    (found,) = estimate(onnx_file(tmp_path), device(MODEL))
    assert found.macs == 30800


def test_beside_it_stand_simpler_ones(tmp_path: Path) -> None:
    told = MODEL.model_copy(update={"sibling": "raspberry-pi-4", "sibling_factor": 2.0})
    (found,) = estimate(tflite_file(tmp_path), device(told))
    assert found.baselines[0].name == "MACs alone"
    assert found.baselines[0].seconds == pytest.approx(30800e-9)
    assert found.baselines[1].name == "raspberry-pi-4 times 2"
    assert found.baselines[1].seconds > 0


def test_a_sibling_that_never_ran_it(tmp_path: Path) -> None:
    told = MODEL.model_copy(update={"runtime": "tflite-other", "sibling": "raspberry-pi-4", "sibling_factor": 2.0})
    (found,) = estimate(tflite_file(tmp_path), device(told))
    assert len(found.baselines) == 1


def test_what_only_the_prior_knows_widens_and_lowers(tmp_path: Path) -> None:
    costs = {**MODEL.seconds, "large_depthwise_mac": 1e-6}
    vague = MODEL.model_copy(update={"seconds": costs, "unseen": ("large_depthwise_mac",)})
    (found,) = estimate(tflite_file(tmp_path), device(vague))
    assert found.high_s / found.seconds > math.exp(0.4)
    assert found.evidence == "C"
    assert "no measured run had enough of" in found.doubts[0]


def test_factors_tell_shapes_apart(tmp_path: Path) -> None:
    path = tflite_file(tmp_path)
    shape = next(shape_of(kernel) for kernel in kernels_of(path) if kernel.kind == "depthwise")
    factor = Factor(**vars(shape), weight=math.log(2) / (KIND_SPREAD**2 + SHAPE_SPREAD**2))
    (plain,) = estimate(path, device(MODEL))
    (found,) = estimate(path, device(MODEL.model_copy(update={"factors": (factor,)})))
    costs = {part.name: part.seconds for part in plain.ops}
    for part in found.ops:
        times = 2 if part.name == "DEPTHWISE_CONV_2D" else 1
        assert part.seconds == pytest.approx(times * costs[part.name])


def test_a_kind_that_no_net_of_the_design_had_is_vague(tmp_path: Path) -> None:
    path = tflite_file(tmp_path)
    factor = Factor(**vars(shape_of(kernels_of(path)[0])), weight=0.0)
    (found,) = estimate(path, device(MODEL.model_copy(update={"factors": (factor,)})))
    assert "no measured run had enough of" in found.doubts[0]
    assert found.high_s / found.seconds > math.exp(MODEL.half_width)


def test_a_runtime_of_another_format_says_nothing_of_a_file(tmp_path: Path) -> None:
    board = device(MODEL.model_copy(update={"runtime": "litert"}), MODEL.model_copy(update={"runtime": "onnxruntime"}))
    assert [found.runtime for found in estimate(tflite_file(tmp_path), board)] == ["litert"]
    assert [found.runtime for found in estimate(onnx_file(tmp_path), board)] == ["onnxruntime"]


def test_float_files_take_the_float_parameters(tmp_path: Path) -> None:
    (found,) = estimate(tflite_file(tmp_path, integers=False), device(MODEL, float_model()))
    assert found.precision == "float32"


def test_a_runtime_that_runs_no_such_file(tmp_path: Path) -> None:
    (found,) = estimate(tflite_file(tmp_path), device(MODEL.model_copy(update={"runtime": "ncnn"})))
    assert "runs no such file" in found.doubts[0]


def test_an_accelerator_runs_float_files_in_float16(tmp_path: Path) -> None:
    npu = MODEL.model_copy(update={"processor": "npu", "precision": "float16"})
    (found,) = estimate(tflite_file(tmp_path, integers=False), device(npu))
    assert found.precision == "float32"
    assert not found.doubts


def test_best_known_first(tmp_path: Path) -> None:
    other = MODEL.model_copy(update={"runtime": "armnn", "evidence": "B"})
    found = estimate(tflite_file(tmp_path), device(other, MODEL))
    assert [entry.runtime for entry in found] == ["tflite", "armnn"]


def test_a_precision_that_was_not_measured(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=r"(?s)EK712.*float32.*measured in int8"):
        estimate(tflite_file(tmp_path, integers=False), device(MODEL))


def test_far_outside_of_what_was_measured(tmp_path: Path) -> None:
    large = MODEL.model_copy(update={"macs": (1e9, 1e10)})
    with pytest.raises(EdgekitError, match=r"(?s)EK713.*0.0308 M MACs"):
        estimate(tflite_file(tmp_path), device(large))


def test_an_unknown_op_and_an_empty_file(tmp_path: Path) -> None:
    case = Graph({"x": (1, 3, 8, 8)}, [node("Hardmax", ["x"])])
    with pytest.raises(EdgekitError, match=r"(?s)EK711.*Hardmax"):
        estimate(onnx_file(tmp_path, case, integers=False), device(MODEL))
    case = Graph({"x": (1, 3, 8, 8)}, [node("Identity", ["x"])])
    with pytest.raises(EdgekitError, match=r"(?s)EK711.*computes nothing"):
        estimate(onnx_file(tmp_path, case, integers=False), device(MODEL))


def mixed(tmp_path: Path) -> Path:
    """Integers, but for an op that has no kernel in them."""
    constants = {"w": np.full((8, 3, 3, 3), 0.3, np.float32)}
    nodes = [node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3]), node("Ceil", ["c"])]
    return tflite_file(tmp_path, Graph({"x": (1, 3, 8, 8)}, nodes, constants))


def test_float_islands_without_macs_are_doubted(tmp_path: Path) -> None:
    (found,) = estimate(mixed(tmp_path), device(MODEL))
    assert "another precision" in found.doubts[-1]
    (found,) = estimate(mixed(tmp_path), device(MODEL, float_model()))
    assert not [doubt for doubt in found.doubts if "another precision" in doubt]


ACCELERATOR = Accelerator(
    name="the NPU",
    ops=("CONV_2D", "ADD", "QUANTIZE", "DEQUANTIZE", "MEAN", "FULLY_CONNECTED", "HARD_SWISH"),
    precisions=("int8",),
    weights="per-channel",
    source="in this test",
    status="spec",
)


def test_a_float_file_stands_for_the_integers_that_are_made_of_it(tmp_path: Path) -> None:
    (made,) = estimate(tflite_file(tmp_path), device(MODEL))
    (asked,) = estimate(tflite_file(tmp_path, integers=False), device(MODEL), "int8")
    assert asked.precision == "int8"
    at_the_ends = {"QUANTIZE", "DEQUANTIZE"}
    inner = sum(part.seconds for part in made.ops if part.name not in at_the_ends)
    assert asked.seconds - 1e-4 == pytest.approx(inner, rel=1e-9)
    picky = ACCELERATOR.model_copy(update={"weights": "per-tensor", "ops": (*ACCELERATOR.ops, "DEPTHWISE_CONV_2D")})
    npu, cpu = MODEL.model_copy(update={"processor": "npu"}), MODEL.model_copy(update={"evidence": "C"})
    for scheme, fallen in (("default", 4), ("per-tensor", 0)):
        there = device(npu, cpu, accelerator=picky, scheme=scheme)
        assert len(estimate(tflite_file(tmp_path, integers=False), there, "int8")[0].fallen) == fallen


def test_ops_that_leave_the_accelerator(tmp_path: Path) -> None:
    path = tflite_file(tmp_path)
    npu = MODEL.model_copy(update={"processor": "npu", "runtime": "edgetpu", "evidence": "A"})
    cpu = MODEL.model_copy(update={"evidence": "C", "seconds": {"large_depthwise_mac": 1e-6}})
    first, _ = estimate(path, device(npu, cpu, accelerator=ACCELERATOR))
    assert [fallen.op for fallen in first.fallen] == ["DEPTHWISE_CONV_2D"]
    assert first.ops[0].name == "DEPTHWISE_CONV_2D"
    assert "leave the accelerator" in first.doubts[0]
    with pytest.raises(EdgekitError, match=r"(?s)EK714.*DEPTHWISE_CONV_2D"):
        estimate(path, device(npu, accelerator=ACCELERATOR))


def test_moves_on_a_cpu_that_was_not_measured(tmp_path: Path) -> None:
    """What multiplies nothing costs what the accelerator would take, and is not known."""
    path = tflite_file(tmp_path)
    npu = MODEL.model_copy(update={"processor": "npu", "runtime": "edgetpu"})
    whole = ACCELERATOR.model_copy(update={"ops": (*ACCELERATOR.ops, "DEPTHWISE_CONV_2D")})
    few = whole.model_copy(update={"ops": tuple(op for op in whole.ops if op not in {"DEQUANTIZE", "HARD_SWISH"})})
    (all_taken,), (found,) = (estimate(path, device(npu, accelerator=table)) for table in (whole, few))
    assert not all_taken.fallen and not all_taken.doubts
    assert [fallen.op for fallen in found.fallen] == ["QUANTIZE", "HARD_SWISH", "DEQUANTIZE"]
    assert found.seconds == pytest.approx(all_taken.seconds)
    assert found.high_s > all_taken.high_s
    assert any(
        "DEQUANTIZE, HARD_SWISH, QUANTIZE run on the CPU, which was not measured" in doubt for doubt in found.doubts
    )


def test_a_compiler_that_refuses_the_file(tmp_path: Path) -> None:
    table = ACCELERATOR.model_copy(update={"others": "refused", "name": "TensorRT"})
    with pytest.raises(EdgekitError, match=r"(?s)EK717.*TensorRT has no DEPTHWISE_CONV_2D") as raised:
        estimate(tflite_file(tmp_path), device(MODEL, accelerator=table))
    assert int(raised.value.exit) == 3


def test_a_guess_speaks_of_the_accelerator_only(tmp_path: Path) -> None:
    path = tflite_file(tmp_path)
    peak = device().compute.model_copy(update={"int8_macs_per_s": Figure(value=1e9, status="spec", source="sheet")})
    with pytest.raises(EdgekitError, match=r"(?s)EK714.*has no DEPTHWISE_CONV_2D"):
        estimate(path, device(compute=peak, accelerator=ACCELERATOR))
    whole = ACCELERATOR.model_copy(update={"ops": ("DEPTHWISE_CONV_2D", "CONV_2D", "ADD", "FULLY_CONNECTED")})
    (found,) = estimate(path, device(compute=peak, accelerator=whole))
    assert {fallen.op for fallen in found.fallen} == {"QUANTIZE", "HARD_SWISH", "MEAN", "DEQUANTIZE"}


def test_a_guess_from_the_peak(tmp_path: Path) -> None:
    path = tflite_file(tmp_path)
    board = device()
    peak = board.compute.model_copy(update={"int8_macs_per_s": Figure(value=1e9, status="spec", source="sheet")})
    (found,) = estimate(path, board.model_copy(update={"compute": peak}))
    assert found.evidence == "D"
    assert found.seconds == pytest.approx(30800 / 0.25e9)
    assert found.high_s == pytest.approx(5 * found.seconds)
    assert found.energy_j is None
    assert "25 % of the peak" in found.basis
    assert "guess" in found.doubts[0]
    with pytest.raises(EdgekitError, match=r"(?s)EK715.*no peak in int8"):
        estimate(path, board)
    fast = board.compute.model_copy(update={"int8_macs_per_s": Figure(value=1e12, status="spec", source="sheet")})
    with pytest.raises(EdgekitError, match=r"(?s)EK715.*less than it takes to start them"):
        estimate(path, board.model_copy(update={"compute": fast}))


def test_a_peak_says_nothing_of_moves(tmp_path: Path) -> None:
    case = Graph({"x": (1, 3, 8, 8)}, [node("Relu", ["x"])])
    with pytest.raises(EdgekitError, match=r"(?s)EK715.*multiplies nothing"):
        estimate(tflite_file(tmp_path, case, integers=False), device())


def test_most_macs_say_the_precision(tmp_path: Path) -> None:
    assert main_precision(kernels_of(tflite_file(tmp_path))) == "int8"
    case = Graph({"x": (1, 3, 8, 8)}, [node("Relu", ["x"])])
    assert main_precision(kernels_of(tflite_file(tmp_path, case, integers=False))) == "float32"
