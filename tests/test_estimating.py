"""Files of a smaller model beside the unpruned one's, on a device that is not at hand: by the same parameters."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.artifact import Artifact, Format
from edgekit.device import Device, LatencyModel, load_device
from edgekit.errors import EdgekitError
from edgekit.estimating import Target, check_estimable, latencies, unpruned
from edgekit.run.signature import opened
from tests.lower.tflite.graphs import Graph, node
from tests.models import weights
from tests.profile.nets import onnx_file, tflite_file

MODEL = LatencyModel(
    processor="cpu",
    runtime="tflite",
    version="2.7.1",
    threads=4,
    precision="float32",
    evidence="B",
    families=("MobileNet V1",),
    runs=20,
    median_error=0.02,
    half_width=0.1,
    noise=0.07,
    macs=(80_000, 1e8),
    cache_bytes=0,
    seconds_per_mac=1e-9,
    seconds={"mac": 1e-9, "window_mac": 1e-9, "depthwise_mac": 1e-9, "run": 1e-4},
    source="fitted: in this test",
)
FORMATS: tuple[Format, ...] = ("onnx", "tflite")


def like(**more: object) -> LatencyModel:
    return MODEL.model_copy(update=more)


def device(*models: LatencyModel, **more: object) -> Device:
    return load_device("x86-64").model_copy(update={"name": "board", "latency": models, **more})


def net(width: int) -> Graph:
    nodes = [
        node("Conv", ["x", "w1"], ["c1"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", ["c1"], ["r1"]),
        node("Conv", ["r1", "w2"], ["y"], kernel_shape=[1, 1]),
    ]
    return Graph({"x": (1, 3, 8, 8)}, nodes, {"w1": weights(width, 3, 3, 3), "w2": weights(8, width, 1, 1)})


def files(folder: Path, width: int) -> list[Artifact]:
    """Float files, ONNX first."""
    folder = folder / str(width)
    folder.mkdir(exist_ok=True)
    return [opened(made(folder, net(width), integers=False)) for made in (onnx_file, tflite_file)]


def test_the_ratio_is_that_of_the_work_and_what_a_run_takes_anyway(tmp_path: Path) -> None:
    before = unpruned(files(tmp_path, 32), Target(device(MODEL), "float32", 4))
    (found,) = latencies(before, files(tmp_path, 16))
    macs = {width: 64 * width * (27 + 8) for width in (16, 32)}
    assert found.unpruned_s == pytest.approx(1e-4 + 1e-9 * macs[32])
    assert found.seconds == pytest.approx(1e-4 + 1e-9 * macs[16])
    assert found.low_s < found.seconds < found.high_s
    assert (found.file, found.device, found.runtime) == ("float32 TFLite", "board", "tflite")
    assert (found.precision, found.threads, found.evidence, found.doubts) == ("float32", 4, "B", ())


def test_the_best_known_runtime_that_reads_a_file_speaks_for_it(tmp_path: Path) -> None:
    known = device(like(runtime="armnn", evidence="C"), MODEL, like(runtime="onnxruntime"), like(runtime="ncnn"))
    before = unpruned(files(tmp_path, 32), Target(known, "float32", 4))
    assert {format: one.runtime for format, one in before.estimates.items()} == {
        "onnx": "onnxruntime",
        "tflite": "tflite",
    }


def test_where_none_reads_files_one_stands_in_for_all_and_is_doubted(tmp_path: Path) -> None:
    before = unpruned(files(tmp_path, 32), Target(device(like(runtime="ncnn")), "float32", 4))
    found = latencies(before, files(tmp_path, 16))
    assert [one.file for one in found] == ["float32 ONNX", "float32 TFLite"]
    assert all("runs no such file" in one.doubts[0] for one in found)


def test_only_what_the_device_takes_is_estimated(tmp_path: Path) -> None:
    there = device(like(runtime="stm32cube-ai"), formats=("tflite",))
    assert set(unpruned(files(tmp_path, 32), Target(there, "float32", 4)).estimates) == {"tflite"}


def test_a_float_file_stands_for_the_integers_that_are_made_of_it(tmp_path: Path) -> None:
    both = device(MODEL, like(precision="int8", seconds={"window_mac": 1e-10, "mac": 1e-10}))
    (found,) = latencies(unpruned(files(tmp_path, 32), Target(both, "int8", 4)), files(tmp_path, 16))
    assert found.precision == "int8"
    assert found.seconds == pytest.approx(found.unpruned_s / 2) == pytest.approx(1e-10 * 64 * 16 * 35)
    assert not found.doubts


@pytest.mark.parametrize(
    ("measured", "asked", "taken"),
    [
        ("int8", "float32", "int8"),
        ("float32", "int8", "float32"),
        ("float16", "float32", "float32"),
        ("float32", "int16x8", "float32"),
        ("int8", "int8-dynamic", "int8"),
    ],
)
def test_another_precision_where_that_alone_was_measured(tmp_path: Path, measured: str, asked: str, taken: str) -> None:
    target = Target(device(like(precision=measured)), asked, 4)
    (found,) = latencies(unpruned(files(tmp_path, 32), target), files(tmp_path, 16))
    assert found.precision == taken
    assert (f"estimated in {taken}: nothing was measured there in {asked}" in found.doubts) == (taken != asked)


def test_what_is_refused_before_any_work() -> None:
    with pytest.raises(EdgekitError, match=r"EK305.*'board'") as refused:
        check_estimable(Target(device(), "int8", 4), FORMATS)
    assert "no run was measured there" in refused.value.why
    with pytest.raises(EdgekitError, match="EK305") as refused:
        check_estimable(Target(device(MODEL, formats=("tflite",)), "int8", 4), ("onnx",))
    assert refused.value.why == "the files are to be ONNX, and onnxruntime or litert takes TFLite"
    check_estimable(Target(device(MODEL, formats=("tflite",)), "int8", 4), FORMATS)


def test_an_op_that_nothing_is_known_of(tmp_path: Path) -> None:
    odd = Graph({"x": (1, 3, 8, 8)}, [node("Det", ["x"], ["y"])], {})
    path = onnx_file(tmp_path, odd, integers=False)
    with pytest.raises(EdgekitError, match="EK305") as refused:
        unpruned([opened(path)], Target(device(MODEL), "float32", 4))
    assert refused.value.why == "nothing is known of what Det cost"


def test_models_too_small_for_what_was_measured(tmp_path: Path) -> None:
    """10 k MACs are the least that parameters from 80 k on can speak of."""
    target = Target(device(MODEL), "float32", 4)
    with pytest.raises(EdgekitError, match=r"EK305.*board") as refused:
        unpruned(files(tmp_path, 2), target)
    assert "it has 0.00448 M MACs" in refused.value.why
    before = unpruned(files(tmp_path, 32), target)
    with pytest.raises(EdgekitError, match="EK305") as refused:
        latencies(before, files(tmp_path, 2))
    assert "it has 0.00448 M MACs" in refused.value.why
    two = Target(device(MODEL, like(runtime="armnn", evidence="C", macs=(8, 1e8))), "float32")
    with pytest.raises(EdgekitError, match="EK305") as refused:
        latencies(unpruned(files(tmp_path, 32), two), files(tmp_path, 2))
    assert refused.value.why == "no model as small as one of 4.48 k MACs was measured there in tflite 2.7.1"


def test_another_number_of_threads_is_doubted(tmp_path: Path) -> None:
    before = unpruned(files(tmp_path, 32), Target(device(MODEL), "float32", 1))
    for found in latencies(before, files(tmp_path, 16)):
        assert found.threads == 4
        assert found.doubts[0] == "estimated with 4 threads: nothing that reads it was with 1 thread"
