"""The architectures of published measurements as kernel lists, computed from what their papers and files say.

Each net is a walk over a `Net`: channels-last, batch 1, activations fused into the op before them, as TFLite files have
them. `python benchmarks/device_models.py` holds their MACs against the figures that their authors published.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from edgekit.profile.in_place import Step, peak
from edgekit.profile.kernels import Kernel, Kind, Precision


@dataclass(frozen=True)
class Tensor:
    """height, width, channels of an activation; made_by: index of the kernel that writes it, -1 for the input."""

    height: int
    width: int
    channels: int
    made_by: int = -1

    @property
    def elements(self) -> int:
        return self.height * self.width * self.channels


@dataclass
class Net:
    """Kernels in the order they run, and for each the indices of the kernels whose outputs it reads."""

    kernels: list[Kernel] = field(default_factory=list)
    reads: list[tuple[int, ...]] = field(default_factory=list)
    input_elements: int = 0

    def start(self, height: int, width: int | None = None, channels: int = 3) -> Tensor:
        x = Tensor(height, width or height, channels)
        self.input_elements = x.elements
        return x

    def add_kernel(self, kind: Kind, inputs: Iterable[Tensor], made: tuple[int, int, int], **facts: object) -> Tensor:
        tensors = tuple(inputs)
        out = Tensor(*made, made_by=len(self.kernels))
        settings = {"op": kind, **facts}
        self.kernels.append(
            Kernel(
                name=f"{kind}_{len(self.kernels)}",
                kind=kind,
                precision="float32",
                inputs=sum(x.elements for x in tensors),
                outputs=out.elements,
                **settings,  # type: ignore[arg-type]
            )
        )
        self.reads.append(tuple(x.made_by for x in tensors))
        return out

    def conv(
        self, x: Tensor, channels: int, kernel: int = 1, stride: int = 1, groups: int = 1, valid: bool = False
    ) -> Tensor:
        made = (_out(x.height, kernel, stride, valid), _out(x.width, kernel, stride, valid), channels)
        weights = channels * (x.channels // groups) * kernel * kernel
        return self.add_kernel(
            "depthwise" if 1 < groups == x.channels else "conv",
            [x],
            made,
            macs=made[0] * made[1] * weights,
            weights=weights,
            taps=(kernel, kernel),
            stride=stride,
            groups=groups,
            depth=x.channels // groups,
        )

    def depthwise(self, x: Tensor, kernel: int = 3, stride: int = 1) -> Tensor:
        return self.conv(x, x.channels, kernel, stride, groups=x.channels)

    def dense(self, x: Tensor, channels: int) -> Tensor:
        macs = x.elements * channels
        return self.add_kernel("dense", [x], (1, 1, channels), macs=macs, weights=macs, depth=x.elements)

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        return self.add_kernel("elementwise", [x, y], (x.height, x.width, x.channels), op="ADD")

    def mul(self, x: Tensor, y: Tensor) -> Tensor:
        return self.add_kernel("elementwise", [x, y], (x.height, x.width, x.channels), op="MUL")

    def curve(self, x: Tensor, op: str = "HARD_SWISH") -> Tensor:
        return self.add_kernel("curve", [x], (x.height, x.width, x.channels), op=op)

    def pool(self, x: Tensor, kernel: int, stride: int, valid: bool = False) -> Tensor:
        made = (_out(x.height, kernel, stride, valid), _out(x.width, kernel, stride, valid), x.channels)
        return self.add_kernel("pool", [x], made, taps=(kernel, kernel), stride=stride)

    def global_pool(self, x: Tensor) -> Tensor:
        return self.add_kernel("reduce", [x], (1, 1, x.channels), taps=(x.height, x.width))

    def softmax(self, x: Tensor) -> Tensor:
        return self.add_kernel("softmax", [x], (x.height, x.width, x.channels))

    def concat(self, *parts: Tensor) -> Tensor:
        made = (parts[0].height, parts[0].width, sum(part.channels for part in parts))
        return self.add_kernel("move", parts, made, op="CONCATENATION")

    def squeeze_excite(self, x: Tensor, squeezed: int, gate: str = "RELU") -> Tensor:
        """gate: how the gate is made; slim's V3 has a hard sigmoid, as an addition, a clamp and a multiplication."""
        y = self.conv(self.conv(self.global_pool(x), squeezed), x.channels)
        y = self.curve(y, "LOGISTIC") if gate == "LOGISTIC" else self.mul(self.add(y, y), y)
        return self.mul(x, y)

    def in_precision(self, precision: Precision) -> tuple[Kernel, ...]:
        return tuple(replace(kernel, precision=precision) for kernel in self.kernels)

    def macs(self) -> int:
        return sum(kernel.macs for kernel in self.kernels)

    def peak_elements(self, in_place: bool = False) -> int:
        """Most activation elements alive at once: each buffer from the kernel that writes it to its last reader.

        in_place: as `edgekit.profile.in_place` has it.
        """
        sizes = {-1: self.input_elements, **{index: kernel.outputs for index, kernel in enumerate(self.kernels)}}
        if in_place:
            steps = [
                Step(kind=kernel.kind, reads=reads, makes=(index,), taps=kernel.taps)
                for index, (kernel, reads) in enumerate(zip(self.kernels, self.reads, strict=True))
            ]
            return peak(sizes, steps)
        last = {reader: index for index, readers in enumerate(self.reads) for reader in readers}
        ends = {made: last.get(made, len(self.kernels)) for made in sizes}
        return max(
            sum(size for made, size in sizes.items() if made <= step <= ends[made]) for step in range(len(self.kernels))
        )


