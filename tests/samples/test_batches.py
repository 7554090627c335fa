"""Samples from the user's code and from memory."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import edgekit.samples
from edgekit.errors import EdgekitError, Exit
from edgekit.preprocess import Preprocess
from edgekit.samples import Samples, batches, load_samples, rows


def everything(samples: Samples) -> Any:
    return np.concatenate([batch.inputs[samples.names[0]] for batch in samples.batches(3)])


def refused(what: Any, code: str, exit: Exit = Exit.USAGE, preprocess: Preprocess | None = None) -> EdgekitError:
    with pytest.raises(EdgekitError) as raised:
        load_samples(what, preprocess)
    assert (raised.value.code, raised.value.exit) == (code, exit)
    return raised.value


class Tensor:
    """What edgekit needs of a torch tensor."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def detach(self) -> Tensor:
        return self

    def numpy(self) -> Any:
        return self.array


X = np.arange(24, dtype=np.float32).reshape(6, 4)
Y = np.array([0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize(
    "what",
    [
        X,
        Tensor(X),
        {"inputs": X},
        (X, Y),
        [X[:2], X[2:]],
        [(X[:5], Y[:5]), (X[5:], Y[5:])],
        [[Tensor(X), Tensor(Y)]],
        [{"inputs": X, "labels": Y}],
        [(X,)],
        (part for part in (X[:1], X[1:])),
        ({"inputs": X}, Y),
    ],
)
def test_every_form_gives_the_same(what: Any) -> None:
    samples = load_samples(what)
    assert np.array_equal(everything(samples), X)
    assert np.array_equal(everything(samples), X)  # a second pass, of a generator too
    assert samples.signature == {"inputs": ((4,), "float32")}
    assert samples.ids == load_samples(X).ids


def test_the_second_of_a_pair_is_labels_or_targets() -> None:
    labels = load_samples((X, Y)).labels
    assert labels is not None
    assert labels.dtype == np.int64
    for targets in (X[:, :2].astype(np.float64), {"out": X}):
        samples = load_samples([(X, targets)])
        batch = next(samples.batches(6))
        assert samples.has_targets
        assert batch.labels is None
        assert batch.targets is not None
        assert [x.dtype for x in batch.targets.values()] == [np.float32]


def test_contract_on_several_inputs_is_for_images() -> None:
    images, numbers = np.full((2, 4, 5, 3), 255, np.uint8), np.array([[1], [2]])
    samples = load_samples({"image": images, "number": numbers}, Preprocess(layout="nhwc", scale=1 / 255))
    assert samples.signature == {"image": ((3, 4, 5), "float32"), "number": ((1,), "int64")}


def test_one_id_per_content_of_all_inputs() -> None:
    a, b = np.array([[1], [1], [2]]), np.array([[1], [2], [2]])
    ids = load_samples({"a": a, "b": b}).ids
    assert len(set(ids)) == 3
    assert ids == load_samples({"b": b, "a": a}).ids
    assert ids != load_samples({"a": b, "b": a}).ids
    assert load_samples(X).ids != load_samples(X.astype(np.float64)).ids
    assert load_samples(X.reshape(6, 2, 2)).ids != load_samples(X).ids


def test_take_and_rename_keep_ids() -> None:
    samples = load_samples((X, Y))
    before = samples.take([2, 0])
    assert samples.ids == load_samples(X).ids
    after = samples.take(range(2, 4)).renamed(["x"])
    assert before.ids == (samples.ids[2], samples.ids[0])
    assert after.ids == samples.ids[2:4]
    assert after.labels is not None
    assert after.labels.tolist() == [2, 0]
    assert np.array_equal(next(before.batches(9)).inputs["inputs"], X[[2, 0]])


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ([], "EK125"),
        ({}, "EK133"),
        (3, "EK133"),
        (["text"], "EK133"),
        ([X, X[:, :2]], "EK131"),
        ([X, X.astype(np.uint8)], "EK131"),
        ([X, {"other": X}], "EK133"),
        ([(X, Y), X], "EK133"),
        ([X, (X, Y)], "EK133"),
        ([(X, Y[:2])], "EK133"),
        ([(X, 3)], "EK133"),
        ((X, Y - 1), "EK137"),
        ([np.array(3.0)], "EK133"),
        ([np.zeros((0, 3))], "EK125"),
        (np.array(["text"]), "EK122"),
        ([np.zeros(2, complex)], "EK122"),
        ({"inputs": X, "labels": Y[:2]}, "EK133"),
    ],
)
def test_bad_batches(what: Any, code: str) -> None:
    refused(what, code)


