"""`edgekit prune`, and pruning on the way to INT8, on tiny ONNX models from files to files."""

import json
import signal
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch

import edgekit
from edgekit import pipeline
from edgekit.capture import Source, capture, load
from edgekit.errors import EdgekitError
from edgekit.graph import files
from edgekit.graph.cost import parameters
from edgekit.paths import devices_folder
from edgekit.prune.finetune import Tuner
from edgekit.pruning import _epochs
from edgekit.quantize.qat import Student
from edgekit.recipe import load_recipe
from edgekit.report.summary import headline, warnings
from edgekit.simplify import simplify
from tests.models import graph, node, run, weights

COUNT = 64
FAITHFUL_DB = 100.0  # float32 in another order of additions


@dataclass(frozen=True)
class Place:
    folder: Path
    model: Path

    def recipe(self, out, data=None, output=None, **sections):
        return load_recipe(
            None,
            {
                "model": {"path": str(self.model)},
                "data": {"data": str(self.folder / "samples.npz")} if data is None else data,
                "output": {"directory": self.folder / out, **(output or {})},
                **sections,
            },
        )

    def training(self, **more):
        return {"data": str(self.folder / "samples.npz"), "training": str(self.folder / "more.npz"), **more}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    """A classifier of 5 classes with 32 and 48 channels inside, and samples with the labels that it gives."""
    folder = tmp_path_factory.mktemp("pruning")
    nodes = [
        node("Conv", ["image", "w", "b"], ["a"], auto_pad="SAME_UPPER"),
        node("Relu", ["a"], ["r"]),
        node("Conv", ["r", "w2", "b2"], ["c"], auto_pad="SAME_UPPER"),
        node("Relu", ["c"], ["s"]),
        node("GlobalAveragePool", ["s"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "v", "u"], ["scores"]),
    ]
    constants = {
        "w": weights(32, 4, 3, 3),
        "b": weights(32),
        "w2": weights(48, 32, 3, 3, scale=0.1),
        "b2": weights(48),
        "v": weights(48, 5, scale=2),
        "u": weights(1, 5),
    }
    model = graph({"image": (1, 4, 6, 6)}, nodes, constants, ("scores",))
    rng = np.random.default_rng(0)
    images = rng.normal(rng.normal(0, 1, (COUNT, 4, 1, 1)), 1, (COUNT, 4, 6, 6)).astype(np.float32)
    scores = run(model, {"image": images})["scores"]
    constants |= {
        "v": constants["v"] / scores.std(axis=0),
        "u": constants["u"] - (scores / scores.std(axis=0)).mean(axis=0),
    }
    model = graph({"image": (1, 4, 6, 6)}, nodes, constants, ("scores",))
    (folder / "tiny.onnx").write_bytes(files.to_bytes(model))
    for name in ("samples", "more"):
        images = rng.normal(rng.normal(0, 1, (COUNT, 4, 1, 1)), 1, (COUNT, 4, 6, 6)).astype(np.float32)
        labels = run(model, {"image": images})["scores"].argmax(axis=1)
        np.savez(folder / f"{name}.npz", inputs=images, labels=labels)
        np.savez(folder / f"{name}-bare.npz", inputs=images)
    return Place(folder, folder / "tiny.onnx")


@pytest.fixture(scope="module")
def report(place):
    return pipeline.prune(place.recipe("out", prune={"macs": "70%"}))


@pytest.mark.usefixtures("report")
def test_the_files_and_the_report(place):
    names = sorted(path.name for path in (place.folder / "out").iterdir())
    assert names == ["report.json", "tiny.onnx", "tiny.pt2", "tiny.tflite"]
    said = json.loads((place.folder / "out" / "report.json").read_text())
    assert said["schema_version"] == 1
    assert [file["label"] for file in said["files"]] == ["float32 ONNX", "float32 TFLite", "float32 PyTorch"]
    pruning = said["pruning"]
    assert (pruning["goal"], pruning["asked"], pruning["score"], pruning["training"]) == ("macs", 0.7, "taylor", None)
    assert pruning["macs"] <= 0.7 * said["model"]["macs"]
    assert pruning["reached"] == pruning["macs"] / said["model"]["macs"]
    assert set(pruning["unpruned_bytes"]) == {"unpruned ONNX", "unpruned TFLite"}
    assert [group["channels"] for group in pruning["groups"]] == [32, 48]
    assert sum(group["kept"] for group in pruning["groups"]) < 80
    assert pruning["multiple"] == 8
    assert pruning["uncut"][0]["why"] == "'scores' is an output of the model"


