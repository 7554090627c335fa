"""`edgekit build RECIPE`: what a recipe says, where it is not done yet."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit import units
from edgekit.cli import options
from edgekit.cli.interruption import too_late
from edgekit.cli.progress import watching
from edgekit.errors import Exit
from edgekit.plain import plain

if TYPE_CHECKING:
    from edgekit.build import Built

Recipe = Annotated[Path, typer.Argument(metavar="RECIPE", help="TOML file that names a model and what to do with it.")]
Locked = Annotated[
    bool,
    typer.Option(
        "--locked", help="Build aside, and fail where a byte is not as recipe.lock says; nothing is replaced."
    ),
]


def build(
    path: Recipe = Path("recipe.toml"),
    locked: Locked = False,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> int:
    """Make the files of a recipe, where anything has changed."""
    from edgekit import build as builds

    with watching(verbose) as progress:
        made = builds.build_locked(path, progress) if locked else builds.build(path, progress)
        too_late()
    if made.report is not None and not locked:
        from edgekit.cli import result

        return result.print_report(made.report, json)
    print(made.document if json else _line(made, locked))
    return Exit.DONE if made.lock.met is not False else _missed(made)


def _line(made: Built, locked: bool) -> str:
    files = units.plural(len(made.lock.outputs), "file")
    if locked:
        return f"as locked: {files} built again, and every byte is the same"
    return plain(f"up to date: {files} in {made.directory}")


def _missed(made: Built) -> Exit:
    print(f"failed: over its budget, as {plain(str(made.directory / 'report.json'))} says", file=sys.stderr)
    return Exit.FAILED
