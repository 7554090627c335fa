from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from edgekit.errors import EdgekitError
from edgekit.locking.lock import Lock, Origin, Used, lock_path, read_lock, recipe_keys, write_lock
from edgekit.recipe import load_recipe

ORIGIN = Origin(
    recipe={"model.path": "net.pt", "device": "x86-64"},
    inputs={"net.pt": "1", 'odd "name"\x7f\\.npz': "2"},
    versions={"torch": "2.13.0"},
)
LOCK = Lock(
    origin=ORIGIN,
    seed=3,
    machine="x86_64, a processor",
    samples={"evaluation": Used(count=5, ids="ab")},
    outputs={"net.onnx": "cd"},
    met=None,
)


@pytest.mark.parametrize("met", [None, True, False])
def test_what_is_written_is_read(tmp_path: Path, met: bool | None) -> None:
    lock = Lock(**{**vars(LOCK), "met": met})
    write_lock(tmp_path / "recipe.lock", lock, Path("recipe.toml"))
    assert read_lock(tmp_path / "recipe.lock") == lock
    tomllib.loads((tmp_path / "recipe.lock").read_text())


def test_it_lies_beside_the_recipe() -> None:
    assert lock_path(Path("recipes/mlp/recipe.toml")) == Path("recipes/mlp/recipe.lock")


def test_there_may_be_none(tmp_path: Path) -> None:
    assert read_lock(tmp_path / "recipe.lock") is None


@pytest.mark.parametrize("text", ["format = 2", "format", "", "format = 1\nrecipe = 3", "\x00"])
def test_a_file_that_is_no_lock(tmp_path: Path, text: str) -> None:
    (tmp_path / "recipe.lock").write_text(text)
    with pytest.raises(EdgekitError) as raised:
        read_lock(tmp_path / "recipe.lock")
    assert raised.value.code == "EK971"


def test_what_changed_in_words() -> None:
    now = Origin(
        recipe={"model.path": "net.pt", "device": "rk3588", "data.seed": "1"},
        inputs={"net.pt": "9"},
        versions={"torch": "2.14.0", "numpy": "2.4"},
    )
    assert ORIGIN.changed(now) == ["[data] seed", "device", "'net.pt'", "'odd \"name\"\x7f\\.npz'"]
    assert ORIGIN.upgraded(now) == ["numpy none -> 2.4", "torch 2.13.0 -> 2.14.0"]
    assert ORIGIN.changed(ORIGIN) == ORIGIN.upgraded(ORIGIN) == []


def test_a_recipe_means_what_differs_from_the_defaults() -> None:
    recipe = load_recipe(
        None,
        {
            "model": {"path": "net.pt", "inputs": {"x": (1, 3)}},
            "data": {"seed": 0},
            "preprocess": {"scale": "1/4"},
            "output": {"directory": "here", "overwrite": True, "formats": ["onnx"]},
            "": {"device": "x86-64"},
        },
    )
    assert recipe_keys(recipe) == {
        "model.path": "net.pt",
        "model.inputs": '{"x": [1, 3]}',
        "preprocess.scale": "0.25",
        "output.formats": '["onnx"]',
        "device": "x86-64",
    }
