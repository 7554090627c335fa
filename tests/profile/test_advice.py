from __future__ import annotations

from typing import Any

import pytest

from edgekit.profile.advice import Advice, advice, processor
from edgekit.profile.answer import Probed
from tests.profile.test_answer import SURROUNDINGS

PACKAGES = ("numpy", "ai-edge-litert", "tflite-runtime", "onnxruntime")


def device(
    python: str = "3.11.2",
    architecture: str = "aarch64",
    bits: str = "64",
    libc: str = "glibc 2.36",
    system: str = "Linux",
    installed: dict[str, str] | None = None,
    broken: dict[str, str] | None = None,
    **installing: Any,
) -> Probed:
    versions, wrong = installed or {}, broken or {}
    told = {
        "schema": 1,
        "system": {
            "system": system,
            "release": "6.6",
            "architecture": architecture,
            "python": python,
            "bits": bits,
            "libc": libc,
        },
        "before": SURROUNDINGS,
        "power": (),
        "packages": {name: {"version": versions.get(name), "broken": wrong.get(name)} for name in PACKAGES},
        "installing": {
            "executable": "/usr/bin/python3",
            "venv": False,
            "managed": True,
            "pip": False,
            "ensurepip": True,
            "free_bytes": 10**9,
            **installing,
        },
    }
    return Probed.model_validate(told)


def tflite(found: Probed) -> Advice:
    return advice(found)[0]


def onnx(found: Probed) -> Advice:
    return advice(found)[1]


def test_what_works() -> None:
    found = device(installed={"numpy": "2.4.6", "ai-edge-litert": "2.3.0", "onnxruntime": "1.31.1"})
    assert tflite(found) == Advice(format="tflite", state="works", runtime="ai-edge-litert 2.3.0")
    assert onnx(found).runtime == "onnxruntime 1.31.1"
    older = device("3.9.2", installed={"numpy": "1.26.4", "tflite-runtime": "2.14.0"})
    assert tflite(older).runtime == "tflite-runtime 2.14.0"


def test_a_raspberry_pi_with_nothing_but_python() -> None:
    assert tflite(device()).commands == (
        "/usr/bin/python3 -m venv ~/edgekit-venv",
        "~/edgekit-venv/bin/python -m pip install ai-edge-litert numpy",
    )
    assert onnx(device()).commands[-1] == "~/edgekit-venv/bin/python -m pip install onnxruntime numpy"
    assert tflite(device(ensurepip=False)).commands[0] == "sudo apt install python3-venv"


def test_inside_of_a_virtual_environment() -> None:
    found = device(venv=True, pip=True, executable="/home/pi/v/bin/python")
    assert tflite(found).commands == ("/home/pi/v/bin/python -m pip install ai-edge-litert numpy",)


def test_an_old_python() -> None:
    assert tflite(device("3.8.10")).commands[-1].endswith("install tflite-runtime==2.14.0 'numpy<2'")


def test_numpy_2_with_tflite_runtime() -> None:
    found = tflite(device(installed={"numpy": "2.1.0", "tflite-runtime": "2.14.0"}))
    assert found.state == "missing"
    assert found.why == "tflite-runtime was built for NumPy 1, and NumPy 2.1.0 is there"
    assert found.commands[-1].endswith("install ai-edge-litert numpy")
    arm = tflite(device(architecture="armv7l", bits="32", installed={"numpy": "2.1.0", "tflite-runtime": "2.14.0"}))
    assert arm.commands[-1].endswith("install tflite-runtime==2.14.0 'numpy<2'")


def test_a_32_bit_system() -> None:
    found = device(architecture="aarch64", bits="32")
    assert processor(found) == "armv7l"
    assert tflite(found).commands[-1].endswith("install tflite-runtime==2.14.0 'numpy<2'")
    assert (onnx(found).state, onnx(found).commands) == ("impossible", ())
    assert onnx(found).why == "onnxruntime has no wheel for armv7l"


def test_python_3_12_on_a_32_bit_system() -> None:
    found = tflite(device("3.12.3", architecture="armv7l", bits="32"))
    assert found.state == "impossible"
    assert "tflite-runtime has wheels for Python 3.8 to 3.11, not for 3.12" in found.why
    assert found.commands == (
        "uv venv --python 3.11 ~/edgekit-venv",
        "uv pip install --python ~/edgekit-venv/bin/python tflite-runtime==2.14.0 'numpy<2'",
    )


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"libc": "glibc 2.26"}, "ai-edge-litert needs glibc 2.27 on aarch64, glibc 2.26 is there"),
        ({"libc": ""}, "without glibc (musl)"),
        ({"architecture": "riscv64"}, "ai-edge-litert has no wheel for riscv64"),
        ({"architecture": "x86_64", "bits": "32"}, "no wheel for i686"),
        ({"python": "3.7.3"}, "ai-edge-litert has wheels for Python 3.9 and newer, not for 3.7"),
    ],
)
def test_what_cannot_work(more: dict[str, str], words: str) -> None:
    found = tflite(device(**more))
    assert found.state == "impossible"
    assert words in found.why


def test_another_system_asks_pip() -> None:
    assert tflite(device(system="Darwin", architecture="arm64", libc="")).state == "missing"


@pytest.mark.parametrize(
    ("installed", "broken", "words"),
    [
        ({"onnxruntime": "1.31.1"}, {}, "onnxruntime 1.31.1 is there, but numpy is not"),
        (
            {"onnxruntime": "1.31.1", "numpy": "2.0"},
            {"numpy": "libblas.so"},
            "numpy 2.0 cannot be imported: libblas.so",
        ),
        (
            {"onnxruntime": "1.31.1", "numpy": "2.0"},
            {"onnxruntime": "ended by signal 4"},
            "onnxruntime 1.31.1 cannot be imported: ended by signal 4",
        ),
    ],
)
def test_what_is_there_and_does_not_work(installed: dict[str, str], broken: dict[str, str], words: str) -> None:
    found = onnx(device(installed=installed, broken=broken))
    assert (found.state, found.why) == ("missing", words)
