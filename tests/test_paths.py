"""Files appear whole or not at all, and edgekit finds what it carries."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from edgekit import paths
from edgekit.errors import EdgekitError


def test_carried_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(paths.recipes_folder().glob("*.toml"))
    assert list(paths.devices_folder().glob("*.toml"))
    (tmp_path / "devices").mkdir()
    monkeypatch.setattr(paths, "PACKAGE", tmp_path)
    assert paths.devices_folder() == tmp_path / "devices"  # as in a wheel
    assert paths.recipes_folder() == tmp_path.parent / "recipes"


def test_atomic_appears_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with paths.atomic(path) as part:
        part.write_text("whole")
        assert part.parent == path.parent
        assert not path.exists()
    assert path.read_text() == "whole"
    assert stat.S_IMODE(path.stat().st_mode) & 0o044 == 0o044 & ~current_umask()
    assert names(path.parent) == ["a.txt"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_atomic_leaves_nothing_when_interrupted(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), paths.atomic(path) as part:
        part.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_atomic_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgekitError, match="EK196"), paths.atomic(tmp_path / "file" / "a.txt"):
        pytest.fail("must not come here")
    (tmp_path / "folder").mkdir()
    with pytest.raises(EdgekitError, match="EK196"), paths.atomic(tmp_path / "folder"):
        pass
    assert names(tmp_path) == ["file", "folder"]
    with pytest.raises(EdgekitError, match=r"EK196.*cannot write"), paths.atomic(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")
