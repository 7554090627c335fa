from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from edgekit.errors import EdgekitError
from edgekit.recipe import Recipe, load_recipe
from edgekit.starter import starter

NO_SAMPLES: dict[str, str | None] = {}


def test_every_comment_that_is_a_key_is_one() -> None:
    text = starter(Path(), __file__, None, NO_SAMPLES, None)
    keys = tomllib.loads(re.sub(r"(?m)^# (?=\w+ = )", "", text))
    assert {"device", *Recipe.model_fields} - {"model"} <= keys.keys()
    Recipe.model_validate(keys)


def test_without_its_comments_it_asks_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(starter(tmp_path, __file__, None, NO_SAMPLES, None))
    made = load_recipe(tmp_path / "recipe.toml")
    assert made == load_recipe(None, {"model": {"path": made.model.path}})


def test_what_is_known_is_filled_in(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ('odd "name".pt', "nets.py", "c.npz", "mine.toml"):
        (tmp_path / name).touch()
    samples = {"calibration": str(tmp_path / "c.npz"), "evaluation": "pack.data:make"}
    text = starter(
        tmp_path / "a",
        str(tmp_path / 'odd "name".pt'),
        f"{tmp_path / 'nets.py'}:Nets.make",
        samples,
        str(tmp_path / "mine.toml"),
    )
    keys = tomllib.loads(text)
    assert keys["device"] == "../mine.toml"
    assert keys["model"] == {"path": '../odd "name".pt', "factory": "../nets.py:Nets.make"}
    assert keys["data"] == {"calibration": "../c.npz", "evaluation": "pack.data:make"}
    assert tomllib.loads(starter(tmp_path, __file__, None, NO_SAMPLES, "x86-64"))["device"] == "x86-64"


@pytest.mark.parametrize("model", ["gone.pt", "gone.py:make"])
def test_a_path_of_nothing(tmp_path: Path, model: str) -> None:
    with pytest.raises(EdgekitError, match=r"EK101.*'gone\.py?t?'"):
        starter(tmp_path, model, None, NO_SAMPLES, None)
