"""Shares, the scale to the whole, and what is said against them."""

from __future__ import annotations

import pytest

from edgekit.profile import answer
from edgekit.profile.per_op import PerOp, of_cuts, of_profile
from edgekit.profile.single_ops import Cut, Cuts, FileOp

CUT = Cut(pieces=((0, 0, 8),), inputs=(0,))


def profiled(*times: tuple[str, float], whole_s: float = 0.004) -> PerOp:
    ops = [answer.Op(node=name, op="Conv", median_s=time) for name, time in times]
    return of_profile(ops, whole_s, {"a": "net.py:3", "b": "net.py:4"})


def alone(median_s: float | None, failure: str | None = None) -> answer.Alone:
    return answer.Alone(median_s=median_s, runs=0 if median_s is None else 20, failure=failure)


def cut(*numbers: int | None) -> Cuts:
    ops = tuple(
        FileOp(node=f"y{i}", op="CONV_2D", cut=number, why=None if number is not None else "it runs other graphs")
        for i, number in enumerate(numbers)
    )
    return Cuts(ops=ops, cuts=(CUT,) * (1 + max((n for n in numbers if n is not None), default=-1)), own=b"")


def test_the_slowest_first_and_all_add_up_to_the_file() -> None:
    found = profiled(("a", 0.001), ("b_nchwc", 0.004), ("c", 0.0), whole_s=0.004)
    assert [(op.node, op.share, op.source) for op in found.ops] == [
        ("b_nchwc", 0.8, "net.py:4"),
        ("a", 0.2, "net.py:3"),
        ("c", 0.0, None),
    ]
    assert (found.sum_s, found.scale, found.kinds) == (0.005, pytest.approx(0.8), None)
    assert sum(op.scaled_s for op in found.ops) == pytest.approx(0.004)
    assert found.doubts == ()


def test_no_time_at_all() -> None:
    found = profiled(("c", 0.0))
    assert (found.ops[0].share, found.scale) == (0.0, 1.0)
    assert found.doubts == ("no op could be measured by itself",)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("a", "net.py:3"),
        ("a_quantized_transposed", "net.py:3"),
        ("a_unquantized", "net.py:3"),
        ("a_7", None),
        ("_quantized", None),
    ],
)
def test_a_value_in_another_form_is_from_the_same_line(name: str, line: str | None) -> None:
    assert profiled((name, 0.001)).ops[0].source == line


def test_each_op_of_a_kind_has_the_time_of_the_kind() -> None:
    found = of_cuts(cut(0, 1, 0), [alone(0.001), alone(0.002)], 0.004, {"y2": "net.py:9"})
    assert [(op.node, op.median_s) for op in found.ops] == [("y1", 0.002), ("y0", 0.001), ("y2", 0.001)]
    assert found.ops[2].source == "net.py:9"
    assert (found.kinds, found.sum_s, found.scale, found.left_out) == (2, 0.004, 1.0, ())


def test_what_could_not_be_measured_is_named() -> None:
    told = [alone(0.003), alone(None, "no kernel"), alone(None)]
    found = of_cuts(cut(0, 1, None, 2), told, 0.004, {})
    assert [(left.node, left.why) for left in found.left_out] == [
        ("y1", "no kernel"),
        ("y2", "it runs other graphs"),
        ("y3", "no run was timed"),
    ]
    assert found.kinds == 1
    assert found.doubts == ("3 ops could not be measured alone, and the others' times hold theirs",)


@pytest.mark.parametrize(("whole_s", "times"), [(0.001, "2"), (0.01, "0.2")])
def test_a_scale_far_from_one_is_doubted(whole_s: float, times: str) -> None:
    (doubt,) = of_cuts(cut(0), [alone(0.002)], whole_s, {}).doubts
    assert f"its ops by themselves take {times} times what it takes" in doubt


def test_as_many_answers_as_cuts() -> None:
    with pytest.raises(ValueError, match="it measured 0 ops, 2 were given"):
        of_cuts(cut(0, 1), [], 0.004, {})
