import pytest

from edgekit.graph import source
from tests.models import graph, node

OWN = 'File "/home/me/net/model.py", line 41, in forward'
LIBRARY = 'File "/venv/lib/python3.11/site-packages/torch/nn/modules/conv.py", line 500, in forward'


@pytest.mark.parametrize(
    ("trace", "line"),
    [
        (f"{OWN}\n{LIBRARY}", "model.py:41"),
        (f'File "/home/me/net/main.py", line 3, in run\n{OWN}\n{LIBRARY}', "model.py:41"),
        (LIBRARY, None),
        ("", None),
    ],
    ids=["own", "innermost", "library", "none"],
)
def test_the_line_is_the_users(trace, line):
    relu = graph({"x": (1, 4)}, [node("Relu", ["x"])]).graph[0]
    relu.metadata_props[source.STACK_TRACE] = trace
    assert source.source_line(relu) == line
    assert source.describe(relu) == "Relu 'node_y'" + (f" ({line})" if line else "")
