"""The architectures that edge teams deploy, with random weights, and what to feed them.

Needs torchvision and timm (`pip install --no-deps torchvision timm huggingface_hub pyyaml`). Each name of CASES is a
factory: `edgekit quantize zoo.py:yolo --calib zoo.py:yolo_calibration --eval zoo.py:yolo_evaluation`.

Weights are drawn with a fixed seed; batch norms then see the calibration samples once, so that every layer's values are
of the size that training gives them. Images are the shared photographs where they are at hand, smooth noise elsewhere.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

SHARED = Path(__file__).resolve().parents[2] / "shared"
COUNT = 16  # samples to calibrate on, and as many others to judge on
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


@dataclass(frozen=True)
class Case:
    """kind: of architecture; size: height and width of an image, or the shape of another input."""

    make: Callable[[], nn.Module]
    kind: str = "cnn"
    size: tuple[int, ...] = (224, 224)


def torchvision_model(name: str, **options: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        return getattr(_torchvision(), name)(weights=None, **options)

    return make


def timm_model(name: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        _torchvision()
        import timm

        return timm.create_model(name)

    return make


def _torchvision() -> Any:
    if "torchvision" not in sys.modules and torch.version.cuda is None and (SHARED / "tools").is_dir():
        sys.path.insert(0, str(SHARED / "tools"))  # the ordinary wheel's operators do not load beside a CPU torch
        import torchvision_cpu  # noqa: F401
    import torchvision

    return torchvision.models


class Mapped(nn.Module):
    """The output of one key, for models that give a dictionary."""

    def __init__(self, model: nn.Module, key: str) -> None:
        super().__init__()
        self.model, self.key = model, key

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image)[self.key]


class Heads(nn.Module):
    """A detector up to its heads: what comes before anchors and non-maximum suppression."""

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.backbone, self.head = detector.backbone, detector.head

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        found = self.head(list(self.backbone(image).values()))
        return found["bbox_regression"], found["cls_logits"]


def lraspp() -> nn.Module:
    return Mapped(_torchvision().segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None), "out")


def ssdlite() -> nn.Module:
    return Heads(_torchvision().detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None))


def conv(inputs: int, outputs: int, size: int = 3, act: type[nn.Module] = nn.ReLU, **options: Any) -> nn.Sequential:
    padding = options.pop("dilation", 1) * (size // 2)
    if padding > size // 2:
        options["dilation"] = padding // (size // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, padding=padding, bias=False, **options), nn.BatchNorm2d(outputs), act()
    )


class UNet(nn.Module):
    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 128)) -> None:
        super().__init__()
        pairs = list(zip((3, *widths), widths, strict=False))
        self.down = nn.ModuleList(nn.Sequential(conv(i, o), conv(o, o)) for i, o in pairs)
        steps = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(i, o, 3, stride=2, padding=1, output_padding=1) for i, o in steps)
        self.merge = nn.ModuleList(nn.Sequential(conv(2 * o, o), conv(o, o)) for _, o in steps)
        self.head = nn.Conv2d(widths[0], 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        skips = []
        x = image
        for i, block in enumerate(self.down):
            x = block(nn.functional.max_pool2d(x, 2) if i else x)
            skips.append(x)
        skips.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([up(x), skips.pop()], 1))
        return self.head(x)


class Recurrent(nn.Module):
    """A keyword classifier on MFCC frames (T, 40)."""

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU], bidirectional: bool) -> None:
        super().__init__()
        self.rnn = kind(40, 64, num_layers=2, batch_first=True, bidirectional=bidirectional)
        self.head = nn.Linear(64 * (1 + bidirectional), 12)

    def forward(self, frames: Tensor) -> Tensor:
        return self.head(self.rnn(frames)[0][:, -1])


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(40, 64)
        self.position = nn.Parameter(torch.randn(1, 98, 64) * 0.1)
        layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.head = nn.Linear(64, 12)

    def forward(self, frames: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(frames) + self.position).mean(1))


def audio_net() -> nn.Module:
    """1-D convolutions on a waveform, in the manner of M5."""
    layers: list[nn.Module] = []
    for inputs, outputs, size, stride in ((1, 32, 80, 4), (32, 32, 3, 1), (32, 64, 3, 1), (64, 64, 3, 1)):
        layers += [nn.Conv1d(inputs, outputs, size, stride), nn.BatchNorm1d(outputs), nn.ReLU(), nn.MaxPool1d(4)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(64, 12))


class DeepLab(nn.Module):
    """A strided trunk and an atrous pyramid, resized to the image."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(conv(3, 16, stride=2), conv(16, 32, stride=2), conv(32, 64, stride=2), conv(64, 64))
        self.pyramid = nn.ModuleList([conv(64, 32, 1), *(conv(64, 32, dilation=rate) for rate in (6, 12, 18))])
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(64, 32, 1), nn.ReLU())
        self.project, self.head = conv(160, 64, 1), nn.Conv2d(64, 21, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.trunk(image)
        pooled = nn.functional.interpolate(self.pool(x), x.shape[-2:], mode="bilinear", align_corners=False)
        x = self.head(self.project(torch.cat([*(branch(x) for branch in self.pyramid), pooled], 1)))
        return nn.functional.interpolate(x, image.shape[-2:], mode="bilinear", align_corners=False)


class CrossStage(nn.Module):
    """YOLO's C2f: a split, some bottlenecks, everything concatenated."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        half = width // 2
        self.enter, self.leave = conv(width, width, 1, nn.SiLU), conv(half * (2 + depth), width, 1, nn.SiLU)
        self.blocks = nn.ModuleList(
            nn.Sequential(conv(half, half, act=nn.SiLU), conv(half, half, act=nn.SiLU)) for _ in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.enter(x).chunk(2, 1))
        for block in self.blocks:
            parts.append(parts[-1] + block(parts[-1]))
        return self.leave(torch.cat(parts, 1))


class Yolo(nn.Module):
    """SiLU, spatial pyramid pooling, a feature pyramid by nearest upsampling, heads concatenated."""

    def __init__(self, outputs: int = 4 + 20) -> None:
        super().__init__()
        widths = (16, 32, 64, 128)
        self.stem = conv(3, widths[0], stride=2, act=nn.SiLU)
        self.stages = nn.ModuleList(
            nn.Sequential(conv(i, o, stride=2, act=nn.SiLU), CrossStage(o, 1)) for i, o in itertools.pairwise(widths)
        )
        self.pool, self.spread = nn.MaxPool2d(5, 1, 2), conv(512, 128, 1, nn.SiLU)
        self.merge = nn.ModuleList([conv(192, 64, act=nn.SiLU), conv(96, 32, act=nn.SiLU)])
        self.heads = nn.ModuleList(nn.Conv2d(width, outputs, 1) for width in (128, 64, 32))

    def forward(self, image: Tensor) -> Tensor:
        x, levels = self.stem(image), []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        pools = [levels.pop()]
        for _ in range(3):
            pools.append(self.pool(pools[-1]))
        x = self.spread(torch.cat(pools, 1))
        found = [self.heads[0](x)]
        for merge, head in zip(self.merge, list(self.heads)[1:], strict=True):
            x = merge(torch.cat([nn.functional.interpolate(x, scale_factor=2.0), levels.pop()], 1))
            found.append(head(x))
        return torch.cat([y.flatten(2) for y in found], 2)


VISION, TIMM = torchvision_model, timm_model
CASES: dict[str, Case] = {
    "resnet18": Case(VISION("resnet18")),
    "resnet50": Case(VISION("resnet50")),
    "mobilenet_v2": Case(VISION("mobilenet_v2")),
    "mobilenet_v3_small": Case(VISION("mobilenet_v3_small")),
    "mobilenet_v3_large": Case(VISION("mobilenet_v3_large")),
    "efficientnet_b0": Case(VISION("efficientnet_b0")),
    "efficientnet_lite0": Case(TIMM("efficientnet_lite0")),
    "mnasnet0_5": Case(VISION("mnasnet0_5")),
    "shufflenet_v2_x0_5": Case(VISION("shufflenet_v2_x0_5")),
    "squeezenet1_1": Case(VISION("squeezenet1_1")),
    "regnet_y_400mf": Case(VISION("regnet_y_400mf")),
    "googlenet": Case(VISION("googlenet", init_weights=True, aux_logits=False)),
    "densenet121": Case(VISION("densenet121")),
    "ghostnet_100": Case(TIMM("ghostnet_100")),
    "mobilenetv4_conv_small": Case(TIMM("mobilenetv4_conv_small")),
    "mobileone_s0": Case(TIMM("mobileone_s0")),
    "convnext_atto": Case(TIMM("convnext_atto")),
    "fastvit_t8": Case(TIMM("fastvit_t8"), size=(256, 256)),
    "vit_tiny_patch16_224": Case(TIMM("vit_tiny_patch16_224"), "transformer"),
    "deit_tiny_patch16_224": Case(TIMM("deit_tiny_patch16_224"), "transformer"),
    "swin_tiny": Case(TIMM("swin_tiny_patch4_window7_224"), "transformer"),
    "lraspp_mobilenet_v3_large": Case(lraspp, size=(320, 320)),
    "ssdlite320_mobilenet_v3_large": Case(ssdlite, size=(320, 320)),
    "mobilevit_xxs": Case(TIMM("mobilevit_xxs"), "transformer", (256, 256)),
    "efficientformer_l1": Case(TIMM("efficientformer_l1"), "transformer"),
    "unet": Case(UNet, size=(128, 128)),
    "lstm": Case(lambda: Recurrent(nn.LSTM, bidirectional=False), "recurrent", (98, 40)),
    "gru_bidirectional": Case(lambda: Recurrent(nn.GRU, bidirectional=True), "recurrent", (98, 40)),
    "transformer_encoder": Case(Encoder, "transformer", (98, 40)),
    "audio_conv1d": Case(audio_net, "cnn", (1, 16000)),
    "deeplab": Case(DeepLab, size=(256, 256)),
    "yolo": Case(Yolo, size=(320, 320)),
}


def calibration(name: str) -> Iterator[np.ndarray]:
    return _samples(CASES[name], 0)


def evaluation(name: str) -> Iterator[np.ndarray]:
    return _samples(CASES[name], COUNT)


def _samples(case: Case, first: int) -> Iterator[np.ndarray]:
    """One sample at a time, (1, ...) float32."""
    for i in range(first, first + COUNT):
        yield (_image(i, case.size) if case.size[0] > 98 else _signal(i, case.size))[None]


def _image(index: int, size: tuple[int, ...]) -> np.ndarray:
    """(3, H, W), normalized."""
    from PIL import Image

    photographs = sorted((SHARED / "data" / "imagenet500").glob("*.jpg"))
    if photographs:
        image = Image.open(photographs[index]).convert("RGB")
    else:
        noise = np.random.default_rng(index).integers(0, 256, (8, 8, 3), np.uint8)
        image = Image.fromarray(noise)
    pixels = np.asarray(image.resize(size[::-1], Image.Resampling.BICUBIC), np.float32) / 255
    return np.ascontiguousarray(((pixels - MEAN) / STD).transpose(2, 0, 1))


def _signal(index: int, shape: tuple[int, ...]) -> np.ndarray:
    """Tones that come and go in noise."""
    generator = np.random.default_rng(index)
    time = np.linspace(0, 1, max(shape), dtype=np.float32)
    axis = [1] * len(shape)
    axis[int(np.argmax(shape))] = -1
    tones = np.sin(2 * np.pi * np.exp(generator.uniform(0, 6)) * time) * np.hanning(time.size) * generator.uniform(1, 3)
    return (tones.reshape(axis) + generator.normal(0, 0.3, shape)).astype(np.float32)


def built(name: str) -> nn.Module:
    torch.manual_seed(0)
    model = CASES[name].make()
    norms = [m for m in model.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d))]
    if norms:
        for norm in norms:
            norm.momentum = None  # a plain mean
        model.train()
        for other in model.modules():
            if isinstance(other, (nn.Dropout, nn.Dropout2d)):
                other.eval()
        with torch.no_grad():
            model(torch.from_numpy(np.concatenate(list(calibration(name)))))
    return model.eval()


def __getattr__(name: str) -> Callable[[], Any]:
    for suffix, samples in (("_calibration", calibration), ("_evaluation", evaluation)):
        if name.removesuffix(suffix) in CASES and name.endswith(suffix):
            return lambda: samples(name.removesuffix(suffix))
    if name in CASES:
        return lambda: built(name)
    raise AttributeError(name)
