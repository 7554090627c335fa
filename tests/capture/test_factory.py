"""The user's code: found, run, and blamed by its own line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgekit.capture import factory as factories
from edgekit.errors import EdgekitError


def refused(spec: str) -> EdgekitError:
    with pytest.raises(EdgekitError) as error:
        factories.build(spec)
    return error.value


def test_a_file_and_a_module(
    factory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module, place = factories.build(f"{factory}:make")
    assert type(module).__name__ == "Net"
    assert str(place) == f"{factory}:make"
    (factory.parent / "zoo").mkdir()
    factory.rename(factory.parent / "zoo" / "nets.py")
    monkeypatch.chdir(factory.parent)
    module, place = factories.build("zoo.nets:Net")
    assert str(place) == "zoo.nets:Net"
    assert capsys.readouterr().out == "", "what the factory prints is not edgekit's result"
    assert str(factory.parent) not in sys.path


@pytest.mark.parametrize("spec", ["networks.py", "networks.py:", ":make", "a b:make", "model.pt"])
def test_a_spec_without_form(spec: str) -> None:
    assert refused(spec).code == "EK107"


def test_a_missing_file_module_or_name(factory: Path) -> None:
    assert refused("nowhere.py:make").code == "EK107"
    assert "no module named 'nowhere'" in refused("nowhere.nets:make").what
    missing = refused(f"{factory}:mak")
    assert missing.code == "EK107"
    assert "did you mean 'make'?" in missing.fix
    assert "Net, make, wide" in missing.why
    assert refused(f"{factory}:Net.parts").code == "EK107"


def test_an_error_inside_names_the_users_line(factory: Path) -> None:
    failed = refused(f"{factory}:fails")
    assert failed.code == "EK108"
    assert "ValueError: no such width (networks.py:31, in fails)" in failed.why
    assert refused(f"{factory}:leaves").code == "EK108"


def test_a_file_that_cannot_be_imported(tmp_path: Path) -> None:
    file = tmp_path / "broken_networks.py"
    file.write_text("def make(:\n    pass\n")
    assert "(broken_networks.py:1)" in refused(f"{file}:make").why
    file.write_text("import not_installed_anywhere\n")
    failed = refused(f"{file}:make")
    assert failed.code == "EK108"
    assert "not_installed_anywhere" in failed.why
    assert "broken_networks" not in sys.modules


def test_no_module_comes_back(factory: Path) -> None:
    assert refused(f"{factory}:number").code == "EK109"
    assert "int" in refused(f"{factory}:number").why
    assert refused(f"{factory}:torch").code == "EK109"
