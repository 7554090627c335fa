"""Files told apart by content, whatever their suffix, and a way out for those that are no model."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from edgekit.capture.sniff import sniff
from edgekit.errors import EdgekitError, Exit


def safetensors_bytes(header: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(40), "TFLite"),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "Keras"),
        (b"GGUF" + bytes(40), "GGUF"),
        (b"\x1f\x8b\x08" + bytes(40), "gzip"),
        (b"\x93NUMPY" + bytes(40), "--data"),
        (b"\x89PNG\r\n" + bytes(40), "--data"),
        (b"\xff\xd8\xff\xe0" + bytes(40), "--data"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"<!DOCTYPE html><html>not found</html>", "web page"),
        (b"epochs = 3\n", "text"),
        (bytes(range(200, 256)), "no known kind"),
    ],
)
def test_what_is_no_model_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "model.pt"
    file.write_bytes(content)
    with pytest.raises(EdgekitError) as error:
        sniff(file)
    assert error.value.code == "EK102"
    assert says in str(error.value)
    assert error.value.exit == Exit.USAGE


@pytest.mark.parametrize(
    ("members", "says"),
    [
        (["metadata.json", "config.json", "model.weights.h5"], "Keras"),
        (["weights/model.onnx", "readme"], "unpack"),
        (["net/model.json", "net/code/net.py"], "older torch"),
        (["serialized_exported_program.json", "version"], "older torch"),
    ],
)
def test_zip_archives_that_are_no_model(tmp_path: Path, members: list[str], says: str) -> None:
    file = tmp_path / "model.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for name in members:
            archive.writestr(name, "x")
    with pytest.raises(EdgekitError, match=says) as error:
        sniff(file)
    assert error.value.code == "EK102"


def test_an_npz_belongs_to_the_samples(tmp_path: Path) -> None:
    np.savez(tmp_path / "samples.npz", inputs=np.zeros(3))
    with pytest.raises(EdgekitError, match="--data"):
        sniff(tmp_path / "samples.npz")


def test_folders(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="a folder"):
        sniff(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"x")
    with pytest.raises(EdgekitError, match="SavedModel"):
        sniff(tmp_path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError) as error:
        sniff(tmp_path / "model.pt")
    assert error.value.code == "EK101"


def test_a_truncated_archive(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(100)}, tmp_path / "whole.pt")
    (tmp_path / "part.pt").write_bytes((tmp_path / "whole.pt").read_bytes()[:700])
    with pytest.raises(EdgekitError, match="700 bytes") as error:
        sniff(tmp_path / "part.pt")
    assert error.value.code == "EK103"


def test_safetensors_is_its_header(tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(safetensors_bytes(json.dumps({"__metadata__": {}}).encode()))
    assert sniff(file) == "safetensors"
    file.write_bytes((10**6).to_bytes(8, "little") + b'{"a"')
    with pytest.raises(EdgekitError, match="announces 1000000 bytes") as error:
        sniff(file)
    assert error.value.code == "EK103"
    file.write_bytes(safetensors_bytes(b"{ no json"))
    with pytest.raises(EdgekitError) as error:
        sniff(file)
    assert error.value.code == "EK102"


def test_old_and_new_torch_save(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(1)}, tmp_path / "new.onnx")
    torch.save({"w": torch.zeros(1)}, tmp_path / "old.onnx", _use_new_zipfile_serialization=False)
    assert sniff(tmp_path / "new.onnx") == "torch.save"
    assert sniff(tmp_path / "old.onnx") == "torch.save"


def test_python_source_asks_for_the_factory(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("def make(): ...\n")
    with pytest.raises(EdgekitError, match=r"net\.py:FACTORY"):
        sniff(tmp_path / "net.py")
