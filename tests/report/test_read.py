from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgekit.errors import EdgekitError
from edgekit.report.facts import Report
from edgekit.report.read import Run, read_run
from edgekit.verify.result import LayerError
from tests.reports import LAYERED, REPORT, RICH, SENSITIVE, VERIFICATION


def written(folder: Path, text: str) -> Path:
    path = folder / "report.json"
    path.write_text(text, encoding="utf-8")
    return path


def changed(folder: Path, **keys: Any) -> Path:
    return written(folder, json.dumps(json.loads(REPORT.to_json()) | keys))


@pytest.mark.parametrize("report", [REPORT, SENSITIVE, LAYERED, RICH])
def test_what_was_written_is_read_back(report: Report, tmp_path: Path) -> None:
    path = written(tmp_path, report.to_json())
    assert read_run(tmp_path) == read_run(path) == Run(path=path, report=report)


def test_a_null_that_was_no_number_is_one_again(tmp_path: Path) -> None:
    layer = LayerError(node="conv", label="INT8 ONNX", sqnr_db=math.inf)
    written(tmp_path, replace(REPORT, verification=replace(VERIFICATION, layers=(layer,))).to_json())
    found = read_run(tmp_path).report.verification
    assert found is not None and math.isnan(found.layers[0].sqnr_db)


def test_a_newer_edgekit_may_say_more_and_an_older_one_less(tmp_path: Path) -> None:
    document = json.loads(REPORT.to_json()) | {"moons": 2}
    del document["command"], document["ops"]
    written(tmp_path, json.dumps(document))
    assert read_run(tmp_path).report == REPORT


def test_no_report(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="EK961") as caught:
        read_run(tmp_path)
    assert "No such file" in caught.value.why
    with pytest.raises(EdgekitError, match="EK961"):
        read_run(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\ud800", '{"version": "0.1.0"}', "[1]", '"report"'])
def test_no_report_in_it(text: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(EdgekitError, match="EK962"):
        read_run(tmp_path)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_schema(version: object, tmp_path: Path) -> None:
    changed(tmp_path, schema_version=version)
    with pytest.raises(EdgekitError, match="EK963") as caught:
        read_run(tmp_path)
    assert f"is {json.dumps(version)}, and this edgekit reads 1" in caught.value.why


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"version": 1}, "version is 1, not str"),
        ({"files": {}}, "files is {}, not tuple"),
        ({"files": [{}]}, "it has no files[0].label"),
        ({"model": None}, "model is null, not an object (ModelFacts)"),
        ({"model": {"path": "a", "sha256": "b", "kind": "c", "parameters": True}}, "model.parameters is true, not int"),
        ({"stages_s": {"capture": "long"}}, 'stages_s.capture is "long", not float'),
        ({"notes": ["x" * 100, 3]}, "notes[1] is 3, not str"),
        ({"notes": "x" * 100}, f'notes is "{"x" * 36}..., not tuple'),
        ({"budget": []}, "budget is [], not an object (BudgetFacts)"),
    ],
)
def test_another_tool_s_document(keys: dict[str, object], why: str, tmp_path: Path) -> None:
    changed(tmp_path, **keys)
    with pytest.raises(EdgekitError, match="EK962") as caught:
        read_run(tmp_path)
    assert caught.value.why == why


def test_a_word_that_is_none_of_those_known(tmp_path: Path) -> None:
    document = json.loads(REPORT.to_json())
    document["verification"]["ledgers"][0]["rows"][0]["precision"] = "int4"
    written(tmp_path, json.dumps(document))
    with pytest.raises(EdgekitError, match="EK962") as caught:
        read_run(tmp_path)
    assert "precision is" in caught.value.why and "not int8, int16, float16, float32, none" in caught.value.why
