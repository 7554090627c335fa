from __future__ import annotations

import ast
import base64
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.profile import agent, bench, parcel
from edgekit.run.runner import Runner
from tests.profile import jobs, trees
from tests.verify import nets


@pytest.mark.parametrize("name", parcel.PARTS)
def test_a_part_is_python_3_8(name: str) -> None:
    tree = ast.parse(parcel.part(name), feature_version=(3, 8))
    carried = {f"edgekit.{part.removesuffix('.py').replace('/', '.')}" for part in parcel.PARTS}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("edgekit"):
            assert {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)} & carried


def test_the_receiver_is_any_python_3() -> None:
    ast.parse(parcel.part("profile/unpack.py"), feature_version=(3, 4))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("agent")
    root = trees.jetson_orin_nano(folder / "root")
    return jobs.answered(folder, jobs.job(folder, root=root))


def test_measures_files_in_turns(measured: Any) -> None:
    assert measured["schema"] == agent.SCHEMA
    assert [found["runtime"] for found in measured["artifacts"]] == ["onnxruntime", "ai-edge-litert"]
    for found in measured["artifacts"]:
        assert len(found["times_s"]) == 20
        assert 0 < min(found["times_s"]) < 0.1
        assert found["load_s"] > 0
        assert found["first_s"] > 0
        assert found["peak_rss_bytes"] >= found["base_rss_bytes"] > 2**20
        assert 0 < found["cpu_share"] < 3
    assert len(measured["during"]) == 10


def test_looks_at_the_surroundings(measured: Any) -> None:
    assert measured["before"]["board"]["value"] == "NVIDIA Jetson Orin Nano Developer Kit"
    assert measured["after"]["temperature_c"]["value"] == 48.0
    rails = measured["artifacts"][0]["power"]
    assert [rail["name"] for rail in rails] == ["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"]
    assert rails[0]["watts"] == pytest.approx(6.096)
    assert measured["idle"][0]["watts"] == pytest.approx(6.096)


def test_outputs_are_those_of_edgekits_own_runner(measured: Any, tmp_path: Path) -> None:
    artifact = nets.tflite_artifact(tmp_path)
    with Runner(artifact) as runner:
        wanted = runner.run({"x": nets.images(1)})["logits"]
    (output,) = measured["artifacts"][1]["outputs"]
    values = np.frombuffer(base64.b64decode(output["data"]), output["dtype"]).reshape(output["shape"])
    np.testing.assert_array_equal(artifact.outputs[0].from_file(values), wanted)


def test_large_outputs_stay_there(tmp_path: Path) -> None:
    found = jobs.answered(tmp_path, jobs.job(tmp_path, runs=3, outputs_bytes=8))
    (output,) = found["artifacts"][0]["outputs"]
    assert output["data"] is None
    assert len(output["sha256"]) == 64


