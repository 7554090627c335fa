"""`edgekit report RUN...`: a page to show around."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli import options

Runs = Annotated[
    list[Path],
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


def _schema(wanted: bool) -> None:
    if wanted:
        import json

        from edgekit.report.document import document_schema

        print(json.dumps(document_schema(), indent=2, ensure_ascii=False))
        raise typer.Exit


Schema = Annotated[
    bool,
    typer.Option(
        "--schema", callback=_schema, is_eager=True, help="Print the JSON Schema of report.json instead of a page."
    ),
]


def report(
    runs: Runs,
    output: Page = None,
    overwrite: options.Overwrite = None,
    schema: Schema = False,
    json: options.Json = False,
) -> None:
    """Make one self-contained HTML page of a run, or of several side by side.

    The page opens from a disk, asks for nothing from a network, and may be sent around.
    """
    from edgekit import staging, units
    from edgekit.outputs import PAGE_NAME
    from edgekit.plain import plain
    from edgekit.report.html import to_html
    from edgekit.report.json import to_json
    from edgekit.report.read import read_run

    read = [read_run(place) for place in runs]
    page = output or (read[0].path.parent if len(read) == 1 else Path()) / PAGE_NAME
    staging.refuse_existing(page.parent, [page.name], bool(overwrite))
    text = to_html(read)
    with staging.staged(page.parent) as folder:
        (folder / page.name).write_text(text, encoding="utf-8")
    size_bytes = page.stat().st_size
    if json:
        print(to_json({"page": page, "size_bytes": size_bytes, "runs": [run.path for run in read]}))
    else:
        print(f"{plain(page)}  {units.size(size_bytes)}, {units.plural(len(read), 'run')}")
