from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path

import numpy as np
import pytest

from edgekit.report.json import to_json
from edgekit.verify.result import LayerError
from tests.reports import REPORT, VERIFICATION


class Level(IntEnum):
    HIGH = 3


@dataclass(frozen=True)
class Odd:
    values: tuple[object, ...]


def test_a_report_is_one_document_with_its_version() -> None:
    document = json.loads(REPORT.to_json())
    assert document["schema_version"] == 1
    assert document["verification"]["scores"][1]["label"] == "INT8 ONNX"
    assert document["verification"]["scores"][1]["drop"] == 0.0005
    assert document["files"][2]["transposes"] == 0
    assert document["model"]["inputs"][0]["shape"] == [None, 3, 32, 32]
    assert document["headline"].startswith("the INT8 files are")
    assert document["warnings"] == []


def test_numbers_that_are_not_finite_become_null() -> None:
    layer = LayerError(node="conv", label="INT8 ONNX", sqnr_db=float("inf"))
    document = json.loads(replace(REPORT, verification=replace(VERIFICATION, layers=(layer,))).to_json())
    assert document["verification"]["layers"][0]["sqnr_db"] is None


def test_every_kind_of_value() -> None:
    odd = Odd(
        (np.float32(0.5), np.int64(2), np.bool_(True), np.arange(2), Path("a/b"), Level.HIGH, {"k": {1, 2}}, "\ud800")
    )
    assert json.loads(to_json(odd))["values"] == [0.5, 2, True, [0, 1], "a/b", 3, {"k": ["1", "2"]}, "?"]


def test_what_has_no_form_is_our_mistake() -> None:
    with pytest.raises(AssertionError, match="no JSON form"):
        to_json(Odd((object(),)))
