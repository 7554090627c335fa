"""A template, its values and the scripts become a page."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit import units
from edgekit.errors import EdgekitError
from edgekit.plain import plain

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).parent / "templates"
LEVEL = 6  # of gzip: a percent larger than 9, in a third of the time
INSTALL = "pip install 'edgekit[report]'"


def rendered(template: str, **values: object) -> str:
    """The page. Whatever is put into it is text, made plain and escaped, unless a template says otherwise."""
    plotly, script = plotly_js(), (FOLDER / "page.js").read_text(encoding="utf-8")
    return (
        environment()
        .get_template(template)
        .render(
            style=(FOLDER / "style.css").read_text(encoding="utf-8"),
            script=script,
            plotly=packed(plotly),
            policy=policy(script, plotly),
            **values,
        )
    )


def environment() -> Environment:
    """Raises EK991 without the extra."""
    try:
        import jinja2
        from markupsafe import Markup
    except ImportError:
        raise missing("jinja2") from None
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else "" if value is None else plain(value),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "size": units.size,
        "time": units.time,
        "percent": units.percent,
        "count": units.count,
        "whole": units.whole,
        "shape": units.shape,
        "plural": units.plural,
        "tied": tied,
        "raw": Markup,  # only for what stands in this folder
    }
    return made


def tied(text: str) -> str:
    """'2 000 samples, 95 %' with its numbers kept on one line."""
    return re.sub(r"(?<=\d) (?=\d{3}\b|%)", "\N{NO-BREAK SPACE}", text)


def plotly_js() -> str:
    """Plotly's script as it ships with the Python package, which need not be imported for it."""
    spec = find_spec("plotly")
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    found = [path for folder in folders if (path := Path(folder) / "package_data" / "plotly.min.js").is_file()]
    if not found:
        raise missing("plotly")
    return found[0].read_text(encoding="utf-8")


@cache
def packed(script: str) -> str:
    """For the browser's own DecompressionStream. The same bytes each time."""
    return base64.b64encode(gzip.compress(script.encode(), LEVEL, mtime=0)).decode()


def policy(*scripts: str) -> str:
    """These scripts may run, and nothing may be fetched. Styles are Plotly's too, which writes them as it draws."""
    allowed = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}'" for each in scripts
    )
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"


def missing(library: str) -> EdgekitError:
    return EdgekitError("EK991", "the page cannot be made", f"{library} is not installed", INSTALL)
