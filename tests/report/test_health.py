from __future__ import annotations

import numpy as np
import pytest

from edgekit.errors import EdgekitError
from edgekit.report import health


def test_both_runtimes_run_a_model_here() -> None:
    found = health.examine()
    assert found.well
    assert found.runtimes[0].name == "onnxruntime"
    assert all(runtime.version and runtime.took_s for runtime in found.runtimes)
    assert found.torch_build
    assert {"demo", "dev"} <= found.extras.keys()


def test_a_runtime_that_fails_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __init__(self, *_: object, **__: object) -> None:
            raise EdgekitError("EK901", "onnxruntime crashed", "SIGSEGV", "install another version")

    monkeypatch.setattr(health, "Worker", Broken)
    found = health.examine()
    assert not found.well
    assert found.runtimes[0].problem == "onnxruntime crashed: SIGSEGV"


def test_a_wrong_answer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong:
        def __init__(self, *_: object, **__: object) -> None: ...

        def __enter__(self) -> Wrong:
            return self

        def __exit__(self, *_: object) -> None: ...

        def call(self, *_: object) -> dict[str, np.ndarray]:
            return {"y": np.zeros((1, 3), np.float32)}

    monkeypatch.setattr(health, "Worker", Wrong)
    assert "came out as" in str(health.examine().runtimes[0].problem)


def test_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "versions", lambda _: {})
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    found = health.examine()
    assert not found.well
    assert found.torch_build is None
    assert "torch" in found.missing
    assert found.extras["demo"] == ("scikit-learn",)
    assert {runtime.problem for runtime in found.runtimes} == {"not installed"}
