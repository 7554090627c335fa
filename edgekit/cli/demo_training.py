"""What the demo does before the street begins: the digits, the training, the files."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from edgekit import staging
from edgekit.cli import demo_model

FILES = ("digits.pt", "digits.py", "digits-train.npz", "digits-test.npz")
TEST_COUNT = 500
EPOCHS = 12
BATCH = 64
PEAK_RATE = 0.01  # of Adam, under a one-cycle schedule: found by hand, 98 to 99 % for every seed tried
WHITE = 16.0  # the digits' largest grey value
SHADES = " .:-=+*#%@"
STRIP = 8  # digits shown

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]


def prepare(folder: Path, *, overwrite: bool, seed: int) -> None:
    """Train in front of the user and leave FILES in `folder`."""
    staging.refuse_existing(folder, FILES, overwrite)
    pixels, labels = digits()
    _show(pixels)
    order = np.random.default_rng(seed).permutation(len(labels))
    test, train = order[:TEST_COUNT], order[TEST_COUNT:]
    net = trained((pixels[train], labels[train]), (pixels[test], labels[test]), seed)
    with staging.staged(folder) as place:
        torch.save(net.state_dict(), place / "digits.pt")
        shutil.copyfile(demo_model.__file__, place / "digits.py")
        np.savez_compressed(place / "digits-train.npz", inputs=pixels[train], labels=labels[train])
        np.savez_compressed(place / "digits-test.npz", inputs=pixels[test], labels=labels[test])


def digits() -> tuple[Pixels, Labels]:
    """(1797, 1, 8, 8) grey values in 0..16, and what they mean.

    Source: scikit-learn's copy of the test set of the UCI optical recognition of handwritten digits.
    """
    data = load_digits()
    return data.images[:, None].astype(np.uint8), data.target.astype(np.int64)


def trained(train: tuple[Pixels, Labels], test: tuple[Pixels, Labels], seed: int) -> nn.Module:
    """A network in evaluation mode; a line per epoch on stderr.

    On one thread: the layers are so small that threads wait for each other, and the order of every sum is fixed.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _trained(train, test, seed)
    finally:
        torch.set_num_threads(threads)


def _trained(train: tuple[Pixels, Labels], test: tuple[Pixels, Labels], seed: int) -> nn.Module:
    torch.manual_seed(seed)
    net = demo_model.digits_net()
    images, labels = _tensors(*train)
    batches = len(labels) // BATCH
    adam = torch.optim.Adam(net.parameters(), lr=PEAK_RATE)
    rate = torch.optim.lr_scheduler.OneCycleLR(adam, PEAK_RATE, total_steps=EPOCHS * batches)
    parameters = sum(weight.numel() for weight in net.parameters())
    _say(f"\ntraining a depthwise CNN of {parameters} parameters on {len(labels)} of these\n")
    for epoch in range(EPOCHS):
        net.train()
        losses = []
        for indices in torch.randperm(len(labels))[: batches * BATCH].view(batches, BATCH):
            loss = functional.cross_entropy(net(_shifted(images[indices])), labels[indices])
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
            rate.step()
            losses.append(loss.item())
        accuracy = _accuracy(net, *_tensors(*test))
        bar = "#" * round(40 * accuracy)
        _say(f"  epoch {epoch + 1:2}/{EPOCHS}  loss {np.mean(losses):5.3f}  accuracy {100 * accuracy:5.1f} %  {bar}")
    return net.eval()


def _tensors(pixels: Pixels, labels: Labels) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(pixels.astype(np.float32) / WHITE), torch.from_numpy(labels)


def _shifted(images: torch.Tensor) -> torch.Tensor:
    """Half of the batch moved by a pixel in one direction: nobody writes in the middle of the box."""
    half = len(images) // 2
    axis, step = 2 + int(torch.randint(0, 2, ())), 2 * int(torch.randint(0, 2, ())) - 1
    return torch.cat((images[:half], images[half:].roll(step, axis)))


def _accuracy(net: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    net.eval()
    with torch.inference_mode():
        return float((net(images).argmax(dim=1) == labels).double().mean())


def _show(pixels: Pixels) -> None:
    """A strip of digits, one character per pixel."""
    shades = np.array(list(SHADES))[(pixels[:STRIP, 0] * (len(SHADES) - 1) // int(WHITE))]
    for row in range(pixels.shape[2]):
        _say("  " + "  ".join("".join(digit[row]) for digit in shades))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
