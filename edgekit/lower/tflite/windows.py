"""Sliding windows: what the padding of a convolution or pool is in TFLite's words.

TFLite knows VALID and SAME (total // 2 low, the rest high). Everything else is a PAD before a VALID window. Padding at
the high end that no window reaches is dropped first, and what a ceil_mode window reaches beyond it is added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ai_edge_litert import schema_py_generated as schema

from edgekit.lower.tflite import refuse
from edgekit.lower.tflite.ops import Node


@dataclass(frozen=True)
class Window:
    """The window along H and W; a signal is an image of height 1. low, high: padding that the windows really reach."""

    size: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    low: tuple[int, int]
    high: tuple[int, int]
    same: bool

    @property
    def padded(self) -> bool:
        return any(self.low) or any(self.high)

    @property
    def padding(self) -> int:
        """The schema's word, once `pads` are put in place where it is not SAME."""
        return int(schema.Padding.SAME if self.same and self.padded else schema.Padding.VALID)

    @property
    def pads(self) -> tuple[tuple[int, int], ...]:
        """Per stored axis (NHWC), what a PAD before the op must add."""
        if self.same:
            return ((0, 0),) * 4
        return ((0, 0), (self.low[0], self.high[0]), (self.low[1], self.high[1]), (0, 0))


def window(node: Node, size: Sequence[int]) -> Window:
    """size: the kernel's extent along the spatial axes; reads strides, pads and dilations of the node."""
    spatial = len(size)
    if spatial not in (1, 2):
        raise refuse.no_form(
            node, f"TFLite slides windows over one or two axes, this one has {spatial}", "keep this model in ONNX"
        )
    pads = padding(node, spatial)
    stride = node.ints("strides", [1] * spatial)
    dilation = node.ints("dilations", [1] * spatial)
    before, after = node.input(0).shape[2:], node.output.shape[2:]
    extents = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    spans = [(o - 1) * s + e for o, s, e in zip(after, stride, extents, strict=True)]
    low = pads[:spatial]
    high = [max(0, span - i - p) for span, i, p in zip(spans, before, low, strict=True)]
    same = all(
        -(-i // s) == o and p == max(0, span - i) // 2
        for i, o, s, p, span in zip(before, after, stride, low, spans, strict=True)
    )
    return Window(two(size, 1), two(stride, 1), two(dilation, 1), two(low, 0), two(high, 0), same)


def padding(node: Node, spatial: int) -> tuple[int, ...]:
    """Explicit pads: all low ends, then all high ends."""
    if node.attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise refuse.no_form(node, "auto_pad must have become explicit pads", "simplify the graph first")
    if "output_shape" in node.attributes:
        raise refuse.no_form(node, "output_shape must have become explicit pads", "simplify the graph first")
    return node.ints("pads", [0] * 2 * spatial)


def two(numbers: Sequence[int], missing: int) -> tuple[int, int]:
    """Along H and W."""
    return (missing, int(numbers[0])) if len(numbers) == 1 else (int(numbers[0]), int(numbers[1]))
