"""Recipes: what TOML and options say, and what is said about slips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgekit.errors import EdgekitError
from edgekit.paths import recipes_folder
from edgekit.recipe import Recipe, load_recipe, scheme_of

MODEL = {"model": {"path": "net.pt"}}


def written(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def refused(code: str, **sections: Any) -> EdgekitError:
    with pytest.raises(EdgekitError) as raised:
        load_recipe(None, {**MODEL, **sections})
    assert raised.value.code == code
    return raised.value


def test_defaults() -> None:
    recipe = load_recipe(None, MODEL)
    assert recipe.data.calibration_count == 256
    assert recipe.output.formats == ("onnx", "tflite")
    assert recipe.quantize.ranges == "auto"
    assert recipe.output.directory is None
    assert recipe.preprocess.to_metadata()["scale"] is None


@pytest.mark.parametrize("path", sorted(recipes_folder().glob("*.toml")), ids=lambda path: path.stem)
def test_the_recipes_that_edgekit_carries(path: Path) -> None:
    assert load_recipe(path, MODEL).data.calibration_count == 256


def test_paths_start_at_the_recipe(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        device = "boards/mine.toml"
        [model]
        path = "net.pt"
        factory = "package.module:make"
        [data]
        calibration = "sets/calib.py:make"
        evaluation = "/abs/eval.npz"
        [output]
        directory = "out"
        """,
    )
    recipe = Recipe.from_toml(path)
    assert recipe.model.path == str(tmp_path / "net.pt")
    assert recipe.model.factory == "package.module:make"
    assert recipe.data.calibration == str(tmp_path / "sets/calib.py:make")
    assert recipe.data.evaluation == "/abs/eval.npz"
    assert recipe.output.directory == tmp_path / "out"
    assert recipe.device == str(tmp_path / "boards/mine.toml")
    assert Recipe.from_toml(written(tmp_path, 'device = "x86-64"\n[model]\npath = "a"')).device == "x86-64"


def test_options_win(tmp_path: Path) -> None:
    path = written(tmp_path, '[model]\npath = "a.pt"\n[data]\ndata = "d"\nseed = 3\n[preprocess]\nscale = "1/255"')
    recipe = load_recipe(path, {"model": {"path": "b.pt"}, "preprocess": {"crop": 3}, "": {"device": "x86-64"}})
    assert recipe.model.path == "b.pt"
    assert (recipe.preprocess.scale, recipe.preprocess.crop) == (1 / 255, 3)
    assert recipe.device == "x86-64"
    assert recipe.data.seed == 3


def test_other_samples_take_the_place_of_the_files(tmp_path: Path) -> None:
    path = written(tmp_path, '[model]\npath = "a.pt"\n[data]\ndata = "d"')
    assert load_recipe(path, {"data": {"calibration": "c"}}).data.data is None
    path = written(tmp_path, '[model]\npath = "a.pt"\n[data]\ncalibration = "c"\nevaluation = "e"')
    data = load_recipe(path, {"data": {"data": "d"}}).data
    assert (data.data, data.calibration, data.evaluation) == ("d", None, None)


@pytest.mark.parametrize(
    ("sections", "what", "fix"),
    [
        ({"quantise": {}}, "'quantise' at the top of the options", "did you mean 'quantize'?"),
        ({"quantize": {"rangs": 1}}, "'rangs' in [quantize]", "did you mean 'ranges'?"),
        ({"preprocess": {"crop": 0, "sclae": 1}}, "'sclae' in [preprocess] of the options (and 1 more)", "'scale'?"),
        ({"output": {"zzz": 1}}, "'zzz' in [output]", "use one of these"),
        ({"data": {"calib": "a"}}, "'calib' in [data]", "did you mean 'calibration'?"),
        ({"data": {"eval": "a"}}, "'eval' in [data]", "did you mean 'evaluation'?"),
        ({"data": {"train": "a"}}, "'train' in [data]", "did you mean 'training'?"),
        ({"data": {"calibb": "a"}}, "'calibb' in [data]", "did you mean 'calibration'?"),
        ({"data": {"--calib-count": 3}}, "'--calib-count' in [data]", "did you mean 'calibration_count'?"),
        ({"preprocess": {"samples_layout": "nhwc"}}, "'samples_layout'", "did you mean 'layout'?"),
        ({"prune": {"train_batch": 8}}, "'train_batch' in [prune]", "did you mean 'batch'?"),
        ({"quantize": {"qat": 3}}, "'qat' in [quantize]", "write epochs = ... under [qat]"),
        ({"quantize": {"metric": "mse"}}, "'metric' in [quantize]", "write metric = ... under [verify]"),
        ({"model": {"path": "a", "model_layout": 1}}, "'model_layout'", "write model_layout = ... under [preprocess]"),
        ({"": {"macs": 0.5}}, "'macs' at the top of the options", "write macs = ... under [prune]"),
        ({"data": {"device": "x"}}, "'device' in [data]", "write device = ... at the top, before the first section"),
    ],
)
def test_unknown_keys(sections: dict[str, Any], what: str, fix: str) -> None:
    error = refused("EK151", **sections)
    assert what in error.what
    assert fix in error.fix


