"""`edgekit explain CODE`: the page behind an error."""

from __future__ import annotations

import difflib
import textwrap
from typing import Annotated

import typer

from edgekit.cli import options
from edgekit.errors import PAGES, EdgekitError, Page

Code = Annotated[str | None, typer.Argument(help="An error's code, such as EK203. Without one: all of them.")]


def explain(code: Code = None, json: options.Json = False) -> None:
    """Print what an error code means and what to do."""
    pages = PAGES if code is None else {_known(code): PAGES[_known(code)]}
    if json:
        from edgekit.report.json import to_json

        print(to_json({"pages": pages}))
    elif code is None:
        for name, page in sorted(pages.items()):
            print(f"{name}  {page.title}")
    else:
        print("\n\n".join(_in_words(name, page) for name, page in pages.items()))


def _known(code: str) -> str:
    name = code.strip().upper()
    if name in PAGES:
        return name
    close = difflib.get_close_matches(name, PAGES, n=3)
    guess = f"did you mean {', '.join(close)}? " if close else ""
    raise EdgekitError(
        "EK191", f"no error has the code {code}", "it has no page", f"{guess}`edgekit explain` lists all"
    )


def _in_words(name: str, page: Page) -> str:
    text = textwrap.fill(page.text, 80)
    return f"{name}: {page.title}\n\n{text}\n\nExit code {int(page.exit)}."
