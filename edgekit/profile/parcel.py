"""What edgekit sends to a device: the agent in one file that Python runs, the job, and the files it is about."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

AGENT = "agent.pyz"
JOB = "job.json"
PARTS = (
    "profile/agent.py",
    "profile/alone.py",
    "profile/bench.py",
    "profile/environment.py",
    "profile/ops.py",
    "profile/packages.py",
    "profile/player.py",
    "profile/power.py",
    "run/timing.py",
)
DOORS = ("edgekit/__init__.py", "edgekit/profile/__init__.py", "edgekit/run/__init__.py")  # empty there
MAIN = "import sys\nfrom edgekit.profile.agent import main\nmain(sys.argv[1:])\n"
WHEN = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file knows: the same agent is the same bytes
CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class Parcel:
    """files: by the name they get there, in bytes or as a path here."""

    files: Mapping[str, bytes | Path]

    def chunks(self) -> Iterator[bytes]:
        """What `unpack` reads from its stdin, itself first."""
        yield framed(part("profile/unpack.py"))
        for name, content in self.files.items():
            size = len(content) if isinstance(content, bytes) else content.stat().st_size
            yield f"{name} {size}\n".encode()
            if isinstance(content, bytes):
                yield content
                continue
            with content.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
        yield b"\n"


def parcel(job: Mapping[str, object], files: Mapping[str, bytes | Path]) -> Parcel:
    """The agent, the job and its files."""
    return Parcel({AGENT: agent_file(), JOB: json.dumps(job).encode(), **files})


def agent_file() -> bytes:
    """The agent as a zip application; not packed, since a small Python may lack zlib."""
    out = io.BytesIO()
    contents = {f"edgekit/{name}": part(name) for name in PARTS} | dict.fromkeys(DOORS, b"")
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in {"__main__.py": MAIN.encode(), **contents}.items():
            archive.writestr(zipfile.ZipInfo(name, WHEN), content)
    return out.getvalue()


def part(name: str) -> bytes:
    """A file of the package."""
    return resources.files("edgekit").joinpath(name).read_bytes()


def framed(program: bytes) -> bytes:
    """As the first line of `python3 -c` reads it: its size on a line, then itself."""
    return f"{len(program)}\n".encode() + program
