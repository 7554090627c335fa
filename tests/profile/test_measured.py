from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import EdgekitError
from edgekit.profile import measured
from edgekit.profile.address import parsed
from edgekit.profile.agree import Agreement
from edgekit.profile.answer import Measurements
from edgekit.profile.measured import MeasuredThere, device_doubts, measure_there
from tests.profile import trees
from tests.profile.ssh_server import Server, program
from tests.profile.test_answer import SURROUNDINGS, document
from tests.verify import nets


def on(there: str, folder: Path, **more: Any) -> MeasuredThere:
    artifacts = [nets.onnx_artifact(folder, "float32", None), nets.tflite_artifact(folder)]
    samples = [artifact.to_file({"x": nets.images(1)}) for artifact in artifacts]
    return measure_there(parsed(there), artifacts, samples, **{"python": sys.executable, "runs": 20, **more})


def test_a_device_that_computes_the_same(server: Server, tmp_path: Path) -> None:
    found = on(server.address, tmp_path, threads=2)
    assert found.place.on == server.address
    assert [one.label for one in found.measurements] == ["float32 ONNX", "INT8 TFLite"]
    for one in found.measurements:
        assert one.outputs is not None
        assert one.outputs.verdict == "identical"
        assert (one.runs, one.threads, one.kind) == (20, 2, "measured")
        assert 0 < one.min_s <= one.p05_s <= one.p25_s <= one.median_s <= one.p75_s <= one.p95_s <= one.max_s
        assert one.energy_j is None
        assert one.peak_rss_bytes is not None


def test_a_device_that_computes_something_else(server: Server, tmp_path: Path) -> None:
    """Its onnxruntime doubles every output."""
    broken = tmp_path / "broken" / "onnxruntime"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text(
        "__version__ = '0.1'\nimport numpy\nclass SessionOptions:\n    pass\nclass V:\n    name = 'x'\n"
        "class InferenceSession:\n    def __init__(self, *a, **k): pass\n    def get_inputs(self): return [V()]\n"
        "    def run(self, names, feed): return [numpy.ones((1, 4), numpy.float32)]\n"
    )
    python = program(tmp_path / "python", f'PYTHONPATH={broken.parent} exec {sys.executable} "$@"')
    first, second = on(server.address, tmp_path, python=python).measurements
    assert first.outputs is not None
    assert first.outputs.verdict == "different"
    assert "SQNR" in first.outputs.why
    assert second.outputs is not None
    assert second.outputs.verdict == "identical"
    assert first.runtime == "onnxruntime 0.1"


def test_the_same_runtime_with_other_outputs_is_doubted(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "agreement", lambda *_: Agreement(verdict="close", sqnr_db=40.0))
    real, integers = on(server.address, tmp_path).measurements
    doubt = "other outputs than here, though the runtime is the same"
    assert doubt in integers.doubts
    assert doubt not in real.doubts, "processors may sum in another order"


def test_here_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    assert [one.outputs for one in on("local", tmp_path).measurements] == [None, None]


