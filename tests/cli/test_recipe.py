"""`edgekit recipe`: start one, look at some, and the schema for editors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgekit.cli.commands import run
from edgekit.paths import recipes_folder
from edgekit.recipe import load_recipe


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pt2").touch()
    (tmp_path / "samples.npz").touch()
    return tmp_path


def test_a_recipe_for_a_model(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipe", "init", "model.pt2", "--data", "samples.npz"]) == 0
    assert capsys.readouterr().out == "recipe.toml: edit it, then edgekit build recipe.toml\n"
    recipe = load_recipe(work / "recipe.toml")
    assert (recipe.model.path, recipe.data.data) == (str(work / "model.pt2"), str(work / "samples.npz"))
    assert run(["recipe", "validate", "recipe.toml"]) == 0


def test_it_replaces_nothing(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (work / "recipe.toml").write_text("mine")
    assert run(["recipe", "init", "model.pt2"]) == 2
    assert "EK195" in capsys.readouterr().err
    assert run(["recipe", "init", "model.pt2", "--overwrite"]) == 0


def test_samples_that_go_not_together(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(work.iterdir())
    assert run(["recipe", "init", "model.pt2", "--data", "samples.npz", "--eval", "samples.npz"]) == 2
    assert "EK152" in capsys.readouterr().err
    assert sorted(work.iterdir()) == before


def test_every_recipe_has_its_line(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (work / "good.toml").write_text('[model]\npath = "model.pt2"\n')
    (work / "gone.toml").write_text('[model]\npath = "model.pt2"\n[data]\ndata = "gone.npz"\n')
    (work / "slip.toml").write_text('[model]\npath = "model.pt2"\n[data]\ncalib = "samples.npz"\n')
    assert run(["recipe", "validate", "slip.toml", "good.toml", "gone.toml"]) == 2
    out, err = capsys.readouterr()
    assert out == "good.toml: OK\n"
    assert "EK101" in err and "gone.npz" in err
    assert "EK151" in err and "did you mean 'calibration'?" in err


@pytest.mark.parametrize(
    "path", sorted(recipes_folder().rglob("*.toml")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_the_recipes_that_edgekit_carries(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipe", "validate", str(path)]) == 0
    whole = path.name == "recipe.toml"
    assert ("OK, without a model: edgekit quantize MODEL" in capsys.readouterr().out) == (not whole)


def test_the_schema_for_editors_is_that_of_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipe", "schema"]) == 0
    published = (recipes_folder() / "schema.json").read_text(encoding="utf-8")
    assert capsys.readouterr().out == published, "edgekit recipe schema > recipes/schema.json writes it"
    macs = json.loads(published)["$defs"]["Prune"]["properties"]["macs"]["anyOf"][0]["anyOf"]
    assert [one["type"] for one in macs] == ["number", "string"], "an editor takes 70 % as people write it"
