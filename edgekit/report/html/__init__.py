"""Reports as one page that opens from a disk: nothing is loaded from anywhere, and no name in a model can act in it.

We chose a page that holds everything, Plotly's script included (packed, a third of its size), over a folder of files:
it is what people attach and forward. What we gave up is that each page carries the script anew, about two megabytes. A
content security policy allows the page's own scripts by their digest and no request at all, so that a name that got
through the escaping still could do nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.report.html.one import of_one
from edgekit.report.html.several import of_several
from edgekit.report.read import Run


def to_html(runs: Sequence[Run]) -> str:
    """The page of one run, or of several side by side. Raises EK991 without the extra."""
    return of_one(runs[0]) if len(runs) == 1 else of_several(runs)
