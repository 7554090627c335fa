"""`edgekit recipe ...`: start a recipe, look whether it is one, and what an editor needs to know of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli import options
from edgekit.cli.door import in_words
from edgekit.errors import EdgekitError, Exit
from edgekit.plain import plain

HELP = "Start a recipe, check recipes, or print their schema."

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="The trained model, or file.py:factory.", show_default=False)
]
File = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The recipe to write.")]
Recipes = Annotated[list[Path], typer.Argument(metavar="RECIPE...", help="TOML files.", show_default=False)]


def recipe() -> typer.Typer:
    """The commands under `edgekit recipe`."""
    made = typer.Typer(name="recipe", help=HELP, add_completion=False, rich_markup_mode=None)
    for command in (init, validate, schema):
        made.command()(command)
    return made


def init(
    path: Model,
    model: options.Factory = None,
    data: options.Data = None,
    calib: options.Calibration = None,
    eval: options.Evaluation = None,
    train: options.Training = None,
    device: options.Device = None,
    output: File = Path("recipe.toml"),
    overwrite: options.Overwrite = None,
) -> None:
    """Write a recipe for a model, with what else may be wanted as comments."""
    from edgekit import staging
    from edgekit.paths import atomic
    from edgekit.recipe import load_recipe
    from edgekit.starter import starter

    staging.refuse_existing(output.parent, [output.name], bool(overwrite))
    samples = {"data": data, "calibration": calib, "evaluation": eval, "training": train}
    text = starter(output.parent, path, model, samples, device)
    with atomic(output) as part:
        part.write_text(text, encoding="utf-8")
        load_recipe(part)  # such as --data beside --calib is refused before anything is written
    print(plain(f"{output}: edit it, then edgekit build {output}"))


def validate(paths: Recipes) -> int:
    """Say of each recipe that it is one and that what it names is there, or what is wrong with it."""
    worst = Exit.DONE
    for path in paths:
        try:
            print(plain(f"{path}: {_checked(path)}"))
        except EdgekitError as error:
            print(in_words(error), file=sys.stderr)
            worst = max(worst, error.exit)
    return worst


def schema() -> None:
    """Print the JSON Schema of recipes, for an editor that completes and checks TOML."""
    import json

    from edgekit.recipe import Recipe as RecipeRecord

    print(json.dumps(RecipeRecord.model_json_schema(), indent=1, ensure_ascii=False))


def _checked(path: Path) -> str:
    from edgekit.locking.watched import watched
    from edgekit.recipe import load_recipe
    from edgekit.schema import read_toml

    whole = "model" in read_toml(path)
    # Something that is there stands in for the model of a recipe that is made to go with any.
    recipe = load_recipe(path, {} if whole else {"model": {"path": str(path)}})
    watched(recipe, path.resolve().parent)
    return "OK" if whole else f"OK, without a model: edgekit quantize MODEL --recipe {path}"
