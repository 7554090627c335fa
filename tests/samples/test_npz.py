"""Samples from .npz and .npy files: what is read, and what is refused."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.errors import EdgekitError, Exit
from edgekit.preprocess import Preprocess
from edgekit.samples import Samples, load_samples, rows
from edgekit.samples import npz as room


def all_inputs(samples: Samples, size: int = 3) -> NDArray[Any]:
    return np.concatenate([batch.inputs[samples.names[0]] for batch in samples.batches(size)])


def refused(path: Path, code: str, exit: Exit = Exit.USAGE) -> EdgekitError:
    with pytest.raises(EdgekitError) as raised:
        load_samples(path)
    assert raised.value.code == code
    assert raised.value.exit == exit
    assert raised.value.fix
    return raised.value


@pytest.fixture
def x() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(10, 3, 5)).astype(np.float32)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["float32", ">f4", "uint8", "int64", "bool", "float16", "float64"])
def test_every_storage_gives_the_same(tmp_path: Path, x: Any, save: Any, order: Any, dtype: str) -> None:
    path = tmp_path / "s.npz"
    stored = (x * 50).astype(dtype, order=order)
    save(path, inputs=stored, labels=np.arange(10))
    samples = load_samples(path)
    expected = stored.astype(np.float32) if stored.dtype.kind == "f" else stored
    assert np.array_equal(all_inputs(samples), expected)
    assert samples.signature == {"inputs": ((3, 5), expected.dtype.newbyteorder("=").name)}
    assert samples.labels is not None
    assert samples.labels.tolist() == list(range(10))


def test_fortran_order_in_several_blocks(tmp_path: Path, x: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "CHUNK", 200)
    np.save(tmp_path / "s.npy", np.asfortranarray(x))
    assert np.array_equal(all_inputs(load_samples(tmp_path / "s.npy")), x)


def test_npy_is_inputs_only(tmp_path: Path, x: Any) -> None:
    np.save(tmp_path / "s.npy", x)
    samples = load_samples(str(tmp_path / "s.npy"))
    assert np.array_equal(all_inputs(samples), x)
    assert samples.labels is None
    assert not samples.has_targets


def test_inputs_leave_other_arrays_out_by_name(tmp_path: Path, x: Any) -> None:
    np.savez(tmp_path / "s.npz", inputs=x, index=np.arange(7), classes=np.array(["a", "b"]))
    samples = load_samples(tmp_path / "s.npz")
    assert samples.ignored == ("index",)
    assert samples.class_names == ("a", "b")


def test_several_inputs_and_named_targets(tmp_path: Path, x: Any) -> None:
    np.savez(tmp_path / "s.npz", left=x, right=x[:, 0], extra=x, **{"targets.out": x[:, :, 0].astype(np.float64)})
    samples = load_samples(tmp_path / "s.npz").renamed(["right", "left"])
    batch = next(samples.batches(4))
    assert list(batch.inputs) == ["right", "left"]
    assert batch.targets is not None
    assert batch.targets["out"].dtype == np.float32
    assert samples.ignored == ("extra",)
    with pytest.raises(EdgekitError, match=r"EK135.*no input 'middle'"):
        samples.renamed(["left", "middle"])


def test_a_single_input_takes_any_name(tmp_path: Path, x: Any) -> None:
    np.savez(tmp_path / "s.npz", inputs=x)
    assert load_samples(tmp_path / "s.npz").renamed(["serving_default"]).names == ("serving_default",)


def test_truncated(tmp_path: Path, x: Any) -> None:
    np.savez_compressed(tmp_path / "s.npz", inputs=x)
    whole = (tmp_path / "s.npz").read_bytes()
    (tmp_path / "s.npz").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "s.npz", "EK121")
    np.save(tmp_path / "s.npy", x)
    (tmp_path / "s.npy").write_bytes((tmp_path / "s.npy").read_bytes()[:-1])
    assert "data" in refused(tmp_path / "s.npy", "EK121").why


@pytest.mark.parametrize(
    "content", [b"", b"not an array", b"\x93NUMPY\x01\x00\x10\x00{'descr': garbage", b"PK\x03\x04"]
)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_garbage(tmp_path: Path, content: bytes, suffix: str) -> None:
    (tmp_path / f"s{suffix}").write_bytes(content)
    refused(tmp_path / f"s{suffix}", "EK121")


def test_corrupt_member(tmp_path: Path, x: Any) -> None:
    np.savez_compressed(tmp_path / "s.npz", inputs=x)
    content = bytearray((tmp_path / "s.npz").read_bytes())
    content[200:220] = bytes(20)
    (tmp_path / "s.npz").write_bytes(content)
    refused(tmp_path / "s.npz", "EK121")


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path, x: Any) -> None:
    np.save(tmp_path / "s.npy", x)
    samples = load_samples(tmp_path / "s.npy")
    with (tmp_path / "s.npy").open("r+b") as file:
        file.truncate(300)
    with pytest.raises(EdgekitError, match=r"EK121.*to its end"):
        all_inputs(samples)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    class Canary:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "canary",))

    for name in ("inputs", "labels"):
        arrays = {"inputs": np.zeros((1, 2)), name: np.array([Canary()], object)}
        np.savez(tmp_path / "s.npz", **arrays)
        refused(tmp_path / "s.npz", "EK123", Exit.REFUSED)
    np.save(tmp_path / "s.npy", np.array([Canary()], object))
    refused(tmp_path / "s.npy", "EK123", Exit.REFUSED)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("array", [np.array(["text"]), np.zeros((2, 2), complex), np.zeros(2, "datetime64[s]")])
def test_not_numbers(tmp_path: Path, array: Any) -> None:
    np.savez(tmp_path / "s.npz", inputs=array)
    refused(tmp_path / "s.npz", "EK122")


def zip_of_header(path: Path, shape: tuple[int, ...], n_bytes: int, compression: int = zipfile.ZIP_DEFLATED) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", compression) as archive, archive.open("inputs.npy", "w") as member:
        member.write(header.getvalue())
        member.write(bytes(n_bytes))


def test_zip_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "BOMB_BYTES", 2**20)
    zip_of_header(tmp_path / "s.npz", (2, 2**20), 2**21)
    assert "2.00 MiB" in refused(tmp_path / "s.npz", "EK124", Exit.REFUSED).why


def test_a_row_too_large_to_allocate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zip_of_header(tmp_path / "s.npz", (1, 2**60), 10)
    refused(tmp_path / "s.npz", "EK121")  # the data is not there
    monkeypatch.setattr(rows, "LARGEST_ROW", 100)
    zip_of_header(tmp_path / "s.npz", (1, 200), 200)
    refused(tmp_path / "s.npz", "EK124", Exit.REFUSED)


def test_nothing_in_it(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", labels=np.zeros(3, int))
    refused(tmp_path / "s.npz", "EK125")
    np.savez(tmp_path / "s.npz", inputs=np.zeros((0, 3)))
    refused(tmp_path / "s.npz", "EK125")
    np.savez(tmp_path / "s.npz", inputs=np.zeros((3, 0)))
    refused(tmp_path / "s.npz", "EK125")
    np.savez(tmp_path / "s.npz")
    refused(tmp_path / "s.npz", "EK125")


def test_counts_disagree(tmp_path: Path, x: Any) -> None:
    np.savez(tmp_path / "s.npz", inputs=x, labels=np.arange(9))
    assert "9 labels" in refused(tmp_path / "s.npz", "EK129").why
    np.savez(tmp_path / "s.npz", audio=x, reference=x[:4])
    refused(tmp_path / "s.npz", "EK129")
    np.savez(tmp_path / "s.npz", audio=x, rate=np.int64(16000))
    refused(tmp_path / "s.npz", "EK129")


@pytest.mark.parametrize(
    "labels",
    [
        np.zeros((2, 10)),
        np.array([0.5, 1]),
        np.array([0, -1]),
        np.array(["a", "b"]),
        np.array([np.nan, 1]),
        np.array([0, 2]),
    ],
)
def test_labels_that_are_no_classes(tmp_path: Path, labels: Any) -> None:
    np.savez(tmp_path / "s.npz", inputs=np.zeros((2, 3)), labels=labels, classes=np.array(["cat", "dog"]))
    refused(tmp_path / "s.npz", "EK137")


def test_classes_that_are_no_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", inputs=np.zeros((2, 3)), classes=np.arange(3))
    refused(tmp_path / "s.npz", "EK137")


def test_labels_as_a_column_of_whole_floats(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", inputs=np.zeros((2, 3)), labels=np.array([[1.0], [0.0]]))
    labels = load_samples(tmp_path / "s.npz").labels
    assert labels is not None
    assert labels.tolist() == [1, 0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_not_finite_names_the_sample(tmp_path: Path, bad: float) -> None:
    x = np.zeros((6, 4))
    x[4, 2] = bad
    np.savez(tmp_path / "s.npz", inputs=x)
    samples = load_samples(tmp_path / "s.npz")
    with pytest.raises(EdgekitError, match=r"EK130.*sample 4 of"):
        all_inputs(samples, 3)
    with pytest.raises(EdgekitError, match="'targets' holds"):
        all_inputs(load_samples({"inputs": np.zeros((6, 2)), "targets": x}))


def test_real_samples(shared: Path) -> None:
    path = shared / "data" / "cifar10_calib.npz"
    contract = Preprocess(layout="nhwc", scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    samples = load_samples(path, contract)
    with np.load(path) as arrays:
        raw = arrays["inputs"].astype(np.float32).transpose(0, 3, 1, 2) / 255
    mean, std = (np.float32(v).reshape(1, 3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    # Four float32 roundings of numbers below 3.
    np.testing.assert_allclose(all_inputs(samples, 37), (raw - mean) / std, atol=2e-6)
    assert samples.ignored == ("train_index",)
    assert len(samples.class_names or ()) == 10


PEAK = """
import sys
from pathlib import Path
import numpy as np
from edgekit.preprocess import Preprocess
from edgekit.samples import load_samples, split
calibration, evaluation = split(load_samples(sys.argv[1], Preprocess(scale=1 / 255)), 32)
for part in (calibration, evaluation):
    for batch in part.batches(8):
        pass
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


# Not ru_maxrss: a child starts with its parent's.
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_memory_does_not_grow_with_the_samples(tmp_path: Path, save: Any) -> None:
    peaks = []
    for count in (64, 1000):
        x = np.broadcast_to(np.arange(count, dtype=np.uint16)[:, None], (count, 96 * 96 * 2))
        save(tmp_path / "s.npz", inputs=x)
        root = Path(__file__).parents[2]
        run = subprocess.run([sys.executable, "-c", PEAK, str(tmp_path / "s.npz")], check=True, cwd=root,
                             capture_output=True, text=True)  # fmt: skip
        peaks.append(int(run.stdout))
    assert peaks[1] <= 1.1 * peaks[0]
