"""Single ops on a device: what they take, and what becomes of the others where one cannot be run."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.profile import alone, parcel, single_ops
from tests.profile import fake_tflite, jobs
from tests.verify import nets


def test_ops_of_a_real_file(tmp_path: Path) -> None:
    wanted = jobs.job(tmp_path, runs=3)
    cuts = single_ops.cut_ops(nets.tflite_artifact(tmp_path).path)
    (tmp_path / "0.ops").write_bytes(cuts.own)
    wanted["artifacts"][1]["ops"] = {"path": str(tmp_path / "0.ops"), "cuts": list(single_ops.entries(cuts))}
    first, second = jobs.answered(tmp_path, wanted)["artifacts"]
    assert first["alone"] is None
    assert len(second["alone"]) == len(cuts.cuts)
    assert all(one["failure"] is None and one["median_s"] > 0 and one["runs"] >= 20 for one in second["alone"])
    assert len(second["times_s"]) == 3, "of the file, as without its ops"


def answered(folder: Path, file: str, words: list[str]) -> Any:
    """What the agent says of ops that are words, on a runtime that does as they say."""
    (folder / "file").write_text(file, encoding="utf-8")
    (folder / "own").write_text("".join(words), encoding="utf-8")
    np.savez(folder / "sample.npz", **{"0": np.zeros(1, np.float32)})
    begins = [sum(map(len, words[:i])) for i in range(len(words))]
    cuts = [{"pieces": [[0, begin, len(word)]], "inputs": [0]} for begin, word in zip(begins, words, strict=True)]
    artifact = {"path": str(folder / "file"), "format": "tflite", "inputs": str(folder / "sample.npz")}
    wanted = {"artifacts": [{**artifact, "ops": {"path": str(folder / "own"), "cuts": cuts}}], "threads": 1, "runs": 2}
    (found,) = jobs.answered(folder, wanted, env=fake_tflite.environment(folder))["artifacts"]
    assert len(found["times_s"]) >= 2, "the file was measured, whatever its ops do"
    return found["alone"]


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("refused", "ValueError: no kernel for it"),
        ("breaks", "RuntimeError: it broke"),
        ("hungry", "ValueError: it has 2 inputs, and 1 were given"),
        ("tires", "RuntimeError: it broke"),
        ("crash", "ended by SIGABRT"),
    ],
)
def test_an_op_that_cannot_run_leaves_the_others(tmp_path: Path, word: str, why: str) -> None:
    first, second, third = answered(tmp_path, "file", ["well", word, "fine"])
    assert second == {"median_s": None, "runs": 0, "failure": why}
    assert first["failure"] is None and first["runs"] >= 20
    assert third["failure"] is None


def test_an_op_that_ends_the_process_later(tmp_path: Path) -> None:
    found = answered(tmp_path, "file", ["well", "dies"])
    assert found[1]["failure"] == "ended by SIGABRT"
    assert found[0]["failure"] == "not measured: another op crashed the runtime"


def test_a_runtime_that_crashes_on_everything(tmp_path: Path) -> None:
    found = answered(tmp_path, "file", ["crash"] * 10)
    assert [one["failure"] for one in found[: alone.MOST_CRASHES + 1]] == ["ended by SIGABRT"] * (
        alone.MOST_CRASHES + 1
    )
    assert found[-1]["failure"] == "not tried: 6 others crashed the runtime"


def test_a_file_that_does_not_run_op_by_op(tmp_path: Path) -> None:
    (found,) = answered(tmp_path, "one by one fails", ["well"])
    assert found["failure"] == "the file does not run op by op: RuntimeError: a custom op"


def test_what_it_needs_goes_along() -> None:
    tree = ast.parse(parcel.part("profile/alone.py"), feature_version=(3, 8))
    ours = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    carried = {f"edgekit.{name.removesuffix('.py').replace('/', '.')}" for name in parcel.PARTS}
    assert {module for module in ours if module.startswith("edgekit.profile")} <= carried
