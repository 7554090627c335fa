from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import typer

from edgekit import flags
from edgekit.cli import options
from edgekit.cli.commands import app
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


def parsed(line: str) -> Recipe:
    """The recipe of a command line, as the command itself makes it."""
    verb, *arguments = shlex.split(line)[1:]
    group = typer.main.get_command(app())
    with group.make_context("edgekit", [verb, *arguments], resilient_parsing=True) as context:
        made = group.get_command(context, verb)  # type: ignore[attr-defined]
        with made.make_context(verb, list(arguments), parent=context) as inner:
            precision = inner.params.pop("precision") if verb == "convert" else None
            assert precision in (None, "float32", "float16")
            return options.recipe(inner.params)


@pytest.mark.parametrize(
    "line",
    [
        "edgekit quantize 'my model.pt' --model nets.py:net --data photos --resize 240x320 --crop 224 --scale 0.5 "
        "--mean 0.4,0.5,0.6 --layers --max-drop 0.5 --keep-float a --keep-float 'b c' --format tflite --threads 2",
        "edgekit quantize m.onnx --input x=1x3x8x8 --input y=1x4 --calib c.npz --eval e.npz --device raspberry-pi-4",
        "edgekit quantize m.pt --data d.npz --train t.npz --qat 3 --lr 0.01 --augment flip --augment shift",
        "edgekit prune m.pt --data d.npz --train t.npz --macs 0.7 --lr 0.02 --train-batch 8",
        "edgekit convert m.pt --input x=1x3x8x8 --layout nhwc",
        "edgekit quantize m.pt --data d.npz --train t.npz --macs 0.7 --qat 3 --lr 0.02",
    ],
)
def test_a_command_does_the_same_again(line: str) -> None:
    recipe = parsed(line)
    said = flags.command(line.split()[1], recipe)  # type: ignore[arg-type]
    assert said is not None
    assert sorted(shlex.split(said)) == sorted(shlex.split(line))
    assert parsed(said) == recipe


def test_what_is_of_one_run_is_not_done_again() -> None:
    recipe = parsed("edgekit quantize m.pt --data d.npz --overwrite")
    assert flags.command("quantize", recipe) == "edgekit quantize m.pt --data d.npz"


def test_what_a_command_has_no_option_for_is_left_out() -> None:
    recipe = parsed("edgekit quantize m.pt --data d.npz --sensitivity --max-drop 1 --threads 2")
    assert flags.command("convert", recipe, "float16") == "edgekit convert m.pt --data d.npz --precision float16"


def test_two_trainings_share_their_options() -> None:
    recipe = parsed("edgekit quantize m.pt --data d.npz --train t.npz --macs 0.7 --qat 3")
    apart = recipe.model_copy(update={"qat": recipe.qat.model_copy(update={"lr": 0.5})})
    assert flags.command("quantize", apart) is None


@pytest.mark.parametrize("verb", ["quantize", "prune", "convert"])
def test_a_command_has_every_option_that_is_not_left_out(verb: flags.Verb) -> None:
    group = typer.main.get_command(app())
    known = {param.name for param in group.commands[verb].params}  # type: ignore[attr-defined]
    kept = flags.FLAGS.keys() - flags.LEFT_OUT[verb]
    assert kept <= known
    assert known & flags.LEFT_OUT[verb] <= {"precision"}  # of `convert`, which has its own
