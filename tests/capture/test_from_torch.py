"""Modules of every shape of signature, and what is said of those that torch cannot follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.errors import EdgekitError, Exit
from tests.capture.conftest import IMAGE, Net, Taken, agrees, run_graph, take

Refused = Callable[..., EdgekitError]
VECTOR = (1, 4)


def built(module: type[nn.Module] | str, **source: Any) -> Taken:
    """Capture a class of this file through its factory spec."""
    name = module if isinstance(module, str) else module.__name__
    return take(f"{__file__}:{name}", **source)


class Pair(nn.Module):
    """Two inputs, an optional third, a nested output with a name that an input has."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.parts_0 = nn.Parameter(torch.ones(4))  # the name that an output gets

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor | None = None, bias: torch.Tensor | None = None
    ) -> dict[str, Any]:
        y = self.linear(x) * self.parts_0
        if mask is not None:
            y = y * mask
        if bias is not None:
            y = y + bias
        return {"x": y, "parts": (y[:, :2].contiguous(), y.sum(1)), "none": None}


@dataclass
class Detection:
    boxes: torch.Tensor
    scores: torch.Tensor


class Detector(nn.Module):
    def forward(self, x: torch.Tensor) -> Detection:
        return Detection(x * 2, x.sum(1))


class Noisy(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.rrelu(x)  # no ONNX form


class Standardized(nn.Conv2d):
    """Its weights have mean 0 and variance 1, by the function for batches."""

    def __init__(self) -> None:
        super().__init__(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = nn.functional.batch_norm(self.weight.reshape(1, 4, -1), None, None, training=True, momentum=0.0)
        return nn.functional.conv2d(x, weight.reshape_as(self.weight), self.bias)


class Row(nn.Module):
    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return inputs[0] + 2 * inputs[1]


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 4)
        self.out = nn.Linear(4, 10)
        self.out.weight = self.table.weight  # shared

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.out(self.table(tokens).mean(1))


class OneOnly(nn.Module):
    """Fixes its batch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(1, 2, 2)


class Branches(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:  # the line that the message names
            return x + 1
        return x - 1


class Waits(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        while bool(x.sum() < 10):
            x = x + 1
        return x


class AlwaysDrops(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(x)


class Fails(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError(f"wrong weather for {x.ndim} axes")


class Loud(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        print("forward is called")
        return x + 1


class TwiceNamed(nn.Module):
    """Gives back its input, and the same tensor twice."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = x + 1
        return y, y, x


def test_eval_mode_and_names(factory: Path) -> None:
    captured = take(f"{factory}:make", inputs=IMAGE)
    assert captured.kind == "factory"
    assert [v.name for v in captured.graph.graph.inputs] == ["image"]
    assert [v.name for v in captured.graph.graph.outputs] == ["output"]
    assert captured.graph.opset_imports[""] == 20
    assert not any(node.op_type == "Dropout" for node in captured.graph.graph)
    assert any("networks.py" in str(node.metadata_props) for node in captured.graph.graph)
    agrees(captured)


def test_names_of_values_are_unique(factory: Path) -> None:
    graph = take(f"{factory}:make", inputs=IMAGE).graph.graph
    names = [v.name for node in graph for v in node.outputs] + [v.name for v in graph.inputs] + list(graph.initializers)
    assert len(names) == len(set(names))


def test_optional_inputs_by_name() -> None:
    captured = built(Pair, inputs={"x": VECTOR, "bias": VECTOR})
    assert [v.name for v in captured.graph.graph.inputs] == ["x", "bias"]
    assert [v.name for v in captured.graph.graph.outputs] == ["x_0", "parts_0", "parts_1"]
    agrees(captured)


def test_a_dataclass_as_output() -> None:
    captured = built(Detector, inputs={"x": VECTOR})
    assert [v.name for v in captured.graph.graph.outputs] == ["boxes", "scores"]
    assert captured.notes == ()
    agrees(captured)


def test_any_number_of_inputs() -> None:
    captured = built(Row, inputs={"left": VECTOR, "right": VECTOR})
    assert [v.name for v in captured.graph.graph.inputs] == ["left", "right"]
    agrees(captured)


def test_integers_stay_integers() -> None:
    captured = built(Words, signature={"inputs": ((7,), "int64")})
    agrees(captured)
    assert captured.graph.graph.inputs[0].dtype is not None
    assert captured.graph.graph.inputs[0].dtype.name == "INT64"


def test_a_batch_that_the_model_fixes() -> None:
    captured = built(OneOnly, inputs={"x": VECTOR})
    assert captured.notes[0].startswith("the batch is fixed at 1: the model does not export with any batch")
    agrees(captured, batches=(1,))


def test_an_output_twice_and_an_input_as_output() -> None:
    captured = built(TwiceNamed, inputs={"x": VECTOR})
    x = np.ones((2, 4), np.float32)
    assert captured.reference is not None
    assert set(run_graph(captured, {"x": x})) == set(captured.reference({"x": x}))
    agrees(captured)


def test_what_forward_prints_stays_inside(capsys: pytest.CaptureFixture[str]) -> None:
    built(Loud, inputs={"x": VECTOR})
    assert capsys.readouterr().out == ""


def test_a_branch_on_values_is_named_by_its_line(refused: Refused) -> None:
    error = refused(f"{__file__}:Branches", inputs={"x": VECTOR})
    assert (error.code, error.exit) == ("EK203", Exit.UNSUPPORTED)
    line = next(n for n, text in enumerate(Path(__file__).read_text().splitlines(), 1) if "the line that" in text)
    assert f"(test_from_torch.py:{line}, in forward)" in error.why


def test_an_operation_without_an_onnx_form_is_named_with_its_line(refused: Refused) -> None:
    error = refused(f"{__file__}:Noisy", inputs={"x": VECTOR})
    line = next(n for n, text in enumerate(Path(__file__).read_text().splitlines(), 1) if "no ONNX form" in text)
    assert (error.code, error.exit) == ("EK203", Exit.UNSUPPORTED)
    assert "aten.rrelu" in error.why
    assert f"(test_from_torch.py:{line}, in forward)" in error.why


def test_inputs_that_the_model_cannot_take(factory: Path, refused: Refused) -> None:
    error = refused(f"{factory}:make", inputs={"image": (1, 8, 8, 3)})
    assert (error.code, error.exit) == ("EK204", Exit.USAGE)
    assert "fed image 1x8x8x3 float32" in error.why
    assert "networks.py" in error.why
    assert "--samples-layout nhwc" in error.fix and "--input image=1x3x8x8" in error.fix
    error = refused(f"{__file__}:Words", inputs={"tokens": (1, 7)})
    assert error.code == "EK204"
    assert "batch first" in error.fix and "nhwc" not in error.fix
    assert "wrong weather for 2 axes (test_from_torch.py" in refused(f"{__file__}:Fails", inputs={"x": VECTOR}).why


def test_dropout_that_never_stops(refused: Refused) -> None:
    assert refused(f"{__file__}:AlwaysDrops", inputs={"x": VECTOR}).code == "EK205"


def test_weights_that_are_standardized() -> None:
    captured = built(Standardized, inputs={"x": IMAGE["image"]})
    agrees(captured)


def test_torchscript(net: Net, tmp_path: Path, refused: Refused) -> None:
    file = tmp_path / "net.pt"
    torch.jit.save(torch.jit.trace(net, torch.zeros(1, 3, 8, 8)), file)
    captured = take(file, signature={"inputs": ((3, 8, 8), "uint8")})
    assert captured.kind == "TorchScript"
    assert [v.name for v in captured.graph.graph.inputs] == ["image"]
    agrees(captured)
    assert refused(file, factory="networks.py:make").code == "EK111"
    assert refused(file, inputs={"image": (1, 1, 8, 8)}).code == "EK204"


def test_scripted_code_and_what_the_converter_cannot_do(tmp_path: Path, refused: Refused) -> None:
    torch.jit.save(torch.jit.script(Net().eval()), tmp_path / "net.pt")
    agrees(take(tmp_path / "net.pt", inputs=IMAGE))
    torch.jit.save(torch.jit.script(Waits()), tmp_path / "waits.pt")
    assert refused(tmp_path / "waits.pt", inputs={"x": VECTOR}).code == "EK203"


def test_a_damaged_torchscript(net: Net, tmp_path: Path, refused: Refused) -> None:
    file = tmp_path / "net.pt"
    torch.jit.save(torch.jit.trace(net, torch.zeros(1, 3, 8, 8)), file)
    file.write_bytes(file.read_bytes().replace(b"__torch__", b"__tarch__"))
    assert refused(file, inputs=IMAGE).code == "EK103"


REAL: dict[str, tuple[str, dict[str, tuple[int, ...]]]] = {
    "cifar_resnet20": ("cifar_resnet20_jpegft", {"inputs": (3, 32, 32)}),
    "mlperf_ic_resnet8": ("mlperf_ic_resnet8_jpegft", {"inputs": (3, 32, 32)}),
    "imagenet_mobilenetv1_025": ("imagenet_mobilenetv1_025_224", {"inputs": (3, 224, 224)}),
    "mlperf_kws_dscnn": ("mlperf_kws_dscnn", {"inputs": (1, 49, 10)}),
    "kwt1": ("kwt1", {"inputs": (98, 40)}),
    "silero_vad_16k": ("silero_vad_16k", {"x": (576,), "h": (128,), "c": (128,)}),
    "mlperf_ad_autoencoder": ("mlperf_ad_autoencoder", {"inputs": (640,)}),
    "espcn_x2": ("espcn_x2", {"inputs": (1, 24, 32)}),
    "face_slim320": ("face_slim320", {"inputs": (3, 240, 320)}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_models(shared: Path, name: str) -> None:
    weights, inputs = REAL[name]
    captured = take(
        shared / "data" / "weights" / f"{weights}.pt",
        factory=f"{shared / 'data' / 'models.py'}:{name}",
        signature={key: (shape, "float32") for key, shape in inputs.items()},
    )
    assert captured.notes == ()
    agrees(captured)


def test_a_module_in_memory_stays_as_it_was() -> None:
    module = Net().double().train()
    module.norm.eval()
    captured = take("net", module=module, inputs=IMAGE)
    assert module.training
    assert module.drop.training
    assert not module.norm.training
    assert module.conv.weight.dtype == torch.float64
    agrees(captured)


def test_a_module_that_cannot_be_copied() -> None:
    with pytest.warns(FutureWarning, match="weight_norm"):
        module = nn.Sequential(torch.nn.utils.weight_norm(nn.Conv2d(3, 4, 3)), nn.Dropout())
    captured = take("net", module=module, inputs={"input": IMAGE["image"]})
    assert captured.notes == ("the module cannot be copied (RuntimeError): it is itself in evaluation mode now",)
    agrees(captured)


class Viewing(nn.Module):
    """Works in place on its input, and wants the layout that it was written for."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4 * 36, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.conv(image.mul_(2.0))
        return self.head(x.view(x.size(0), -1))


def test_a_view_after_a_convolution() -> None:
    threads = torch.get_num_threads()
    captured = built(Viewing, inputs={"image": (1, 3, 8, 8)})
    assert captured.reference is not None
    x = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)
    before = x.copy()
    first, again = (captured.reference({"image": x})["output"] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(x, before)
    assert torch.get_num_threads() == threads
