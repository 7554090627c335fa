from __future__ import annotations

from edgekit.profile.ops import UNCOUNTED, per_node


def event(name: str, microseconds: int, category: str = "Node") -> dict[str, object]:
    return {"cat": category, "name": name, "dur": microseconds, "args": {"op_name": "Conv"}}


def test_the_first_runs_do_not_count() -> None:
    slow, fast = [event("conv_kernel_time", 900)] * UNCOUNTED, [event("conv_kernel_time", t) for t in (30, 10, 20)]
    others = [event("model_run", 5, "Session"), event("conv_fence_before", 1)]
    assert per_node([*slow, *others, *fast]) == [{"node": "conv", "op": "Conv", "median_s": 2e-05}]


def test_few_runs_count_all() -> None:
    assert per_node([event("conv_kernel_time", 40)])[0]["median_s"] == 4e-05
    assert per_node([]) == []
