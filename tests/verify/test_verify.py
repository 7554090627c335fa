from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.artifact import Arrays, Artifact, TensorSpec
from edgekit.errors import EdgekitError, Exit
from edgekit.run.runner import Runner
from edgekit.samples import Samples
from edgekit.verify import compare, expected
from edgekit.verify import verify as door
from edgekit.verify.result import Verification
from tests.verify import nets
from tests.verify.nets import images, memory

COUNT = 150


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nets")


@pytest.fixture(scope="module")
def files(folder: Path) -> dict[str, Artifact]:
    return {
        "float": nets.onnx_artifact(folder, "float32", None),
        "uint8": nets.onnx_artifact(folder, "int8", np.uint8),
        "int8": nets.onnx_artifact(folder, "int8", np.int8),
        "tflite": nets.tflite_artifact(folder),
    }


@pytest.fixture(scope="module")
def samples(files: dict[str, Artifact]) -> Samples:
    """Labelled by the float model, but for the last ten."""
    x = images(COUNT)
    with Runner(files["float"]) as runner:
        labels = np.argmax(runner.run({"x": x})["logits"], axis=1)
    labels[-10:] = (labels[-10:] + 1) % nets.CLASSES
    return memory(x, labels)


def verify(reference: Any, artifacts: list[Artifact], samples: Samples, **options: Any) -> Verification:
    with ExitStack() as stack:
        runners = [stack.enter_context(Runner(artifact)) for artifact in artifacts]
        return door(reference and expected(reference, samples), runners, samples, **options)


@pytest.fixture(scope="module")
def verification(files: dict[str, Artifact], samples: Samples) -> Verification:
    artifacts = [files["float"], files["uint8"], files["tflite"]]
    with Runner(files["float"]) as model:
        return verify(model.run, artifacts, samples, graph=nets.float_graph(), layers=True)