def test_the_reference_is_the_unpruned_model_and_files_compute_what_the_pruned_one_does(report):
    found = report.verification
    assert found.reference.label == "unpruned ONNX"
    assert found.reference.value == 1.0
    scores = {score.label: score for score in found.scores}
    assert set(scores) == {"float32 PyTorch", "float32 ONNX", "float32 TFLite"}
    assert len({score.value for score in scores.values()}) == 1
    assert all(score.drop == 1.0 - score.value for score in scores.values())
    assert found.sqnr_against == "float32 PyTorch"
    assert scores["float32 PyTorch"].sqnr_db == {}
    assert all(scores[label].sqnr_db["scores"] > FAITHFUL_DB for label in ("float32 ONNX", "float32 TFLite"))


def test_every_runtime_is_measured_before_and_after(report):
    measured = {latency.label for latency in report.latencies}
    assert measured == {"unpruned ONNX", "float32 ONNX", "unpruned TFLite", "float32 TFLite"}
    text = " ".join(str(report).split())
    assert "pruned 5" in text
    assert "asked for 70.0 % of the MACs" in text
    assert "nothing was fine-tuned" in text
    assert headline(report).startswith("the pruned files are ")


@pytest.mark.usefixtures("report")
def test_the_program_loads_again_and_computes_the_same(place):
    again = simplify(capture(load(Source(path=str(place.folder / "out" / "tiny.pt2"), inputs={}), None)).graph)
    images = np.load(place.folder / "samples.npz")["inputs"]
    (found,) = run(again, {again.graph.inputs[0].name: images}).values()
    expected = run((place.folder / "out" / "tiny.onnx").read_bytes(), {"image": images})["scores"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_the_program_is_trained_by_a_loop_of_ones_own_and_quantized(place, report):
    module = torch.export.load(place.folder / "out" / "tiny.pt2").module()
    samples = np.load(place.folder / "more.npz")
    images, labels = torch.from_numpy(samples["inputs"]), torch.from_numpy(samples["labels"])
    optimizer, losses = torch.optim.Adam(module.parameters(), lr=5e-3), []
    for _ in range(20):
        loss = torch.nn.functional.cross_entropy(module(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2
    again = edgekit.quantize(module, str(place.folder / "samples.npz"), out=place.folder / "own")
    assert again.model.parameters == report.pruning.parameters
    assert again.verification.reference.value > 0.6


@pytest.mark.slow
def test_the_same_command_gives_the_same_bytes(place, report):
    again = pipeline.prune(place.recipe("again", prune={"macs": 0.7}))
    assert [file.sha256 for file in again.files] == [file.sha256 for file in report.files]


@pytest.mark.slow
@pytest.mark.parametrize("score", ["l1", "activations", "taylor"])
@pytest.mark.parametrize("trains", [True, False])
def test_scores(place, score, trains):
    data = place.training() if trains else None
    found = pipeline.prune(
        place.recipe(
            f"{score}-{trains}", data, prune={"macs": 0.7, "score": score, **({"epochs": 1} if trains else {})}
        )
    )
    assert found.pruning.score == score
    assert found.pruning.reached <= 0.7
    assert found.data.evaluation_count == (COUNT if trains else COUNT // 2)


def test_factors_that_were_folded_away(place):
    with pytest.raises(EdgekitError, match="EK304"):
        pipeline.prune(place.recipe("factors", prune={"macs": 0.7, "score": "factors"}))


def test_parameters_and_size(place):
    for goal in ("params", "size"):
        found = pipeline.prune(place.recipe(goal, prune={goal: 0.6}))
        assert found.pruning.reached <= 0.6
        if goal == "size":
            sizes = {file.label: file.size_bytes for file in found.files}
            unpruned = found.pruning.unpruned_bytes
            ratios = [sizes[f"float32 {kind}"] / unpruned[f"unpruned {kind}"] for kind in ("ONNX", "TFLite")]
            assert found.pruning.reached == max(ratios) > 0.45
            assert found.pruning.trials


def test_latency_is_measured_in_every_runtime(place):
    found = pipeline.prune(place.recipe("latency", prune={"latency": 0.97}))
    assert all(set(trial.costs) == {"float32 ONNX", "float32 TFLite"} for trial in found.pruning.trials)
    assert any(max(trial.costs.values()) <= 0.97 for trial in found.pruning.trials)
    assert found.pruning.reached is not None


@pytest.fixture(scope="module")
def board(place) -> str:
    """A device where TFLite files, in either precision, take what their MACs take."""
    head = (devices_folder() / "x86-64.toml").read_text(encoding="utf-8").replace('"x86-64"', '"board"', 1)
    latency = """
        [[latency]]
        processor = "cpu"
        runtime = "tflite"
        threads = 1
        precision = "{}"
        evidence = "A"
        families = ["one"]
        runs = 30
        median_error = 0.02
        half_width = 0.1
        noise = 0.05
        macs = [10_000, 100_000_000]
        cache_bytes = 0
        seconds_per_mac = 1e-9
        seconds = {{ mac = 1e-9, window_mac = 1e-9, run = 1e-4 }}
        source = "fitted: in this test"
    """
    (place.folder / "board.toml").write_text(head + latency.format("int8") + latency.format("float32"))
    return str(place.folder / "board.toml")


def test_latency_on_a_device_is_estimated_and_called_that(place, board, monkeypatch):
    monkeypatch.setattr("edgekit.reaching.measure", None)  # this machine's is not asked
    recipe = place.recipe("board", prune={"latency": 0.8}).model_copy(update={"device": board})
    found = pipeline.prune(recipe)
    (one,) = found.pruning.estimates
    assert (one.file, one.device, one.precision) == ("float32 TFLite", "board", "float32")
    assert found.pruning.reached == one.seconds / one.unpruned_s <= 0.8
    assert one.unpruned_s - one.seconds == pytest.approx(1e-9 * (found.model.macs - found.pruning.macs), rel=0.01)
    assert all(trial.how == "estimated" and set(trial.costs) == {"float32 TFLite"} for trial in found.pruning.trials)
    text = " ".join(str(found).split())
    assert "of the latency on board" in text and "reached by estimate" in text
    assert "estimated for board, not measured: float32 TFLite in float32" in text
    assert not (place.folder / "board" / "tiny.measured").exists()
    again = pipeline.prune(recipe.model_copy(update={"output": recipe.output.model_copy(update={"overwrite": True})}))
    assert [file.sha256 for file in again.files] == [file.sha256 for file in found.files]


def test_widths_are_those_that_the_device_likes(place, board):
    recipe = place.recipe("likes", prune={"macs": 0.7}).model_copy(update={"device": board})
    found = pipeline.prune(recipe)
    assert found.pruning.multiple == 16  # of x86-64, whose head the board has
    assert {group.kept for group in found.pruning.groups} <= {8, 16, 24, 32, 40, 48}
    assert "in multiples of 16 or less" in " ".join(str(found).split())


def test_on_the_way_to_integers_they_are_what_is_estimated(place, board):
    recipe = place.recipe("board8", prune={"latency": 0.8}).model_copy(update={"device": board})
    found = pipeline.quantize(recipe)
    assert [(one.file, one.precision) for one in found.pruning.estimates] == [("float32 TFLite", "int8")]
    assert found.pruning.reached <= 0.8
    with pytest.raises(EdgekitError, match="cannot prune to 1% of the latency on board") as refused:
        pipeline.prune(place.recipe("tiny", prune={"latency": 0.01}).model_copy(update={"device": board}))
    assert refused.value.code == "EK303"


def test_without_samples_the_files_are_still_compared(place):
    found = pipeline.prune(place.recipe("bare", {}, prune={"macs": 0.7}))
    assert found.verification.sqnr_against == "float32 PyTorch"
    assert any("synthesised" in warning for warning in warnings(found))


def tuned(place, out, output=None, prune=None, **sections):
    prune = {"macs": 0.7, "epochs": 3, "batch": 8, **(prune or {})}
    return pipeline.prune(place.recipe(out, place.training(), output, prune=prune, **sections))


def test_fine_tuning_restores_accuracy(place, report):
    found = tuned(place, "tuned")
    training = found.pruning.training
    assert training.kept
    assert training.after.loss < training.before.loss
    assert found.verification.scores[0].value > report.verification.scores[0].value
    assert not any("not restored" in warning for warning in warnings(found))
    assert "fine-tuning  3 epochs on " in str(found)


@pytest.mark.parametrize(("samples", "epochs"), [(50_000, 10), (1000, 32), (200, 100)])
def test_few_samples_are_seen_more_often(samples, epochs):
    assert _epochs(samples, batch=64) == epochs


def test_an_interrupted_fine_tuning_ends_with_the_same_bytes(place, monkeypatch):
    loss, seen = Tuner.settle, []

    def stopping(self, share):
        seen.append(share)
        if len(seen) == 7:
            signal.raise_signal(signal.SIGINT)
        loss(self, share)

    whole = tuned(place, "whole")
    monkeypatch.setattr(Tuner, "settle", stopping)
    with pytest.raises(KeyboardInterrupt):
        tuned(place, "stopped")
    assert [path.name for path in (place.folder / "stopped").iterdir()] == ["tiny.finetuning"]
    with pytest.raises(EdgekitError, match="EK924"):
        tuned(place, "stopped")
    resumed = tuned(place, "stopped", output={"resume": True})
    assert [file.sha256 for file in resumed.files] == [file.sha256 for file in whole.files]
    assert resumed.pruning == whole.pruning
    assert not (place.folder / "stopped" / "tiny.finetuning").exists()


def test_a_training_that_gets_no_better_ends_early_and_resumes(place, monkeypatch):
    prune = {"epochs": 12, "patience": 1, "lr": 0.05}
    whole = tuned(place, "impatient", prune=prune)
    training = whole.pruning.training
    assert training.best < len(training.losses) <= 12 or training.best == len(training.losses) == 12
    assert training.steps == 7 * len(training.losses)
    assert f"{len(training.losses)} of 12 epochs, number {training.best} kept, on " in " ".join(str(whole).split())
    settle, seen = Tuner.settle, []

    def stopping(self, share):
        seen.append(share)
        if len(seen) == 10:
            signal.raise_signal(signal.SIGINT)
        settle(self, share)

    with monkeypatch.context() as patched:
        patched.setattr(Tuner, "settle", stopping)
        with pytest.raises(KeyboardInterrupt):
            tuned(place, "impatiently", prune=prune)
    with pytest.raises(EdgekitError, match="EK923"):
        tuned(place, "impatiently", {"resume": True}, prune={**prune, "patience": 2})
    resumed = tuned(place, "impatiently", {"resume": True}, prune=prune)
    assert [file.sha256 for file in resumed.files] == [file.sha256 for file in whole.files]
    assert resumed.pruning == whole.pruning


IN_ROUNDS = {"macs": 0.5, "epochs": 5, "batch": 8, "rounds": 2}


@pytest.fixture(scope="module")
def rounds(place):
    return pipeline.prune(place.recipe("rounds", place.training(), prune=IN_ROUNDS))


def test_each_round_cuts_and_trains(place, rounds):
    facts = rounds.pruning
    assert facts.reached <= 0.5
    assert [one.training.epochs for one in facts.rounds] == [2, 3]
    first, last = facts.rounds
    assert 0.5 < first.left <= 0.5**0.5
    assert last.left == facts.reached
    assert last.training == facts.training
    assert {group.channels for group in facts.groups} == {32, 48}  # of the unpruned model
    widths = {group.name: group.kept for group in facts.groups}
    constants = onnx.load(place.folder / "rounds" / "tiny.onnx").graph.initializer
    assert [widths["node_c"], widths["node_a"], 3, 3] in [list(tensor.dims) for tensor in constants]
    text = " ".join(str(rounds).split())
    assert f"rounds 1: {100 * first.left:.1f} % of the MACs, 2 epochs, loss " in text
    assert "; 2: " in text
    assert sorted(path.name for path in (place.folder / "rounds").iterdir()) == [
        "report.json",
        "tiny.onnx",
        "tiny.pt2",
        "tiny.tflite",
    ]


def test_one_round_is_what_is_done_without_saying_so(place):
    whole = tuned(place, "one", prune={"rounds": 1})
    said = tuned(place, "unsaid")
    assert [file.sha256 for file in whole.files] == [file.sha256 for file in said.files]
    assert said.pruning.rounds == ()


@pytest.mark.parametrize("step", [5, 25])  # 16 steps in the first round, 24 in the second
def test_an_interrupted_round_ends_with_the_same_bytes(place, rounds, monkeypatch, step):
    settle, seen = Tuner.settle, []

    def stopping(self, share):
        seen.append(share)
        if len(seen) == step:
            signal.raise_signal(signal.SIGINT)
        settle(self, share)

    out = f"round{step}"
    with monkeypatch.context() as patched:
        patched.setattr(Tuner, "settle", stopping)
        with pytest.raises(KeyboardInterrupt):
            pipeline.prune(place.recipe(out, place.training(), prune=IN_ROUNDS))
    left = sorted(path.name for path in (place.folder / out).iterdir())
    assert left == ["tiny.finetuning", "tiny.finetuning.2"][: 1 if step < 16 else 2]
    with pytest.raises(EdgekitError, match="EK924"):
        pipeline.prune(place.recipe(out, place.training(), prune=IN_ROUNDS))
    with pytest.raises(EdgekitError, match="EK923"):
        pipeline.prune(place.recipe(out, place.training(), {"resume": True}, prune={**IN_ROUNDS, "lr": 0.02}))
    resumed = pipeline.prune(place.recipe(out, place.training(), {"resume": True}, prune=IN_ROUNDS))
    assert [file.sha256 for file in resumed.files] == [file.sha256 for file in rounds.files]
    assert resumed.pruning == rounds.pruning
    assert not list((place.folder / out).glob("*.finetuning*"))


def test_the_checkpoint_of_a_later_round_is_not_lost_either(place):
    (place.folder / "later").mkdir()
    (place.folder / "later" / "tiny.finetuning.2").write_bytes(b"")
    with pytest.raises(EdgekitError, match=r"EK924.*tiny\.finetuning\.2"):
        pipeline.prune(place.recipe("later", place.training(), prune=IN_ROUNDS))


@pytest.mark.slow
@pytest.mark.parametrize("goal", ["params", "size"])
def test_rounds_for_other_goals(place, goal):
    prune = {goal: 0.5, "epochs": 2, "batch": 16, "rounds": 2}
    found = pipeline.prune(place.recipe(f"rounds-{goal}", place.training(), prune=prune))
    assert found.pruning.reached <= 0.5
    assert found.pruning.rounds[0].left > found.pruning.rounds[1].left


@pytest.mark.slow
def test_rounds_for_a_latency_are_measured_once_and_resumed(place, monkeypatch):
    prune = {"latency": 0.7, "epochs": 4, "batch": 8, "rounds": 2}
    whole = parameters(simplify(capture(load(Source(path=str(place.model), inputs={}), None)).graph))
    monkeypatch.setattr("edgekit.reaching._latencies", lambda _, graph, __: {"float32 ONNX": parameters(graph) / whole})
    settle, seen = Tuner.settle, []

    def stopping(self, share):
        seen.append(share)
        if len(seen) == 20:
            signal.raise_signal(signal.SIGINT)
        settle(self, share)

    with monkeypatch.context() as patched:
        patched.setattr(Tuner, "settle", stopping)
        with pytest.raises(KeyboardInterrupt):
            pipeline.prune(place.recipe("slow2", place.training(), prune=prune))
    left = sorted(path.name for path in (place.folder / "slow2").iterdir())
    assert left == ["tiny.finetuning", "tiny.finetuning.2", "tiny.measured", "tiny.measured.2"]
    monkeypatch.setattr("edgekit.reaching._latencies", None)  # not measured again
    pipeline.prune(place.recipe("slow2", place.training(), {"resume": True}, prune=prune))
    assert not list((place.folder / "slow2").glob("tiny.[fm]*"))


def test_rounds_on_a_device_and_with_zeros(place, board):
    prune = {"latency": 0.6, "epochs": 2, "batch": 16, "rounds": 2, "sparsity": 0.5}
    recipe = place.recipe("rounds-board", place.training(), prune=prune).model_copy(update={"device": board})
    found = pipeline.prune(recipe)
    assert found.pruning.reached <= 0.6
    assert len(found.pruning.rounds) == 2
    assert found.pruning.sparsity.zeros == pytest.approx(found.pruning.sparsity.weights / 2, abs=1)


@pytest.mark.slow
def test_a_resumed_run_for_a_latency_cuts_as_the_interrupted_one(place, monkeypatch):
    loss, seen = Tuner.settle, []
    prune = {"latency": 0.97, "epochs": 3, "batch": 8}

    def stopping(self, share):
        seen.append(share)
        if len(seen) == 7:
            signal.raise_signal(signal.SIGINT)
        loss(self, share)

    monkeypatch.setattr(Tuner, "settle", stopping)
    with pytest.raises(KeyboardInterrupt):
        pipeline.prune(place.recipe("slow", place.training(), prune=prune))
    left = sorted(path.name for path in (place.folder / "slow").iterdir())
    assert left == ["tiny.finetuning", "tiny.measured"]
    measured = json.loads((place.folder / "slow" / "tiny.measured").read_text())
    monkeypatch.setattr("edgekit.reaching._latencies", None)  # not measured again
    resumed = pipeline.prune(place.recipe("slow", place.training(), {"resume": True}, prune=prune))
    assert [trial.costs for trial in resumed.pruning.trials] == [trial["costs"] for trial in measured["trials"]]
    assert not list((place.folder / "slow").glob("tiny.[fm]*"))


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("{", "does not hold what an interrupted run measured"),
        ('{"asked": 0.6, "share": 0.5, "trials": []}', r"measured for 60.0 % of the latency, and 90.0 % is asked for"),
    ],
)
def test_what_was_measured_and_is_of_no_use(place, written, why):
    folder = place.folder / f"torn{len(written)}"
    folder.mkdir()
    (folder / "tiny.measured").write_text(written)
    (folder / "tiny.finetuning").write_bytes(b"")
    with pytest.raises(EdgekitError, match=why) as refused:
        pipeline.prune(place.recipe(folder.name, place.training(), {"resume": True}, prune={"latency": 0.9}))
    assert refused.value.code == "EK923"


def test_samples_that_cannot_be_changed_alike_are_refused_before_any_work(place, monkeypatch):
    images = np.load(place.folder / "more.npz")["inputs"]
    np.savez(place.folder / "more-targets.npz", inputs=images, targets=np.zeros((COUNT, 5), np.float32))
    monkeypatch.setattr("edgekit.start.loaded", None)
    data = place.training(training=str(place.folder / "more-targets.npz"))
    with pytest.raises(EdgekitError, match="would have to be changed alike"):
        pipeline.prune(place.recipe("moved", data, prune={"macs": 0.7, "augment": ("flip",)}))


def test_an_interruption_before_the_first_step_leaves_nothing(place, monkeypatch):
    def stopping(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules[Tuner.__module__], "finetune", stopping)
    with pytest.raises(KeyboardInterrupt):
        pipeline.prune(place.recipe("early", place.training(), prune={"latency": 0.97}))
    assert not (place.folder / "early").exists()


def test_samples_without_labels_teach_what_the_unpruned_model_says(place):
    data = place.training(training=str(place.folder / "more-bare.npz"))
    found = pipeline.prune(place.recipe("distilled", data, prune={"macs": 0.7, "epochs": 2}))
    assert (found.pruning.score, found.pruning.training.labels, found.pruning.training.distilled) == ("norms", False, 1)
    with pytest.raises(EdgekitError, match="EK925"):
        pipeline.prune(place.recipe("untold", data, prune={"macs": 0.7, "distill": 0}))


@pytest.fixture(scope="module")
def street(place):
    prune, qat = {"macs": 0.7, "epochs": 2, "batch": 8}, {"epochs": 2, "batch": 8}
    return pipeline.quantize(place.recipe("street", place.training(), prune=prune, qat=qat))


def test_prune_then_integers_in_one_run(place, street):
    names = sorted(path.name for path in (place.folder / "street").iterdir())
    assert names == ["report.json", "tiny.int8.onnx", "tiny.int8.tflite", "tiny.onnx", "tiny.pt2"]
    found = street.verification
    assert found.reference.label == "unpruned ONNX"
    scores = {score.label: score for score in found.scores}
    assert set(scores) == {"float32 PyTorch", "float32 ONNX", "INT8 ONNX", "INT8 TFLite"}
    assert scores["float32 ONNX"].sqnr_db["scores"] > FAITHFUL_DB
    assert 10 < scores["INT8 ONNX"].sqnr_db["scores"] < 80
    assert found.ledgers[0].int8_macs_share == 1.0
    assert sum(row.macs for row in found.ledgers[0].rows) == street.pruning.macs
    assert {latency.label for latency in street.latencies} == {
        f"{step} {kind}" for step in ("unpruned", "float32", "INT8") for kind in ("ONNX", "TFLite")
    }
    assert street.pruning.training is not None
    assert street.training is not None
    constants = onnx.load(place.folder / "street" / "tiny.int8.onnx").graph.initializer
    first, second = (group.kept for group in street.pruning.groups)
    assert [second, first, 3, 3] in [list(tensor.dims) for tensor in constants]


@pytest.mark.slow
def test_a_street_that_is_interrupted_on_its_second_training(place, street, monkeypatch):
    settle, seen = Student.settle, []

    def stopping(self, share):
        seen.append(share)
        if len(seen) == 5:
            signal.raise_signal(signal.SIGINT)
        settle(self, share)

    prune, qat = {"macs": 0.7, "epochs": 2, "batch": 8}, {"epochs": 2, "batch": 8}
    monkeypatch.setattr(Student, "settle", stopping)
    with pytest.raises(KeyboardInterrupt):
        pipeline.quantize(place.recipe("second", place.training(), prune=prune, qat=qat))
    left = sorted(path.name for path in (place.folder / "second").iterdir())
    assert left == ["tiny.finetuning", "tiny.training"]
    resumed = pipeline.quantize(place.recipe("second", place.training(), {"resume": True}, prune=prune, qat=qat))
    assert [file.sha256 for file in resumed.files] == [file.sha256 for file in street.files]
    assert not list((place.folder / "second").glob("*ing"))


def test_a_budget_counts_against_the_unpruned_model(place):
    found = pipeline.quantize(place.recipe("budget", prune={"macs": 0.3}, budget={"max_drop": 12.0}))
    drops = [score.drop for score in found.verification.scores]
    assert found.budget.drop == pytest.approx(100 * max(drops))
    assert not found.budget.met
    assert len(found.budget.candidates) == 1  # no op leaves INT8 for what pruning lost
    assert "the budget is not kept" in headline(found)
    assert any("over the budget in float already" in warning for warning in warnings(found))
    in_float = pipeline.prune(place.recipe("budget-float", prune={"macs": 0.3}, budget={"max_drop": 12.0}))
    assert not in_float.budget.met


@pytest.mark.slow
def test_float16_files_of_a_pruned_model(place):
    found = pipeline.quantize(place.recipe("half", prune={"macs": 0.7}, quantize={"precision": "float16"}))
    assert {file.label for file in found.files} == {"float16 ONNX", "float16 TFLite", "float32 PyTorch"}
    assert all(score.value == found.verification.scores[0].value for score in found.verification.scores)


@pytest.fixture(scope="module")
def sparse(place):
    return pipeline.prune(place.recipe("sparse", place.training(), prune={"sparsity": "2:4", "epochs": 3, "batch": 8}))


def zero_shares(path: Path) -> dict[tuple[int, ...], float]:
    """Shape -> share of zeros, of the arrays with more than one axis in an ONNX file."""
    arrays = [onnx.numpy_helper.to_array(one) for one in onnx.load(path).graph.initializer]
    return {array.shape: float(np.mean(array == 0)) for array in arrays if array.ndim > 1}


def test_weights_are_set_to_zero_and_what_that_wins_is_said(place, sparse):
    shares = zero_shares(place.folder / "sparse" / "tiny.onnx")
    assert shares[48, 32, 3, 3] == shares[32, 4, 3, 3] == 0.5
    facts = sparse.pruning.sparsity
    assert (facts.asked, facts.zeros, facts.dense) == ("2:4", facts.weights / 2, ())
    assert (sparse.pruning.goal, sparse.pruning.score, sparse.pruning.reached) == (None, None, None)
    assert sparse.pruning.macs == sparse.model.macs
    for kind in ("ONNX", "TFLite"):
        assert facts.deflated_bytes[f"float32 {kind}"] < 0.75 * facts.deflated_bytes[f"unpruned {kind}"]
        path = place.folder / "sparse" / f"tiny.{kind.lower()}"
        assert facts.deflated_bytes[f"float32 {kind}"] == len(zlib.compress(path.read_bytes(), facts.level))
    assert facts.speed_ups["ONNX Runtime"].startswith("none") and facts.speed_ups["LiteRT"].startswith("none")
    assert "not measured" in facts.speed_ups["TensorRT"]
    assert sparse.pruning.training.kept


def test_a_mask_is_never_called_a_speed_up(sparse):
    assert "once deflated, and no faster" in headline(sparse)
    text = " ".join(str(sparse).split())
    assert "sparsity 50.0 % of " in text and "asked for 2:4" in text
    assert "ONNX Runtime: none: it multiplies by zeros as by any number" in text
    rows = [line for line in str(sparse).splitlines() if line.startswith(("float32 ONNX", "float32 TFLite"))]
    assert len(rows) == 2 and not any("x" in row.removeprefix("float32 ONNX") for row in rows)
    assert not any("slower" in warning for warning in warnings(sparse))


def test_channels_go_first_and_single_weights_after_them(place):
    found = pipeline.prune(place.recipe("both", prune={"macs": 0.7, "sparsity": 0.5}))
    assert found.pruning.reached <= 0.7
    empty, weighed = found.pruning.sparsity.zeros, found.pruning.sparsity.weights
    assert empty == pytest.approx(weighed / 2, abs=1)
    assert weighed < found.model.parameters
    assert headline(found).startswith("the pruned files are ")


def test_integers_keep_the_zeros(place):
    found = pipeline.quantize(place.recipe("sparse8", prune={"sparsity": 0.75}))
    shares = zero_shares(place.folder / "sparse8" / "tiny.int8.onnx")
    whole = {(48, 32, 3, 3): 48 * 32 * 9, (32, 4, 3, 3): 32 * 4 * 9}
    weighed = sum(shares[shape] * size for shape, size in whole.items()) / sum(whole.values())
    assert weighed > 0.74
    deflated = found.pruning.sparsity.deflated_bytes
    assert deflated["INT8 ONNX"] < deflated["unpruned ONNX"] / 4
    assert headline(found).startswith("the INT8 files are ")


@pytest.mark.parametrize("option", [{"qat": {"epochs": 1}}, {"quantize": {"effort": "high"}}])
def test_what_would_fill_the_zeros_again_is_refused(place, option):
    with pytest.raises(EdgekitError, match="learns the weights of the integers anew") as refused:
        place.recipe("filled", place.training(), prune={"sparsity": 0.5}, **option)
    assert refused.value.code == "EK154"


@pytest.mark.parametrize("value", ["1:4", "120%", 1.0, "much"])
def test_a_sparsity_that_is_none(place, value):
    with pytest.raises(EdgekitError, match="2:4") as refused:
        place.recipe("odd", prune={"sparsity": value})
    assert refused.value.code == "EK152"


@pytest.mark.parametrize(
    ("code", "sections", "data"),
    [
        ("EK303", {"prune": {"macs": 0.001}}, None),
        ("EK303", {"prune": {"size": 0.01}}, None),
        ("EK305", {"prune": {"latency": 0.6}, "": {"device": "raspberry-pi-4"}}, None),  # too small for it
        ("EK305", {"prune": {"latency": 0.6}, "": {"device": "x86-64"}}, None),  # nothing was measured
        ("EK306", {"prune": {"macs": 0.7, "score": "taylor"}}, "samples-bare.npz"),
        ("EK307", {}, None),
        ("EK413", {"prune": {"macs": 0.7, "epochs": 3}}, None),
        ("EK413", {"prune": {"macs": 0.7, "rounds": 2}}, None),
        ("EK413", {"prune": {"macs": 0.7, "patience": 2}}, None),
        ("EK922", {"prune": {"macs": 0.7}, "output": {"resume": True}}, None),
    ],
)
def test_what_cannot_be(place, code, sections, data):
    top = sections.pop("", {})
    given = {"data": str(place.folder / (data or "samples.npz"))}
    recipe = place.recipe("refused", given, sections.pop("output", None), **sections)
    with pytest.raises(EdgekitError) as refused:
        pipeline.prune(recipe.model_copy(update=top))
    assert refused.value.code == code
    assert not (place.folder / "refused").exists()


def test_scoring_without_samples(place):
    recipe = place.recipe(
        "unscored", {"evaluation": str(place.folder / "samples.npz")}, prune={"macs": 0.7, "score": "activations"}
    )
    with pytest.raises(EdgekitError, match="EK306"):
        pipeline.prune(recipe)


def test_converting_prunes_nothing_and_says_so(place):
    for prune in ({"macs": 0.7}, {"sparsity": 0.5}):
        with pytest.raises(EdgekitError, match="EK154"):
            pipeline.convert(place.recipe("converted", prune=prune), "float32")


def test_statistics_are_mended_on_samples_that_nothing_is_judged_on(place, report):
    data = {"calibration": str(place.folder / "more-bare.npz"), "evaluation": str(place.folder / "samples.npz")}
    found = pipeline.prune(place.recipe("mended", data, prune={"macs": "70%"}))
    assert any("the layers were refitted to what they gave before the cut" in note for note in found.notes)
    assert found.pruning.score == "norms"  # those samples say nothing that a loss could come of
    assert not any("was not needed" in note for note in found.notes)
    assert found.verification.scores[0].value != report.verification.scores[0].value
    assert found.pruning.training is None


def test_layers_that_cannot_be_refitted_stay_and_it_is_said(place, monkeypatch):
    refused = EdgekitError("EK911", "cannot run Foo in PyTorch", "edgekit has no form of this op with gradients", "")
    monkeypatch.setattr("edgekit.run.objective.without_gradients", lambda _: refused)
    found = pipeline.prune(place.recipe("unfitted", prune={"macs": 0.7}))
    assert found.pruning.score == "norms"
    assert any("the layers were not refitted: edgekit has no form" in note for note in found.notes)


def test_a_model_of_one_sample_at_a_time_is_scored_and_refitted_too(tmp_path):
    nodes = [
        node("Conv", ["image", "w", "b"], ["a"], pads=[1] * 4),
        node("Relu", ["a"], ["r"]),
        node("Concat", ["r", "k"], ["j"], axis=2),
        node("Conv", ["j", "v"], ["y"], pads=[1] * 4),
    ]
    constants = {"w": weights(32, 4, 3, 3), "b": weights(32), "k": weights(1, 32, 1, 6), "v": weights(5, 32, 3, 3)}
    model = graph({"image": (1, 4, 6, 6)}, nodes, constants)
    for value in (*model.graph.inputs, *(made for each in model.graph for made in each.outputs)):
        value.shape = ir.Shape((1, *value.shape[1:]))
    (tmp_path / "fixed.onnx").write_bytes(files.to_bytes(model))
    samples = {"inputs": np.random.default_rng(0).normal(0, 1, (60, 4, 6, 6)).astype(np.float32)}
    np.savez(tmp_path / "samples.npz", **samples, targets=np.zeros((60, 5, 7, 6), np.float32))
    found = Place(tmp_path, tmp_path / "fixed.onnx").recipe("out", prune={"macs": 0.7})
    report = pipeline.prune(found)
    assert report.pruning.score == "taylor"
    assert any("were refitted" in note or "stay as they were cut" in note for note in report.notes)


@pytest.mark.slow
@pytest.mark.parametrize(
    "sections",
    [
        {"quantize": {"precision": "int8-dynamic"}},
        {"quantize": {"precision": "int16x8"}},
        {"quantize": {"scheme": "symmetric"}},
        {"quantize": {"io": "int8"}, "output": {"layout": "nhwc"}},
        {"output": {"batch": 4}},
        {"output": {"formats": ("tflite",)}},
    ],
    ids=["dynamic", "int16x8", "symmetric", "int8 nhwc", "batch", "tflite alone"],
)
def test_whatever_files_are_asked_for(place, sections):
    name = "-".join(str(value) for section in sections.values() for value in section.values())
    output = dict(sections).pop("output", None)
    rest = {key: value for key, value in sections.items() if key != "output"}
    found = pipeline.quantize(place.recipe(f"any-{name}", None, output, prune={"macs": 0.7}, **rest))
    for score in found.verification.scores:
        if score.label.startswith("float32") and score.label != "float32 PyTorch":
            assert score.sqnr_db["scores"] > FAITHFUL_DB
        elif score.label != "float32 PyTorch":
            assert score.sqnr_db["scores"] > 15
    assert found.pruning.reached <= 0.7