def test_every_unknown_key_is_named() -> None:
    error = refused("EK151", data={"calib": "a", "eval": "b"}, output={"zzz": 1}, verify={"threads": 0})
    assert error.what == "unknown keys 'calib', 'eval' in [data]; 'zzz' in [output] of the options (and 1 more)"
    assert "in [data]: calibration," in error.why and "in [output]: batch," in error.why
    assert error.fix == (
        "'calib': did you mean 'calibration'?; 'eval': did you mean 'evaluation'?; "
        "'zzz': remove it, or use one of these"
    )


@pytest.mark.parametrize(
    ("sections", "what", "fix"),
    [
        ({"quantize": {"ranges": "entrpy"}}, "quantize.ranges = 'entrpy'", "did you mean 'entropy'?"),
        ({"output": {"formats": ["onx"]}}, "output.formats = 'onx'", "did you mean 'onnx'?"),
        ({"output": {"formats": []}}, "output.formats = []", "--help"),
        ({"output": {"overwrite": 1}}, "output.overwrite = 1", "--help"),
        ({"verify": {"metric": "accuracy"}}, "verify.metric", "--help"),
        ({"verify": {"threads": 0}}, "verify.threads = 0", "--help"),
        ({"data": {"calibration_count": 2.5}}, "data.calibration_count = 2.5", "--help"),
        ({"data": {"seed": -1}}, "data.seed = -1", "--help"),
        ({"model": {"path": "a", "inputs": {"x": [1, "b"]}}}, "model.inputs = 'b'", "[1, 3, 224, 224]"),
        ({"model": {"path": "a", "inputs": {"x": [1, 0]}}}, "model.inputs = 0", "[1, 3, 224, 224]"),
        ({"preprocess": {"resize": [1, 2, 3]}}, "preprocess.resize = [1, 2, 3]", "[240, 320]"),
        ({"preprocess": {"std": 0}}, "preprocess.std = 0", "above 0"),
        ({"preprocess": {"mean": ["x" * 99]}}, "...", "one per channel"),
        ({"data": {"data": "a", "evaluation": "b"}}, "data and evaluation are both", "--data alone"),
    ],
)
def test_wrong_values(sections: dict[str, Any], what: str, fix: str) -> None:
    error = refused("EK152", **sections)
    assert what in error.what
    assert fix in error.fix


def test_missing_model(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=r"EK153.*'model' is missing") as raised:
        load_recipe()
    assert "edgekit quantize" in raised.value.fix
    with pytest.raises(EdgekitError, match=r"EK153.*'path' is missing in .model. of '.*recipe\.toml'"):
        load_recipe(written(tmp_path, "[model]\ntrust_pickle = true"))


