"""`edgekit devices recommend FILE ...`: which devices can carry it?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgekit import flags
from edgekit.cli import options
from edgekit.errors import Exit

if TYPE_CHECKING:
    from edgekit.profile.recommend import Candidate, Limits, SortKey

Files = Annotated[
    list[Path],
    typer.Argument(
        help="TFLite and ONNX files of one model: each device takes the one that it runs best.",
        metavar="FILE...",
        show_default=False,
    ),
]
Latency = Annotated[
    str | None, typer.Option("--latency", metavar="TIME", help="At most so long: 50ms. Default: any time.")
]
Energy = Annotated[
    str | None, typer.Option("--energy", metavar="ENERGY", help="Of one run, at most: 10mJ. Default: any.")
]
Power = Annotated[str | None, typer.Option("--power", metavar="POWER", help="Of the board, at most: 5W. Default: any.")]
Price = Annotated[str | None, typer.Option("--price", metavar="USD", help="At most, in dollars: 100. Default: any.")]
Ram = Annotated[
    str | None, typer.Option("--ram", metavar="SIZE", help="That the file needs, at most: 512KiB. Default: any.")
]
Security = Annotated[
    list[str] | None,
    typer.Option(
        "--security", metavar="WORDS", help="What the device must have: 'secure boot'; repeatable. Default: nothing."
    ),
]
Evidence = Annotated[
    Literal["A", "B", "C", "D"] | None,
    typer.Option("--evidence", help="What estimates must be known from: A (best) to D (a guess). Default: D."),
]
Sort = Annotated[
    Literal["latency", "energy", "power", "price", "ram", "evidence"] | None,
    typer.Option("--sort", help="What comes first, the smallest. Default: the first limit that is given, or latency."),
]
Device = Annotated[
    list[str] | None,
    typer.Option(
        "--device", metavar="NAME", help="Only this one, by name or TOML file; repeatable. Default: all of edgekit's."
    ),
]
FEASIBLE = ("kept", "perhaps")
SORTABLE: tuple[SortKey, ...] = ("latency", "energy", "power", "price", "ram", "evidence")


def recommend(
    context: typer.Context,
    files: Files,
    latency: Latency = None,
    energy: Energy = None,
    power: Power = None,
    price: Price = None,
    ram: Ram = None,
    security: Security = None,
    evidence: Evidence = None,
    sort: Sort = None,
    device: Device = None,
    json: options.Json = False,
) -> int:
    """List the devices that can carry a model file within limits, and say of the others why not.

    Times and energies are estimates: nothing is run. A limit counts as kept where the upper end of the interval keeps
    it, and perhaps where only the middle does. Exit code 1 where no device is feasible, 5 where all are so perhaps.
    """
    read = {name: flags.quantity(f"--{name}", text) for name, text in _said(context).items()}
    from edgekit import profiling
    from edgekit.profile.recommend import Limits

    limits = Limits(
        latency_s=read.get("latency"),
        energy_j=read.get("energy"),
        power_w=read.get("power"),
        price_usd=read.get("price"),
        ram_bytes=read.get("ram"),
        security=tuple(security or ()),
        evidence=evidence,
    )
    given = [name for name in context.params if context.params[name] is not None]  # in the order of the command line
    first: list[SortKey] = [key for name in given for key in SORTABLE if key == name]
    key = sort or (first[0] if first else "latency")
    found = profiling.recommended(files, limits, key, device or ())
    _print(found, limits, key, json)
    if all(one.verdict != "kept" for one in found):
        return Exit.INCONCLUSIVE if any(one.feasible for one in found) else Exit.FAILED
    return Exit.DONE


def _print(found: Sequence[Candidate], limits: Limits, key: SortKey, json: bool) -> None:
    if json:
        from edgekit.report.json import to_json

        told = [{**vars(one), "verdict": one.verdict, "reasons": one.reasons} for one in found]
        good, bad = ([one for one in told if (one["verdict"] in FEASIBLE) is feasible] for feasible in (True, False))
        print(to_json({"kind": "estimated", "limits": limits, "sorted_by": key, "feasible": good, "infeasible": bad}))
    else:
        from edgekit.report.candidates import candidates_in_words

        print(candidates_in_words(found, limits, key))


def _said(context: typer.Context) -> dict[str, str]:
    """Limits with a unit, as they were written."""
    return {name: text for name, text in context.params.items() if f"--{name}" in flags.QUANTITIES and text is not None}