def divisible(channels: float, by: int = 8, least: int | None = None) -> int:
    """The nearest multiple, never more than a tenth below (the rule of MobileNet V2 and its successors)."""
    made = max(least or by, int(channels + by / 2) // by * by)
    return made + by if made < 0.9 * channels else made


def mobilenet_v1(width: float, size: int, classes: int = 1001, channels: int = 3) -> Net:
    net = Net()
    x = net.conv(net.start(size, channels=channels), max(8, int(32 * width)), 3, 2)
    for filters, stride in V1_BLOCKS:
        x = net.conv(net.depthwise(x, 3, stride), max(8, int(filters * width)))
    net.softmax(net.conv(net.global_pool(x), classes))
    return net


V1_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *(((512, 1),) * 5), (1024, 2), (1024, 1))
FD_BLOCKS = ((64, 2), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *(((512, 1),) * 4), (1024, 1))
V2_BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, filters, repeats, first stride."""


def fd_mobilenet(width: float, size: int, classes: int) -> Net:
    """Source: FD-MobileNet, Qin et al. 2018, table 1."""
    net = Net()
    x = net.conv(net.start(size), max(8, int(32 * width)), 3, 2)
    for filters, stride in FD_BLOCKS:
        x = net.conv(net.depthwise(x, 3, stride), max(8, int(filters * width)))
    net.softmax(net.dense(net.global_pool(x), classes))
    return net


def inverted(
    net: Net, x: Tensor, expanded: int, filters: int, kernel: int = 3, stride: int = 1, **extra: str
) -> Tensor:
    """extra: squeeze = channels of a squeeze-and-excite, gate, curve = the activation where it is no clamp."""
    y = _act(net, net.conv(x, expanded), extra) if expanded != x.channels else x
    y = _act(net, net.depthwise(y, kernel, stride), extra)
    if "squeeze" in extra:
        y = net.squeeze_excite(y, int(extra["squeeze"]), extra.get("gate", "RELU"))
    y = net.conv(y, filters)
    return net.add(x, y) if stride == 1 and x.channels == filters else y


def _act(net: Net, x: Tensor, extra: dict[str, str]) -> Tensor:
    return net.curve(x, extra["curve"]) if "curve" in extra else x


def mobilenet_v2(width: float, size: int, classes: int = 1001) -> Net:
    """Source: slim's mobilenet_v2, whose head keeps 1280 channels below width 1."""
    net = Net()
    x = v2_body(net, net.start(size), width)
    net.softmax(net.conv(net.global_pool(net.conv(x, divisible(1280 * max(1.0, width)))), classes))
    return net


def v2_body(net: Net, x: Tensor, width: float) -> Tensor:
    x = net.conv(x, divisible(32 * width), 3, 2)
    for expansion, filters, repeats, stride in V2_BLOCKS:
        for repeat in range(repeats):
            x = inverted(net, x, x.channels * expansion, divisible(filters * width), 3, stride if repeat == 0 else 1)
    return x


