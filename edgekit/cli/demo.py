"""`edgekit demo`: train a small network on handwritten digits, then take it down the whole street."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli import options
from edgekit.cli.interruption import too_late
from edgekit.cli.progress import watching
from edgekit.errors import EdgekitError

Folder = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for everything that the demo makes.")
]


def demo(
    output: Folder = Path("edgekit-demo"),
    overwrite: options.Overwrite = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the training.")] = 0,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Train a small CNN on handwritten digits and quantize it."""
    if importlib.util.find_spec("sklearn") is None:
        fix = "pip install 'edgekit[demo]'"
        raise EdgekitError("EK991", "the demo has no digits to learn", "scikit-learn is not installed", fix)
    recipe = options.recipe({**_arguments(output), "overwrite": overwrite, "seed": seed})
    from edgekit import pipeline
    from edgekit.cli import demo_training, result

    demo_training.prepare(output, overwrite=bool(overwrite), seed=seed)
    _say(f"\nwhat follows is the same as\n\n  {_command(output)}\n")
    with watching(verbose) as progress:
        report = pipeline.quantize(recipe, progress)
        too_late()
    result.print_report(report, json)


def _arguments(folder: Path) -> dict[str, object]:
    """The options of `edgekit quantize` that the demo stands for."""
    return {
        "path": str(folder / "digits.pt"),
        "model": f"{folder / 'digits.py'}:digits_net",
        "calib": str(folder / "digits-train.npz"),
        "eval": str(folder / "digits-test.npz"),
        "scale": "1/16",
        "output": folder,
    }


def _command(folder: Path) -> str:
    return " \\\n      ".join(
        (
            f"edgekit quantize {folder / 'digits.pt'} --model {folder / 'digits.py'}:digits_net",
            f"--calib {folder / 'digits-train.npz'} --eval {folder / 'digits-test.npz'} --scale 1/16",
            f"-o {folder}",
        )
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
