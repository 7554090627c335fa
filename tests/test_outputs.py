from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import EdgekitError
from edgekit.outputs import REPORT_NAME, Outputs
from edgekit.recipe import Prune, Recipe, load_recipe


def recipe(model: str, **output: object) -> Recipe:
    return load_recipe(None, {"model": {"path": model}, "output": output})


def test_names_follow_the_model(tmp_path: Path) -> None:
    outputs = Outputs(recipe("nets/net.v2.pt", directory=tmp_path), [("float32", "onnx"), ("int8", "tflite")])
    assert list(outputs.names.values()) == ["net.v2.onnx", "net.v2.int8.tflite"]
    named = Outputs(recipe("net.pt", directory=tmp_path), [("int16x8", "onnx"), ("int8-dynamic", "tflite")])
    assert list(named.names.values()) == ["net.int16x8.onnx", "net.int8-dynamic.tflite"]
    assert Outputs(recipe("zoo.py:resnet"), []).directory == Path("zoo-edgekit")


def test_files_appear_together_and_unkept_ones_never(tmp_path: Path) -> None:
    outputs = Outputs(recipe("net.pt", directory=tmp_path / "out"), [("float32", "onnx")])
    with outputs:
        (outputs.folder / "net.onnx").write_bytes(b"1")
        outputs.unkept.mkdir()
        (outputs.unkept / "net.tflite").write_bytes(b"2")
        outputs.keep("{}")
        assert not (tmp_path / "out" / "net.onnx").exists()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["net.onnx", REPORT_NAME]


def test_each_round_of_pruning_has_a_checkpoint_and_all_are_forgotten(tmp_path: Path) -> None:
    wanted = recipe("net.pt", directory=tmp_path).model_copy(update={"prune": Prune(macs=0.5, rounds=3)})
    outputs = Outputs(wanted, [])
    paths = [outputs.of_round(outputs.finetuning, number) for number in outputs.counted_rounds]
    assert [path.name for path in paths] == ["net.finetuning", "net.finetuning.2", "net.finetuning.3"]
    kept = [tmp_path / "net.training", tmp_path / "net.finetuning.4"]
    for path in [*paths, outputs.measured, outputs.of_round(outputs.measured, 3), *kept]:
        path.write_bytes(b"")
    outputs.forget(finetuning=True)
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_what_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"kept")
    with pytest.raises(EdgekitError) as caught:
        Outputs(recipe("net.pt", directory=tmp_path), [("float32", "onnx")])
    assert caught.value.code == "EK195"
    assert (tmp_path / "net.onnx").read_bytes() == b"kept"
