from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import EdgekitError
from edgekit.lower.tflite import to_tflite
from edgekit.profile import placing
from edgekit.profile.memory import HOST, MICRO, Memory, plan, plan_of, planned
from tests.lower.tflite.cases import cases
from tests.lower.tflite.graphs import as_ir, quantized
from tests.profile.flows import flow, tensor

# Head and tail in bytes as tflite-micro 0.dev20261023182759 reports them, and the smallest arena, in steps of 16 bytes,
# in which it starts.
REPORTED = {
    "ad01_i8": (768, 3216, 4640),
    "ic_resnet8_i8": (49_152, 6_832, 55_984),
    "kws_i8": (16_000, 8_272, 24_272),
}


@pytest.mark.parametrize("name", REPORTED)
def test_published_files(name: str, shared: Path) -> None:
    found = plan(shared / "data" / "reference_models" / f"{name}.tflite")
    head_bytes, tail_bytes, needed_bytes = REPORTED[name]
    assert (found.head_bytes, found.tail_bytes) == (head_bytes, tail_bytes)
    assert found.arena_bytes == head_bytes + tail_bytes
    assert needed_bytes <= found.needed_bytes <= needed_bytes + 16
    assert sum(part.size_bytes for part in found.parts) == pytest.approx(found.arena_bytes, abs=15)
    assert {part.evidence for part in found.parts} == {"computed"}
    assert not found.without_kernel


def chain() -> Memory:
    """1x8x8x4 -> 1x8x8x4 -> 1x4 -> 1x4: the largest moment is the first op."""
    tensors = [
        tensor("image", 1, 8, 8, 4),
        tensor("clipped", 1, 8, 8, 4),
        tensor("axes", 2, dtype="int32", constant=True, scales=0),
        tensor("mean", 1, 4),
        tensor("chances", 1, 4),
    ]
    return planned(flow(tensors, [("RELU", (0,), (1,)), ("MEAN", (1, 2), (3,)), ("SOFTMAX", (3,), (4,))], outputs=(4,)))


def test_memory_over_time() -> None:
    found = chain()
    assert [(moment.op, moment.output, moment.alive_bytes) for moment in found.timeline] == [
        ("RELU", "clipped", 512),
        ("MEAN", "mean", 256 + 16 + 16 + 16 + 16),  # an index, the axes, and sums
        ("SOFTMAX", "chances", 32),
    ]
    assert found.peak_bytes == 512
    assert (found.peak_op, found.peak_output) == ("RELU", "clipped")
    assert {(alive.name, alive.size_bytes) for alive in found.alive} == {("image", 256), ("clipped", 256)}
    assert found.head_bytes == 512


def test_scratch_is_alive_at_its_op() -> None:
    tensors = [tensor("x", 4), tensor("axes", 1, dtype="int32", constant=True), tensor("y", 1)]
    found = planned(flow(tensors, [("MEAN", (0, 1), (2,))]))
    assert sorted(alive.name for alive in found.alive) == ["scratch of MEAN"] * 3 + ["x", "y"]


def test_pointers_of_four_bytes_take_less() -> None:
    found = chain()
    assert found.tail32_bytes < found.tail_bytes
    assert (HOST.tensor, HOST.op, HOST.described) == (24, 64, 64)
    assert (MICRO.tensor, MICRO.op, MICRO.described) == (12, 32, 40)


def test_variables_lie_in_the_tail() -> None:
    def with_state(variable: bool) -> Memory:
        tensors = [tensor("x", 64), tensor("state", 256, variable=variable), tensor("y", 256)]
        return planned(flow(tensors, [("ADD", (0, 1), (2,))], inputs=(0,) if variable else (0, 1)))

    kept, given = with_state(True), with_state(False)
    assert given.head_bytes - kept.head_bytes == 256
    assert next(part for part in kept.parts if part.name == "variables").size_bytes >= 256


def test_what_was_guessed_is_said() -> None:
    found = planned(flow([tensor("x", 4), tensor("y", 4), tensor("z", 4)], [("SVDF", (0,), (1,)), ("POW", (1,), (2,))]))
    assert found.guessed == ("SVDF", "POW")
    assert found.without_kernel == ("POW",)
    assert (found.peak_number, len(found.timeline)) == (1, 2)
    assert {part.evidence for part in found.parts} == {"estimated"}


def test_graphs_within_ops_are_not_planned() -> None:
    found = planned(flow([tensor("x", 4), tensor("y", 4)], [("RELU", (0,), (1,))], graphs=2))
    assert found.parts[0].evidence == "estimated"


def test_a_file_without_ops_hands_its_input_on() -> None:
    found = planned(flow([tensor("x", 40)], [], outputs=(0,)))
    assert found.timeline == ()
    assert (found.peak_bytes, found.peak_op, found.alive) == (0, "", ())
    assert found.head_bytes == 48


def test_an_output_that_nobody_takes_lives_at_its_op() -> None:
    tensors = [tensor("x", 16), tensor("unused", 64), tensor("y", 16)]
    found = planned(flow(tensors, [("SPLIT", (0,), (1, 2))], outputs=(2,)))
    assert found.peak_bytes == 96


def test_small_activations_need_room_to_prepare() -> None:
    """A wide layer's scales are looked at, one by one, before the first run."""
    tensors = [
        tensor("x", 1, 4),
        tensor("weights", 640, 4, constant=True, scales=640),
        tensor("bias", 640, dtype="int32", constant=True, scales=640),
        tensor("y", 1, 640),
    ]
    found = planned(flow(tensors, [("FULLY_CONNECTED", (0, 1, 2), (3,))]))
    assert found.needed_bytes > found.arena_bytes


def test_too_large_to_plan(monkeypatch: pytest.MonkeyPatch, shared: Path) -> None:
    path = shared / "data" / "reference_models" / "kws_i8.tflite"
    assert plan_of(path.read_bytes()) == plan(path)
    monkeypatch.setattr(placing, "MOST_LIVES", 3)
    assert plan_of(path.read_bytes()) is None
    with pytest.raises(EdgekitError, match="EK761"):
        plan(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\x00\x00\x00TFL3" + b"\xff" * 64])
def test_no_tflite_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.tflite").write_bytes(content)
    with pytest.raises(EdgekitError, match="EK762"):
        plan(tmp_path / "a.tflite")


def test_a_table_of_ops_can_be_planned(tmp_path: Path) -> None:
    """Every op that edgekit writes in INT8 was measured, or has no kernel."""
    table = cases()
    for name in list(table)[::9]:
        (tmp_path / "a.tflite").write_bytes(
            to_tflite(as_ir(quantized(table[name])), nhwc=True, io_int8=True, metadata={}).data
        )
        found = plan(tmp_path / "a.tflite")
        assert set(found.guessed) <= set(found.without_kernel), name
        assert found.peak_bytes <= found.head_bytes <= found.needed_bytes
