from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest

from edgekit.profile import parcel, unpack


def test_the_agent_is_one_file_and_always_the_same() -> None:
    with zipfile.ZipFile(io.BytesIO(parcel.agent_file())) as archive:
        assert set(archive.namelist()) == {"__main__.py", *parcel.DOORS, *(f"edgekit/{name}" for name in parcel.PARTS)}
        assert archive.read("edgekit/__init__.py") == b""
    assert parcel.agent_file() == parcel.agent_file()


def test_a_parcel_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").write_bytes(b"\n1\n" * 10**6)
    made = parcel.parcel({"probe": True}, {"0.model": tmp_path / "model", "empty": b""})
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    stream = io.BytesIO(b"".join(made.chunks()))
    assert stream.read(int(stream.readline())) == parcel.part("profile/unpack.py")
    unpack.receive(stream)
    assert {path.name: path.stat().st_size for path in Path().iterdir()} == {
        parcel.AGENT: len(parcel.agent_file()),
        parcel.JOB: len(json.dumps({"probe": True})),
        "0.model": 3 * 10**6,
        "empty": 0,
    }


def test_a_slow_connection_gives_signs_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(unpack, "ALIVE_S", -1.0)
    unpack.receive(io.BytesIO(b"0.model 3\nabc\n"))
    assert capsys.readouterr().out == "edgekit-alive\n"


def test_a_parcel_that_is_cut_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EOFError, match=r"0\.model"):
        unpack.receive(io.BytesIO(b"0.model 10\nabc"))
