"""torch.export archives: read as they are, and refused where loading them would run code."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import Dim
from torch.export.pt2_archive._package import package_pt2

from edgekit.capture import Source, load
from edgekit.capture.exported_file import _is_size
from edgekit.errors import EdgekitError, Exit
from tests.capture.conftest import Net, agrees, take
from tests.capture.test_torch_file import Bomb

Refused = Callable[..., EdgekitError]


class Keywords(nn.Module):
    """A keyword input, a dict with a tuple in it as output, an open height."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, image: torch.Tensor, *, gain: torch.Tensor) -> dict[str, Any]:
        return {"map": self.conv(image) * gain, "stats": (image.mean((1, 2, 3)), image + 1)}


@pytest.fixture(scope="session")
def program(net: Net, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("programs") / "net.pt2"
    example = (torch.zeros(2, 3, 8, 8),)
    torch.export.save(torch.export.export(net, example, dynamic_shapes=({0: Dim("n", max=64)},)), file)
    return file


@pytest.fixture(scope="session")
def keywords(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("programs") / "keywords.pt2"
    n, height = Dim("n"), Dim("height", min=4)
    exported = torch.export.export(
        Keywords(),
        (torch.zeros(4, 3, 8, 8),),
        {"gain": torch.ones(4, 1, 1, 1)},
        dynamic_shapes={"image": {0: n, 2: height}, "gain": {0: n}},
    )
    torch.export.save(exported, file)
    return file


def saved(module: nn.Module, *example: torch.Tensor, to: Path, **options: Any) -> Path:
    torch.export.save(torch.export.export(module, example, **options), to)
    return to


def rewritten(
    program: Path, to: Path, change: Callable[[str, bytes], bytes], more: dict[str, bytes] | None = None
) -> Path:
    """The archive with each member passed through `change`, and more members."""
    with zipfile.ZipFile(program) as old, zipfile.ZipFile(to, "w", zipfile.ZIP_STORED) as new:
        root = old.namelist()[0].partition("/")[0]
        for name in old.namelist():
            new.writestr(name, change(name.partition("/")[2], old.read(name)))
        for name, data in (more or {}).items():
            new.writestr(f"{root}/{name}", data)
    return to


def test_a_program_is_taken_as_it_is(program: Path) -> None:
    captured = take(program, signature={"inputs": ((3, 8, 8), "uint8")})
    assert captured.kind == "torch.export program"
    assert captured.notes == ()
    assert [str(d) for d in captured.graph.graph.inputs[0].shape or ()] == ["batch", "3", "8", "8"]
    agrees(captured)


def test_open_sizes_keywords_and_nested_outputs(keywords: Path, refused: Refused) -> None:
    error = refused(keywords)
    assert error.code == "EK201"
    assert "'image' open: 3x?x8" in error.why
    captured = take(keywords, inputs={"image": (1, 3, 6, 8)})
    assert [v.name for v in captured.graph.graph.inputs] == ["image", "gain"]
    assert [v.name for v in captured.graph.graph.outputs] == ["map", "stats_0", "stats_1"]
    agrees(captured)


def test_shapes_must_agree_with_the_file(program: Path, refused: Refused) -> None:
    error = refused(program, inputs={"image": (1, 3, 9, 8)})
    assert error.code == "EK202"
    assert "--input say 3x9x8, the model takes 3x8x8" in error.why
    assert refused(program, signature={"inputs": ((8, 8, 3), "uint8")}).code == "EK202"


def test_fixed_batches(net: Net, tmp_path: Path, refused: Refused) -> None:
    captured = take(saved(net, torch.zeros(1, 3, 8, 8), to=tmp_path / "one.pt2"))
    assert captured.notes == ("the batch is fixed at 1, as in the file",)
    agrees(captured, batches=(1,))
    assert refused(saved(net, torch.zeros(4, 3, 8, 8), to=tmp_path / "four.pt2")).code == "EK212"


class Rows(nn.Module):
    """Rows are taken from a convolution as they lie, which channels last does not allow."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rows = self.conv(image).view(image.shape[0], 4, 36)
        return rows, rows.sum()


def test_a_fixed_batch_is_run_one_by_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, images = Rows(), torch.rand(3, 3, 8, 8)
    file = saved(net, images[:1], to=tmp_path / "one.pt2")
    model = load(Source(path=str(file), inputs={}), None)
    assert model.run is not None
    rows, sums = model.run({"image": images.numpy()})
    with torch.no_grad():
        wanted, _ = net(images)
    np.testing.assert_allclose(rows, wanted.numpy(), atol=1e-6)
    np.testing.assert_allclose(sums, wanted.sum((1, 2)).numpy(), rtol=1e-5)


class Tables(nn.Module):
    """Convolutions beside a parameter of five axes, which has no layout with channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.table = nn.Parameter(torch.ones(1, 1, 1, 6, 6))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.conv(image) + self.table[0]


def test_parameters_of_five_axes_beside_convolutions(tmp_path: Path) -> None:
    net = Tables()
    model = load(Source(path=str(saved(net, torch.zeros(1, 3, 8, 8), to=tmp_path / "five.pt2")), inputs={}), None)
    images = torch.rand(1, 3, 8, 8)
    assert model.run is not None
    with torch.no_grad():
        np.testing.assert_allclose(model.run({"image": images.numpy()})[0], net(images).numpy(), atol=1e-6)


def test_what_is_not_float32_or_not_for_inference(tmp_path: Path, refused: Refused) -> None:
    example = torch.zeros(1, 2)
    assert refused(saved(nn.Linear(2, 2).half(), example.half(), to=tmp_path / "half.pt2")).code == "EK211"
    assert refused(saved(nn.ReLU(), example.double(), to=tmp_path / "double.pt2")).code == "EK211"
    training = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)).train()
    error = refused(saved(training, example, to=tmp_path / "training.pt2"))
    assert error.code == "EK205"
    assert "aten.dropout" in error.why