def test_files_that_are_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="EK101"):
        load_recipe(tmp_path / "gone.toml")
    with pytest.raises(EdgekitError, match="EK150") as raised:
        load_recipe(written(tmp_path, "[model\npath = 1"))
    assert "line 1" in raised.value.why
    (tmp_path / "recipe.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(EdgekitError, match="EK150"):
        load_recipe(tmp_path / "recipe.toml")


@pytest.mark.parametrize("text", ['model = "net.pt"', '[model]\npath = "a"\n[[data]]\ndata = "b"', "preprocess = 3"])
def test_a_section_that_is_none(tmp_path: Path, text: str) -> None:
    with pytest.raises(EdgekitError, match=r"EK15[23]"):
        load_recipe(written(tmp_path, text), {"preprocess": {"scale": 1}})


def test_recipes_have_a_json_schema() -> None:
    assert "quantize" in Recipe.model_json_schema()["properties"]


@pytest.mark.parametrize(
    ("precision", "key", "value"),
    [
        ("int16x8", "ranges", "mse"),
        ("int16x8", "io", "int8"),
        ("int8-dynamic", "ranges", "mse"),
        ("int8-dynamic", "io", "int8"),
        ("float16", "ranges", "mse"),
        ("float16", "io", "int8"),
        ("float16", "keep_float", ["conv"]),
        ("float32", "ranges", "mse"),
        ("float32", "io", "int8"),
        ("float32", "keep_float", ["conv"]),
    ],
)
def test_an_option_that_says_nothing_is_refused(precision: str, key: str, value: object) -> None:
    error = refused("EK154", quantize={"precision": precision, key: value})
    assert f"--{key.replace('_', '-')} does not go with --precision {precision}" in error.what
    load_recipe(None, {**MODEL, "quantize": {"precision": "int8", key: value}})


@pytest.mark.parametrize("key", ["lr", "batch", "distill", "optimizer"])
def test_how_to_train_says_nothing_where_nothing_is_trained(key: str) -> None:
    value = {"lr": 0.5, "batch": 7, "distill": 0.1, "optimizer": "sgd"}[key]
    assert "--qat EPOCHS" in refused("EK154", qat={key: value}).fix
    assert load_recipe(None, {**MODEL, "qat": {"epochs": 1, key: value}}).qat.epochs == 1


@pytest.mark.parametrize("precision", ["int8-dynamic", "float16", "float32"])
def test_only_integers_can_be_trained(precision: str) -> None:
    error = refused("EK154", qat={"epochs": 1}, quantize={"precision": precision})
    assert error.what == f"--qat does not go with --precision {precision}"


@pytest.mark.parametrize(
    ("quantize", "why"),
    [
        ({"precision": "float16", "scheme": "symmetric"}, "--precision float16 does not go with --scheme symmetric"),
        ({"precision": "float32", "scheme": "symmetric"}, "--precision float32 does not go with --scheme symmetric"),
        ({"precision": "float16", "scheme": "per-tensor"}, "--precision float16 does not go with --scheme per-tensor"),
        ({"precision": "int8-dynamic", "scheme": "symmetric"}, "--precision int8-dynamic does not go with"),
        ({"precision": "int16x8", "scheme": "symmetric"}, "--precision int16x8 does not go with"),
        ({"io": "int8", "scheme": "symmetric"}, "--io int8 does not go with --scheme symmetric"),
    ],
)
def test_a_scheme_without_room(quantize: dict[str, str], why: str) -> None:
    with pytest.raises(EdgekitError, match="EK154") as raised:
        scheme_of(load_recipe(None, {**MODEL, "quantize": quantize}), "default")
    assert raised.value.what.startswith(why)


def test_the_scheme_is_the_recipes_or_the_devices() -> None:
    recipe = load_recipe(None, MODEL)
    assert scheme_of(recipe, "default") == "default"
    assert scheme_of(recipe, "symmetric") == "symmetric"
    said = load_recipe(None, {**MODEL, "quantize": {"scheme": "per-tensor"}})
    assert scheme_of(said, "symmetric") == "per-tensor"
    wide = load_recipe(None, {**MODEL, "": {"device": "jetson-orin-nano"}, "quantize": {"precision": "int16x8"}})
    with pytest.raises(EdgekitError, match="--device jetson-orin-nano, whose scheme is symmetric"):
        scheme_of(wide, "symmetric")
    half = load_recipe(None, {**MODEL, "quantize": {"precision": "float16"}})
    assert scheme_of(half, "symmetric") == "symmetric", "nobody asked for integers"
    tflite = {"quantize": {"io": "int8", "scheme": "symmetric"}, "output": {"formats": ["tflite"]}}
    assert scheme_of(load_recipe(None, {**MODEL, **tflite}), "default") == "symmetric"