class TestScores:
    def test_the_reference(self, verification: Verification) -> None:
        reference = verification.reference
        assert (verification.metric, verification.unit, verification.count) == ("top1", "share", COUNT)
        assert (reference.label, reference.value, reference.count) == ("torch", 1 - 10 / COUNT, COUNT)
        assert reference.drop is None
        assert reference.interval is not None
        assert reference.interval.low < reference.value < reference.interval.high

    def test_the_float_file_equals_the_model(self, verification: Verification) -> None:
        score = verification.scores[0]
        assert (score.label, score.drop, score.flips) == ("float32 ONNX", 0, 0)
        assert score.drop_interval is not None
        assert score.drop_interval.low == pytest.approx(-score.drop_interval.high)

    def test_int8_files_lose_what_their_flips_explain(self, verification: Verification) -> None:
        for score in verification.scores[1:]:
            assert score.drop is not None
            assert score.drop_interval is not None
            assert score.flips is not None
            assert score.drop == pytest.approx(verification.reference.value - score.value)
            assert abs(score.drop) * COUNT <= score.flips <= 0.2 * COUNT
            assert score.drop_interval.low <= score.drop <= score.drop_interval.high
            assert 15 < score.sqnr_db["logits"] < 60

    def test_without_the_model_the_float_file_is_the_reference(
        self, files: dict[str, Artifact], samples: Samples
    ) -> None:
        found = verify(None, [files["uint8"], files["float"]], samples)
        assert found.reference.label == "float32 ONNX"
        assert [score.label for score in found.scores] == ["INT8 ONNX"]
        found = verify(None, [files["uint8"], files["tflite"]], samples)
        assert (found.reference.label, found.scores[0].label) == ("INT8 ONNX", "INT8 TFLite")

    def test_batches_change_nothing(
        self, files: dict[str, Artifact], samples: Samples, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = verify(None, [files["float"], files["tflite"]], samples)
        monkeypatch.setattr(compare, "LARGEST_BATCH", 7)
        assert verify(None, [files["float"], files["tflite"]], samples) == whole

    def test_without_labels_it_is_the_sqnr(self, files: dict[str, Artifact]) -> None:
        found = verify(None, [files["float"], files["uint8"]], memory(images(COUNT)))
        score = found.scores[0]
        assert (found.metric, found.unit, found.reference.value) == ("sqnr", "dB", 146.0)
        assert score.value == pytest.approx(score.sqnr_db["logits"])
        assert (score.drop, score.drop_interval) == (None, None)
        assert score.flips is not None

    @pytest.mark.parametrize(("metric", "sign"), [("mse", 1), ("mae", 1), ("cosine", -1), ("psnr", -1)])
    def test_targets(self, files: dict[str, Artifact], metric: str, sign: int) -> None:
        with Runner(files["float"]) as model:
            logits = model.run({"x": images(COUNT)})["logits"] + 0.1
        given = memory(images(COUNT), targets=logits)
        found = verify(None, [files["float"], files["uint8"]], given, metric=metric)
        score = found.scores[0]
        assert score.drop is not None
        assert score.drop_interval is not None
        assert score.drop == pytest.approx(sign * (score.value - found.reference.value))
        assert 0 < score.drop_interval.low < score.drop < score.drop_interval.high
        assert found.higher_is_better == (sign < 0)


class TestAgreement:
    def test_of_the_two_int8_files(self, verification: Verification) -> None:
        (agreement,) = verification.agreements
        assert (agreement.first, agreement.second, agreement.largest_steps) == ("INT8 ONNX", "INT8 TFLite", 1)
        assert agreement.top1 is not None
        assert agreement.top1 > 0.9
        # the average pools round differently: every fifth logit of this little net is a step off
        assert 0.5 < agreement.identical < 1

    def test_of_signed_and_unsigned(self, files: dict[str, Artifact], samples: Samples) -> None:
        (agreement,) = verify(None, [files["uint8"], files["int8"]], samples).agreements
        assert agreement.first == "INT8 ONNX (net.int8.uint8.onnx)"
        assert agreement.second == "INT8 ONNX (net.int8.int8.onnx)"
        assert agreement.largest_steps is not None
        assert agreement.largest_steps <= 2

    def test_steps_are_unknown_where_no_onnx_file_tells_the_scale(
        self, files: dict[str, Artifact], samples: Samples, tmp_path: Path
    ) -> None:
        again = tmp_path / "again.tflite"
        again.write_bytes(files["tflite"].path.read_bytes())
        twin = replace(files["tflite"], path=again)
        (agreement,) = verify(None, [files["tflite"], twin], samples).agreements
        assert (agreement.top1, agreement.identical, agreement.largest_steps) == (1, 1, None)


class TestLedger:
    def test_everything_ran_in_int8_in_both_runtimes(self, verification: Verification) -> None:
        for ledger in verification.ledgers:
            assert ledger.int8_macs_share == 1.0
            assert [row.node for row in ledger.rows] == ["conv", "relu", "dw", "add", "pool", "flat", "fc"]
            assert {row.precision for row in ledger.rows} == {"int8"}
            assert {row.reason for row in ledger.rows} == {None}
            assert ledger.float_ops == ()
            assert sum(row.macs for row in ledger.rows) == 8 * 27 * 64 + 8 * 9 * 64 + 32
            assert ledger.rows[0].source == "model.py:4"
        assert [ledger.runtime.split()[0] for ledger in verification.ledgers] == ["onnxruntime", "ai-edge-litert"]

    @pytest.mark.skipif("__import__('platform').machine() not in {'x86_64', 'AMD64'}", reason="aarch64 fuses int8 too")
    def test_int8_activations_stay_float_on_x86_and_the_ledger_says_so(
        self, files: dict[str, Artifact], samples: Samples
    ) -> None:
        (ledger,) = verify(None, [files["int8"]], samples, graph=nets.float_graph()).ledgers
        assert ledger.int8_macs_share is not None
        assert ledger.int8_macs_share < 0.01
        assert [row.node for row in ledger.float_ops] == ["conv", "dw", "relu", "add"]
        assert ledger.float_ops[0].reason is not None
        assert "uint8" in ledger.float_ops[0].reason

    def test_a_float_file_that_calls_itself_int8(self, files: dict[str, Artifact], samples: Samples) -> None:
        (ledger,) = verify(None, [replace(files["float"], precision="int8")], samples, graph=nets.float_graph()).ledgers
        assert ledger.int8_macs_share == 0.0
        assert {row.reason for row in ledger.rows} == {"float32 in the file"}

    def test_without_the_model_the_rows_are_the_runtimes_own(
        self, files: dict[str, Artifact], samples: Samples
    ) -> None:
        onnx_ledger, tflite_ledger = verify(None, [files["uint8"], files["tflite"]], samples).ledgers
        assert {"conv", "dw", "fc"} <= {row.node for row in onnx_ledger.rows}
        assert {"CONV_2D", "DEPTHWISE_CONV_2D"} <= {row.op for row in tflite_ledger.rows}
        assert onnx_ledger.int8_macs_share is None


class TestLayers:
    def test_worst_first_with_every_quantized_value(self, verification: Verification) -> None:
        errors = verification.layers
        assert {error.node for error in errors} == {"relu", "dw", "add", "pool", "flat", "fc"}
        assert [error.sqnr_db for error in errors] == sorted(error.sqnr_db for error in errors)
        assert 15 < errors[0].sqnr_db < errors[-1].sqnr_db

    def test_both_files_say_the_same(self, verification: Verification) -> None:
        """The TFLite file lies channels last. 3 dB: steps that flip weigh in layers of a few elements."""
        by_label: dict[str, dict[str, float]] = {"INT8 ONNX": {}, "INT8 TFLite": {}}
        for error in verification.layers:
            by_label[error.label][error.node] = error.sqnr_db
        assert by_label["INT8 TFLite"].keys() == by_label["INT8 ONNX"].keys() - {"flat"}  # a reshape of the pool there
        for node, sqnr_db in by_label["INT8 TFLite"].items():
            assert sqnr_db == pytest.approx(by_label["INT8 ONNX"][node], abs=3)

    def test_only_on_request(self, files: dict[str, Artifact], samples: Samples) -> None:
        assert verify(None, [files["uint8"]], samples, graph=nets.float_graph()).layers == ()


class TestRefusals:
    def test_no_samples(self, files: dict[str, Artifact], samples: Samples) -> None:
        with pytest.raises(EdgekitError) as caught:
            verify(None, [files["float"]], samples.take([]))
        assert caught.value.code == "EK609"

    def test_files_of_different_models(self, files: dict[str, Artifact], samples: Samples) -> None:
        with pytest.raises(EdgekitError, match="no such output in float32 ONNX") as caught:
            verify(lambda inputs: {"other": inputs["x"]}, [files["float"]], samples, metric="sqnr")
        assert caught.value.code == "EK607"
        assert caught.value.fix.startswith("compare files of one model")

    @pytest.mark.parametrize("shape", [(), (nets.CLASSES,)], ids=str)
    def test_a_model_that_mixes_its_samples(
        self, files: dict[str, Artifact], samples: Samples, shape: tuple[int, ...]
    ) -> None:
        def mixed(_: Arrays) -> Arrays:
            return {"logits": np.zeros(shape, np.float32)}

        with pytest.raises(EdgekitError, match="torch does not give a row for each sample") as caught:
            verify(mixed, [files["float"]], samples, metric="sqnr")
        assert caught.value.code == "EK607"
        assert caught.value.fix.startswith("let the model put the batch first")

    def test_nan(self, files: dict[str, Artifact], samples: Samples) -> None:
        def broken(inputs: Arrays) -> Arrays:
            y = np.zeros((len(inputs["x"]), nets.CLASSES), np.float32)
            y[min(3, len(y) - 1)] = np.nan
            return {"logits": y}

        with pytest.raises(EdgekitError, match="for sample 3, counted from 0") as caught:
            verify(broken, [files["float"]], samples)
        assert (caught.value.code, caught.value.exit) == ("EK608", Exit.FAILED)

    def test_an_input_that_the_samples_lack(self, files: dict[str, Artifact]) -> None:
        with pytest.raises(EdgekitError, match="wants an input 'x'") as caught:
            verify(None, [files["float"]], memory(images(3), name="y"))
        assert caught.value.code == "EK907"

    def test_an_interrupt_ends_all_workers(
        self, files: dict[str, Artifact], samples: Samples, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(compare, "_check", interrupted)
        others = psutil.Process().children()  # of the test run itself
        with pytest.raises(KeyboardInterrupt):
            verify(None, [files["float"], files["uint8"]], samples)
        assert psutil.Process().children() == others

    def test_a_model_that_raises_leaves_no_process(self, files: dict[str, Artifact], samples: Samples) -> None:
        before = threading.active_count()

        def broken(_: Arrays) -> Arrays:
            raise ZeroDivisionError

        start = time.monotonic()
        with pytest.raises(ZeroDivisionError):
            verify(broken, [files["float"], files["uint8"]], samples)
        assert time.monotonic() - start < 5
        assert threading.active_count() == before


def test_several_outputs_have_a_distance_each(tmp_path: Path) -> None:
    def two(precision: str, value: float) -> Artifact:
        nodes = [helper.make_node("Mul", ["x", name + "_k"], [name], name=name) for name in ("a", "b")]
        kinds = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3]) for name in ("x", "a", "b")]
        constants = [numpy_helper.from_array(np.float32(k), name + "_k") for name, k in (("a", value), ("b", 2.0))]
        model = helper.make_model(
            helper.make_graph(nodes, "two", kinds[:1], kinds[1:], constants),
            opset_imports=[helper.make_opsetid("", 20)],
            ir_version=10,
        )
        path = tmp_path / f"{precision}.onnx"
        path.write_bytes(model.SerializeToString())
        specs = [TensorSpec(name=name, dtype="float32", shape=(None, 3)) for name in ("x", "a", "b")]
        return Artifact(
            path=path,
            format="onnx",
            precision=precision,  # type: ignore[arg-type]
            inputs=tuple(specs[:1]),
            outputs=tuple(specs[1:]),
        )

    x = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    found = verify(None, [two("float32", 1.0), two("float16", 1.1)], memory(x))
    (score,) = found.scores
    assert score.sqnr_db == {"a": pytest.approx(20, abs=1e-3), "b": 146.0}
    assert score.value == pytest.approx((20 + 146) / 2, abs=1e-3)


def test_a_file_against_itself(files: dict[str, Artifact], samples: Samples) -> None:
    found = verify(None, [files["uint8"], files["uint8"]], samples)
    (score,), (agreement,) = found.scores, found.agreements
    assert score.label.endswith(f"({files['uint8'].path}) [2]")
    assert (score.drop, agreement.identical) == (0.0, 1.0)
