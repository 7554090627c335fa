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


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        ("--latency", "50ms", 0.05),
        ("--latency", " 0.05 s ", 0.05),
        ("--latency", "250us", 250e-6),
        ("--energy", "10mJ", 0.01),
        ("--power", "5W", 5.0),
        ("--price", "100", 100.0),
        ("--price", "99.5 USD", 99.5),
        ("--ram", "512KiB", 524288.0),
        ("--ram", "1.5MB", 1.5e6),
    ],
)
def test_quantities(option: str, text: str, value: float) -> None:
    assert flags.quantity(option, text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("option", "text", "why", "fix"),
    [
        ("--latency", "50", "it has no unit", "did you mean --latency 50ms?"),
        ("--ram", "512", "it has no unit", "did you mean --ram 512KiB?"),
        ("--power", "5", "it has no unit", "did you mean --power 5W?"),
        ("--latency", "50 msec", "its unit is 'msec'", "did you mean --latency 50ms?"),
        ("--latency", "50MS", "its unit is 'MS'", "did you mean --latency 50ms?"),
        ("--latency", "50\N{MICRO SIGN}s", "known are s, ms, us", "did you mean --latency 50us?"),
        ("--power", "5MW", "known are W, mW", "did you mean --power 5mW?"),
        ("--ram", "512KB", "its unit is 'KB'", "did you mean --ram 512kB?"),
        ("--latency", "50 kg", "its unit is 'kg'", "write it as --latency 50ms"),
        ("--price", "100EUR", "known are USD", "write it as --price 50"),
        ("--price", "$100", "no number above 0", "write it as --price 50"),
        ("--latency", "0ms", "no number above 0", "write it as --latency 50ms"),
        ("--latency", "-5ms", "no number above 0", "write it as --latency 50ms"),
        ("--energy", "1,5mJ", "no number above 0", "write it as --energy 50mJ"),
        ("--latency", "", "no number above 0", "write it as --latency 50ms"),
    ],
)
def test_slips_in_a_quantity(option: str, text: str, why: str, fix: str) -> None:
    with pytest.raises(EdgekitError, match="EK190") as raised:
        flags.quantity(option, text)
    assert raised.value.what == f"cannot read {option} {text}"
    assert why in raised.value.why
    assert raised.value.fix == fix