def test_objects_are_refused() -> None:
    refused(np.array([None]), "EK123", Exit.REFUSED)


def test_a_tensor_that_gives_no_array() -> None:
    class Bfloat16(Tensor):
        def numpy(self) -> Any:
            raise TypeError("Got unsupported ScalarType BFloat16")

    assert "BFloat16" in refused(Bfloat16(X), "EK133").why


def test_resize_is_for_files() -> None:
    refused(X, "EK132", preprocess=Preprocess(resize=4))


def test_nhwc_needs_images() -> None:
    assert "is 4;" in refused(X, "EK132", preprocess=Preprocess(layout="nhwc")).why


def test_what_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_: Path) -> Any:
        raise PermissionError(13, "Permission denied")

    np.save(tmp_path / "s.npy", X)
    monkeypatch.setattr(edgekit.samples, "from_npy", denied)
    assert refused(tmp_path / "s.npy", "EK121").why == "Permission denied"
    os.mkfifo(tmp_path / "pipe.npz")
    refused(tmp_path / "pipe.npz", "EK101")


def test_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        return SimpleNamespace(write=no_room, close=lambda: None)

    def no_room(_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rows.tempfile, "TemporaryFile", full)
    assert "No space" in refused([X], "EK136", Exit.EXHAUSTED).why


def test_an_endless_generator_does_not_fill_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless() -> Iterator[Any]:
        while True:
            yield X

    left = iter(range(90, 0, -40))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=1000, free=next(left)))
    assert "factory ends" in refused(endless(), "EK136", Exit.EXHAUSTED).fix
    assert batches.CHECK_EVERY > 1


FACTORY = """
import numpy as np
from beside import SIZE

print("on stdout")

def make():
    for i in range(3):
        yield np.full((2, SIZE), i), np.array([i, i])

def breaks():
    yield np.zeros((1, 2))
    raise RuntimeError("the camera is off")

def raises():
    raise ValueError("no camera")

def later():
    def go():
        import beside_late
        yield np.zeros((1, beside_late.SIZE))
    return go()

array = np.zeros((4, 2))
number = lambda: 3
one = lambda: {"inputs": array}
"""


@pytest.fixture
def factory(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "camera_samples.py").write_text(FACTORY)
    (tmp_path / "beside.py").write_text("SIZE = 5")
    (tmp_path / "beside_late.py").write_text("SIZE = 5")
    yield str(tmp_path / "camera_samples.py")
    for name in ("camera_samples", "beside", "beside_late"):
        sys.modules.pop(name, None)


def test_factory(factory: str, capsys: pytest.CaptureFixture[str]) -> None:
    samples = load_samples(f"{factory}:make")
    assert samples.labels is not None
    assert samples.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert everything(samples)[:, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert capsys.readouterr().out == ""
    assert len(load_samples(f"{factory}:later")) == 1
    assert len(load_samples(f"{factory}:array")) == 4
    assert len(load_samples(f"{factory}:one")) == 4


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("breaks", "EK108", "the camera is off (camera_samples.py:13, in breaks)"),
        ("raises", "EK108", "no camera (camera_samples.py:16, in raises)"),
        ("mke", "EK107", "make"),
        ("number", "EK133", "int"),
    ],
)
def test_factories_that_fail(factory: str, name: str, code: str, said: str) -> None:
    assert said in str(refused(f"{factory}:{name}", code))


def test_no_such_path(tmp_path: Path) -> None:
    refused(tmp_path / "gone.npz", "EK101")
    refused(f"{tmp_path}/gone.py:make", "EK107")
    (tmp_path / "s.txt").write_text("no samples")
    refused(tmp_path / "s.txt", "EK120")
    (tmp_path / "samples").write_text("no samples")
    refused(str(tmp_path / "samples"), "EK120")
