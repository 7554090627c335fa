"""Parts of transformers as exporters write them, small, on random weights."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from tests.models import graph, node, weights

TOKENS, WIDTH, HEADS = 6, 8, 2
HEAD = WIDTH // HEADS


def encoder(pre_norm: bool = True, tokens: int = TOKENS) -> ir.Model:
    """One encoder layer: one product for queries, keys and values, a residual stream, a feed-forward net with GELU."""
    normed = [node("LayerNormalization", ["x", "g1", "c1"], ["n1"])] if pre_norm else [node("Identity", ["x"], ["n1"])]
    nodes = [
        *normed,
        node("MatMul", ["n1", "qkv"], ["m"]),
        node("Add", ["m", "qkv_b"], ["a"]),
        node("Reshape", ["a", "heads"], ["r"]),
        node("Transpose", ["r"], ["t"], perm=[2, 0, 3, 1, 4]),
        *(node("Gather", ["t", f"i{i}"], [name], axis=0) for i, name in enumerate("qkv")),
        node("Mul", ["q", "root"], ["qs"]),
        node("Reshape", ["k", "all_heads"], ["kf"]),
        node("Transpose", ["kf"], ["kt"], perm=[0, 2, 1]),
        node("Reshape", ["kt", "each_head"], ["kh"]),
        node("Mul", ["kh", "root"], ["ks"]),
        node("MatMul", ["qs", "ks"], ["scores"]),
        node("Softmax", ["scores"], ["p"], axis=-1),
        node("MatMul", ["p", "v"], ["o"]),
        node("Transpose", ["o"], ["ot"], perm=[0, 2, 1, 3]),
        node("Reshape", ["ot", "joined"], ["oj"]),
        node("MatMul", ["oj", "proj"], ["pm"]),
        node("Add", ["pm", "proj_b"], ["pa"]),
        node("Add", ["x", "pa"], ["res1"]),
        node("LayerNormalization", ["res1", "g2", "c2"], ["n2"]),
        node("MatMul", ["n2", "up"], ["um"]),
        node("Add", ["um", "up_b"], ["ua"]),
        node("Gelu", ["ua"], ["u"]),
        node("MatMul", ["u", "down"], ["dm"]),
        node("Add", ["dm", "down_b"], ["da"]),
        node("Add", ["res1" if pre_norm else "n2", "da"], ["res2"]),
        node("LayerNormalization", ["res2", "g3", "c3"], ["n3"]),
        node("MatMul", ["n3", "head"]),
    ]
    constants = {
        "qkv": weights(WIDTH, 3 * WIDTH, scale=0.25),  # larger ones make a softmax of steps out of one step
        "qkv_b": weights(3 * WIDTH),
        "proj": weights(WIDTH, WIDTH),
        "proj_b": weights(WIDTH),
        "up": weights(WIDTH, 2 * WIDTH),
        "up_b": weights(2 * WIDTH),
        "down": weights(2 * WIDTH, WIDTH),
        "down_b": weights(WIDTH, seed=1),
        "head": weights(WIDTH, 5),
        "heads": np.array([-1, tokens, 3, HEADS, HEAD]),
        "all_heads": np.array([-1, tokens, HEAD]),
        "each_head": np.array([-1, HEADS, HEAD, tokens]),
        "joined": np.array([-1, tokens, WIDTH]),
        "root": np.float32(HEAD**-0.25),
        **{f"i{i}": np.array(i) for i in range(3)},
        **{f"g{i}": 1 + weights(WIDTH, seed=i, scale=0.2) for i in (1, 2, 3)},
        **{f"c{i}": weights(WIDTH, seed=10 + i) for i in (1, 2, 3)},
    }
    return graph({"x": (1, tokens, WIDTH)}, nodes, constants)


def windows(side: int = 6, window: int = 3) -> ir.Model:
    """Swin's shifted windows: a roll, the partition, a linear layer on each window's tokens, the way back."""
    count, shift = side // window, 1
    nodes = [
        node("LayerNormalization", ["x", "g"], ["n"]),
        *roll("n", "rolled", ["first", "rest"]),
        node("Reshape", ["rolled", "cut"], ["c"]),
        node("Transpose", ["c"], ["t"], perm=[0, 1, 3, 2, 4, 5]),
        node("Reshape", ["t", "tokens"], ["w"]),
        node("MatMul", ["w", "k"], ["m"]),
        node("Add", ["m", "b"], ["a"]),
        node("Reshape", ["a", "grid"], ["r"]),
        node("Transpose", ["r"], ["u"], perm=[0, 1, 3, 2, 4, 5]),
        node("Reshape", ["u", "image"], ["i"]),
        *roll("i", "back", ["all_but_last", "last"]),
        node("Add", ["back", "x"], ["s"]),
        node("LayerNormalization", ["s", "g"], ["l"]),
        node("ReduceMean", ["l", "plane"], ["y"], keepdims=0),
    ]
    bounds = {"zero": [0], "shift": [shift], "end": [side], "before_end": [side - shift], "down": [1]}
    constants = {
        "g": 1 + weights(WIDTH, scale=0.2),
        "k": weights(WIDTH, WIDTH),
        "b": weights(WIDTH),
        "cut": np.array([-1, count, window, count, window, WIDTH]),
        "tokens": np.array([-1, window * window, WIDTH]),
        "grid": np.array([-1, count, count, window, window, WIDTH]),
        "image": np.array([-1, side, side, WIDTH]),
        "plane": np.array([1, 2]),
        **{name: np.array(numbers) for name, numbers in bounds.items()},
    }
    return graph({"x": (1, side, side, WIDTH)}, nodes, constants)


ENDS = {"first": ("zero", "shift"), "rest": ("shift", "end"), "last": ("before_end", "end"),
        "all_but_last": ("zero", "before_end")}  # fmt: skip


def roll(x: str, y: str, parts: list[str]) -> list:
    """By one row: the second part goes first."""
    slices = [node("Slice", [x, *ENDS[part], "down"], [f"{y}_{part}"]) for part in parts]
    return [*slices, node("Concat", [f"{y}_{part}" for part in parts[::-1]], [y], axis=1)]
