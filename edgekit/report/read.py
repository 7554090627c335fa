"""`report.json` as the Report that it was made of.

The document's keys are field names, so the dataclasses are its schema: one reader follows their types. A key that is
not known is left alone, since a newer edgekit may say more; a key that is missing takes its field's default, since an
older one said less. Another `schema_version` is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from edgekit.errors import EdgekitError
from edgekit.outputs import REPORT_NAME
from edgekit.report.facts import Report
from edgekit.report.json import SCHEMA_VERSION

SHOWN = 40  # characters of a value that is not as it should be
MAKE_ONE = "`edgekit quantize`, `prune` and `convert` write one into their output folder: give that folder, or the file"
MAKE_ANEW = "run the command that wrote it again, with --overwrite"


class MisreadError(Exception):
    """What stands in the document is not what its field can hold."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A report and where it was found."""

    path: Path
    report: Report


def read_run(place: Path) -> Run:
    """place: an output folder, or the report in it.

    Raises EK961 where there is none, EK962 where it is broken, EK963 where it is of another schema.
    """
    path = place / REPORT_NAME if place.is_dir() else place
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise EdgekitError("EK961", f"no report at '{path}'", error.strerror or str(error), MAKE_ONE) from None
    except (ValueError, RecursionError) as broken:  # no UTF-8, no JSON, or brackets without end
        raise EdgekitError("EK962", f"cannot read '{path}' as JSON", str(broken), MAKE_ANEW) from None
    if not isinstance(document, dict) or "schema_version" not in document:
        raise EdgekitError("EK962", f"'{path}' is no report", "it holds no schema_version", MAKE_ONE)
    if document["schema_version"] != SCHEMA_VERSION:
        said = _shown(document["schema_version"])
        why = f"its schema_version is {said}, and this edgekit reads {SCHEMA_VERSION}"
        raise EdgekitError("EK963", f"cannot read '{path}'", why, "use the edgekit that wrote it, or make it anew")
    try:
        return Run(path=path, report=as_report(document))
    except MisreadError as wrong:
        raise EdgekitError("EK962", f"'{path}' is no report of a run", str(wrong), MAKE_ANEW) from None


def as_report(document: Mapping[str, Any]) -> Report:
    """Raises MisreadError."""
    report: Report = _record(Report, document, "")
    return report


@cache
def hints(kind: type) -> dict[str, Any]:
    """field -> type, of the dataclasses that a report is made of."""
    # Not at the top: these stages take a second to load, and only a report that is read back needs their types.
    from edgekit.profile.measure import Latency
    from edgekit.profile.memory import Memory
    from edgekit.quantize.doubts import Examination
    from edgekit.run.trained import Training
    from edgekit.verify.result import Verification

    stages = (Latency, Memory, Examination, Training, Verification)
    return get_type_hints(kind, localns={stage.__name__: stage for stage in stages})


def _record(kind: Any, value: object, at: str) -> Any:
    if not isinstance(value, Mapping):
        raise _not(f"an object ({kind.__name__})", value, at)
    types = hints(kind)
    given = {}
    for field in fields(kind):
        where = f"{at}.{field.name}".lstrip(".")
        if field.name in value:
            given[field.name] = _value(types[field.name], value[field.name], where)
        elif _is_needed(field):
            raise MisreadError(f"it has no {where}")
    return kind(**given)


def _value(kind: Any, value: object, at: str) -> Any:
    """value, which stands at `at`, as the type `kind`."""
    if is_dataclass(kind):
        return _record(kind, value, at)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        if value is None and NoneType in inner:
            return None
        (kind,) = (one for one in inner if one is not NoneType)
        return _value(kind, value, at)
    if origin is tuple and isinstance(value, list):
        return tuple(_value(inner[0], item, f"{at}[{i}]") for i, item in enumerate(value))
    if isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, Mapping):
        return {str(key): _value(inner[1], item, f"{at}.{key}") for key, item in value.items()}
    if origin is Literal and value in inner:
        return value
    if origin is None:
        return _plain_value(kind, value, at)
    raise _not(", ".join(map(str, inner)) if origin is Literal else origin.__name__, value, at)


def _plain_value(kind: Any, value: object, at: str) -> Any:
    """A null where a number must stand was infinite or none, for which JSON has no word."""
    if kind is float and value is None:
        return math.nan
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if kind in (object, Any) or (isinstance(value, kind) and isinstance(value, bool) == (kind is bool)):
        return value
    raise _not(kind.__name__, value, at)


def _is_needed(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _not(wanted: str, value: object, at: str) -> MisreadError:
    return MisreadError(f"{at or 'the document'} is {_shown(value)}, not {wanted}")


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
