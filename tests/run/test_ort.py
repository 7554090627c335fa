from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekit.errors import EdgekitError, Exit
from edgekit.run import ort
from edgekit.run.worker import Worker
from tests.verify import nets


@pytest.fixture(scope="module")
def session() -> ort.Session:
    return ort.Session(nets.net(np.uint8).SerializeToString())


def test_runs_by_name_and_repeats_itself(session: ort.Session) -> None:
    x = nets.images(2)
    first = session.run({"x": x})
    assert first["logits"].shape == (2, nets.CLASSES)
    np.testing.assert_array_equal(first["logits"], session.run({"x": x})["logits"])


def test_prepared_computes_on_its_inputs(session: ort.Session) -> None:
    x = nets.images(1)
    assert session.prepared({"x": x})() == [pytest.approx(session.run({"x": x})["logits"])]


def test_optimized_is_what_it_executes() -> None:
    executed = ort.optimized(nets.net(np.uint8).SerializeToString())
    ops = {node.op_type for node in onnx.load_from_string(executed).graph.node}
    assert {"QLinearConv", "QGemm"} <= ops


def test_as_written_it_fuses_nothing_into_integers() -> None:
    model, x = nets.net(np.uint8).SerializeToString(), nets.images(2)
    written = ort.Session(model, as_written=True)
    ops = {node.op_type for node in onnx.load_from_string(ort.optimized(model, as_written=True)).graph.node}
    assert not [op for op in ops if op.startswith("Q") and op != "QuantizeLinear"]
    gap = np.abs(written.run({"x": x})["logits"] - ort.Session(model).run({"x": x})["logits"])
    assert gap.max() <= nets.OUTPUT_SCALE  # a step: pools round otherwise in integers


def test_takes_a_path(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(nets.net().SerializeToString())
    assert ort.Session(str(path)).run({"x": nets.images(1)})["logits"].shape == (1, nets.CLASSES)


def test_the_version_names_the_runtime() -> None:
    assert ort.version().startswith("onnxruntime 1.")


@pytest.mark.parametrize("content", [b"", b"not a model", nets.net().SerializeToString()[:200]])
def test_a_file_that_cannot_be_loaded(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(EdgekitError, match=r"cannot load 'bad\.onnx'") as caught:
        ort.Session(str(path))
    assert caught.value.code == "EK905"


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError) as caught:
        ort.Session(str(tmp_path / "missing.onnx"))
    assert caught.value.code == "EK905"


@pytest.mark.parametrize(
    "inputs",
    [{}, {"y": np.zeros(1)}, {"x": np.zeros((1, 3, 8, 8))}, {"x": np.zeros((1, 3, 9, 8), np.float32)}],
    ids=["none", "another name", "another type", "another shape"],
)
def test_inputs_that_do_not_fit(session: ort.Session, inputs: dict[str, np.ndarray]) -> None:
    with pytest.raises(EdgekitError, match="cannot run the model") as caught:
        session.run(inputs)
    assert caught.value.code == "EK906"


def test_out_of_memory() -> None:
    """One number, repeated 2^44 times."""
    model = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 20]>
        net (float[1] x) => (float[n] y) <int64[1] shape = {17592186044416}> { y = Expand (x, shape) }
    """)
    with (
        Worker(ort.Session, model.SerializeToString(), what="running 'net.onnx'") as worker,
        pytest.raises(EdgekitError, match="Failed to allocate memory") as caught,
    ):
        worker.call("run", {"x": np.zeros(1, np.float32)})
    assert (caught.value.code, caught.value.exit) == ("EK903", Exit.EXHAUSTED)


@pytest.mark.parametrize("linux", [True, False])
def test_bytes_are_opened_from_a_file_that_goes_with_the_process(
    linux: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ort.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(ort, "OPEN_FILES", ort.OPEN_FILES if linux else tmp_path / "nowhere")
    seen: list[list[Path]] = []
    opened = ort.onnxruntime.InferenceSession

    def watched(*arguments: object, **more: object) -> object:
        seen.append(list(tmp_path.iterdir()))
        return opened(*arguments, **more)

    monkeypatch.setattr(ort.onnxruntime, "InferenceSession", watched)
    x = nets.images(1)
    assert ort.Session(nets.net(np.uint8).SerializeToString()).run({"x": x})["logits"].shape == (1, nets.CLASSES)
    assert [len(files) for files in seen] == [0 if linux else 1]
    assert list(tmp_path.iterdir()) == []
