"""What one machine remembers of a build, in a hidden file in the output folder: hashes that need not be computed again,
which files are the build's own, and whether one is under way."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from edgekit.locking.hashes import Stamp
from edgekit.paths import atomic


@dataclass(frozen=True, kw_only=True)
class State:
    """running: SHA-256 of what the build under way is made of, None where none is; outputs: file -> the hashes that it
    may have, as a killed build may have moved some files and not others; hashes: path -> stamp and SHA-256;
    distributions: module -> what it was installed by."""

    running: str | None = None
    outputs: dict[str, list[str]] = field(default_factory=dict)
    hashes: dict[str, tuple[Stamp, str]] = field(default_factory=dict)
    distributions: dict[str, list[str]] = field(default_factory=dict)


NOTHING = State()


def state_path(recipe: Path, directory: Path) -> Path:
    return directory / f".{recipe.stem}.build.json"


def read_state(path: Path) -> State:
    """Nothing where there is none, or none that can be read: all of it can be found out again."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return State(
            running=found["running"],
            outputs={str(name): [str(one) for one in hashes] for name, hashes in found["outputs"].items()},
            hashes={str(name): (_stamp(stamp), str(one)) for name, (stamp, one) in found["hashes"].items()},
            distributions={str(name): [str(one) for one in some] for name, some in found["distributions"].items()},
        )
    return NOTHING


def write_state(path: Path, state: State) -> None:
    with atomic(path) as part:
        part.write_text(json.dumps(asdict(state)), encoding="utf-8")


def _stamp(found: list[int]) -> Stamp:
    size, changed, touched, inode = (int(one) for one in found)
    return size, changed, touched, inode
