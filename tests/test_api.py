"""The Python API: names load on first use, and what is in memory goes beside the recipe."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import edgekit
from edgekit import api, flags
from edgekit.data import Given
from edgekit.errors import EdgekitError
from edgekit.recipe import Recipe
from tests.reports import REPORT, VERIFICATION

SAMPLES = {"inputs": np.zeros((4, 1, 8, 8), np.float32), "labels": np.zeros(4, np.int64)}


def test_importing_edgekit_loads_nothing_heavy() -> None:
    code = (
        "import sys, edgekit; print(sorted({'torch', 'numpy', 'onnxruntime', 'onnx_ir', 'typer'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_names_that_were_promised() -> None:
    assert set(dir(edgekit)) == {"EdgekitError", "__version__", "compare", "convert", "prune", "quantize"}
    assert edgekit.EdgekitError is EdgekitError
    assert edgekit.quantize is api.quantize
    with pytest.raises(AttributeError, match="no attribute 'quantise'"):
        edgekit.quantise  # type: ignore[attr-defined]  # noqa: B018


def test_a_room_does_not_hide_the_function_of_its_name() -> None:
    import edgekit.quantize.choose

    assert edgekit.quantize is api.quantize


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the pipeline was called with."""
    calls: list[tuple[Any, ...]] = []

    def record(answer: object) -> Any:
        def call(*arguments: Any) -> object:
            calls.append(arguments)
            return answer

        return call

    monkeypatch.setattr("edgekit.pipeline.quantize", record(REPORT))
    monkeypatch.setattr("edgekit.pipeline.convert", record(REPORT))
    monkeypatch.setattr("edgekit.pipeline.prune", record(REPORT))
    monkeypatch.setattr("edgekit.pipeline.compare", record(VERIFICATION))
    return calls


def test_paths_go_into_the_recipe(called: list[tuple[Any, ...]]) -> None:
    report = edgekit.quantize(
        "model.pt", "samples.npz", model="nets.py:net", out=Path("out"), scale="1/255", threads=2, format=["onnx"]
    )
    assert report is REPORT
    ((recipe, _, given),) = called
    assert isinstance(recipe, Recipe)
    assert (recipe.model.path, recipe.model.factory, recipe.data.data) == ("model.pt", "nets.py:net", "samples.npz")
    assert recipe.preprocess.scale == pytest.approx(1 / 255)
    assert recipe.output.directory == Path("out")
    assert recipe.verify.threads == 2
    assert given == Given()


def test_what_is_in_memory_goes_beside_it(called: list[tuple[Any, ...]]) -> None:
    class Net(nn.Module):
        pass

    net = Net()
    edgekit.quantize(net, calib=SAMPLES, eval="eval.npz")
    ((recipe, _, given),) = called
    assert recipe.model.path == "net"
    assert recipe.data.evaluation == "eval.npz"
    assert given.model is net
    assert given.calibration is SAMPLES


def test_convert_and_compare(called: list[tuple[Any, ...]]) -> None:
    edgekit.convert("model.onnx", precision="float16")
    assert edgekit.compare("a.onnx", "b.tflite", "samples.npz", metric="top1") is VERIFICATION
    assert called[0][1] == "float16"
    assert called[1][:2] == (Path("a.onnx"), Path("b.tflite"))


def test_a_recipe_with_options_over_it(called: list[tuple[Any, ...]], tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('[model]\npath = "m.pt"\n[quantize]\nranges = "mse"\nio = "int8"\n')
    edgekit.quantize("other.pt", "s.npz", recipe=tmp_path / "r.toml", ranges="minmax")
    ((recipe, *_),) = called
    assert (recipe.model.path, recipe.quantize.ranges, recipe.quantize.io) == ("other.pt", "minmax", "int8")


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(EdgekitError, match="did you mean 'ranges'"):
        edgekit.quantize("m.pt", "s.npz", rangess="mse")  # type: ignore[call-arg]


def test_options_are_those_of_the_command_line() -> None:
    assert api.QuantizeOptions.__annotations__.keys() - {"recipe"} == flags.FLAGS.keys() - {"path", "data", "output"}
