"""What is this file? Told from its bytes: nothing in it is executed or unpickled.

A file is known by its content, never by its suffix. Readers check every offset before they follow it, so that a damaged
or hostile file ends in an EdgekitError.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgekit.errors import EdgekitError
from edgekit.report.inspect.archive import read_npy, read_safetensors, read_zip
from edgekit.report.inspect.contents import Contents, FileIdentity
from edgekit.report.inspect.pickled import read_pickle

__all__ = ["Contents", "FileIdentity", "inspect"]

_PICKLE_PROTOCOL = b"\x80"
_SAFETENSORS_HEADER_MAX = 100_000_000  # the format's own limit


def inspect(path: Path) -> FileIdentity:
    """Name, size, hash and contents of a model or sample file."""
    if not path.is_file():
        seen = "it is a folder" if path.is_dir() else "the path does not exist"
        raise EdgekitError("EK101", f"cannot inspect '{path}'", seen, "name a model or sample file")
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return FileIdentity(path=str(path), size_bytes=path.stat().st_size, sha256=sha256, contents=_read(path))


def _read(path: Path) -> Contents:
    """The reader is chosen by the first bytes; two of them bring libraries that take a second to load."""
    with path.open("rb") as file:
        head = file.read(16)
    if head[4:8] == b"TFL3":
        from edgekit.report.inspect.tflite import read_tflite

        return read_tflite(path)
    if head.startswith(b"PK\x03\x04"):
        return read_zip(path)
    if head.startswith(b"\x93NUMPY"):
        return read_npy(path)
    if head.startswith(_PICKLE_PROTOCOL):
        return read_pickle(path)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < _SAFETENSORS_HEADER_MAX:
        return read_safetensors(path)
    from edgekit.report.inspect.onnx_file import read_onnx

    return read_onnx(path)
