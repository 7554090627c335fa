"""How a command hands its result to stdout. Imported inside commands only: rich takes a tenth of a second."""

from __future__ import annotations

import sys

from rich.console import Console

from edgekit.errors import Exit
from edgekit.report.facts import Report
from edgekit.report.json import to_json
from edgekit.report.summary import budget_in_words
from edgekit.report.terminal import show, show_verification, to_text
from edgekit.verify.result import Verification


def print_report(report: Report, json: bool) -> Exit:
    """The exit code with it: a budget that could not be kept is a failure, whatever was written."""
    console = _console()
    if json:
        print(report.to_json())
    elif console.is_terminal:
        show(report, console)
    else:
        print(to_text(report, console.width))
    if report.budget is None or report.budget.met:
        return Exit.DONE
    print(f"failed: {budget_in_words(report)}", file=sys.stderr)
    return Exit.FAILED


def print_verification(verification: Verification) -> None:
    console = _console()
    if console.is_terminal:
        show_verification(verification, console)
    else:
        print(to_text(verification, console.width))


def print_json(record: object) -> None:
    """One document with schema_version."""
    print(to_json(record))


def _console() -> Console:
    """stdout, with colours only on a terminal; nothing printed through it is read as markup."""
    return Console(file=sys.stdout, markup=False, highlight=False, emoji=False)
