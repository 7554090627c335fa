"""Devices held against limits: kept at the upper end, perhaps in the middle, and never by what nobody knows."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgekit.device import Device, Fact, Figure, Memory, Power, Price, RuntimeRam, Security
from edgekit.profile import recommend
from edgekit.profile.prospect import prospect
from edgekit.profile.recommend import Candidate, Limits, Span, candidate
from tests.profile.nets import onnx_file, tflite_file
from tests.profile.test_estimate import ACCELERATOR, MODEL, device, float_model

POWERED = MODEL.model_copy(update={"power_w": 6.0})


def figure(value: float, note: str = "", status: str = "published") -> Figure:
    return Figure(value=value, note=note, status=status, source="a sheet")  # type: ignore[arg-type]


def board(*models: Any, **more: Any) -> Device:
    return device(*(models or (POWERED,)), formats=("tflite", "onnx"), **more)


def held(path: Path, there: Device, **limits: Any) -> Candidate:
    return candidate([(path, "tflite")], there, Limits(**limits))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tflite_file(tmp_path_factory.mktemp("net"))


def test_without_limits_all_that_can_be_estimated_is_feasible(path: Path) -> None:
    found = held(path, board())
    assert (found.verdict, found.feasible, found.judgements, found.reasons) == ("kept", True, (), ())
    assert found.estimate is not None and found.estimate.evidence == "A"
    assert found.path == str(path)


def test_the_upper_end_decides(path: Path) -> None:
    estimate = held(path, board()).estimate
    assert estimate is not None
    middle, high = estimate.seconds, estimate.high_s
    assert held(path, board(), latency_s=high).verdict == "kept"
    perhaps = held(path, board(), latency_s=(middle + high) / 2)
    assert (perhaps.verdict, perhaps.feasible) == ("perhaps", True)
    assert ", up to " in perhaps.reasons[0]
    broken = held(path, board(), latency_s=middle / 2)
    assert (broken.verdict, broken.feasible) == ("broken", False)
    assert broken.reasons[0].startswith("needs ") and broken.reasons[0].endswith(" allowed")


def test_energy_too_and_where_no_power_is_known(path: Path) -> None:
    estimate = held(path, board()).estimate
    assert estimate is not None and estimate.energy_j is not None and estimate.energy_high_j is not None
    assert held(path, board(), energy_j=estimate.energy_high_j).verdict == "kept"
    assert held(path, board(), energy_j=estimate.energy_j * 1.01).verdict == "perhaps"
    broken = held(path, board(), energy_j=estimate.energy_j / 2)
    assert broken.reasons[0].startswith("energy: needs ")
    idle = board(MODEL.model_copy(update={"power_w": None}))
    unknown = held(path, idle, energy_j=1.0)
    assert (unknown.verdict, unknown.feasible) == ("unknown", False)
    assert unknown.reasons == ("energy unknown: no power was measured there",)


@pytest.mark.parametrize(
    ("price", "verdict", "why"),
    [
        (figure(80), "kept", ""),
        (figure(80, "80-90"), "kept", ""),
        (figure(80, "about 80-120"), "perhaps", "price: needs 80 USD, up to 120 USD, 100 USD allowed"),
        (figure(80, "80 / 110 modes"), "perhaps", "up to 110 USD"),
        (figure(80, "80 (4 GB), 120 (8 GB)"), "kept", ""),
        (figure(120), "broken", "price: needs 120 USD, 100 USD allowed"),
        (figure(80, status="unsourced"), "perhaps", "price 80 USD, for which nobody vouches"),
        (None, "unknown", "price unknown"),
    ],
)
def test_prices(path: Path, price: Figure | None, verdict: str, why: str) -> None:
    found = held(path, board(price=Price(usd=price)), price_usd=100.0)
    assert found.verdict == verdict
    assert why in "; ".join(found.reasons)


def test_power_is_what_the_board_draws_meanwhile_and_at_most_what_is_told(path: Path) -> None:
    """The mean of 6 W was measured in that runtime."""
    measured = board(power=Power(load_w=figure(3), max_w=figure(7.5)))
    assert held(path, measured).power == Span(middle=pytest.approx(6.0), high=7.5)
    assert held(path, measured, power_w=8.0).verdict == "kept"
    assert held(path, measured, power_w=7.0).verdict == "perhaps"
    assert held(path, measured, power_w=5.0).verdict == "broken"
    told = board(MODEL.model_copy(update={"power_w": None}), power=Power(max_w=figure(5, "5 / 10 modes")))
    assert held(path, told).notes == ("at most 5 / 10 modes",)
    assert held(path, told, power_w=6.0).verdict == "perhaps"
    assert held(path, board(MODEL.model_copy(update={"power_w": None})), power_w=6.0).reasons == ("power unknown",)


@pytest.mark.parametrize(
    ("features", "verdict", "why"),
    [
        ("HAB secure boot, CAAM", "kept", ""),
        ("no secure boot; AES", "broken", "security: no secure boot"),
        ("AES", "unknown", "'Secure Boot' unknown: its file names AES"),
        (None, "unknown", "security unknown"),
    ],
)
def test_security(path: Path, features: str | None, verdict: str, why: str) -> None:
    told = None if features is None else Fact(value=features, status="published", source="a sheet")
    found = held(path, board(security=Security(features=told)), security=("Secure Boot",))
    assert found.verdict == verdict
    assert why in "; ".join(found.reasons)
    assert found.security == features


def test_security_that_nobody_vouches_for(path: Path) -> None:
    told = Security(features=Fact(value="secure boot", status="unsourced"))
    assert held(path, board(security=told), security=("secure boot",)).verdict == "perhaps"


def test_evidence(path: Path) -> None:
    assert held(path, board(), evidence="B").verdict == "kept"
    weak = board(MODEL.model_copy(update={"evidence": "C"}))
    assert held(path, weak, evidence="B").reasons == ("evidence C, B asked for",)


def micro(ram_bytes: float, flash_bytes: float = 10e6) -> Device:
    memory = Memory(ram_bytes=figure(ram_bytes), flash_bytes=figure(flash_bytes))
    return board(MODEL.model_copy(update={"processor": "mcu"}), memory=memory)


def test_a_microcontroller_must_have_room(path: Path) -> None:
    need = held(path, micro(10e6)).ram
    assert need is not None and need.middle < need.high < 10e6
    assert held(path, micro(10e6)).verdict == "kept"
    tight = held(path, micro((need.middle + need.high) / 2))
    assert (tight.verdict, tight.reasons[0][:20]) == ("perhaps", "may not fit: up to R")
    none = held(path, micro(need.middle / 2))
    assert none.verdict == "broken" and none.reasons[0].startswith("does not fit: RAM ")
    assert held(path, micro(10e6, 100)).reasons[0].startswith("does not fit: flash ")
    assert held(path, micro(10e6), ram_bytes=need.high).verdict == "kept"
    assert held(path, micro(10e6), ram_bytes=need.middle).verdict == "perhaps"
    assert held(path, micro(10e6), ram_bytes=need.middle / 2).reasons[0].startswith("RAM: needs")


def test_ram_is_that_of_the_runtime_that_the_time_is_of(path: Path) -> None:
    known = RuntimeRam(
        runtime="stm32cube-ai",
        version="10.0.0",
        share=1.2,
        constant_bytes=24_000,
        families=("MobileNet V1",),
        runs=15,
        held_out_error=0.1,
        half_width=0.5,
        source="fitted: in this test",
    )
    cube = MODEL.model_copy(update={"processor": "mcu", "runtime": "stm32cube-ai", "version": "10.0.0"})
    memory = micro(30_000).memory
    found = held(path, board(cube, memory=memory, runtime_ram=(known,)))
    assert found.ram is not None and 24_000 < found.ram.middle < 30_000 < found.ram.high
    assert found.verdict == "perhaps" and found.reasons[0].startswith("may not fit: up to RAM ")
    older = known.model_copy(update={"version": "9.0.0"})
    other = held(path, board(cube, memory=memory, runtime_ram=(older,)))
    assert other.ram is not None and other.ram.middle < 24_000, "that of TFLite Micro, which is computed"


def test_doubts_about_memory_take_a_pass_away(tmp_path: Path) -> None:
    found = prospect(tflite_file(tmp_path), micro(10e6))
    assert found.fit is not None
    doubted = replace(found, fit=replace(found.fit, doubts=("what SVDF asks for was guessed",)))
    judged = recommend._room(doubted, Span(middle=1, high=2), 10e6)
    assert judged is not None and judged.why == "may not fit: what SVDF asks for was guessed"


def test_a_board_needs_the_file_and_its_activations_at_least(path: Path) -> None:
    found = held(path, board(memory=Memory(dram=Fact(value="1-8 GB LPDDR4", status="spec"))), ram_bytes=1e6)
    assert found.ram is not None and path.stat().st_size < found.ram.middle < 1e6
    assert math.isinf(found.ram.high)
    assert found.available_bytes == 1e9
    assert (found.verdict, found.feasible) == ("perhaps", True)
    assert "and what its runtime adds" in found.reasons[0]
    assert held(path, board(), ram_bytes=100.0).verdict == "broken"
    assert held(path, board()).available_bytes is None
    small = board(memory=Memory(dram=Fact(value="0 GB", status="spec")))
    assert held(path, small).reasons[0].startswith("does not fit: RAM ")


def test_each_device_takes_its_format(tmp_path: Path) -> None:
    offered: list[Any] = [(onnx_file(tmp_path), "onnx"), (tflite_file(tmp_path), "tflite")]
    both = candidate(offered, board(), Limits())
    assert both.path is not None and both.path.endswith(".tflite")
    onnx = candidate(offered, board().model_copy(update={"formats": ("onnx",)}), Limits())
    assert onnx.path is not None and onnx.path.endswith(".onnx")
    none = candidate(offered[:1], board().model_copy(update={"formats": ("tflite",)}), Limits(price_usd=1.0))
    assert (none.path, none.feasible, none.verdict) == (None, False, "broken")
    assert none.reasons == ("no file for it: it runs TFLite", "price unknown")
    assert none.ram is None and none.estimate is None


def test_the_fastest_of_several_and_the_next_format_where_one_is_refused(tmp_path: Path) -> None:
    integers, floats = tflite_file(tmp_path), tflite_file(tmp_path, integers=False)
    slow = float_model(seconds={**MODEL.seconds, "run": 1.0})
    found = candidate([(floats, "tflite"), (integers, "tflite")], board(MODEL, slow), Limits())
    assert found.path == str(integers)
    found = candidate([(floats, "tflite"), (onnx_file(tmp_path), "onnx")], board(), Limits())
    assert found.path is not None and found.path.endswith(".onnx"), "float32 was not measured there"


def test_what_cannot_be_estimated(path: Path) -> None:
    found = held(path, board(float_model()), price_usd=10.0, latency_s=1.0, energy_j=1.0, evidence="B")
    assert (found.feasible, found.estimate, found.fit) == (False, None, None)
    assert found.reasons[0].startswith("cannot be estimated: it computes in int8")
    assert found.reasons[1] == "price unknown"
    assert found.ram is not None, "what it takes at least is known"
    assert found.sort_value("latency") == math.inf


def test_kernels_are_not_carried_along_and_placement_is(path: Path) -> None:
    npu = MODEL.model_copy(update={"processor": "npu"})
    whole = ACCELERATOR.model_copy(update={"ops": (*ACCELERATOR.ops, "DEPTHWISE_CONV_2D")})
    found = held(path, board(npu, accelerator=whole))
    assert found.estimate is not None and found.estimate.kernels == ()
    assert found.placement is not None and found.placement.share == 1


def test_sort_values(path: Path) -> None:
    found = held(path, board(price=Price(usd=figure(35)), power=Power(max_w=figure(7))))
    assert found.estimate is not None
    assert found.sort_value("latency") == found.estimate.seconds
    assert found.sort_value("energy") == found.estimate.energy_j
    assert found.sort_value("price") == 35
    assert found.sort_value("power") == pytest.approx(6.0)
    assert found.sort_value("evidence") == 0
    assert found.sort_value("ram") < math.inf
    assert held(path, board(MODEL.model_copy(update={"power_w": None}))).sort_value("power") == math.inf
