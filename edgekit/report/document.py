"""The JSON Schema of `report.json`, made of the dataclasses that it is written from and read by.

It says what a reader may rely on: `schema_version` stays as it is while keys are only added, so a key that is not
listed is no error. A number may be null where it was infinite or none, for which JSON has no word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from edgekit.report.facts import Report
from edgekit.report.json import SCHEMA_VERSION
from edgekit.report.read import hints

Schema = dict[str, Any]
PLAIN: Mapping[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    float: {"type": ["number", "null"]},
    object: {},
    Any: {},
}


def document_schema() -> Schema:
    """Of the whole document, in JSON Schema's draft 2020-12."""
    records: dict[str, Schema] = {}
    top = _record(Report, records)
    top["properties"] = {
        "schema_version": {"const": SCHEMA_VERSION},
        **top["properties"],
        "headline": {"type": "string", "description": "The result in one sentence."},
        "warnings": {"type": "array", "items": {"type": "string"}},
    }
    top["required"] = ["schema_version", *top["required"], "headline", "warnings"]
    said = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "The report of a run of edgekit"}
    return said | top | {"$defs": dict(sorted(records.items()))}


def _record(kind: Any, records: dict[str, Schema]) -> Schema:
    types = hints(kind)
    needed = [field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING]
    return {
        "type": "object",
        "description": " ".join((kind.__doc__ or "").split()),
        "properties": {field.name: _schema(types[field.name], records) for field in fields(kind)},
        "required": needed,
    }


def _schema(kind: Any, records: dict[str, Schema]) -> Schema:
    """A record is described once and named wherever it stands."""
    if is_dataclass(kind):
        name = kind.__name__  # type: ignore[union-attr]
        if name not in records:
            records[name] = {}  # its place is taken while its own fields are described
            records[name] = _record(kind, records)
        return {"$ref": f"#/$defs/{name}"}
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return {"anyOf": [_schema(one, records) for one in inner if one is not NoneType] + [{"type": "null"}]}
    if origin is tuple:
        return {"type": "array", "items": _schema(inner[0], records)}
    if origin is Literal:
        return {"enum": list(inner)}
    if origin is not None:
        return {"type": "object", "additionalProperties": _schema(inner[1], records)}
    return dict(PLAIN[kind])
