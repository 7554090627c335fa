from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import numpy as np
import pytest

from edgekit.errors import EdgekitError
from edgekit.profile import answer
from edgekit.profile.address import parsed

THERE = parsed("ssh://pi")
UNKNOWN: dict[str, Any] = {"unavailable": "nobody knows"}
NAMES = (
    *("board", "cpu", "cores", "memory_bytes", "clock_hz", "clock_max_hz", "governor", "temperature_c"),
    *("throttling", "throttle_count"),
)
SURROUNDINGS = dict.fromkeys(NAMES, UNKNOWN)
SYSTEM = {"system": "Linux", "release": "6", "architecture": "aarch64", "python": "3.11.2", "bits": "64", "libc": ""}


def output(y: Any) -> dict[str, Any]:
    raw = np.asarray(y).tobytes()
    return {
        "dtype": np.asarray(y).dtype.name,
        "shape": list(np.asarray(y).shape),
        "sha256": hashlib.sha256(raw).hexdigest(),
        "data": base64.b64encode(raw).decode(),
    }


def measured(**more: Any) -> dict[str, Any]:
    return {
        "runtime": "ai-edge-litert",
        "version": "2.3.0",
        "numpy": "2.4.6",
        "load_s": 0.01,
        "first_s": 0.02,
        "base_rss_bytes": 40_000_000,
        "peak_rss_bytes": 50_000_000,
        "steady": True,
        "times_s": [0.001] * 20,
        "cpu_share": 1.0,
        "power": [],
        "ops": None,
        "alone": None,
        "outputs": [output(np.float32([1, 2]))],
        **more,
    }


def document(**more: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "system": SYSTEM,
        "before": SURROUNDINGS,
        "during": [],
        "after": SURROUNDINGS,
        "idle": [],
        "artifacts": [measured()],
        "soak": [],
        **more,
    }


def read(found: Any) -> answer.Measurements:
    return answer.measurements(json.dumps(found).encode(), THERE, ("net.tflite",))


def test_an_answer() -> None:
    found = read(document())
    assert found.artifacts[0].times_s == (0.001,) * 20
    assert str(found.before.board) == "unavailable: nobody knows"
    assert str(answer.Reading(value=3, source="here")) == "3"


@pytest.mark.parametrize(
    "found",
    [
        document(artifacts=[]),
        document(artifacts=[measured(times_s=[])]),
        document(artifacts=[measured(times_s=[-1.0])]),
        document(artifacts=[measured(times_s=[float("nan")])]),
        document(artifacts=[measured(times_s=["0.1"])]),
        document(artifacts=[measured(peak_rss_bytes=2**70)]),
        document(artifacts=[measured(runtime="x" * 300)]),
        document(artifacts=[measured(shell="rm")]),
        document(before={**SURROUNDINGS, "board": {"value": float("inf")}}),
        document(before={**SURROUNDINGS, "board": {"value": {"deep": 1}}}),
        document(system={**SYSTEM, "bits": "128"}),
        document(schema=2),
        [],
        None,
    ],
)
def test_what_does_not_fit(found: Any) -> None:
    with pytest.raises(EdgekitError) as caught:
        read(found)
    assert caught.value.code == "EK729"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        *(("python", "EK724"), ("numpy", "EK725"), ("runtime", "EK726"), ("room", "EK727"), ("load", "EK731")),
        *(("run", "EK731"), ("memory", "EK733"), ("time", "EK730"), ("crash", "EK735"), ("system", "EK728")),
        ("poetry", "EK729"),
    ],
)
@pytest.mark.parametrize("artifact", [0, 7, None])
def test_what_the_agent_fails_by(kind: str, code: str, artifact: int | None) -> None:
    with pytest.raises(EdgekitError) as caught:
        read({"schema": 1, "failure": {"kind": kind, "text": "because", "artifact": artifact}})
    assert caught.value.code == code
    if artifact == 0 and kind in {"load", "memory", "crash", "time", "runtime"}:
        assert "'net.tflite'" in caught.value.what


def test_an_output() -> None:
    y = np.arange(6, dtype=np.int8).reshape(2, 3)
    np.testing.assert_array_equal(answer.Output(**output(y) | {"shape": (2, 3)}).array(), y)
    assert answer.Output(**output(y) | {"shape": (2, 3), "data": None}).array() is None


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"dtype": "object"}, "no array of object"),
        ({"shape": (2**20, 2**20)}, "no array of int8"),
        ({"data": "*"}, "not base64"),
        ({"data": "AAAA"}, "does not have the hash"),
        ({"shape": (7,)}, "has 6 bytes"),
    ],
)
def test_an_output_that_lies(changed: dict[str, Any], words: str) -> None:
    y = output(np.zeros(6, np.int8)) | {"shape": (6,)}
    with pytest.raises(ValueError, match=words):
        answer.Output(**y | changed).array()


def swept(**more: Any) -> bytes:
    net = {"seconds": [1e-3, 1.1e-3], "failed": None}
    told = {"schema": 1, "system": SYSTEM, "before": SURROUNDINGS, "after": SURROUNDINGS}
    return json.dumps({**told, "runtimes": {}, "nets": [net, net], **more}).encode()


def test_a_sweep() -> None:
    found = answer.swept(swept(runtimes={"onnx": {"runtime": "onnxruntime", "version": None}}), THERE, 2)
    assert found.nets[1].seconds == (1e-3, 1.1e-3)
    assert found.runtimes["onnx"].runtime == "onnxruntime"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "it ran 2 nets, 3 were given"),
        ({"nets": [{"seconds": [0.0], "failed": None}] * 3}, "nets.0.seconds.0"),
        ({"nets": [{"seconds": [1e9], "failed": None}] * 3}, "nets.0.seconds.0"),
    ],
)
def test_a_sweep_without_sense(more: dict[str, Any], words: str) -> None:
    with pytest.raises(EdgekitError, match="EK729") as caught:
        answer.swept(swept(**more), THERE, 3)
    assert words in caught.value.why
