"""A small depthwise-separable CNN for 8x8 digits: what a file for `--model file.py:factory` looks like."""

from __future__ import annotations

import torch
from torch import nn


def separable(channels: int, out: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 filter per channel, then a 1x1 convolution that mixes them (MobileNetV1's block)."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU6(),
        nn.Conv2d(channels, out, 1, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU6(),
    )


class DigitsNet(nn.Module):
    """(N, 1, 8, 8) in 0..1 -> (N, 10) scores."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU6())
        self.body = nn.Sequential(separable(32, 64), separable(64, 128, stride=2), separable(128, 128))
        self.head = nn.Linear(128, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        features = self.body(self.stem(image)).mean(dim=(2, 3))
        return self.head(features)  # type: ignore[no-any-return]


def digits_net() -> nn.Module:
    """The factory that edgekit calls."""
    return DigitsNet()
