"""How a node of the model is found among the ops that ran."""

from edgekit.artifact import REORDERED
from edgekit.verify import ledger
from edgekit.verify.executed import ExecutedOp
from tests.models import graph, node, weights

MODEL = graph({"x": (1, 4, 6, 6)}, [node("Conv", ["x", "w"])], {"w": weights(4, 4, 3, 3)})
ASKED = ledger.Asked(int8_nodes=frozenset(), aliases={}, excuse="")


def test_by_an_output_whose_channels_stand_in_another_order():
    op = ExecutedOp(name="", op="CONV_2D", outputs=(f"y{REORDERED}",), dtype="int8")
    (row,) = ledger._rows(MODEL, [op], ASKED)
    assert row.precision == "int8"