def test_a_job_from_a_file_and_no_artifacts(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(json.dumps({"artifacts": [], "threads": 1}))
    assert jobs.answered(tmp_path, {}, str(tmp_path / "job.json"))["artifacts"] == []


def test_a_soak_sees_windows(tmp_path: Path) -> None:
    wanted = jobs.job(tmp_path, runs=3, soak_s=2.5, root=trees.raspberry_pi_4(tmp_path / "root"))
    wanted["artifacts"] = wanted["artifacts"][:1]
    windows = jobs.answered(tmp_path, wanted)["soak"]
    assert 2 <= len(windows) <= 4
    assert all(0 < window["median_s"] < 0.1 for window in windows)
    assert windows[0]["at_s"] < windows[1]["at_s"]
    assert windows[0]["temperature_c"]["value"] == 61.835


def test_times_per_op(tmp_path: Path) -> None:
    real, integers = jobs.answered(tmp_path, jobs.job(tmp_path, runs=3, per_op=True))["artifacts"]
    assert {"Conv", "Gemm"} <= {op["op"].removeprefix("Fused") for op in real["ops"]}
    assert all(op["median_s"] >= 0 for op in real["ops"])
    assert integers["ops"] is None, "its runtime does not tell"
    assert not list(tmp_path.glob("*profile*"))


def sweep(folder: Path, *names: str, env: dict[str, str] | None = None, **more: object) -> Any:
    """What the agent answers about two small files, of which those in names are no models."""
    with zipfile.ZipFile(folder / "nets.zip", "w") as archive:
        for artifact in (nets.onnx_artifact(folder, "float32", None), nets.tflite_artifact(folder)):
            name = f"net.{artifact.format}"
            archive.writestr(name, b"no model" if name in names else artifact.path.read_bytes())
    shapes = {"onnx": [[1, *nets.images(1).shape[1:]]], "tflite": [list(nets.tflite_artifact(folder).inputs[0].shape)]}
    wanted = {
        "nets": [
            {"name": f"net.{format}", "format": format, "shapes": shapes[format]} for format in ("onnx", "tflite")
        ],
        "archive": str(folder / "nets.zip"),
        "passes": 2,
        "threads": 1,
        "burst_s": 0.01,
        "evict_bytes": 2**16,
        **more,
    }
    return jobs.answered(folder, wanted, cwd=folder, env=env)


def test_sweeps_in_passes(tmp_path: Path) -> None:
    found = sweep(tmp_path)
    assert found["runtimes"]["tflite"]["runtime"] == "ai-edge-litert"
    for net in found["nets"]:
        assert net["failed"] is None
        assert len(net["seconds"]) == 2
        assert all(0 < seconds < 0.1 for seconds in net["seconds"])
    assert not [path for path in tmp_path.iterdir() if path.is_dir()], "nothing is left unpacked"


def test_a_sweep_goes_on_behind_a_net_that_fails(tmp_path: Path) -> None:
    broken, whole = sweep(tmp_path, "net.onnx")["nets"]
    assert broken["seconds"] == []
    assert broken["failed"]
    assert len(whole["seconds"]) == 2


def test_a_sweep_starts_another_process_for_one_that_hangs(tmp_path: Path) -> None:
    found = sweep(tmp_path, burst_s=60.0, limit_s=1.0)["nets"]
    assert all("no answer within 1 s" in net["failed"] for net in found)


def test_a_sweep_without_a_runtime_ends(tmp_path: Path) -> None:
    found = sweep(tmp_path, env=hidden(tmp_path, "onnxruntime", "ImportError('not here')"))
    assert found["failure"]["kind"] == "runtime"


def test_probes(tmp_path: Path) -> None:
    found = jobs.answered(tmp_path, {"probe": True, "root": trees.jetson_orin_nano(tmp_path / "root")})
    assert found["packages"]["onnxruntime"]["version"]
    assert found["power"][0]["value"] == pytest.approx(6.096)
    assert found["system"]["architecture"]


def failure(folder: Path, wanted: jobs.Job, **more: Any) -> tuple[str, str, int | None]:
    found = jobs.answered(folder, wanted, **more)["failure"]
    return found["kind"], found["text"], found["artifact"]


def test_a_file_that_the_runtime_refuses(tmp_path: Path) -> None:
    wanted = jobs.job(tmp_path)
    for artifact in wanted["artifacts"]:
        Path(artifact["path"]).write_bytes(b"nothing")
    kind, text, index = failure(tmp_path, wanted)
    assert (kind, index) == ("load", 0)
    assert "Protobuf" in text or "protobuf" in text
    wanted["artifacts"].reverse()
    assert failure(tmp_path, wanted)[0] == "load"


def test_a_wrong_number_of_inputs(tmp_path: Path) -> None:
    wanted = jobs.job(tmp_path)
    np.savez(wanted["artifacts"][1]["inputs"], **{"0": np.zeros(1), "1": np.zeros(1)})
    assert failure(tmp_path, wanted) == ("load", "it has 1 inputs, and 2 were given", 1)


def test_a_sample_of_another_shape(tmp_path: Path) -> None:
    wanted = jobs.job(tmp_path)
    np.savez(wanted["artifacts"][0]["inputs"], **{"0": np.zeros((1, 5), np.float32)})
    kind, text, index = failure(tmp_path, wanted)
    assert (kind, index) == ("run", 0)
    assert "rank" in text


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    wanted = jobs.job(tmp_path)
    wanted["artifacts"][0]["inputs"] = "nowhere.npz"
    kind, text, _ = failure(tmp_path, wanted)
    assert kind == "crash"
    assert "nowhere.npz" in text


def test_no_time_left(tmp_path: Path) -> None:
    assert failure(tmp_path, jobs.job(tmp_path, limit_s=0.0))[0] == "time"


def hidden(tmp_path: Path, name: str, raises: str) -> dict[str, str]:
    """An environment in which a package of that name raises when it is imported."""
    folder = tmp_path / "first"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(f"raise {raises}\n")
    return {**os.environ, "PYTHONPATH": str(folder)}


@pytest.mark.parametrize(
    ("module", "order", "kind"),
    [("numpy", 1, "numpy"), ("onnxruntime", 1, "runtime"), ("ai_edge_litert", -1, "runtime")],
)
def test_what_is_not_installed(tmp_path: Path, module: str, order: int, kind: str) -> None:
    wanted = jobs.job(tmp_path)
    wanted["artifacts"] = wanted["artifacts"][::order]
    found = failure(tmp_path, wanted, env=hidden(tmp_path, module, "ImportError('libx.so: GLIBC_2.99 not found')"))
    assert (found[0], found[2]) == (kind, 0)
    assert "GLIBC_2.99" in found[1]
    if module == "ai_edge_litert":
        assert "tflite-runtime was built for NumPy 1" in found[1]


@pytest.mark.parametrize(
    ("does", "kind", "words"),
    [
        ("__import__('os').abort()", "crash", "ended by SIGABRT"),
        ("__import__('os').kill(__import__('os').getpid(), 9)", "memory", "SIGKILL"),
        ("__import__('os')._exit(3)", "crash", "ended with status 3"),
        ("__import__('os').kill(__import__('os').getpid(), 40)", "crash", "signal 40"),
        ("MemoryError('no more')", "numpy", "no more"),
    ],
)
def test_a_process_that_ends(tmp_path: Path, does: str, kind: str, words: str) -> None:
    found = failure(tmp_path, jobs.job(tmp_path), env=hidden(tmp_path, "numpy", does))
    assert found[0] == kind
    assert words in found[1]


class Broken:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self, *_: object) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "kind"), [(MemoryError("all gone"), "memory"), (KeyError("x"), "crash"), (OSError(28, "full"), "system")]
)
def test_what_goes_wrong_is_told(error: Exception, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "system":
        monkeypatch.setattr(agent, "run", Broken(error))
        assert agent._answer({}, agent._silent)["failure"]["kind"] == kind
    else:
        assert bench.told(error)["failure"]["kind"] == kind


def test_ends_when_nobody_listens_any_more(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(json.dumps(jobs.job(tmp_path, runs=10**7)))
    (tmp_path / parcel.AGENT).write_bytes(parcel.agent_file())
    child = subprocess.Popen(
        [sys.executable, parcel.AGENT, "--remote", "job.json"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with child:
        time.sleep(1.5)
        assert child.poll() is None
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(5) == 75


def test_frames_what_it_prints(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(json.dumps(jobs.job(tmp_path, runs=4)))
    (tmp_path / parcel.AGENT).write_bytes(parcel.agent_file())
    command = [sys.executable, parcel.AGENT, "--remote", "job.json"]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        lines = [line for line in child.stdout.read().split(b"\n") if line != b"edgekit-alive"]
    assert lines[:2] == [b"edgekit-progress 1 4", b"edgekit-progress 2 4"]
    words = lines[4].split()
    assert words[0] == b"edgekit-result"
    assert int(words[1]) == len(lines[5])


def test_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(agent, "ALIVE_S", 0.0)
    agent._heart(said.append)()
    monkeypatch.setattr(agent, "ALIVE_S", 1e9)
    agent._heart(said.append)()
    assert said == ["alive"]
