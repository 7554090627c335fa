"""Which input gets which shape and type, and what is said where that is not known."""

from __future__ import annotations

import pytest

from edgekit.capture import shapes
from edgekit.capture.shapes import Input
from edgekit.errors import EdgekitError


def refused(**given: object) -> EdgekitError:
    with pytest.raises(EdgekitError) as error:
        settle(**given)
    return error.value


def settle(
    names: tuple[str, ...] = ("image",),
    required: int | None = None,
    inputs: dict[str, tuple[int, ...]] | None = None,
    signature: dict[str, tuple[tuple[int, ...], str]] | None = None,
) -> tuple[Input, ...]:
    return shapes.settle("net.pt", names, len(names) if required is None else required, inputs or {}, signature)


def test_samples_give_the_shape() -> None:
    assert settle(signature={"image": ((3, 8, 8), "uint8")}) == (Input("image", (3, 8, 8), "float32"),)
    assert settle(signature={"inputs": ((3,), "float64")}) == (Input("image", (3,), "float32"),)


def test_input_gives_the_shape_with_its_batch() -> None:
    assert settle(inputs={"image": (1, 3, 8, 8)}) == (Input("image", (3, 8, 8), "float32"),)


@pytest.mark.parametrize(
    ("sample", "fed"),
    [
        ("uint8", "float32"),
        ("int8", "float32"),
        ("int64", "int64"),
        ("int32", "int32"),
        ("float16", "float32"),
        ("bool", "bool"),
    ],
)
def test_types(sample: str, fed: str) -> None:
    assert shapes.fed_as(sample) == fed


def test_several_inputs_keep_the_models_order() -> None:
    given = settle(("x", "h", "c"), 2, {"h": (1, 128)}, {"x": ((576,), "float32")})
    assert [i.name for i in given] == ["x", "h"]
    assert [i.name for i in settle((), 0, {"b": (1, 2), "a": (1, 3)})] == ["b", "a"]


def test_nothing_known() -> None:
    error = refused()
    assert error.code == "EK201"
    assert "its forward takes image" in error.why
    for way in ("--input NAME=", "--data", ".pt2"):
        assert way in error.fix
    assert "any number of inputs" in refused(names=()).why
    assert "no shape was given for h" in refused(names=("x", "h"), signature={"x": ((2,), "float32")}).why


def test_names_the_model_does_not_have() -> None:
    error = refused(signature={"images": ((3,), "float32")})
    assert error.code == "EK202"
    assert "the samples name images; the model takes image" in error.why
    assert refused(names=("x", "h"), inputs={"inputs": (1, 3)}).code == "EK202"


def test_two_shapes_for_one_input() -> None:
    error = refused(inputs={"image": (1, 3, 8, 8)}, signature={"image": ((8, 8, 3), "uint8")})
    assert error.code == "EK202"
    assert "--input says 3x8x8, the samples hold 8x8x3" in error.why


def test_channels_last() -> None:
    held = {"image": ((None, None, 3), "float32")}
    with pytest.raises(EdgekitError, match="model_layout") as error:
        shapes.complete("net.onnx", held, {}, {"image": ((3, 8, 8), "float32")})
    assert error.value.code == "EK202"
    with pytest.raises(EdgekitError, match="change the preprocess"):
        shapes.complete("net.onnx", held, {}, {"image": ((8, 8, 4), "float32")})
