"""Text from outside (names in a model, paths, messages of a library) made safe to print.

A tensor may be called "\\x1b]0;...": printed as it is, it would steer the user's terminal.
"""

from __future__ import annotations

import unicodedata

# Cc control, Cf format (bidirectional overrides, zero-width), Cs lone surrogates, Zl/Zp line and paragraph separators.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def plain(text: object, keep: str = "") -> str:
    """`text` with every character that a terminal would act on shown as its escape; keep: characters left alone."""
    return "".join(char if char in keep or not _unsafe(char) else _escape(char) for char in str(text))


def first_name(text: object) -> str:
    """Of a tensor that TensorFlow named after all ops that were fused into one, "a;b;c": the first, made plain."""
    first, more, _ = str(text).partition(";")
    return plain(first) + (";..." if more else "")


def _unsafe(char: str) -> bool:
    return unicodedata.category(char) in _UNSAFE


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
