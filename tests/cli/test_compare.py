from __future__ import annotations

from dataclasses import replace

import pytest

from edgekit.cli.compare import broken_limits
from edgekit.errors import EdgekitError
from tests.reports import VERIFICATION


def test_limits_that_hold() -> None:
    assert broken_limits(VERIFICATION, None, None) == ()
    assert broken_limits(VERIFICATION, 0.9998, 0.06001) == ()


def test_limits_that_break() -> None:
    assert broken_limits(VERIFICATION, 0.9999, 0.05) == (
        "top-1 agrees for 99.98 %, wanted 99.99 %",
        "the drop is 0.06 points, allowed 0.05 points",
    )


def test_a_limit_in_the_metrics_own_unit() -> None:
    (sentence,) = broken_limits(replace(VERIFICATION, unit="dB"), None, 0.0001)
    assert sentence == "the drop is 0.0006 dB, allowed 0.0001 dB"


def test_a_limit_on_what_is_not_known() -> None:
    unknown = replace(VERIFICATION, agreements=(), scores=())
    with pytest.raises(EdgekitError, match="--min-agreement"):
        broken_limits(unknown, 0.5, None)
    with pytest.raises(EdgekitError, match="--max-drop"):
        broken_limits(unknown, None, 0.5)
