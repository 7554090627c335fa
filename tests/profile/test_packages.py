from __future__ import annotations

import pytest

from edgekit.profile import packages


def nothing() -> None:
    pass


def test_what_is_installed_here() -> None:
    found = packages.installed(nothing)
    assert found["numpy"]["version"]
    assert found["numpy"]["broken"] is None
    assert found["tflite-runtime"] == {"version": None, "broken": None}


def test_a_package_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "WANTED", {"numpy": "numpy.nowhere"})
    assert packages.installed(nothing)["numpy"]["broken"] == "ModuleNotFoundError: No module named 'numpy.nowhere'"
    monkeypatch.setattr(packages, "WANTED", {"numpy": "os, sys; sys.stderr.close(); os.abort()"})
    assert packages.installed(nothing)["numpy"]["broken"] == "ended by signal 6"


def test_a_package_that_takes_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "WANTED", {"numpy": "time; time.sleep(60)"})
    monkeypatch.setattr(packages, "IMPORT_S", 0.2)
    assert packages.installed(nothing)["numpy"]["broken"] == "importing it took longer than 0.2 s"


def test_how_something_could_be_installed() -> None:
    found = packages.installing()
    assert found["free_bytes"] > 0
    assert {"executable", "venv", "managed", "pip", "ensurepip"} < set(found)
