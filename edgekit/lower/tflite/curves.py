"""Functions of one real number that TFLite has no op for, composed in float32.

    softplus(x) = max(x, 0) + log(1 + exp(-|x|))                  never overflows
    mish(x)     = x tanh(softplus(x)) = x n / (n + 2),  n = exp(x) (exp(x) + 2)
    elu(x)      = max(x, 0) + alpha * elu_1(min(x, 0))            selu, celu: with other factors
    erf(x)      = sign(x) (1 - t p(t) exp(-x^2)),  t = 1 / (1 + 0.3275911 |x|)       |error| <= 1.5e-7
    tan, the hyperbolic functions and their inverses by definition, the inverse circular ones by ATAN2

Source of erf: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from edgekit.lower.tflite import refuse
from edgekit.lower.tflite.draft import Draft
from edgekit.lower.tflite.ops import Node, Tensor
from edgekit.lower.tflite.terms import chosen, term

SELU_ALPHA, SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875  # ONNX Selu-6
ERF_SLOPE, ERF_FACTORS = 0.3275911, (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)

Function = Callable[[Draft, Tensor, Tensor | None], Tensor]
"""(draft, x, result) -> result"""
Family = Callable[[Draft, Node, Tensor, Tensor], Tensor]
"""(draft, node, x, result) -> result; the node has parameters"""


def function(draft: Draft, node: Node) -> None:
    FUNCTIONS[node.op](draft, draft.input(node, 0), draft.output(node.output))


def family(draft: Draft, node: Node) -> None:
    FAMILIES[node.op](draft, node, draft.input(node, 0), draft.output(node.output))


def _softplus(draft: Draft, x: Tensor, into: Tensor | None = None) -> Tensor:
    small = term(draft, "EXP", term(draft, "NEG", term(draft, "ABS", x)))
    tail = _log_of_one_and(draft, small)
    return term(draft, "ADD", term(draft, "MAXIMUM", x, 0.0), tail, into=into)


def _log_of_one_and(draft: Draft, x: Tensor) -> Tensor:
    """log(1 + x), where v = 1 + x as float32 has it: log v + (x - (v - 1)) / v."""
    v = term(draft, "ADD", x, 1.0)
    lost = term(draft, "SUB", x, term(draft, "SUB", v, 1.0))
    return term(draft, "ADD", term(draft, "LOG", v), term(draft, "DIV", lost, v))


def _mish(draft: Draft, x: Tensor, y: Tensor | None) -> Tensor:
    """From 20 on the gate is 1 in float32, and its square would overflow further up."""
    power = term(draft, "EXP", term(draft, "MINIMUM", x, 20.0))
    product = term(draft, "MUL", power, term(draft, "ADD", power, 2.0))
    gate = term(draft, "DIV", product, term(draft, "ADD", product, 2.0))
    return term(draft, "MUL", x, gate, into=y)


def _swish(draft: Draft, node: Node, x: Tensor, y: Tensor) -> Tensor:
    alpha = float(node.attributes.get("alpha", 1.0))
    scaled = x if alpha == 1.0 else term(draft, "MUL", x, alpha)
    return term(draft, "MUL", x, term(draft, "LOGISTIC", scaled), into=y)


def _softsign(draft: Draft, x: Tensor, y: Tensor | None) -> Tensor:
    return term(draft, "DIV", x, term(draft, "ADD", term(draft, "ABS", x), 1.0), into=y)


def _elu(draft: Draft, node: Node, x: Tensor, y: Tensor) -> Tensor:
    alpha = float(node.attributes.get("alpha", 1.0))
    return term(draft, "ELU", x, into=y) if alpha == 1.0 else _bent(draft, x, 1.0, alpha, 1.0, y)


def _selu(draft: Draft, node: Node, x: Tensor, y: Tensor) -> Tensor:
    alpha = float(node.attributes.get("alpha", SELU_ALPHA))
    gamma = float(node.attributes.get("gamma", SELU_GAMMA))
    return _bent(draft, x, gamma, gamma * alpha, 1.0, y)


def _celu(draft: Draft, node: Node, x: Tensor, y: Tensor) -> Tensor:
    alpha = float(node.attributes.get("alpha", 1.0))
    if alpha <= 0.0:
        raise refuse.no_form(node, f"its alpha is {alpha}", "use an alpha above 0")
    return _bent(draft, x, 1.0, alpha, 1.0 / alpha, y)


def _bent(draft: Draft, x: Tensor, right: float, left: float, slope: float, y: Tensor) -> Tensor:
    """right * x above 0, left * (exp(slope * x) - 1) below."""
    above, below = term(draft, "MAXIMUM", x, 0.0), term(draft, "MINIMUM", x, 0.0)
    below = term(draft, "ELU", below if slope == 1.0 else term(draft, "MUL", below, slope))
    above = above if right == 1.0 else term(draft, "MUL", above, right)
    return term(draft, "ADD", above, term(draft, "MUL", below, left), into=y)


def _thresholded_relu(draft: Draft, node: Node, x: Tensor, y: Tensor) -> Tensor:
    passes = term(draft, "GREATER", x, float(node.attributes.get("alpha", 1.0)))
    return chosen(draft, passes, x, 0.0, x, y)


def _shrink(draft: Draft, node: Node, x: Tensor, y: Tensor) -> Tensor:
    bias, bound = (float(node.attributes.get(name, default)) for name, default in (("bias", 0.0), ("lambd", 0.5)))
    low, high = term(draft, "LESS", x, -bound), term(draft, "GREATER", x, bound)
    raised = chosen(draft, low, term(draft, "ADD", x, bias), 0.0, x)
    return chosen(draft, high, term(draft, "SUB", x, bias), raised, x, y)


def _erf(draft: Draft, x: Tensor, y: Tensor | None) -> Tensor:
    size = term(draft, "ABS", x)
    t = term(draft, "DIV", _one(draft), term(draft, "ADD", term(draft, "MUL", size, ERF_SLOPE), 1.0))
    first, *others = reversed(ERF_FACTORS)
    polynomial = term(draft, "MUL", t, first)
    for factor in others:
        polynomial = term(draft, "MUL", term(draft, "ADD", polynomial, factor), t)
    tail = term(draft, "EXP", term(draft, "NEG", term(draft, "SQUARE", x)))
    rest = term(draft, "SUB", _one(draft), term(draft, "MUL", polynomial, tail))
    return term(draft, "MUL", rest, term(draft, "SIGN", x), into=y)


def _tan(draft: Draft, x: Tensor, y: Tensor | None) -> Tensor:
    return term(draft, "DIV", term(draft, "SIN", x), term(draft, "COS", x), into=y)


def _hyperbolic(draft: Draft, x: Tensor, y: Tensor | None, *, code: str) -> Tensor:
    """(exp(x) -+ exp(-x)) / 2"""
    up, down = term(draft, "EXP", x), term(draft, "EXP", term(draft, "NEG", x))
    return term(draft, "MUL", term(draft, code, up, down), 0.5, into=y)


def _asinh(draft: Draft, x: Tensor, y: Tensor | None) -> Tensor:
    size = term(draft, "ABS", x)
    root = term(draft, "SQRT", term(draft, "ADD", term(draft, "SQUARE", x), 1.0))
    return term(draft, "MUL", term(draft, "LOG", term(draft, "ADD", size, root)), term(draft, "SIGN", x), into=y)


def _acosh(draft: Draft, x: Tensor, y: Tensor | None) -> Tensor:
    root = term(draft, "SQRT", term(draft, "SUB", term(draft, "SQUARE", x), 1.0))
    return term(draft, "LOG", term(draft, "ADD", x, root), into=y)


def _atanh(draft: Draft, x: Tensor, y: Tensor | None) -> Tensor:
    ratio = term(draft, "DIV", term(draft, "ADD", x, 1.0), term(draft, "SUB", _one(draft), x))
    return term(draft, "MUL", term(draft, "LOG", ratio), 0.5, into=y)


def _atan(draft: Draft, x: Tensor, y: Tensor | None) -> Tensor:
    ones = draft.constant(np.ones(x.shape, x.dtype), "ones")  # ATAN2 does not broadcast
    return term(draft, "ATAN2", x, ones, into=y)


def _asin(draft: Draft, x: Tensor, y: Tensor | None) -> Tensor:
    return term(draft, "ATAN2", x, _other_side(draft, x), into=y)


def _acos(draft: Draft, x: Tensor, y: Tensor | None) -> Tensor:
    return term(draft, "ATAN2", _other_side(draft, x), x, into=y)


def _other_side(draft: Draft, x: Tensor) -> Tensor:
    """sqrt((1 - x) (1 + x)), which keeps its digits near 1."""
    product = term(draft, "MUL", term(draft, "SUB", _one(draft), x), term(draft, "ADD", x, 1.0))
    return term(draft, "SQRT", product)


def _one(draft: Draft) -> Tensor:
    return draft.constant(np.asarray(1.0, np.float32), "constant")


FUNCTIONS: Mapping[str, Function] = {
    "Softplus": _softplus,
    "Softsign": _softsign,
    "Mish": _mish,
    "Erf": _erf,
    "Tan": _tan,
    "Sinh": partial(_hyperbolic, code="SUB"),
    "Cosh": partial(_hyperbolic, code="ADD"),
    "Asinh": _asinh,
    "Acosh": _acosh,
    "Atanh": _atanh,
    "Asin": _asin,
    "Acos": _acos,
    "Atan": _atan,
}
FAMILIES: Mapping[str, Family] = {
    "Swish": _swish,
    "Elu": _elu,
    "Selu": _selu,
    "Celu": _celu,
    "ThresholdedRelu": _thresholded_relu,
    "Shrink": _shrink,
}
