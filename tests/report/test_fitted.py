from __future__ import annotations

from pathlib import Path

from edgekit.profile.fitted import FittedDevice, Skipped
from edgekit.report.fitted import fitted_in_words
from tests.profile.test_estimate import MODEL, device


def found(*skipped: Skipped) -> FittedDevice:
    return FittedDevice(on="ssh://pi", device=device(MODEL), nets=968, took_s=214.0, skipped=skipped)


def test_says_what_was_measured_and_how_far_it_may_be_off() -> None:
    words = fitted_in_words(found(), Path("pi.toml"))
    assert "968 nets on ssh://pi in 214 s" in words
    assert "tflite 2.7.1, 4 threads, int8: 3.0 % off on blocks that were left out (median), 90 % within 11 %" in words
    assert "edgekit profile FILE --device pi.toml" in words
    assert "\nleft out" not in words


def test_names_what_was_left_out_and_counts_the_rest() -> None:
    skipped = [Skipped(what=f"net {i}", why="no kernel\x1b[2J") for i in range(5)]
    words = fitted_in_words(found(*skipped), Path("pi.toml"))
    assert "left out    net 0: no kernel" in words
    assert "left out    2 more" in words
    assert "\x1b" not in words
