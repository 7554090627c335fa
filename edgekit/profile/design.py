"""The nets that a device is measured with: they span what kernels cost over the shapes of nets for small devices.

A chain repeats one or two kernels, so that its time is theirs; a block mixes kernels as architectures do, and tells
what they cost one behind the other. No net of anybody's is among them. Sides of 7 to 112 pixels and 8 to 1280 channels
are those of nets for images of 96 to 256 pixels; channels that are no multiple of 8 or 16 are there because kernels
work in vectors, and what does not fill one goes another way.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

from edgekit.profile.sketch import GATE, PARTED_SWISH, Conv, Dense, Join, Layer, Net, Op

CHAIN_MACS = 60e6  # of a chain; fewer where its first kernels have more
LONGEST = 3  # repetitions
Layers = tuple[Layer, ...]

GLOBAL = Op(name="GlobalAveragePool")  # behind every chain of images: what leaves a net is small

# ---- chains ----------------------------------------------------------------------------------------------------------

POINTWISE = (  # channels, channels, side: there and back
    (16, 64, 112), (32, 16, 112), (24, 40, 112), (24, 144, 56), (64, 64, 56), (16, 96, 56), (256, 64, 56), (40, 96, 56),
    (32, 192, 28), (64, 160, 28), (128, 128, 28), (48, 48, 28), (24, 72, 28), (256, 128, 28), (40, 240, 28),
    (64, 384, 14), (96, 576, 14), (112, 480, 14), (256, 256, 14), (80, 184, 14), (24, 56, 14), (128, 512, 14),
    (992, 128, 14), (160, 960, 7), (512, 512, 7), (96, 576, 7), (1280, 320, 7), (192, 1152, 7), (232, 232, 7),
    (1024, 128, 7), (40, 160, 7), (32, 8, 1), (96, 24, 1), (240, 960, 1), (58, 58, 28), (116, 116, 14),
)  # fmt: skip
WINDOWS = (  # channels, channels, side, taps
    (16, 16, 112, 3), (16, 48, 56, 3), (32, 32, 56, 3), (64, 64, 56, 3), (24, 24, 28, 3), (64, 96, 28, 3),
    (128, 128, 28, 3), (128, 32, 56, 3), (128, 32, 14, 3), (96, 208, 14, 3), (256, 256, 14, 3), (32, 128, 14, 3),
    (512, 512, 7, 3), (192, 192, 7, 3), (128, 32, 7, 3), (48, 192, 28, 3), (32, 32, 28, 5), (16, 64, 14, 5),
    (48, 48, 7, 5), (16, 24, 28, 7), (32, 32, 14, 3),
)  # fmt: skip
STRIDED = (  # channels, channels, side, taps, stride
    (3, 16, 224, 3, 2), (3, 32, 192, 3, 2), (3, 40, 224, 4, 4), (3, 64, 224, 7, 2), (3, 24, 160, 3, 2),
    (3, 192, 224, 16, 16), (32, 64, 56, 3, 2), (64, 128, 56, 3, 2), (128, 256, 28, 3, 2), (256, 512, 14, 3, 2),
    (64, 128, 56, 1, 2), (128, 256, 28, 1, 2), (40, 80, 56, 2, 2), (160, 320, 14, 2, 2), (3, 64, 128, 3, 1),
    (24, 56, 112, 1, 2),
)  # fmt: skip
DEPTHWISE = (  # channels, side, taps
    (16, 112, 3), (32, 112, 3), (96, 56, 3), (144, 56, 3), (24, 56, 3), (192, 28, 3), (72, 28, 3), (240, 28, 3),
    (384, 14, 3), (576, 14, 3), (200, 14, 3), (120, 14, 3), (960, 7, 3), (576, 7, 3), (184, 7, 3), (58, 28, 3),
    (116, 14, 3), (232, 7, 3), (28, 28, 3), (8, 56, 3), (72, 28, 5), (40, 28, 5), (120, 14, 5), (480, 14, 5),
    (576, 7, 5), (1152, 7, 5), (96, 14, 5), (40, 56, 7), (80, 28, 7), (160, 14, 7), (320, 7, 7), (64, 28, 1),
    (240, 14, 1),
)  # fmt: skip
DEPTHWISE_STRIDED = (  # channels, side, taps
    (64, 112, 3), (144, 56, 3), (24, 112, 3), (192, 28, 3), (576, 14, 3), (58, 56, 3), (240, 28, 5), (72, 56, 5),
    (480, 14, 5),
)  # fmt: skip
GROUPED = (  # channels, channels of a group, side, stride
    (64, 8, 56, 1), (96, 16, 28, 1), (256, 16, 14, 1), (128, 8, 28, 1), (512, 32, 7, 1), (192, 8, 14, 1),
    (400, 8, 7, 1), (64, 8, 56, 2), (96, 8, 28, 2), (200, 8, 14, 2),
)  # fmt: skip
DENSE = ((192, 576, 197), (192, 768, 197), (96, 384, 98), (64, 128, 49))  # features, features, tokens
HEADS = ((1280, 1000), (512, 1000), (576, 1024), (256, 10))  # a single row: features, features
CURVES = (Op(name="HardSwish"), Op(name="Sigmoid"), Op(name="Gelu"), Op(name="Tanh"), GATE)
SURFACES = ((16, 128), (64, 28), (480, 7))  # channels, side


def nets() -> tuple[Net, ...]:
    """Chains and blocks, in an order that changes the kind from one to the next."""
    found = [*_products(), *_others(), *blocks()]
    return tuple(found[i] for start in range(STRIDE) for i in range(start, len(found), STRIDE))


STRIDE = 31  # neighbours in the lists above are alike, and a disturbance should not meet all of them


def _products() -> list[Net]:
    made = [_image(f"pointwise {c}-{d}@{s}", c, s, _there_and_back(c, d, s, 1)) for c, d, s in POINTWISE]
    made += [_image(f"window {k} {c}-{d}@{s}", c, s, _there_and_back(c, d, s, k)) for c, d, s, k in WINDOWS]
    made += [
        _image(f"stride {k}/{t} {c}-{d}@{s}", c, s, (Conv(channels=d, taps=k, stride=t), GLOBAL))
        for c, d, s, k, t in STRIDED
    ]
    made += [
        _image(f"depthwise {k} {c}@{s}", c, s, (*(Conv(channels=c, taps=k, groups=0),) * 4, GLOBAL))
        for c, s, k in DEPTHWISE
    ]
    made += [
        _image(
            f"depthwise {k}/2 {c}@{s}",
            c,
            s,
            (*(Conv(channels=c, taps=k, stride=2, groups=0),) * (2 if s > 14 else 1), GLOBAL),
        )
        for c, s, k in DEPTHWISE_STRIDED
    ]
    made += [
        _image(
            f"groups of {g}/{t} {c}@{s}",
            c,
            s,
            (*(Conv(channels=c, taps=3, stride=t, groups=c // g),) * (3 if t == 1 else 1), GLOBAL),
        )
        for c, g, s, t in GROUPED
    ]
    made += [
        Net(
            name=f"tokens {c}-{d}x{n}",
            shape=(1, n, c),
            layers=(*(Dense(features=d), Dense(features=c)) * 2, MEAN_TOKEN),
        )
        for c, d, n in DENSE
    ]
    made += [Net(name=f"row {c}-{d}", shape=(1, c), layers=(Dense(features=d), Dense(features=c))) for c, d in HEADS]
    return made


def _image(name: str, channels: int, side: int, layers: Layers) -> Net:
    return Net(name=name, shape=(1, channels, side, side), layers=layers)


def _there_and_back(c: int, d: int, side: int, taps: int) -> Layers:
    macs = 2 * c * d * side**2 * taps**2
    repeats = int(max(1, min(LONGEST, CHAIN_MACS // macs)))
    pair: Layers = (Conv(channels=d, taps=taps), Conv(channels=c, taps=taps))
    return (*pair * repeats, GLOBAL)


MEAN_TOKEN = Op(name="ReduceMean", integers=(1,))


def _others() -> list[Net]:
    """What multiplies nothing, behind products that bring values into the layout in which a runtime computes."""
    made = [Net(name="nothing", shape=(1, 8, 1, 1), layers=(GLOBAL,))]
    for (c, s), curve in itertools.product(SURFACES, CURVES):
        made.append(_behind(f"{curve.name} {c}@{s}", c, s, (curve,) * 3))
    for c, s in SURFACES:
        made.append(_behind(f"swish {c}@{s}", c, s, (PARTED_SWISH,) * 3))
        made.append(_behind(f"silu {c}@{s}", c, s, (Join(name="Mul", paths=((), (Op(name="Sigmoid"),))),) * 3))
        made.append(_behind(f"relu {c}@{s}", c, s, (Op(name="Relu", kept=True), Conv(channels=c)) * 2))
        made.append(_behind(f"affine {c}@{s}", c, s, (Op(name="Mul"), Op(name="Add"), Conv(channels=c)) * 2))
        made.append(_behind(f"half {c}@{s}", c, s, (Op(name="Slice", integers=(0, c // 2)), Conv(channels=c)) * 2))
    for c, s in ((16, 112), (24, 56), (64, 28), (96, 14), (160, 7)):
        made.append(_image(f"sum {c}@{s}", c, s, (_residual(Conv(channels=c)),) * 4 + (GLOBAL,)))
    for c, s in ((64, 56), (96, 28), (480, 14), (960, 7)):
        made.append(_behind(f"excitation {c}@{s}", c, s, (_excitation(c), Conv(channels=c, groups=0)) * 3))
    for c, s, k, t in ((64, 112, 3, 2), (64, 56, 3, 2), (192, 28, 3, 1), (480, 14, 3, 1), (32, 56, 2, 2)):
        made.append(_behind(f"maximum {k}/{t} {c}@{s}", c, s, (_pool("MaxPool", k, t), Conv(channels=c, groups=0)) * 2))
    for c, s in ((128, 56), (512, 14)):
        made.append(_behind(f"average {c}@{s}", c, s, (_pool("AveragePool", 2, 2), Conv(channels=c, groups=0))))
    for c, s in ((16, 56), (64, 28), (24, 28), (128, 14), (464, 7)):
        half: Layers = (Conv(channels=c // 2),)
        joins: Layers = (Join(name="Concat", paths=(half, half)),) * 3
        made.append(_image(f"concat {c}@{s}", c, s, (*joins, GLOBAL)))
    for c, s in ((48, 28), (116, 14), (232, 7)):
        made.append(_image(f"shuffle {c}@{s}", c, s, (_shuffle(c, s),) * 3 + (GLOBAL,)))
    for c, s in ((40, 56), (160, 14), (320, 7)):
        made.append(_behind(f"norm {c}@{s}", c, s, (*_norm_of_channels(), Conv(channels=c)) * 2))
    for c, n in ((192, 197), (96, 98)):
        made.append(Net(name=f"norm {c}x{n}", shape=(1, n, c), layers=(NORM,) * 4 + (MEAN_TOKEN,)))
        made.append(Net(name=f"sum {c}x{n}", shape=(1, n, c), layers=(_residual(NORM),) * 4 + (MEAN_TOKEN,)))
        made.append(Net(name=f"gelu {c}x{n}", shape=(1, n, c), layers=(Op(name="Gelu"),) * 4 + (MEAN_TOKEN,)))
        made.append(Net(name=f"attention {c}x{n}", shape=(1, n, c), layers=(_attention(c, n),) * 2 + (MEAN_TOKEN,)))
    made.append(Net(name="attention 128x196", shape=(1, 196, 128), layers=(_attention(128, 196, 64), MEAN_TOKEN)))
    for c, s in ((64, 16), (32, 32), (16, 64)):
        up = Conv(channels=c, taps=3, stride=2, transposed=True)
        made.append(_behind(f"up {c}@{s}", c, s, (up, Conv(channels=c, groups=0))))
    for c, s, mode in ((32, 28, "linear"), (32, 28, "nearest")):
        resize = Op(name="Resize", attributes=(("mode", mode),), floats=(2.0,))
        made.append(_behind(f"{mode} {c}@{s}", c, s, (resize, Conv(channels=c, groups=0))))
    return made


def _behind(name: str, channels: int, side: int, layers: Layers) -> Net:
    """Layers behind a product and before another, as they stand in nets."""
    around = Conv(channels=channels, taps=1, groups=0)
    return _image(name, channels, side, (around, *layers, around, GLOBAL))


NORM = Op(name="LayerNormalization")


def _pool(name: str, taps: int, stride: int) -> Op:
    around = (("pads", [1] * 4),) if taps == 3 else ()
    return Op(name=name, attributes=(("kernel_shape", [taps, taps]), ("strides", [stride, stride]), *around))


def _residual(*path: Layer) -> Join:
    return Join(name="Add", paths=((), path))


def _excitation(c: int, gate: Op = GATE) -> Join:
    squeezed: Layers = (GLOBAL, Conv(channels=max(8, c // 4), relu=True), Conv(channels=c), gate)
    return Join(name="Mul", paths=((), squeezed))


def _transposed(*perm: int) -> Op:
    return Op(name="Transpose", attributes=(("perm", list(perm)),))


def _reshaped(*shape: int) -> Op:
    return Op(name="Reshape", integers=shape)


def _shuffle(c: int, side: int) -> Join:
    """Half of the channels go through a convolution; then both halves alternate."""
    half = c // 2
    alternate: Layers = (_reshaped(1, 2, half, side, side), _transposed(0, 2, 1, 3, 4), _reshaped(1, c, side, side))
    halves = (
        (Op(name="Slice", integers=(0, half)),),
        (Op(name="Slice", integers=(half, c)), Conv(channels=half)),
    )
    both = Join(name="Concat", paths=halves)
    return Join(name="Concat", paths=((both, *alternate),))


def _norm_of_channels() -> Layers:
    return (_transposed(0, 2, 3, 1), NORM, _transposed(0, 3, 1, 2))


def _attention(c: int, tokens: int, width: int = 32) -> Join:
    heads = c // width
    split: Layers = (_reshaped(1, tokens, heads, width), _transposed(0, 2, 1, 3))
    keys: Layers = (Dense(features=c), *split, _transposed(0, 1, 3, 2))
    scores = Join(name="MatMul", paths=((Dense(features=c), *split), keys))
    weights: Layers = (scores, Op(name="Softmax", attributes=(("axis", -1),)))
    mixed = Join(name="MatMul", paths=(weights, (Dense(features=c), *split)))
    merged: Layers = (mixed, _transposed(0, 2, 1, 3), _reshaped(1, tokens, c), Dense(features=c))
    return _residual(*merged)


# ---- blocks, as architectures have them ------------------------------------------------------------------------------


def blocks() -> list[Net]:
    """What kernels are held against that were fitted on chains: other widths, and kernels in turns."""
    made = [
        _image(f"inverted {c}x{e}@{s}", c, s, (_inverted(c, e * c, k),) * 3 + (GLOBAL,))
        for c, e, s, k in (
            (24, 4, 56, 3),
            (40, 6, 28, 5),
            (56, 5, 28, 3),
            (88, 6, 14, 3),
            (136, 6, 7, 5),
            (64, 3, 14, 3),
        )
    ]
    made += [
        _image(f"gated {c}x{e}@{s}", c, s, (_gated(c, e * c, k),) * 2 + (GLOBAL,))
        for c, e, s, k in ((24, 3, 28, 3), (40, 4, 14, 5), (96, 6, 7, 5))
    ]
    made += [
        _image(f"basic {c}@{s}", c, s, (*_basic(c), *_basic(c), GLOBAL)) for c, s in ((48, 56), (96, 28), (384, 7))
    ]
    made += [
        _image(f"bottleneck {c}@{s}", c, s, (*_bottleneck(c), *_bottleneck(c), GLOBAL))
        for c, s in ((128, 56), (320, 14), (768, 7))
    ]
    made += [_image(f"fire {c}@{s}", c, s, (_fire(c), _fire(c), GLOBAL)) for c, s in ((96, 55), (320, 13))]
    made += [_image(f"dense {c}@{s}", c, s, (*_growing(4), GLOBAL)) for c, s in ((64, 56), (192, 28), (512, 7))]
    made += [_image(f"units {c}@{s}", c, s, (_unit(c, s),) * 3 + (GLOBAL,)) for c, s in ((64, 28), (128, 14), (176, 7))]
    made += [
        _image(f"ghost {c}@{s}", c, s, (_residual(_ghost(4 * c), _ghost(c)),) * 2 + (GLOBAL,))
        for c, s in ((32, 28), (56, 28), (104, 14), (136, 7))
    ]
    made += [_image(f"next {c}@{s}", c, s, (_next(c),) * 2 + (GLOBAL,)) for c, s in ((48, 56), (96, 28), (192, 14))]
    made += [
        Net(name=f"encoder {c}x{n}", shape=(1, n, c), layers=(*_encoder(c, n) * 2, MEAN_TOKEN))
        for c, n in ((128, 144), (256, 64))
    ]
    made += [_behind(f"inception {c}@{s}", c, s, (_inception(c), _inception(c))) for c, s in ((208, 28), (528, 14))]
    made += [_image(f"regular {c}@{s}", c, s, (_regular(c),) * 2 + (GLOBAL,)) for c, s in ((80, 28), (240, 14))]
    made.append(_image("stem", 3, 224, _stem()))
    return [replace(net, family=net.name.partition(" ")[0]) for net in made]


def _inverted(c: int, wide: int, taps: int) -> Join:
    return _residual(
        Conv(channels=wide, relu=True), Conv(channels=wide, taps=taps, groups=0, relu=True), Conv(channels=c)
    )


def _gated(c: int, wide: int, taps: int) -> Join:
    swish = Op(name="HardSwish")
    return _residual(
        Conv(channels=wide),
        swish,
        Conv(channels=wide, taps=taps, groups=0),
        swish,
        _excitation(wide),
        Conv(channels=c),
    )


def _basic(c: int) -> Layers:
    return (_residual(Conv(channels=c, taps=3, relu=True), Conv(channels=c, taps=3)), RELU)


def _bottleneck(c: int) -> Layers:
    narrow = c // 4
    path: Layers = (Conv(channels=narrow, relu=True), Conv(channels=narrow, taps=3, relu=True), Conv(channels=c))
    return (_residual(*path), RELU)


RELU = Op(name="Relu")


def _fire(c: int) -> Join:
    narrow = Conv(channels=c // 8, relu=True)
    wide = Join(
        name="Concat",
        paths=((Conv(channels=c // 2, relu=True),), (Conv(channels=c // 2, taps=3, relu=True),)),
    )
    return Join(name="Concat", paths=((narrow, wide),))


def _growing(steps: int) -> Layers:
    step: Layers = (Op(name="Mul"), Op(name="Add"), RELU, Conv(channels=128, relu=True), Conv(channels=32, taps=3))
    return (Join(name="Concat", paths=((), step)),) * steps


def _unit(c: int, side: int) -> Join:
    half = c // 2
    alternate: Layers = (_reshaped(1, 2, half, side, side), _transposed(0, 2, 1, 3, 4), _reshaped(1, c, side, side))
    path: Layers = (
        Op(name="Slice", integers=(half, c)),
        Conv(channels=half, relu=True),
        Conv(channels=half, taps=3, groups=0),
        Conv(channels=half, relu=True),
    )
    both = Join(name="Concat", paths=((Op(name="Slice", integers=(0, half)),), path))
    return Join(name="Concat", paths=((both, *alternate),))


def _ghost(c: int) -> Join:
    """Half of the channels are made of the other half, each of one."""
    made = Conv(channels=c // 2, relu=True)
    cheap = Join(name="Concat", paths=((), (Conv(channels=c // 2, taps=3, groups=0, relu=True),)))
    return Join(name="Concat", paths=((made, cheap),))


def _next(c: int) -> Join:
    return _residual(
        Conv(channels=c, taps=7, groups=0),
        *_norm_of_channels(),
        Conv(channels=4 * c),
        Op(name="Gelu"),
        Conv(channels=c),
    )


def _encoder(c: int, tokens: int) -> Layers:
    return (
        _residual(NORM, _attention(c, tokens)),
        _residual(NORM, Dense(features=4 * c), Op(name="Gelu"), Dense(features=c)),
    )


def _inception(c: int) -> Join:
    return Join(
        name="Concat",
        paths=(
            (Conv(channels=c // 4, relu=True),),
            (Conv(channels=c // 4, relu=True), Conv(channels=c // 2, taps=3, relu=True)),
            (Conv(channels=c // 16, relu=True), Conv(channels=c // 8, taps=5, relu=True)),
            (_pool("MaxPool", 3, 1), Conv(channels=c // 8, relu=True)),
        ),
    )


def _regular(c: int) -> Join:
    path: Layers = (
        Conv(channels=c, relu=True),
        Conv(channels=c, taps=3, groups=c // 8, relu=True),
        _excitation(c, Op(name="Sigmoid")),
        Conv(channels=c),
    )
    return _residual(*path)


def _stem() -> Layers:
    return (
        Conv(channels=24, taps=3, stride=2, relu=True),
        Conv(channels=24, taps=3, groups=0, relu=True),
        Conv(channels=32),
        Conv(channels=128, relu=True),
        Conv(channels=128, taps=3, stride=2, groups=0, relu=True),
        Conv(channels=40),
        GLOBAL,
        _reshaped(1, 40),
        Dense(features=100),
    )
