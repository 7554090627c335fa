"""Activations where a result may lie in the place of what it is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.profile.in_place import Step, peak, peak_bytes
from edgekit.profile.kernels import Kind
from edgekit.profile.memory import planned
from tests.profile.flows import flow, tensor


def steps(*kinds: Kind) -> list[Step]:
    """A chain."""
    return [Step(kind=kind, reads=(index,), makes=(index + 1,)) for index, kind in enumerate(kinds)]


@pytest.mark.parametrize(
    ("kinds", "sizes", "most"),
    [
        (("softmax", "elementwise"), (10, 10, 4), 20),
        (("softmax", "elementwise"), (10, 30, 30), 40),
        (("elementwise",), (10, 10), 10),
        (("elementwise",), (10, 4), 10),
        (("pool",), (4, 10), 10),
        (("conv",), (10, 10), 10),
        (("elementwise", "conv", "conv"), (1, 10, 10, 10), 20),
        (("elementwise", "conv", "depthwise", "conv"), (1, 1, 10, 10, 20), 20),
        (("dense",), (10, 10), 20),
    ],
)
def test_chains(kinds: tuple[Kind, ...], sizes: tuple[int, ...], most: int) -> None:
    """The first convolution, depthwise ones and the 1x1 behind them, pools and sums write where they read."""
    assert peak(dict(enumerate(sizes)), steps(*kinds)) == most


def test_a_larger_kernel_behind_a_depthwise_one_reads_what_it_has_written() -> None:
    chain = [*steps("conv", "depthwise"), Step(kind="conv", reads=(2,), makes=(3,), taps=(3, 3))]
    assert peak({0: 1, 1: 10, 2: 10, 3: 10}, chain) == 20


def test_what_is_read_again_stays() -> None:
    branch = [*steps("softmax", "elementwise"), Step(kind="elementwise", reads=(1, 2), makes=(3,))]
    assert peak({0: 1, 1: 10, 2: 10, 3: 10}, branch) == 20
    assert peak({0: 10, 1: 10}, steps("elementwise"), outputs=[0]) == 20
    assert peak({}, []) == 0


def test_a_file() -> None:
    """Weights take no room, pads are of the convolution behind them, a reshape is nothing; TFLite Micro keeps all."""
    tensors = [
        tensor("x", 1, 8, 8, 4),
        tensor("padded", 1, 10, 10, 4),
        tensor("w", 8, 3, 3, 4, constant=True),
        tensor("y", 1, 4, 4, 8),
        tensor("flat", 128),
        tensor("z", 128),
    ]
    ops = [("PAD", (0,), (1,)), ("CONV_2D", (1, 2), (3,)), ("RESHAPE", (3,), (4,)), ("RELU", (4,), (5,))]
    made = flow(tensors, ops)
    assert peak_bytes(made) == 256, "the convolution's result lies in its input's place"
    assert planned(made).head_bytes >= 400 + 256


def test_pads_that_nothing_folds() -> None:
    made = flow([tensor("x", 64), tensor("y", 100), tensor("z", 100)], [("PAD", (0,), (1,)), ("RELU", (1,), (2,))])
    assert peak_bytes(made) == 164


def test_outputs_outlive_the_rest() -> None:
    tensors = [tensor("x", 64), tensor("y", 64), tensor("z", 64)]
    both = flow(tensors, [("RELU", (0,), (1,)), ("RELU", (1,), (2,))], outputs=(1, 2))
    assert peak_bytes(both) == 128


def test_a_whole_file(tmp_path: Path) -> None:
    from edgekit.profile.flow import read_flow
    from tests.profile.nets import tflite_file

    found = read_flow(tflite_file(tmp_path).read_bytes())
    assert 0 < peak_bytes(found) <= planned(found).head_bytes
