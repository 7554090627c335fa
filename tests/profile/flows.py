"""Flows built by hand, for the tests of memory."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.profile.flow import Flow, Op, Tensor


def tensor(name: str, *shape: int, dtype: str = "int8", **more: bool | int) -> Tensor:
    told = {"constant": False, "variable": False, "scales": 1} | more
    return Tensor(name=name, dtype=dtype, shape=shape, **told)  # type: ignore[arg-type]


def flow(
    tensors: Sequence[Tensor],
    ops: Sequence[tuple[str, Sequence[int], Sequence[int]]],
    inputs: Sequence[int] = (0,),
    outputs: Sequence[int] = (-1,),
    graphs: int = 1,
) -> Flow:
    """ops: kind, inputs, outputs; tensors by number."""
    return Flow(
        tensors=tuple(tensors),
        ops=tuple(Op(kind=kind, inputs=tuple(taken), outputs=tuple(made)) for kind, taken, made in ops),
        inputs=tuple(inputs),
        outputs=tuple(number % len(tensors) for number in outputs),
        graphs=graphs,
    )
