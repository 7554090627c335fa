from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgekit.errors import EdgekitError
from edgekit.locking.watched import watched
from edgekit.recipe import Recipe, load_recipe
from tests.models import graph, node, weights


def recipe(folder: Path, **sections: dict[str, Any]) -> Recipe:
    lines = []
    for section, keys in sections.items():
        lines += [f"[{section}]", *(f'{key} = "{value}"' for key, value in keys.items())]
    (folder / "recipe.toml").write_text("\n".join(lines))
    return load_recipe(folder / "recipe.toml")


def test_everything_that_a_recipe_names(tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(b"weights")
    (tmp_path / "nets.py").write_text("import blocks\nfrom torchvision import models\n")
    (tmp_path / "blocks.py").write_text("")
    (tmp_path / "photos").mkdir()
    found = watched(
        recipe(
            tmp_path,
            model={"path": "net.pt", "factory": "nets.py:make"},
            data={"calibration": "photos", "evaluation": "nets.py:samples"},
        ),
        tmp_path,
    )
    assert set(found.paths) == {"net.pt", "nets.py", "blocks.py", "photos/"}
    assert found.modules == {"torchvision"}


def test_names_start_at_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "net.pt").write_bytes(b"weights")
    assert set(watched(recipe(tmp_path / "a", model={"path": "../net.pt"}), tmp_path / "a").paths) == {"../net.pt"}


def test_a_device(tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(b"weights")
    (tmp_path / "mine.toml").write_text("")
    by_file = load_recipe(
        None, {"model": {"path": str(tmp_path / "net.pt")}, "": {"device": str(tmp_path / "mine.toml")}}
    )
    assert "mine.toml" in watched(by_file, tmp_path).paths
    by_name = by_file.model_copy(update={"device": "x86-64"})
    assert watched(by_name, tmp_path).paths["device x86-64"].name == "x86-64.toml"
    with pytest.raises(EdgekitError, match="EK160"):
        watched(by_file.model_copy(update={"device": "x87"}), tmp_path)
    (tmp_path / "mine.toml").unlink()
    with pytest.raises(EdgekitError, match="EK101"):
        watched(by_file, tmp_path)


def test_a_module_of_the_current_folder_or_of_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("")
    (tmp_path / "pack" / "net.py").write_text("from . import parts")
    (tmp_path / "pack" / "parts.py").write_text("")
    (tmp_path / "net.pt").write_bytes(b"weights")
    monkeypatch.chdir(tmp_path)
    here = recipe(tmp_path, model={"path": "net.pt", "factory": "pack.net:make"})
    assert set(watched(here, tmp_path).paths) == {"net.pt", "pack/__init__.py", "pack/net.py", "pack/parts.py"}
    elsewhere = recipe(tmp_path, model={"path": "net.pt", "factory": "torchvision.models:resnet18"})
    assert watched(elsewhere, tmp_path).modules == {"torchvision"}


@pytest.mark.parametrize(("spec", "code"), [("gone.npz", "EK101"), ("gone.py:make", "EK107")])
def test_what_is_not_there(tmp_path: Path, spec: str, code: str) -> None:
    (tmp_path / "net.pt").write_bytes(b"weights")
    with pytest.raises(EdgekitError, match=code):
        watched(recipe(tmp_path, model={"path": "net.pt"}, data={"data": spec}), tmp_path)


@pytest.mark.parametrize("inline", [True, False])
def test_the_weights_that_lie_beside_an_onnx_model(tmp_path: Path, inline: bool) -> None:
    model = ir.to_proto(graph({"x": (1, 64)}, [node("Gemm", ["x", "w"], "y")], {"w": weights(64, 64)}))
    (tmp_path / "inner").mkdir()
    where = "inner/weights of mine.bin"
    onnx.save(model, tmp_path / "net.onnx", save_as_external_data=not inline, location=where, size_threshold=0)
    np.savez(tmp_path / "others.npz", a=np.zeros(3))
    found = set(watched(recipe(tmp_path, model={"path": "net.onnx"}), tmp_path).paths)
    assert found == ({"net.onnx"} if inline else {"net.onnx", where})


def test_an_empty_model(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").touch()
    assert set(watched(recipe(tmp_path, model={"path": "net.onnx"}), tmp_path).paths) == {"net.onnx"}
