"""A record as JSON. Keys are field names; the document carries `schema_version`.

JSON has no infinity and no NaN, so a number that is not finite becomes null: the SQNR of two equal tensors, say.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path

import numpy as np

SCHEMA_VERSION = 1


def to_json(record: object) -> str:
    """record: a dataclass or a mapping, the top of the document."""
    document = {"schema_version": SCHEMA_VERSION, **_object(record)}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace").decode()


def _object(record: object) -> dict[str, object]:
    if is_dataclass(record):
        return {field.name: _value(getattr(record, field.name)) for field in fields(record)}
    assert isinstance(record, Mapping), f"{type(record).__name__} has no JSON form"
    return {str(_value(key)): _value(value) for key, value in record.items()}


def _value(value: object) -> object:
    match value:
        case None | bool() | str() | int():
            return value.value if isinstance(value, Enum) else value
        case float() | np.floating():
            return float(value) if math.isfinite(value) else None
        case np.bool_() | np.integer():
            return value.item()
        case np.ndarray():
            return _value(value.tolist())
        case Path():
            return str(value)
        case Enum():
            return _value(value.value)
        case list() | tuple():
            return [_value(item) for item in value]
        case set() | frozenset():
            return sorted(str(_value(item)) for item in value)
        case _:
            return _object(value)