def test_a_scalar_input(tmp_path: Path, refused: Refused) -> None:
    assert refused(saved(nn.ReLU(), torch.tensor(1.0), to=tmp_path / "scalar.pt2")).code == "EK206"


def test_a_factory_is_not_needed(program: Path, refused: Refused) -> None:
    assert refused(program, factory="networks.py:make").code == "EK111"


def test_a_bomb_in_the_sample_inputs(program: Path, tmp_path: Path, refused: Refused) -> None:
    canary, held = tmp_path / "canary", io.BytesIO()
    torch.save(((Bomb(canary),), {}), held)
    file = rewritten(
        program, tmp_path / "bomb.pt2", lambda name, data: held.getvalue() if "sample_inputs" in name else data
    )
    error = refused(file)
    assert (error.code, error.exit) == ("EK104", Exit.REFUSED)
    assert ".exec" in error.why
    assert not canary.exists()


def test_a_bomb_in_a_weight(program: Path, tmp_path: Path, refused: Refused) -> None:
    canary, held = tmp_path / "canary", io.BytesIO()
    torch.save(Bomb(canary), held)

    def arm(name: str, data: bytes) -> bytes:
        if name == "data/weights/weight_0":
            return held.getvalue()
        if name == "data/weights/model_weights_config.json":
            return data.replace(b'"use_pickle": false', b'"use_pickle": true', 1)
        return data

    assert refused(rewritten(program, tmp_path / "bomb.pt2", arm)).code == "EK104"
    assert not canary.exists()


def test_pickled_and_compiled_constants(program: Path, tmp_path: Path, refused: Refused) -> None:
    canary = tmp_path / "canary"
    for name in ("data/constants/opaque_obj_0", "data/constants/custom_obj_0", "data/aotinductor/model/net.so"):
        file = rewritten(program, tmp_path / "more.pt2", lambda _, data: data, {name: pickle.dumps(Bomb(canary))})
        error = refused(file)
        assert error.code == "EK104"
        assert name in error.why
    assert not canary.exists()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Symbol('s", "__import__('os').system('touch CANARY') or Symbol('s"),
        ('"torch.ops.aten.conv2d.default"', '"torch.os.system"'),
        ('\\"builtins.tuple\\"', '\\"collections.defaultdict\\"'),
    ],
)
def test_code_in_the_programs_text(program: Path, tmp_path: Path, refused: Refused, old: str, new: str) -> None:
    canary = tmp_path / "canary"

    def arm(name: str, data: bytes) -> bytes:
        return (
            data.replace(old.encode(), new.replace("CANARY", str(canary)).encode())
            if name.startswith("models/")
            else data
        )

    assert refused(rewritten(program, tmp_path / "bomb.pt2", arm)).code == "EK104"
    assert not canary.exists()


def test_guards_of_the_file_are_not_run(program: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    def arm(name: str, data: bytes) -> bytes:
        if not name.startswith("models/"):
            return data
        text = json.loads(data)
        text["guards_code"] = [f"open({str(canary)!r}, 'w')"]
        return json.dumps(text).encode()

    agrees(take(rewritten(program, tmp_path / "bomb.pt2", arm)), batches=(1,))
    assert not canary.exists()


def test_trust_loads_what_would_run(program: Path, tmp_path: Path) -> None:
    held = io.BytesIO()
    torch.save(((Bomb(tmp_path / "canary"),), {}), held)
    file = rewritten(
        program, tmp_path / "bomb.pt2", lambda name, data: held.getvalue() if "sample_inputs" in name else data
    )
    assert "was trusted" in take(file, trust_pickle=True).notes[0]


def test_damaged_programs(program: Path, tmp_path: Path, refused: Refused) -> None:
    no_text = rewritten(program, tmp_path / "a.pt2", lambda name, data: b"{" if name.startswith("models/") else data)
    assert refused(no_text).code == "EK103"
    no_graph = rewritten(program, tmp_path / "b.pt2", lambda name, data: b"{}" if name.startswith("models/") else data)
    assert refused(no_graph).code == "EK103"


def test_two_programs_in_one_archive(program: Path, tmp_path: Path, refused: Refused) -> None:
    both = {"one": torch.export.load(program), "two": torch.export.load(program)}
    package_pt2(str(tmp_path / "two.pt2"), exported_programs=both)
    error = refused(tmp_path / "two.pt2")
    assert error.code == "EK102"
    assert "2 programs (one, two)" in error.why


@pytest.mark.parametrize(
    "text", ["Symbol('s0', positive=True, integer=True)", "Add(Integer(2), Symbol('s1'))", "2*s0 + 1"]
)
def test_sizes(text: str) -> None:
    assert _is_size(text)


@pytest.mark.parametrize("text", ["s0.__class__", "exec('x')", "[s0]", "Symbol('a b')", 7, "lambda: s0", "eval(s0)"])
def test_what_is_no_size(text: object) -> None:
    assert not _is_size(text)
