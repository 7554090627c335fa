"""Time per op of an ONNX file, from ONNX Runtime's own profile. Runs on the device.

Part of the agent: Python 3.8. The profile is written by a session of its own, after everything else was measured:
looking at each op costs time, so that the shares are what to believe, not the sum. The runtimes of TFLite tell nobody
in Python: their ops are run one by one (`alone.py`).
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, Dict, List

RUNS = 20
UNCOUNTED = 3  # the first ones, which fill caches
ENDING = "_kernel_time"


def of_onnx(open_session: Any, options: Any, feed: Dict[str, Any]) -> List[Dict[str, Any]]:
    """Per node, as the runtime executes it: name, op, median_s over the counted runs; in the order of execution.

    open_session: takes the options and gives a session; options: onnxruntime's SessionOptions.
    """
    with tempfile.TemporaryDirectory() as folder:
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = open_session(options)
        for _ in range(RUNS):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return per_node(events)


def per_node(events: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """events: of the profile; dur in microseconds."""
    spent: Dict[str, List[float]] = {}
    ops: Dict[str, str] = {}
    for event in events:
        name = event.get("name", "")
        if event.get("cat") == "Node" and name.endswith(ENDING):
            node = name[: -len(ENDING)]
            spent.setdefault(node, []).append(event["dur"] / 1e6)
            ops[node] = event.get("args", {}).get("op_name", "")
    counted = {node: times[UNCOUNTED:] or times for node, times in spent.items()}
    return [{"node": node, "op": ops[node], "median_s": sorted(t)[len(t) // 2]} for node, t in counted.items()]
