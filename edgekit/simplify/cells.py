"""One step of a recurrent cell, in plain ops.

    LSTM    i, o, f = s(x_iof + R_iof h)    g = tanh(x_g + R_g h)       c' = f c + i g      h' = o tanh(c')
    GRU     z, r = s(x_zr + R_zr h)         n = tanh(x_n + r (R_n h + b))                   h' = n + z (h - n)
            with linear_before_reset = 0:   n = tanh(x_n + R_n (r h))
    RNN     h' = tanh(x + R h)

x_... is the input's part of a gate with every bias that can be added to it; `recurrent.py` computes it for all steps at
once. A state of None is zero, and what it would be multiplied with is left out.
Source: the ONNX operators LSTM, GRU and RNN (equations, order of the gates, defaults).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgekit.simplify.tape import Tape

GATES: Mapping[str, int] = {"LSTM": 4, "GRU": 3, "RNN": 1}
ACTIVATIONS: Mapping[str, tuple[str, ...]] = {
    "LSTM": ("Sigmoid", "Tanh", "Tanh"),
    "GRU": ("Sigmoid", "Tanh"),
    "RNN": ("Tanh",),
}
State = ir.Value | None


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One direction of a recurrent node; weights are constants of the graph, so that all steps read the same ones.

    name: of the direction; blocks: the matrices R (G H, H) that multiply a state, each with its bias, if it has one;
    inner_bias: (H,) of a GRU's linear_before_reset; peepholes: (H,) each for i, o, f; clip: of what activations take;
    coupled: f = 1 - i.
    """

    tape: Tape
    name: str
    hidden: int
    blocks: tuple[tuple[ir.Value, ir.Value | None], ...]
    activations: tuple[str, ...]
    inner_bias: ir.Value | None = None
    peepholes: tuple[ir.Value, ...] = ()
    clip: float | None = None
    coupled: bool = False

    def product(self, label: str, h: ir.Value, block: int = 0) -> ir.Value:
        """R h + b. At every step of the direction, its result has one scale."""
        weight, bias = self.blocks[block]
        assert weight.shape is not None
        shape = [self.tape.batch, weight.shape[0]]
        made = self.tape.linear("Gemm", label, [h, weight, *([bias] if bias is not None else [])], shape, transB=1)
        return self.tape.family(made, f"{self.name}_product{block}")

    def real(self, op: str, label: str, *inputs: ir.Value) -> ir.Value:
        return self.tape.real(op, label, inputs, [self.tape.batch, max(map(Tape.width, inputs))])

    def activated(self, which: int, label: str, x: ir.Value) -> ir.Value:
        if self.clip is not None:
            low, high = (self.tape.constant("clip", np.asarray(bound, np.float32)) for bound in (-self.clip, self.clip))
            x = self.tape.real("Clip", f"{label}_clipped", [x, low, high], [self.tape.batch, Tape.width(x)])
        return self.real(self.activations[which], label, x)

    def state(self, h: ir.Value) -> ir.Value:
        return self.tape.family(h, f"{self.name}_state")


def lstm(cell: Cell, step: str, x: ir.Value, h: State, c: State) -> tuple[State, State]:
    gates = x if h is None else cell.real("Add", f"{step}_gates", x, cell.product(f"{step}_product", h))
    i, o, f, g = cell.tape.split(f"{step}_split", gates, 4)
    peep_i, peep_o, peep_f = cell.peepholes or (None, None, None)
    i = cell.activated(0, f"{step}_i", _peeped(cell, f"{step}_i", i, peep_i, c))
    g = cell.activated(1, f"{step}_g", g)
    new = cell.real("Mul", f"{step}_new", i, g)
    if c is not None:
        if cell.coupled:
            f = cell.real("Sub", f"{step}_f", cell.tape.constant("one", np.ones(1, np.float32)), i)
        else:
            f = cell.activated(0, f"{step}_f", _peeped(cell, f"{step}_f", f, peep_f, c))
        new = cell.real("Add", f"{step}_c", cell.real("Mul", f"{step}_kept", f, c), new)
    o = cell.activated(0, f"{step}_o", _peeped(cell, f"{step}_o", o, peep_o, new))
    return cell.state(cell.real("Mul", f"{step}_h", o, cell.real(cell.activations[2], f"{step}_out", new))), new


