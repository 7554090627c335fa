"""What a file is, told by its content: a suffix is a habit, the first bytes are a fact."""

from __future__ import annotations

import codecs
import json
import zipfile
from pathlib import Path
from typing import Literal

from edgekit.errors import EdgekitError

Form = Literal["torch.save", "TorchScript", "torch.export", "safetensors", "ONNX"]

HEAD_BYTES = 512
PICKLE_PROTO = 0x80  # the first opcode of every binary pickle; torch.save before 1.6 wrote a row of them
# TorchScript before 1.6 and torch.export before 2.8 keep these members in their zip.
OLD_TORCHSCRIPT, OLD_EXPORT = "model.json", "serialized_exported_program.json"
SAVE_AGAIN = "save the model again with torch.export.save, torch.save(model.state_dict()) or torch.onnx.export"

# Magic bytes at an offset -> (what the file is, what to give instead).
NOT_A_TRAINED_MODEL: tuple[tuple[int, bytes, str, str], ...] = (
    (4, b"TFL3", "a TFLite file", "give the trained model that it was made from; `edgekit inspect` can read this file"),
    (
        0,
        b"\x89HDF\r\n\x1a\n",
        "an HDF5 file (Keras .h5)",
        "export it to ONNX first (tf2onnx, or keras `model.export(format='onnx')`)",
    ),
    (0, b"\x93NUMPY", "a NumPy array", "give it as samples with --data, and the trained model as MODEL"),
    (0, b"GGUF", "a GGUF file", "give the PyTorch or ONNX model that it was made from"),
    (0, b"\x1f\x8b", "a gzip archive", "unpack it and give the model file that is inside"),
    (0, b"\x89PNG", "a PNG image", "give it as samples with --data, and the trained model as MODEL"),
    (0, b"\xff\xd8\xff", "a JPEG image", "give it as samples with --data, and the trained model as MODEL"),
)


def sniff(path: Path) -> Form:
    """The form of the model file at `path`; an EdgekitError says what the file is when it is no such thing."""
    if path.is_dir():
        raise _not_a_model(path, *_folder(path))
    if not path.is_file():
        raise EdgekitError(
            "EK101", f"no model file at '{path}'", "the path does not exist or is not a regular file", "check the path"
        )
    size = path.stat().st_size
    if size == 0:
        raise _not_a_model(path, "an empty file", "copy or save the model again")
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    for offset, magic, name, fix in NOT_A_TRAINED_MODEL:
        if head[offset:].startswith(magic):
            raise _not_a_model(path, name, fix)
    if head.startswith(b"PK\x03\x04"):
        return _zipped(path)
    if head[0] == PICKLE_PROTO and head[1:2] <= b"\x05":
        return "torch.save"
    if _is_safetensors(head, size, path):
        return "safetensors"
    if _is_text(head):
        raise _not_a_model(path, *_text(path, head))
    if _looks_like_onnx(head):
        return "ONNX"
    raise _not_a_model(
        path, f"of no known kind (its first bytes are {head[:8].hex(' ')})", f"check the file, or {SAVE_AGAIN}"
    )


def _not_a_model(path: Path, name: str, fix: str) -> EdgekitError:
    return EdgekitError(
        "EK102",
        f"'{path}' is not a model that edgekit can read",
        f"it is {name}; PyTorch (.pt, .pt2, TorchScript, .safetensors) and ONNX files are read",
        fix,
    )


def _folder(path: Path) -> tuple[str, str]:
    if (path / "saved_model.pb").exists():
        return (
            "a TensorFlow SavedModel folder",
            "export it to ONNX first (tf2onnx: --saved-model FOLDER --output model.onnx)",
        )
    return "a folder", "give the model file that is inside"


def _zipped(path: Path) -> Form:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as broken:
        raise EdgekitError(
            "EK103",
            f"'{path}' is damaged",
            f"it starts as a zip archive but cannot be read ({broken}); cut off at {path.stat().st_size} bytes?",
            "copy or save the model again",
        ) from broken
    members = {name.partition("/")[2] or name for name in names}
    if "archive_format" in members and any(name.startswith("models/") for name in members):
        return "torch.export"
    if "constants.pkl" in members and any(name.startswith("code/") for name in members):
        return "TorchScript"
    if "data.pkl" in members:
        return "torch.save"
    if OLD_TORCHSCRIPT in members or OLD_EXPORT in {*names, *members}:
        raise _not_a_model(path, "an archive of an older torch", SAVE_AGAIN)
    if "metadata.json" in names and "config.json" in names:
        raise _not_a_model(path, "a Keras file", "export it to ONNX first (keras `model.export(format='onnx')`)")
    if all(name.endswith(".npy") for name in names):
        raise _not_a_model(
            path, "an .npz of NumPy arrays", "give it as samples with --data, and the trained model as MODEL"
        )
    raise _not_a_model(
        path, "a zip archive without a model at its top", "unpack it and give the model file that is inside"
    )


def _is_safetensors(head: bytes, size: int, path: Path) -> bool:
    """8 bytes of header length, then a JSON object. Source: safetensors format description."""
    if len(head) < 10 or head[8:9] != b"{":
        return False
    length = int.from_bytes(head[:8], "little")
    if length > size - 8:
        raise EdgekitError(
            "EK103",
            f"'{path}' is damaged",
            f"its safetensors header announces {length} bytes, the file has {size}",
            "copy or save the model again",
        )
    with path.open("rb") as file:
        header = file.read(8 + length)[8:]
    try:
        return isinstance(json.loads(header), dict)
    except ValueError:
        return False


def _is_text(head: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # the head may end inside of a character
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter.isspace() for letter in text)


def _text(path: Path, head: bytes) -> tuple[str, str]:
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself", "fetch the file with `git lfs pull`"
    if path.suffix == ".py":
        return "Python source", f"name what builds the model: {path}:FACTORY"
    if head.lstrip()[:1] == b"<":
        return "a web page or XML", "download the file itself"
    return "a text file", "give the trained model; a recipe is given with --recipe"


def _looks_like_onnx(head: bytes) -> bool:
    """A ModelProto starts with one of its fields 1-8, 14, 20 or 25: ir_version as a varint, the others as bytes."""
    field, wire = head[0] >> 3, head[0] & 7
    return (field, wire) in {(1, 0), (2, 2), (3, 2), (4, 2), (5, 0), (6, 2), (7, 2), (8, 2), (14, 2)}
