"""How a command hands its result to stdout. Imported inside commands only: rich takes a tenth of a second."""

from __future__ import annotations

import sys

from rich.console import Console

from edgekit.report.facts import Report
from edgekit.report.json import to_json
from edgekit.report.terminal import show, show_verification
from edgekit.verify.result import Verification


def print_report(report: Report, json: bool) -> None:
    if json:
        print(report.to_json())
    else:
        show(report, _console())


def print_verification(verification: Verification) -> None:
    show_verification(verification, _console())


def print_json(record: object) -> None:
    """One document with schema_version."""
    print(to_json(record))


def _console() -> Console:
    """stdout, with colours only on a terminal; nothing printed through it is read as markup."""
    return Console(file=sys.stdout, markup=False, highlight=False, emoji=False)
