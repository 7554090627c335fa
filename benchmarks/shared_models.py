"""The real models that the benchmarks run on, with their samples and preprocess contracts.

They lie beside the repository in `../shared/data`; without them a benchmark stops with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

CIFAR = ("--calib", "cifar10_calib.npz", "--eval", "cifar10_test.npz", "--samples-layout", "nhwc")
NORMALIZED = ("--scale", "1/255", "--mean", ".485,.456,.406", "--std", ".229,.224,.225")


@dataclass(frozen=True)
class Model:
    """weights: the file; factory: in models.py; arguments: what `edgekit quantize` is given, paths below SHARED."""

    weights: str
    factory: str
    arguments: tuple[str, ...]

    @property
    def name(self) -> str:
        return Path(self.weights).stem

    def command(self) -> list[str]:
        """The words behind `edgekit quantize`."""
        words = [str(SHARED / "weights" / self.weights), "--model", f"{SHARED / 'models.py'}:{self.factory}"]
        return words + [str(SHARED / word) if (SHARED / word).exists() else word for word in self.arguments]


MODELS = (
    Model("cifar_resnet20_jpegft.pt", "cifar_resnet20", CIFAR + NORMALIZED),
    Model("mlperf_ic_resnet8_jpegft.pt", "mlperf_ic_resnet8", CIFAR),
    Model(
        "mlperf_kws_dscnn.pt",
        "mlperf_kws_dscnn",
        ("--calib", "kws_calib_mfcc49x10.npz", "--eval", "kws_test_mfcc49x10.npz"),
    ),
    Model("kwt1.pt", "kwt1", ("--calib", "kws_calib_mfcc98x40.npz", "--eval", "kws_test_mfcc98x40.npz")),
    Model(
        "imagenet_mobilenetv1_025_224.pt",
        "imagenet_mobilenetv1_025",
        ("--data", "imagenet500", "--calib-count", "64", "--crop", "224", "--scale", "1/127.5", "--mean", "1"),
    ),
    Model("mlperf_ad_autoencoder.pt", "mlperf_ad_autoencoder", ("--data", "ad01_windows.npz")),
    Model("espcn_x2.pt", "espcn_x2", ("--data", "sr_x2_eval.npz")),
)


def require() -> None:
    if not SHARED.is_dir():
        raise SystemExit(f"the real models are not at {SHARED}: put the shared folder beside the repository")