def test_outputs_that_are_not_what_they_are_said_to_be(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lies(*_: object) -> None:
        raise ValueError("an output is not base64")

    monkeypatch.setattr(measured, "agreement", lies)
    with pytest.raises(EdgekitError, match="not base64") as caught:
        on(server.address, tmp_path)
    assert caught.value.code == "EK729"


def test_power_and_energy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = trees.jetson_orin_nano(tmp_path / "root")
    whole = measured.packed
    monkeypatch.setattr(measured, "packed", lambda a, s, job, cuts=(): whole(a, s, {**job, "root": root}, cuts))
    found = on("local", tmp_path)
    first = found.measurements[0]
    assert found.place.title == "NVIDIA Jetson Orin Nano Developer Kit, 6x Arm Cortex-A78AE"
    assert first.power[0].watts == pytest.approx(6.096)
    assert first.power[0].idle_watts == pytest.approx(6.096)
    assert first.energy_j == pytest.approx(6.096 * first.median_s)
    assert any("governor 'schedutil'" in doubt for doubt in first.doubts)
    assert found.doubts == ("the device was slowed down at the end: cpufreq-cpu0 slowed down (step 3)",)


def test_a_soak_of_one_file(tmp_path: Path) -> None:
    artifact = nets.tflite_artifact(tmp_path)
    samples = [artifact.to_file({"x": nets.images(1)})]
    found = measure_there(parsed("local"), [artifact], samples, python=sys.executable, runs=3, soak_s=2.0)
    assert found.soak is not None
    assert found.soak.soaked_s >= 2.0
    assert found.soak.first_s > 0
    assert found.soak.first_c is None


def test_ops_of_both_formats(tmp_path: Path) -> None:
    found = on("local", tmp_path, runs=5, sources=({}, {}))
    profiled, cut = (one.per_op for one in found.measurements)
    assert profiled is not None and profiled.kinds is None
    assert cut is not None and cut.left_out == ()
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"} <= {op.op for op in cut.ops}
    for one, ops in zip(found.measurements, (profiled, cut), strict=True):
        assert sum(op.scaled_s for op in ops.ops) == pytest.approx(one.median_s)


def test_ops_over_ssh(server: Server, tmp_path: Path) -> None:
    cut = on(server.address, tmp_path, runs=5, sources=({}, {})).measurements[1].per_op
    assert cut is not None and len(cut.ops) > 5
    assert server.left_behind() == []


def test_ops_that_were_not_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured.parcel, "parcel", without_ops(measured.parcel.parcel))
    with pytest.raises(EdgekitError, match=r"EK729") as caught:
        on("local", tmp_path, runs=3, sources=({}, {}))
    assert "it measured 0 ops" in caught.value.why


def without_ops(made: Any) -> Any:
    def parcel(job: Any, files: Any) -> Any:
        return made({**job, "artifacts": [{**one, "ops": None} for one in job["artifacts"]]}, files)

    return parcel


def surroundings(**more: Any) -> dict[str, Any]:
    return {**SURROUNDINGS, **{name: {"value": value, "source": "x"} for name, value in more.items()}}


def moment(clock_hz: float, temperature_c: float) -> dict[str, Any]:
    return {"clock_hz": {"value": clock_hz}, "temperature_c": {"value": temperature_c}}


@pytest.mark.parametrize(
    ("more", "doubt"),
    [
        ({"during": [moment(1.5e9, 50.0), moment(1.501e9, 51.0)]}, None),
        ({"during": [moment(1.5e9, 50.0), moment(0.6e9, 51.0)]}, "the clock moved between 600 and 1500 MHz"),
        ({"during": [moment(1.5e9, 50.0), moment(1.5e9, 84.6)]}, "hot: up to 85 C"),
        ({"before": surroundings(throttle_count=3), "after": surroundings(throttle_count=4)}, "by heat"),
        ({"before": surroundings(throttle_count=3), "after": surroundings(throttle_count=3)}, None),
        ({"after": surroundings(throttling=["under-voltage"])}, "slowed down at the end: under-voltage"),
        (
            {
                "before": surroundings(throttling=[]),
                "after": surroundings(throttling=["throttled since it was started"]),
            },
            "began while it was measured",
        ),
        (
            {
                "before": surroundings(throttling=["throttled since it was started"]),
                "after": surroundings(throttling=["throttled since it was started"]),
            },
            None,
        ),
    ],
)
def test_doubts_about_the_device(more: dict[str, Any], doubt: str | None) -> None:
    import json

    found = device_doubts(Measurements.model_validate_json(json.dumps(document(**more))))
    assert found == () if doubt is None else doubt in found[0]


def test_a_bar_counts_rounds() -> None:
    steps: list[int] = []
    count = measured._counting(steps.append)
    for done in (1, 2, 3, 3):
        count(done, 3)
    assert sum(steps) == 10
    assert np.all(np.array(steps) >= 0)
