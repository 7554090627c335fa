from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from edgekit.locking import hashes
from edgekit.locking.hashes import Hashes

LONG_AGO_NS = 10**18


def settled(path: Path, text: str) -> Path:
    """A file that has not changed for a long time; its inode was touched just now."""
    path.write_text(text)
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    return path


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files settle as soon as they are written."""
    monkeypatch.setattr(hashes, "SETTLED_NS", -(10**12))


def test_a_hash_is_that_of_the_content(tmp_path: Path) -> None:
    path = settled(tmp_path / "a", "content")
    assert Hashes().of(path) == hashlib.sha256(b"content").hexdigest()


@pytest.mark.usefixtures("at_once")
def test_what_did_not_change_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = settled(tmp_path / "a", "content")
    before = Hashes()
    found = before.of(path)
    monkeypatch.setattr(hashes, "_sha256", lambda path: pytest.fail(f"{path} was read"))
    again = Hashes(before.settled)
    assert again.of(path) == found
    assert again.settled == before.settled


@pytest.mark.usefixtures("at_once")
def test_a_change_shows_though_size_and_time_are_the_same(tmp_path: Path) -> None:
    path = settled(tmp_path / "a", "content")
    before = Hashes()
    found = before.of(path)
    other = settled(tmp_path / "b", "CONTENT")
    other.replace(path)
    assert Hashes(before.settled).of(path) != found


def test_what_just_changed_is_hashed_again_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("content")
    found = Hashes()
    found.of(path)
    assert found.settled == {}


def test_a_folder_is_its_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a" / "inner").mkdir(parents=True)
    settled(tmp_path / "a" / "inner" / "one.png", "1")
    settled(tmp_path / "a" / "two.png", "2")
    before = Hashes().of_folder(tmp_path / "a")
    (tmp_path / "a" / ".hidden").write_text("not a sample")
    (tmp_path / "a" / "__MACOSX").mkdir()
    (tmp_path / "a" / "__MACOSX" / "two.png").write_text("")
    assert Hashes().of_folder(tmp_path / "a") == before
    (tmp_path / "a" / "two.png").rename(tmp_path / "a" / "three.png")
    assert Hashes().of_folder(tmp_path / "a") != before
