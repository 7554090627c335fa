"""Python values over a pipe: arrays travel beside the pickle and are never copied into it.

count: uint64 | length: uint64 x count | part 0: a pickle, protocol 5 | parts 1..: the arrays' bytes, out of band
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Sequence
from typing import IO, Any

Parts = Sequence[bytes | memoryview]


def packed(message: object) -> list[bytes | memoryview]:
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    return [head, *(buffer.raw() for buffer in buffers)]


def unpacked(parts: Sequence[bytearray]) -> Any:
    return pickle.loads(parts[0], buffers=parts[1:])


def write_frame(stream: IO[bytes], parts: Parts) -> None:
    lengths = [memoryview(part).nbytes for part in parts]
    stream.write(struct.pack(f"<{1 + len(parts)}Q", len(parts), *lengths))
    for part in parts:
        stream.write(part)
    stream.flush()


def read_frame(stream: IO[bytes]) -> list[bytearray] | None:
    """The next frame, or None where the other side is gone."""
    head = stream.read(8)
    if len(head) < 8:
        return None
    (count,) = struct.unpack("<Q", head)
    lengths = stream.read(8 * count)
    if len(lengths) < 8 * count:
        return None
    parts = [bytearray(length) for length in struct.unpack(f"<{count}Q", lengths)]
    for part in parts:
        if stream.readinto(part) < len(part):  # type: ignore[attr-defined]  # a BufferedReader; IO does not say so
            return None
    return parts
