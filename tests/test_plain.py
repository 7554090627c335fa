from __future__ import annotations

import pytest

from edgekit.plain import first_name, plain


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("conv1", "conv1"),
        ("größe/層", "größe/層"),
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x9b31m", "\\x9b31m"),
        ("abc\u202etxt", "abc\\u202etxt"),
        ("\ud800", "\\ud800"),
        ("line\u2028break", "line\\u2028break"),
    ],
)
def test_what_a_terminal_acts_on_becomes_its_escape(text: str, safe: str) -> None:
    assert plain(text) == safe


def test_kept_characters_stay() -> None:
    assert plain("a\nb\x1b", keep="\n") == "a\nb\\x1b"


def test_the_first_of_fused_names():
    assert first_name("a/Relu;a/BiasAdd;conv") == "a/Relu;..."
    assert first_name("a/Relu") == "a/Relu"
    assert first_name("\x1b]0;b") == "\\x1b]0;..."
