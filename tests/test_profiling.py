from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgekit import profiling
from edgekit.errors import EdgekitError
from edgekit.recipe import Recipe
from edgekit.run import vela
from tests.verify import nets


def recipe(**data: Any) -> Recipe:
    return Recipe.model_validate({"model": {"path": "x"}, "data": data})


def test_noise_where_nobody_gives_a_sample(tmp_path: Path) -> None:
    artifact = nets.tflite_artifact(tmp_path)
    found = profiling.measure([artifact.path], "local", recipe(), runs=5)
    assert found.sample == "noise"
    assert found.measurements[0].runs == 5
    assert found.place.on == "local"


def test_the_first_sample_of_those_given(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", inputs=nets.images(3))
    artifacts = [nets.onnx_artifact(tmp_path, "float32", None), nets.tflite_artifact(tmp_path)]
    samples, sample_from = profiling._samples(artifacts, recipe(data=str(tmp_path / "s.npz")))
    assert sample_from == f"the first sample of '{tmp_path}/s.npz'"
    np.testing.assert_array_equal(samples[0]["x"], nets.images(3)[:1])
    np.testing.assert_array_equal(samples[1]["x"], artifacts[1].to_file({"x": nets.images(3)[:1]})["x"])


@pytest.mark.parametrize(("name", "code"), [("nowhere.onnx", "EK101"), ("model.pt", "EK102")])
def test_what_cannot_be_measured(tmp_path: Path, name: str, code: str) -> None:
    (tmp_path / "model.pt").write_bytes(b"x")
    with pytest.raises(EdgekitError) as caught:
        profiling.measure([tmp_path / name], "local", recipe())
    assert caught.value.code == code


def test_ops_and_the_lines_that_they_are_from(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(ir.to_proto(nets.float_graph()), path)
    found = profiling.measure([path, nets.tflite_artifact(tmp_path).path], "local", recipe(), runs=3, per_op=True)
    for one in found.measurements:
        assert one.per_op is not None
        assert sum(op.share for op in one.per_op.ops) == pytest.approx(1)
    ops = found.measurements[0].per_op
    assert ops is not None
    assert any(op.source is not None and op.source.startswith("model.py:") for op in ops.ops)


def test_lines_of_a_tflite_file_are_those_of_the_onnx_file_beside_it(tmp_path: Path) -> None:
    artifact = nets.tflite_artifact(tmp_path)
    assert profiling._sources(artifact) == {}
    first, second = profiling.beside(tmp_path / "net_v1.0.int8.tflite")
    assert (first.name, second.name) == ("net_v1.0.int8.onnx", "net_v1.0.onnx")
    second = profiling.beside(artifact.path)[1]
    second.write_bytes(b"no such file")
    assert profiling._sources(artifact) == {}
    onnx.save(ir.to_proto(nets.float_graph()), second)
    assert any(line.startswith("model.py:") for line in profiling._sources(artifact).values())


def test_a_wrong_address_is_said_first() -> None:
    with pytest.raises(EdgekitError, match="EK720"):
        profiling.measure([Path("nowhere.onnx")], "ssh://-oProxyCommand=id", recipe())


def test_what_a_missing_compiler_would_add(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vela, "installed", lambda: False)
    path = shared / "data" / "reference_models" / "ic_resnet8_i8.tflite"
    (found,) = profiling.prospects([path], "ethos-u55-128")
    assert found.compiled is None
    assert found.missing == "pip install 'edgekit[ethos-u]'"
    assert [one.evidence for one in found.estimates] == ["D"]
    (elsewhere,) = profiling.prospects([path], "raspberry-pi-4")
    assert (elsewhere.compiled, elsewhere.missing) == (None, None)
