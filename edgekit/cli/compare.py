"""`edgekit compare A B`: do two files compute the same?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit import units
from edgekit.cli import options
from edgekit.cli.progress import watching
from edgekit.errors import EdgekitError, Exit

if TYPE_CHECKING:
    from edgekit.verify.result import Verification

First = Annotated[Path, typer.Argument(help="The file to compare with.", metavar="A", show_default=False)]
Second = Annotated[Path, typer.Argument(help="The file to judge.", metavar="B", show_default=False)]
MinAgreement = Annotated[
    float | None,
    typer.Option(
        "--min-agreement",
        metavar="SHARE",
        min=0,
        max=1,
        help="Smallest share of equal top-1, 0 to 1. Default: no limit.",
    ),
]
MaxDrop = Annotated[
    float | None,
    typer.Option(
        "--max-drop",
        metavar="DROP",
        help="Largest measured drop of B: points, dB, or % of A's error (mse, mae). Default: no limit.",
    ),
]


def compare(
    context: typer.Context,
    first: First,
    second: Second,
    data: options.Data = None,
    eval: options.Evaluation = None,
    min_agreement: MinAgreement = None,
    max_drop: MaxDrop = None,
    metric: options.Metric = None,
    layers: options.Layers = None,
    recipe: options.Recipe = None,
    resize: options.Resize = None,
    crop: options.Crop = None,
    scale: options.Scale = None,
    mean: options.Mean = None,
    std: options.Std = None,
    samples_layout: options.SamplesLayout = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> int:
    """Run two files on the same samples and say how they differ."""
    wanted = options.recipe({**context.params, "path": str(first), "max_drop": None})  # of a comparison, not a budget
    from edgekit import pipeline
    from edgekit.cli import result

    with watching(verbose) as progress:
        verification = pipeline.compare(first, second, wanted, progress)
    broken = broken_limits(verification, min_agreement, max_drop)
    if json:
        result.print_json({"verification": verification, "broken_limits": broken})
    else:
        result.print_verification(verification)
        for sentence in broken:
            typer.echo(f"failed: {sentence}", err=True)
    return Exit.FAILED if broken else Exit.DONE


def broken_limits(verification: Verification, min_agreement: float | None, max_drop: float | None) -> tuple[str, ...]:
    """A sentence for each limit that does not hold. max_drop: in the unit of `verify.limits`."""
    broken = []
    if min_agreement is not None:
        agreed = [agreement.top1 for agreement in verification.agreements if agreement.top1 is not None]
        if not agreed:
            raise _nothing_for("--min-agreement", "the outputs are not those of a classifier")
        if min(agreed) < min_agreement:
            broken.append(f"top-1 agrees for {units.percent(min(agreed), 2)}, wanted {units.percent(min_agreement, 2)}")
    if max_drop is not None:
        from edgekit.verify import limits

        drop = limits.largest(verification, verification.scores)
        if drop is None:
            raise _nothing_for("--max-drop", "no drop could be computed")
        if drop.measured > max_drop:
            unit = limits.unit(verification)
            seen, allowed = (limits.in_words(value, unit) for value in (drop.measured, max_drop))
            broken.append(f"the drop is {seen}, allowed {allowed}")
    return tuple(broken)


def _nothing_for(option: str, why: str) -> EdgekitError:
    return EdgekitError(
        "EK992", f"cannot judge {option}", why, f"leave {option} out, or give other samples with --data"
    )
