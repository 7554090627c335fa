"""Small models in every form, each made once: an export costs a second."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from torch import nn

from edgekit.artifact import Arrays
from edgekit.capture import Captured, Source, capture, load
from edgekit.errors import EdgekitError

FACTORY = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.norm = nn.BatchNorm2d(width)
        self.drop = nn.Dropout(0.5)

    def forward(self, image):
        return self.drop(torch.relu(self.norm(self.conv(image)))).mean((2, 3))


def make():
    print("building")
    return Net()


def wide():
    return Net(8)


def number():
    return 7


def fails():
    raise ValueError("no such width")


def leaves():
    raise SystemExit(3)
"""
IMAGE = {"image": (1, 3, 8, 8)}  # as --input gives it


class Net(nn.Module):
    """The same network as in FACTORY, for the files that carry their structure."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.drop(torch.relu(self.norm(self.conv(image)))).mean((2, 3))


@pytest.fixture(autouse=True)
def no_library_warnings() -> Iterator[None]:
    """Tests write their files with torch's own functions, which warn about themselves (torch.jit, LeafSpec)."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch")
        warnings.filterwarnings("ignore", category=FutureWarning)
        yield


@pytest.fixture(scope="session")
def net() -> Net:
    torch.manual_seed(0)
    module = Net().eval()
    nn.init.uniform_(module.norm.running_mean)
    return module


@pytest.fixture
def factory(tmp_path: Path) -> Path:
    file = tmp_path / "networks.py"
    file.write_text(FACTORY)
    return file


@pytest.fixture
def weights(tmp_path: Path, net: Net) -> Path:
    file = tmp_path / "net.pt"
    torch.save(net.state_dict(), file)
    return file


@pytest.fixture
def refused() -> Callable[..., EdgekitError]:
    """The error that capturing `path` ends with."""

    def run(path: Path | str, **source: object) -> EdgekitError:
        with pytest.raises(EdgekitError) as error:
            take(path, **source)
        return error.value

    return run


@dataclass(frozen=True, kw_only=True)
class Taken(Captured):
    """With the model itself as a function, None for ONNX."""

    reference: Callable[[Arrays], Arrays] | None


def take(path: Path | str, signature: dict[str, tuple[tuple[int, ...], str]] | None = None, **source: object) -> Taken:
    """Load and capture with nothing but what is named."""
    model = load(Source(path=str(path), **{"inputs": {}, **source}), signature)  # type: ignore[arg-type]
    captured, run = capture(model), model.run
    names = [str(value.name) for value in captured.graph.graph.outputs]
    reference = None if run is None else lambda arrays: dict(zip(names, run(arrays), strict=True))
    assert model.inputs == tuple(str(value.name) for value in captured.graph.graph.inputs)
    return Taken(**vars(captured), reference=reference)


def run_graph(captured: Captured, arrays: Arrays) -> Arrays:
    session = onnxruntime.InferenceSession(ir.to_proto(captured.graph).SerializeToString())
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, arrays), strict=True))


def agrees(captured: Taken, batches: tuple[int, ...] = (1, 3), low: float = 0.0) -> None:
    """The graph computes what the reference computes, for every batch.

    1e-4 of the largest output: float32 sums in another order.
    """
    assert captured.reference is not None
    generator = np.random.default_rng(0)
    for batch in batches:
        arrays = {str(v.name): _random(generator, v, batch, low) for v in captured.graph.graph.inputs}
        ours, torchs = run_graph(captured, arrays), captured.reference(arrays)
        assert list(ours) == list(torchs)
        for name in ours:
            assert ours[name].dtype == torchs[name].dtype
            np.testing.assert_allclose(ours[name], torchs[name], rtol=1e-4, atol=1e-4 * np.abs(torchs[name]).max())


def _random(generator: np.random.Generator, value: ir.Value, batch: int, low: float) -> np.ndarray:
    assert value.shape is not None and value.dtype is not None
    shape = tuple(d if isinstance(d, int) else batch for d in value.shape)
    if value.dtype == ir.DataType.FLOAT:
        return generator.uniform(low, 1.0, shape).astype(np.float32)
    return generator.integers(0, 4, shape).astype(value.dtype.numpy())
