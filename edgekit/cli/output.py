"""How a command hands its result to stdout."""

from __future__ import annotations

import sys

from rich.console import Console


def console() -> Console:
    """stdout, with colours only on a terminal; nothing printed through it is read as markup."""
    return Console(file=sys.stdout, markup=False, highlight=False, emoji=False)


def print_json(record: object) -> None:
    """One document with schema_version."""
    from edgekit.report.json import to_json

    print(to_json(record))
