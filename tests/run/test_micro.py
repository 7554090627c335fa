"""TFLite Micro beside the plan, where the extra is installed; without it, what is said of that."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgekit.artifact import Arrays
from edgekit.errors import EdgekitError
from edgekit.lower.tflite import to_tflite
from edgekit.profile.memory import plan
from edgekit.run import micro
from edgekit.run.litert import Interpreter
from edgekit.run.micro import MicroRunner, OpenFile, reported
from edgekit.run.worker import Worker
from tests.lower.tflite import function_cases, index_cases, window_cases
from tests.lower.tflite.cases import cases
from tests.lower.tflite.graphs import INT16, as_ir, quantized
from tests.run import micro_cases
from tests.run.targets import MicroFiles

needs_micro = pytest.mark.skipif(
    importlib.util.find_spec("tflite_micro") is None, reason="needs the extra: pip install 'edgekit[micro]'"
)
PUBLISHED = ("ad01_i8", "ic_resnet8_i8", "kws_i8")
TABLE = cases() | dict(function_cases.cases()) | dict(index_cases.cases()) | dict(window_cases.cases())
EXTRA_BYTES = 32  # that a plan may ask for beyond the least: it rounds what is given back before the first run


@pytest.fixture(scope="module")
def opener() -> Iterator[Worker]:
    with Worker(MicroFiles, what="opening files in TFLite Micro") as worker:
        yield worker


def planned_as_reported(path: Path, opener: Worker) -> None:
    """In every byte, and it starts in the arena that was planned; what has no kernel is refused by both."""
    plans = plan(path)
    if plans.without_kernel:
        with pytest.raises(EdgekitError, match="EK931"):
            opener.call("arena", path, micro.ROOMY_BYTES)
        return
    assert not plans.guessed
    arena = opener.call("arena", path, plans.needed_bytes)
    assert (arena.head_bytes, arena.tail_bytes) == (plans.head_bytes, plans.tail_bytes)
    assert arena.total_bytes == plans.arena_bytes


@needs_micro
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_files(name: str, shared: Path, opener: Worker) -> None:
    path = shared / "data" / "reference_models" / f"{name}.tflite"
    planned_as_reported(path, opener)
    arena, parts = reported(path), {part.name: part.size_bytes for part in plan(path).parts}
    used = {allocation.name: allocation.used_bytes for allocation in arena.allocations}
    assert parts["table of tensors"] == used["TfLiteEvalTensor data"]
    assert parts["table of ops"] == used["NodeAndRegistration struct"]
    assert arena.runtime.startswith("tflite-micro 0.dev")


@needs_micro
@pytest.mark.parametrize("name", PUBLISHED)
def test_it_does_not_start_in_less(name: str, shared: Path) -> None:
    path = shared / "data" / "reference_models" / f"{name}.tflite"
    with pytest.raises(EdgekitError, match=r"EK931|EK901"):  # it says so, or ends by a segmentation fault
        reported(path, plan(path).needed_bytes - EXTRA_BYTES)


@needs_micro
@pytest.mark.parametrize("name", ["ic_resnet8_i8", "kws_i8"])
def test_it_answers_as_the_reference_kernels_do(name: str, shared: Path) -> None:
    path = shared / "data" / "reference_models" / f"{name}.tflite"
    litert = Interpreter(str(path), reference_kernels=True)
    rng = np.random.default_rng(0)
    with MicroRunner(path, plan(path).needed_bytes) as runner:
        for _ in range(3):
            inputs = random_inputs(litert, rng)
            (answer,) = runner.run([*inputs.values()])
            (expected,) = litert.run(inputs).values()
            np.testing.assert_array_equal(answer, expected)


def random_inputs(litert: Interpreter, rng: np.random.Generator) -> Arrays:
    details = {tensor["index"]: tensor for tensor in litert._interpreter.get_input_details()}
    found = {}
    for name, index in litert._inputs.items():
        found[name] = rng.integers(-128, 128, details[index]["shape"]).astype(np.int8)
    return found


@needs_micro
@pytest.mark.parametrize("name", list(TABLE)[::40])
def test_one_op_each(name: str, tmp_path: Path, opener: Worker) -> None:
    write_and_check(name, tmp_path, np.dtype(np.int8), opener)


@needs_micro
@pytest.mark.parametrize("name", micro_cases.CASES)
@pytest.mark.parametrize("dtype", [np.int8, np.float32])
def test_ops_of_other_converters(name: str, dtype: type[np.generic], tmp_path: Path, opener: Worker) -> None:
    (tmp_path / "a.tflite").write_bytes(micro_cases.tflite(name, dtype))
    planned_as_reported(tmp_path / "a.tflite", opener)


@needs_micro
@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE)
def test_the_whole_table_of_ops(name: str, tmp_path: Path, opener: Worker) -> None:
    write_and_check(name, tmp_path, np.dtype(np.int8), opener)
    if name.startswith(("softmax", "convtranspose", "conv-k3-s1-same", "gather-", "reducemean")):
        write_and_check(name, tmp_path, INT16, opener)


def write_and_check(name: str, folder: Path, dtype: np.dtype[np.signedinteger], opener: Worker) -> None:
    path = folder / "a.tflite"
    path.write_bytes(to_tflite(as_ir(quantized(TABLE[name], dtype)), nhwc=True, io_int8=True, metadata={}).data)
    planned_as_reported(path, opener)


@needs_micro
def test_wrong_inputs(shared: Path) -> None:
    with MicroRunner(shared / "data" / "reference_models" / "kws_i8.tflite") as runner:
        for inputs in ([], [np.zeros((1, 490), np.int8)], [np.zeros((1, 49, 10, 1), np.float32)]):
            with pytest.raises(EdgekitError, match="EK932"):
                runner.run(inputs)
        assert len(runner.run([np.zeros((1, 49, 10, 1), np.int8)])) == 1


@needs_micro
@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\x00\x00\x00TFL3" + b"\xff" * 64])
def test_no_tflite_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.tflite").write_bytes(content)
    with pytest.raises(EdgekitError, match=r"EK931|EK901"):
        reported(tmp_path / "a.tflite")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EdgekitError, match="EK991") as caught:
        reported(tmp_path / "a.tflite")
    assert "edgekit[micro]" in caught.value.fix


@pytest.mark.parametrize("said", [[], ["[RecordingMicroAllocator] Arena allocation total 3984 bytes"]])
def test_a_report_in_other_words(said: list[str]) -> None:
    with pytest.raises(EdgekitError, match="EK933") as caught:
        micro._arena(said)
    assert "head, tail" in caught.value.why


@needs_micro
def test_what_it_says_does_not_reach_the_terminal(shared: Path, capfd: pytest.CaptureFixture[str]) -> None:
    OpenFile(shared / "data" / "reference_models" / "kws_i8.tflite", micro.ROOMY_BYTES).arena()
    assert capfd.readouterr().err == ""
