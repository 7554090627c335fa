from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgekit.artifact import Arrays, Artifact
from edgekit.errors import EdgekitError
from edgekit.profile import Latency, measure
from edgekit.profile.measure import doubts, governor
from edgekit.run import timing
from edgekit.run.runner import Runner
from tests.verify import nets


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> list[Artifact]:
    folder = tmp_path_factory.mktemp("nets")
    return [nets.onnx_artifact(folder, "float32", None), nets.tflite_artifact(folder)]


def measured(artifacts: list[Artifact], sample: Arrays) -> tuple[Latency, ...]:
    with ExitStack() as stack:
        return measure([stack.enter_context(Runner(artifact)) for artifact in artifacts], sample)


@pytest.fixture(scope="module")
def latencies(artifacts: list[Artifact]) -> tuple[Latency, ...]:
    return measured(artifacts, {"x": nets.images(1)})


def test_measures_each_file_in_order(latencies: tuple[Latency, ...]) -> None:
    assert [latency.label for latency in latencies] == ["float32 ONNX", "INT8 TFLite"]
    for latency in latencies:
        assert latency.threads == 1
        assert latency.runs == timing.MOST_RUNS
        assert 0 < latency.min_s <= latency.p05_s <= latency.median_s <= latency.p95_s < 0.1
        assert latency.load_s > 0
    assert latencies[0].runtime != latencies[1].runtime


def test_an_early_doubt_is_not_raised_about_a_steady_clock() -> None:
    times = np.random.default_rng(0).normal(1.0, 0.01, 200)
    assert doubts(times, steady=True, cpu_share=1.0, clock=None) == ()
    assert doubts(times, steady=True, cpu_share=1.0, clock="performance") == ()


@pytest.mark.parametrize(
    ("times", "steady", "cpu_share", "clock", "doubt"),
    [
        (np.linspace(1, 1.01, 7), True, 1.0, None, "only 7 runs, 20 were wanted"),
        (np.linspace(1, 1.01, 50), False, 1.0, None, "still getting faster when the warm-up ended"),
        (np.r_[np.linspace(1, 1.01, 88), [3.0] * 12], True, 1.0, None, "12 of 100 runs were outliers"),
        (np.r_[np.linspace(1, 1.5, 50), np.linspace(1, 1.5, 50)], True, 1.0, None, "wide spread"),
        (np.r_[[1.0] * 50, [1.1] * 50], True, 1.0, None, "drifted by +10%"),
        (np.linspace(1, 1.01, 50), True, 0.8, None, "it got 80% of it"),
        (np.linspace(1, 1.01, 50), True, 1.0, "powersave", "clock frequency not fixed (governor 'powersave')"),
    ],
)
def test_doubts(times: np.ndarray, steady: bool, cpu_share: float, clock: str | None, doubt: str) -> None:
    assert any(doubt in text for text in doubts(times, steady, cpu_share, clock))


def test_the_governor_is_a_word_or_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = sys.modules["edgekit.profile.measure"]  # the attribute of that name is the door's function
    monkeypatch.setattr(room, "GOVERNOR", tmp_path / "missing")
    assert governor() is None
    (tmp_path / "there").write_text("schedutil\n")
    monkeypatch.setattr(room, "GOVERNOR", tmp_path / "there")
    assert governor() == "schedutil"


def test_threads_below_one(artifacts: list[Artifact]) -> None:
    with pytest.raises(EdgekitError) as caught:
        Runner(artifacts[0], threads=0)
    assert caught.value.code == "EK701"


def test_more_than_one_sample(artifacts: list[Artifact]) -> None:
    with pytest.raises(EdgekitError, match="holds 2 samples") as caught:
        measured(artifacts, {"x": nets.images(2)})
    assert caught.value.code == "EK702"


def test_a_file_that_cannot_run_is_named(artifacts: list[Artifact], tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"nothing")
    with pytest.raises(EdgekitError, match=r"bad\.onnx"):
        measured([artifacts[1], replace(artifacts[0], path=path)], {"x": nets.images(1)})