V3_LARGE = (
    # kernel, expanded, filters, squeeze-and-excite, hard swish, stride; source: MobileNetV3, Howard et al., table 1
    (3, 16, 16, False, False, 1), (3, 64, 24, False, False, 2), (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2), (5, 120, 40, True, False, 1), (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2), (3, 200, 80, False, True, 1), (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1), (3, 480, 112, True, True, 1), (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2), (5, 960, 160, True, True, 1), (5, 960, 160, True, True, 1),
)  # fmt: skip
V3_SMALL = (  # table 2
    (3, 16, 16, True, False, 2), (3, 72, 24, False, False, 2), (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2), (5, 240, 40, True, True, 1), (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1), (5, 144, 48, True, True, 1), (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1), (5, 576, 96, True, True, 1),
)  # fmt: skip


def mobilenet_v3(kind: str, width: float, size: int, minimalistic: bool = False, classes: int = 1001) -> Net:
    """kind: large or small. minimalistic: 3x3 only, no squeeze-and-excite, no hard swish."""
    net = Net()
    blocks, head = (V3_LARGE, 1280) if kind == "large" else (V3_SMALL, 1024)
    last = divisible((960 if kind == "large" else 576) * width)
    swish = {} if minimalistic else {"curve": "HARD_SWISH"}
    x = _act(net, net.conv(net.start(size), divisible(16 * max(1.0, width) if width >= 1 else 16), 3, 2), swish)
    before = 16
    for kernel, expanded, filters, squeeze, curved, stride in blocks:
        grown, before = divisible(x.channels * expanded / before), filters
        extra = {} if minimalistic or not curved else dict(swish)
        if squeeze and not minimalistic:
            extra["squeeze"] = str(divisible(grown / 4))
        x = inverted(net, x, grown, divisible(filters * width), 3 if minimalistic else kernel, stride, **extra)
    x = net.global_pool(_act(net, net.conv(x, last), swish))
    net.softmax(net.conv(_act(net, net.conv(x, head), swish), classes))
    return net


B0_BLOCKS = (
    (3, 1, 16, 1, 1), (3, 6, 24, 2, 2), (5, 6, 40, 2, 2), (3, 6, 80, 3, 2),
    (5, 6, 112, 3, 1), (5, 6, 192, 4, 2), (3, 6, 320, 1, 1),
)  # fmt: skip
"""Kernel, expansion, filters, repeats, first stride."""
LITE = {0: (1.0, 1.0, 224), 1: (1.0, 1.1, 240), 2: (1.1, 1.2, 260), 3: (1.2, 1.4, 280), 4: (1.4, 1.8, 300)}
"""Width, depth and input size. Source: tensorflow/tpu, models/official/efficientnet/lite."""


