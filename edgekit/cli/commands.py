"""The command line: words in, one call, words out. Torch and the runtimes load only inside commands that need them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from edgekit.cli.build import build
from edgekit.cli.compare import compare
from edgekit.cli.convert import convert
from edgekit.cli.demo import demo
from edgekit.cli.devices import devices
from edgekit.cli.doctor import doctor
from edgekit.cli.door import guarded
from edgekit.cli.explain import explain
from edgekit.cli.inspect import inspect
from edgekit.cli.profile import profile
from edgekit.cli.prune import prune
from edgekit.cli.quantize import quantize
from edgekit.cli.recipe import recipe
from edgekit.cli.report import report

HELP = """From a trained model to verified INT8 ONNX and TFLite files for small devices.

Start with: edgekit demo
"""

EPILOG = (
    "Exit codes: 0 done, 1 comparison failed, 2 usage, 3 not supported, 4 environment, 5 inconclusive, 6 refused, "
    "7 out of memory or time, 70 a bug, 130 interrupted."
)


def _version(wanted: bool) -> None:
    if wanted:
        from edgekit import __version__

        print(f"edgekit {__version__}")
        raise typer.Exit


def _edgekit(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Options of edgekit itself."""


def app() -> typer.Typer:
    """Every command, in the order of the street."""
    made = typer.Typer(
        name="edgekit",
        help=HELP,
        epilog=EPILOG,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback()(_edgekit)
    for command in (quantize, prune, convert, build, inspect, compare, profile, report, demo, doctor, explain):
        made.command()(command)
    made.add_typer(devices())
    made.add_typer(recipe())
    return made


def run(arguments: Sequence[str]) -> int:
    """One command line; returns its exit code."""
    return guarded(lambda: _invoke(list(arguments)))


def _invoke(arguments: list[str]) -> int | None:
    command = typer.main.get_command(app())
    with command.make_context("edgekit", arguments or ["--help"]) as context:
        code: int | None = command.invoke(context)
    return code
