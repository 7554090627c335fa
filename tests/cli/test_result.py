"""What a report means for the build that asked for it."""

from dataclasses import replace

import pytest

from edgekit.cli.result import print_report
from edgekit.errors import Exit
from edgekit.report import BudgetFacts
from tests.reports import REPORT

BUDGET = BudgetFacts(
    max_drop=0.5,
    unit="points",
    met=True,
    drop=0.06,
    upper=0.17,
    least=0.04,
    samples=10_000,
    samples_needed=1_000,
    candidates=(),
    shares={"int8": 1.0, "int16": 0.0, "float32": 0.0},
)


@pytest.mark.parametrize("json", [False, True])
def test_a_budget_that_is_not_kept_is_a_failure(json, capsys):
    kept, broken = (replace(REPORT, budget=replace(BUDGET, met=met)) for met in (True, False))
    assert print_report(REPORT, json) == print_report(kept, json) == Exit.DONE
    assert capsys.readouterr().err == ""
    assert print_report(broken, json) == Exit.FAILED
    assert capsys.readouterr().err.startswith("failed: the drop is 0.06 points and may be 0.17 (95 %); 0.5 allowed")
