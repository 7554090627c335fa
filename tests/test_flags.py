from __future__ import annotations

from pathlib import Path

import pytest

from edgekit import flags
from edgekit.errors import EdgekitError
from edgekit.recipe import Recipe


def test_every_flag_is_a_key_of_a_recipe() -> None:
    for name, (section, key) in (*flags.FLAGS.items(), *flags.ALSO.items()):
        schema = Recipe.model_fields[section].annotation if section else Recipe
        assert schema is not None
        assert key in schema.model_fields, f"{name} leads to [{section}] {key}, which no recipe has"


def test_every_key_of_a_recipe_is_a_flag() -> None:
    reached = {*flags.FLAGS.values(), *flags.ALSO.values()}
    for section, field in Recipe.model_fields.items():
        keys = getattr(field.annotation, "model_fields", None)
        wanted = {(section, key) for key in keys} if keys else {("", section)}
        assert wanted - {("preprocess", "model_layout")} <= reached


def test_what_is_left_open_is_not_said() -> None:
    said = {"path": Path("a.pt"), "calib": None, "format": [], "overwrite": False, "device": "pi", "other": 1}
    assert flags.by_section(said) == {"model": {"path": "a.pt"}, "output": {"overwrite": False}, "": {"device": "pi"}}


def test_shapes() -> None:
    assert flags.shape("image=1x3x224x224") == ("image", [1, 3, 224, 224])
    assert flags.shape("a=b=2X4") == ("a=b", [2, 4])


@pytest.mark.parametrize("text", ["image", "=1x2", "image=", "image=1xx2", "image=0x2", "image=-1x2", "image=1x²"])
def test_a_shape_that_is_none(text: str) -> None:
    with pytest.raises(EdgekitError, match="EK190"):
        flags.shape(text)
