from __future__ import annotations

import json
from typing import Any

import pytest

from edgekit.report.document import document_schema
from edgekit.report.facts import Report
from tests.reports import LAYERED, REPORT, RICH, SENSITIVE

SCHEMA = document_schema()
KINDS = {"string": str, "integer": int, "boolean": bool, "number": (int, float), "null": type(None)}


def problems(value: object, schema: dict[str, Any], at: str = "") -> list[str]:
    """What speaks against the value, by the keywords that the schema uses."""
    if "$ref" in schema:
        return problems(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], at)
    if "anyOf" in schema:
        return min((problems(value, one, at) for one in schema["anyOf"]), key=len)
    if "const" in schema or "enum" in schema:
        return [] if value in schema.get("enum", [schema.get("const")]) else [f"{at}: {value}"]
    match schema.get("type"):
        case "object" if isinstance(value, dict):
            known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
            found = [f"{at}: no {key}" for key in schema.get("required", ()) if key not in value]
            for key, item in value.items():
                found += problems(item, known.get(key, others), f"{at}.{key}")
            return found
        case "array" if isinstance(value, list):
            return [one for i, item in enumerate(value) for one in problems(item, schema["items"], f"{at}[{i}]")]
        case None:
            return []
        case kinds:
            allowed = [kinds] if isinstance(kinds, str) else kinds
            right = any(kind in KINDS and isinstance(value, KINDS[kind]) for kind in allowed)
            return (
                []
                if right and (isinstance(value, bool) == ("boolean" in allowed))
                else [f"{at}: {value} is no {kinds}"]
            )


@pytest.mark.parametrize("report", [REPORT, RICH, SENSITIVE, LAYERED])
def test_a_report_is_as_its_schema_says(report: Report) -> None:
    document = json.loads(report.to_json())
    assert problems(document, SCHEMA) == []
    assert document.keys() == SCHEMA["properties"].keys(), "every key is described"


def test_what_is_wrong_is_seen() -> None:
    document = json.loads(REPORT.to_json())
    assert problems(document | {"schema_version": 2}, SCHEMA)
    assert problems(document | {"notes": [1]}, SCHEMA)
    del document["files"]
    assert problems(document, SCHEMA) == [": no files"]


def test_every_record_is_described_once() -> None:
    text = json.dumps(SCHEMA)
    for name, record in SCHEMA["$defs"].items():
        assert f'"#/$defs/{name}"' in text
        assert record["description"], name
    assert {"Latency", "Memory", "Ledger", "Training", "Examination", "OpFacts"} <= SCHEMA["$defs"].keys()