def efficientnet_lite(number: int, size: int | None = None) -> Net:
    """No squeeze-and-excite, clamps for swish; stem and head keep their width, the first and last stage their depth."""
    width, depth, usual = LITE[number]
    net = Net()
    x = net.conv(net.start(size or usual), 32, 3, 2)
    for stage, (kernel, expansion, filters, repeats, stride) in enumerate(B0_BLOCKS):
        times = repeats if stage in {0, len(B0_BLOCKS) - 1} else -int(-depth * repeats // 1)
        for repeat in range(times):
            step = stride if repeat == 0 else 1
            x = inverted(net, x, x.channels * expansion, divisible(filters * width), kernel, step)
    net.softmax(net.dense(net.global_pool(net.conv(x, 1280)), 1000))
    return net


MNASNET_A1 = (
    (3, 1, 16, 1, 1, 0), (3, 6, 24, 2, 2, 0), (5, 3, 40, 3, 2, 1), (3, 6, 80, 4, 2, 0),
    (3, 6, 112, 2, 1, 1), (5, 6, 160, 3, 2, 1), (3, 6, 320, 1, 1, 0),
)  # fmt: skip
"""Kernel, expansion, filters, repeats, first stride, squeeze-and-excite. Source: MnasNet, Tan et al. 2019, figure 7."""
MNASNET_B1 = (
    (3, 1, 16, 1, 1, 0), (3, 3, 24, 3, 2, 0), (5, 3, 40, 3, 2, 0), (5, 6, 80, 3, 2, 0),
    (3, 6, 96, 2, 1, 0), (5, 6, 192, 4, 2, 0), (3, 6, 320, 1, 1, 0),
)  # fmt: skip


def mnasnet(blocks: tuple[tuple[int, ...], ...], width: float, size: int) -> Net:
    net = Net()
    x = net.conv(net.start(size), divisible(32 * width), 3, 2)
    for kernel, expansion, filters, repeats, stride, squeeze in blocks:
        for repeat in range(repeats):
            extra = {"squeeze": str(max(1, x.channels // 4)), "gate": "LOGISTIC"} if squeeze else {}
            step = stride if repeat == 0 else 1
            x = inverted(net, x, x.channels * expansion, divisible(filters * width), kernel, step, **extra)
    net.softmax(net.dense(net.global_pool(net.conv(x, 1280)), 1000))
    return net


def resnet50(size: int = 224) -> Net:
    """v1.5: the 3x3 convolution strides."""
    net = Net()
    x = net.pool(net.conv(net.start(size), 64, 7, 2), 3, 2)
    for filters, repeats, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for repeat in range(repeats):
            step = stride if repeat == 0 else 1
            y = net.conv(net.conv(net.conv(x, filters), filters, 3, step), 4 * filters)
            x = net.add(net.conv(x, 4 * filters, 1, step) if repeat == 0 else x, y)
    net.softmax(net.dense(net.global_pool(x), 1001))
    return net


def resnet_cifar(blocks: int, classes: int = 10, size: int = 32) -> Net:
    """blocks per stage: 1 gives ResNet-8, 5 ResNet-32."""
    net = Net()
    x = net.conv(net.start(size), 16, 3)
    for stage, filters in enumerate((16, 32, 64)):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            y = net.conv(net.conv(x, filters, 3, stride), filters, 3)
            x = net.add(net.conv(x, filters, 1, stride) if stride == 2 else x, y)
    net.softmax(net.dense(net.global_pool(x), classes))
    return net


def squeezenet(version: str, size: int, classes: int) -> Net:
    net = Net()
    first, pools = ((96, 7), (3, 7)) if version == "1.0" else ((64, 3), (2, 4))
    x = net.pool(net.conv(net.start(size), *first, 2, valid=True), 3, 2, valid=True)
    for index, squeezed in enumerate((16, 16, 32, 32, 48, 48, 64, 64)):
        if index in pools:
            x = net.pool(x, 3, 2, valid=True)
        y = net.conv(x, squeezed)
        x = net.concat(net.conv(y, 4 * squeezed), net.conv(y, 4 * squeezed, 3))
    net.softmax(net.global_pool(net.conv(x, classes)))
    return net


def _out(size: int, kernel: int, stride: int, valid: bool) -> int:
    return (size - kernel) // stride + 1 if valid else -(-size // stride)


@dataclass(frozen=True)
class Published:
    """An architecture by the name that a table of measurements gives it."""

    family: str
    net: Net


def by_name(model: str, size: int = 224) -> Published | None:
    """The net behind a published name, None where its architecture is not known well enough. size: of the input."""
    name = model.lower().replace("_", "-").replace("mobilenet v", "mobilenet-v").replace("mobilenetv", "mobilenet-v")
    for pattern, family, make in NAMES:
        found = re.search(pattern, name)
        if found:
            return Published(family, make(found, size))
    return None


def _number(text: str | None, otherwise: float = 1.0) -> float:
    return float(text) if text else otherwise


Maker = Callable[[re.Match[str], int], Net]
NAMES: tuple[tuple[str, str, Maker], ...] = (
    (r"^(st )?ssd|^st fd|hybrid|yolo|lc-v1|lc v1|mnist|^inception|^nasnet", "", lambda _m, _s: Net()),
    (
        r"^mobilenet-v1[- ](\d\.\d+)(?:[- ](\d+))?",
        "MobileNet V1",
        lambda m, s: mobilenet_v1(float(m[1]), _size(m[2], s)),
    ),
    (
        r"^mobilenet-v2[- ](\d\.\d+)(?:[- ](\d+))?",
        "MobileNet V2",
        lambda m, s: mobilenet_v2(float(m[1]), _size(m[2], s)),
    ),
    (
        r"^mobilenet-v3-(large|small)(-minimalistic)?[- ](\d+)[- ](\d\.\d+)",
        "MobileNet V3",
        lambda m, _s: mobilenet_v3(m[1], float(m[4]), int(m[3]), bool(m[2])),
    ),
    (r"^efficientnet-lite(\d)", "EfficientNet-Lite", lambda m, _s: efficientnet_lite(int(m[1]))),
    (r"^mnasnet-a1-(\d[.\d]*)", "MnasNet", lambda m, s: mnasnet(MNASNET_A1, float(m[1]), s)),
    (r"^mnasnet-(\d\.\d+)-(\d+)", "MnasNet", lambda m, _s: mnasnet(MNASNET_B1, float(m[1]), int(m[2]))),
    (r"^fdmobilenet (\d\.\d+)", "FD-MobileNet", lambda m, s: fd_mobilenet(float(m[1]), s, 101)),
    (r"^squeezenet v?(1\.[01])", "SqueezeNet", lambda m, s: squeezenet(m[1], s, 101)),
    (r"^squeezenet", "SqueezeNet", lambda _m, s: squeezenet("1.0", s, 1000)),
    (r"^resnet v1 8", "ResNet, small", lambda _m, _s: resnet_cifar(1)),
    (r"^resnet v1 32", "ResNet, small", lambda _m, _s: resnet_cifar(5)),
    (r"^resnet(-?50)?$", "ResNet", lambda _m, s: resnet50(s)),
    (r"^mobilenet$", "MobileNet V1", lambda _m, s: mobilenet_v1(1.0, s)),
)


def _size(text: str | None, otherwise: int) -> int:
    return int(text) if text else otherwise


PUBLISHED_MACS: tuple[tuple[str, float, Callable[[], Net], str], ...] = (
    ("MobileNet V1 1.0 224", 569e6, lambda: mobilenet_v1(1.0, 224), "MobileNets, Howard et al. 2017, table 1"),
    ("MobileNet V1 0.25 128", 14e6, lambda: mobilenet_v1(0.25, 128), "slim, mobilenet_v1.md"),
    ("MobileNet V2 1.0 224", 300e6, lambda: mobilenet_v2(1.0, 224), "slim, mobilenet/README.md"),
    ("MobileNet V2 1.4 224", 582e6, lambda: mobilenet_v2(1.4, 224), "slim, mobilenet/README.md"),
    ("MobileNet V2 0.35 224", 59e6, lambda: mobilenet_v2(0.35, 224), "slim, mobilenet/README.md"),
    ("MobileNet V3 large", 217e6, lambda: mobilenet_v3("large", 1.0, 224), "slim, mobilenet/README.md"),
    ("MobileNet V3 large 0.75", 155e6, lambda: mobilenet_v3("large", 0.75, 224), "slim, mobilenet/README.md"),
    ("MobileNet V3 large, minimalistic", 209e6, lambda: mobilenet_v3("large", 1.0, 224, True), "slim"),
    ("MobileNet V3 small 0.75", 44e6, lambda: mobilenet_v3("small", 0.75, 224), "slim, mobilenet/README.md"),
    ("EfficientNet-Lite0", 407e6, lambda: efficientnet_lite(0), "tensorflow/tpu, efficientnet/lite"),
    ("EfficientNet-Lite4", 2640e6, lambda: efficientnet_lite(4), "tensorflow/tpu, efficientnet/lite"),
    ("MnasNet-A1", 312e6, lambda: mnasnet(MNASNET_A1, 1.0, 224), "MnasNet, Tan et al. 2019, table 1"),
    ("MnasNet-B1", 315e6, lambda: mnasnet(MNASNET_B1, 1.0, 224), "MnasNet, Tan et al. 2019, table 1"),
    ("ResNet-50 v1.5", 4.1e9, lambda: resnet50(), "MLPerf Inference"),
    ("ResNet-8", 12.5e6, lambda: resnet_cifar(1), "MLPerf Tiny"),
)
CLOSE = 0.06
"""EfficientNet-Lite's authors count more than products: 3 % to 6 % above them."""


def main() -> int:
    """Prints every net beside its published figure; the exit status says whether all are close."""
    wrong = 0
    for name, published, make, source in PUBLISHED_MACS:
        macs = make().macs()
        wrong += abs(macs / published - 1) > CLOSE
        print(f"{name:<34} {macs / 1e6:>8.1f} M, published {published / 1e6:>7.1f} M ({source})")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