def _peeped(cell: Cell, label: str, gate: ir.Value, peephole: ir.Value | None, c: State) -> ir.Value:
    """The gate with the cell state's part in it."""
    if peephole is None or c is None:
        return gate
    return cell.real("Add", f"{label}_peeped", gate, cell.real("Mul", f"{label}_peephole", c, peephole))


def gru(cell: Cell, step: str, x: ir.Value, h: State, _: State) -> tuple[State, State]:
    x_z, x_r, x_n = cell.tape.split(f"{step}_split", x, 3)
    if len(cell.blocks) == 1:
        z, n = _reset_after(cell, step, (x_z, x_r, x_n), h)
    else:
        z, n = _reset_before(cell, step, (x_z, x_r, x_n), h)
    if h is None:  # n + z (0 - n)
        return cell.state(cell.real("Sub", f"{step}_h", n, cell.real("Mul", f"{step}_left", z, n))), None
    change = cell.real("Mul", f"{step}_kept", z, cell.real("Sub", f"{step}_change", h, n))
    return cell.state(cell.real("Add", f"{step}_h", change, n)), None


def _reset_after(cell: Cell, step: str, x: tuple[ir.Value, ...], h: State) -> tuple[ir.Value, ir.Value]:
    """z and n with linear_before_reset."""
    (x_z, x_r, x_n), inner = x, cell.inner_bias
    if h is not None:
        h_z, h_r, inner = cell.tape.split(f"{step}_product_split", cell.product(f"{step}_product", h), 3)
        x_z, x_r = cell.real("Add", f"{step}_z_sum", x_z, h_z), cell.real("Add", f"{step}_r_sum", x_r, h_r)
    z, r = cell.activated(0, f"{step}_z", x_z), cell.activated(0, f"{step}_r", x_r)
    if inner is not None:
        x_n = cell.real("Add", f"{step}_n_sum", x_n, cell.real("Mul", f"{step}_reset", r, inner))
    return z, cell.activated(1, f"{step}_n", x_n)


def _reset_before(cell: Cell, step: str, x: tuple[ir.Value, ...], h: State) -> tuple[ir.Value, ir.Value]:
    x_z, x_r, x_n = x
    if h is None:
        return cell.activated(0, f"{step}_z", x_z), cell.activated(1, f"{step}_n", x_n)
    h_z, h_r = cell.tape.split(f"{step}_product_split", cell.product(f"{step}_product", h), 2)
    z = cell.activated(0, f"{step}_z", cell.real("Add", f"{step}_z_sum", x_z, h_z))
    r = cell.activated(0, f"{step}_r", cell.real("Add", f"{step}_r_sum", x_r, h_r))
    reset = cell.tape.family(cell.real("Mul", f"{step}_reset", r, h), f"{cell.name}_reset")
    inner = cell.product(f"{step}_inner", reset, block=1)
    return z, cell.activated(1, f"{step}_n", cell.real("Add", f"{step}_n_sum", x_n, inner))


def rnn(cell: Cell, step: str, x: ir.Value, h: State, _: State) -> tuple[State, State]:
    gates = x if h is None else cell.real("Add", f"{step}_gates", x, cell.product(f"{step}_product", h))
    return cell.state(cell.activated(0, f"{step}_h", gates)), None


Step = Callable[[Cell, str, ir.Value, State, State], tuple[State, State]]
STEPS: Mapping[str, Step] = {"LSTM": lstm, "GRU": gru, "RNN": rnn}
