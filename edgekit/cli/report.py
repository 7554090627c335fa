"""`edgekit report RUN...`: a page to show around."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli import options
from edgekit.errors import EdgekitError

Runs = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Output folders of quantize, prune or convert, or the report.json in them.",
        metavar="RUN...",
        show_default=False,
    ),
]
Page = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="The page. Default: report.html, beside the report of a single run, else here.",
    ),
]


Schema = Annotated[
    bool,
    typer.Option("--schema", help="Print the JSON Schema of report.json instead of making a page."),
]


def report(
    runs: Runs = None,
    output: Page = None,
    overwrite: options.Overwrite = None,
    schema: Schema = False,
    json: options.Json = False,
) -> None:
    """Make an HTML page of a run, or of several side by side.

    The page opens from a disk, asks for nothing from a network, and may be sent around.
    """
    if schema:
        _print_schema()
    elif not runs:
        raise EdgekitError(
            "EK961",
            "no run is named",
            "a page is made of the report.json of a run, or of several",
            "name an output folder: edgekit report model-edgekit/",
        )
    else:
        _make_page(runs, output, overwrite=bool(overwrite), json=json)


def _make_page(runs: list[Path], output: Path | None, *, overwrite: bool, json: bool) -> None:
    from edgekit import staging, units
    from edgekit.outputs import PAGE_NAME
    from edgekit.plain import plain
    from edgekit.report.html import to_html
    from edgekit.report.json import to_json
    from edgekit.report.read import read_run

    read = [read_run(place) for place in runs]
    page = output or (read[0].path.parent if len(read) == 1 else Path()) / PAGE_NAME
    staging.refuse_existing(page.parent, [page.name], overwrite)
    text = to_html(read)
    with staging.staged(page.parent) as folder:
        (folder / page.name).write_text(text, encoding="utf-8")
    size_bytes = page.stat().st_size
    if json:
        print(to_json({"page": page, "size_bytes": size_bytes, "runs": [run.path for run in read]}))
    else:
        print(f"{plain(page)}  {units.size(size_bytes)}, {units.plural(len(read), 'run')}")


def _print_schema() -> None:
    import json

    from edgekit.report.document import document_schema

    print(json.dumps(document_schema(), indent=2, ensure_ascii=False))
