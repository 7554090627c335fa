"""Builds: what is made when, whose files are replaced, and what is left of one that was stopped.

Most tests walk a street of paper in place of the real one: it takes milliseconds, and can be stopped at any step.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgekit import build as builds
from edgekit import pipeline
from edgekit.build import build, build_locked
from edgekit.errors import EdgekitError
from edgekit.locking.lock import read_lock
from edgekit.outputs import Outputs
from edgekit.progress import SILENT
from edgekit.recipe import Recipe
from edgekit.report import Report
from edgekit.report.facts import BudgetFacts, DataFacts, FileFacts
from edgekit.staging import ANEW, Placing
from tests.reports import REPORT

Street = Callable[..., Report]


class Paper:
    """A street whose files say what they were made of. walked: the recipes; before: called between work and files."""

    def __init__(self) -> None:
        self.walked: list[Recipe] = []
        self.before: Callable[[Outputs], None] = lambda _: None
        self.met: bool | None = None
        self.drawn = "ids"
        self.folder = Path()

    def __call__(self, recipe: Recipe, progress: object, *, placing: Placing = ANEW) -> Report:
        assert progress is SILENT
        self.walked.append(recipe)
        keys = [("int8", format) for format in recipe.output.formats]
        outputs = Outputs(recipe, keys, placing=placing)  # type: ignore[arg-type]
        content = f"{Path(recipe.model.path).read_text()} {recipe.quantize.ranges} {self.drawn}"
        with outputs:
            self.before(outputs)
            for name in outputs.names.values():
                (outputs.folder / name).write_text(f"{name}: {content}")
            report = self._report(outputs)
            outputs.keep(report.to_json())
        outputs.forget(training=True)
        return report

    def _report(self, outputs: Outputs) -> Report:
        files = []
        for name in outputs.names.values():
            sha256 = builds.Hashes().of(outputs.folder / name)
            path = str(outputs.directory / name)
            files.append(FileFacts(label=name, path=path, format="onnx", precision="int8", size_bytes=1, sha256=sha256))
        data = DataFacts(
            calibration=None,
            calibration_count=0,
            evaluation="eval.npz",
            evaluation_count=9,
            calibration_ids=self.drawn,
            evaluation_ids="ids",
        )
        budget = None if self.met is None else replace(BUDGET, met=self.met)
        return replace(REPORT, files=tuple(files), data=data, budget=budget, stages_s={"walking": time.time()})


BUDGET = BudgetFacts(
    max_drop=1.0,
    unit="points",
    met=True,
    drop=0.0,
    upper=0.5,
    least=0.1,
    samples=9,
    samples_needed=None,
    candidates=(),
    shares={},
)


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> Paper:
    street = Paper()
    monkeypatch.setattr(pipeline, "quantize", street)
    return street


@pytest.fixture
def recipe(tmp_path: Path, paper: Paper) -> Path:
    paper.folder = tmp_path
    (tmp_path / "net.pt").write_text("weights")
    return said(tmp_path, "")


def said(folder: Path, more: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(f'[model]\npath = "net.pt"\n{more}')
    return path


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.suffix in (".onnx", ".tflite")}


# ---- what is made when -----------------------------------------------------------------------------------------------


def test_the_second_build_makes_nothing(paper: Paper, recipe: Path) -> None:
    first = build(recipe)
    assert first.report is not None
    assert first.directory == recipe.parent / "net-edgekit", "beside the recipe, wherever it is called from"
    second = build(recipe)
    assert second.report is None and len(paper.walked) == 1
    assert second.lock == first.lock
    assert json.loads(second.document) == json.loads((first.directory / "report.json").read_text())


def test_the_lock_says_what_it_was_made_of(recipe: Path) -> None:
    build(recipe)
    lock = read_lock(recipe.with_suffix(".lock"))
    assert lock is not None
    assert lock.origin.recipe == {"model.path": "net.pt"}
    assert lock.origin.inputs.keys() == {"net.pt"}
    assert {"edgekit", "torch", "onnxruntime", "ai-edge-litert"} <= lock.origin.versions.keys()
    assert lock.outputs.keys() == {"net.int8.onnx", "net.int8.tflite"}
    assert lock.samples["evaluation"].count == 9
    assert lock.met is None


@pytest.mark.parametrize("more", ["# a comment\n", "[output]\noverwrite = false\n", '[quantize]\nranges = "auto"\n'])
def test_a_recipe_that_means_the_same(recipe: Path, more: str) -> None:
    build(recipe)
    said(recipe.parent, more)
    assert build(recipe).report is None


@pytest.mark.parametrize("what", ["recipe", "model", "output", "gone", "report", "versions"])
def test_whatever_changed_is_made_again(paper: Paper, recipe: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = build(recipe).directory
    match what:
        case "recipe":
            said(recipe.parent, '[quantize]\nranges = "mse"\n')
        case "model":
            (recipe.parent / "net.pt").write_text("others!")
        case "output" | "report":  # only what is gone may be made again without asking
            (made / ("net.int8.onnx" if what == "output" else "report.json")).unlink()
        case "gone":
            for path in made.iterdir():
                path.unlink()
            made.rmdir()
        case "versions":
            monkeypatch.setattr(builds, "versions", lambda *_: {"torch": "another"})
    assert build(recipe).report is not None
    assert build(recipe).report is None
    assert len(paper.walked) == 2


def test_factories_are_watched_with_what_they_import(recipe: Path) -> None:
    (recipe.parent / "nets.py").write_text("import parts")
    (recipe.parent / "parts.py").write_text("width = 3")
    said(recipe.parent, 'factory = "nets.py:make"')
    build(recipe)
    assert build(recipe).report is None
    (recipe.parent / "parts.py").write_text("width = 4")
    assert build(recipe).report is not None


def test_a_budget_that_was_missed_is_still_missed(paper: Paper, recipe: Path) -> None:
    paper.met = False
    assert build(recipe).lock.met is False
    again = build(recipe)
    assert again.report is None and again.lock.met is False


def test_samples_that_cannot_be_read(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: object, path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(builds.Hashes, "of", refused)
    with pytest.raises(EdgekitError, match=r"(?s)EK121.*net\.pt"):
        build(recipe)


# ---- whose files are replaced ----------------------------------------------------------------------------------------


def test_a_file_that_is_no_output_any_more_goes(recipe: Path) -> None:
    made = build(recipe).directory
    (made / "notes.txt").write_text("mine")
    said(recipe.parent, '[output]\nformats = ["onnx"]\n')
    build(recipe)
    assert {path.name for path in made.iterdir()} == {
        "net.int8.onnx",
        "report.json",
        "notes.txt",
        ".recipe.build.json",
    }


@pytest.mark.parametrize("name", ["net.int8.onnx", "report.json"])
def test_a_file_that_somebody_changed_is_not_replaced(recipe: Path, name: str) -> None:
    made = build(recipe).directory
    (made / name).write_text("mine")
    for _ in range(2):
        with pytest.raises(EdgekitError) as raised:
            build(recipe)
        assert raised.value.code == "EK975" and name in raised.value.what
    assert (made / name).read_text() == "mine"
    said(recipe.parent, "[output]\noverwrite = true\n")
    assert build(recipe).report is not None
    assert (made / name).read_text() != "mine"


def test_a_file_that_was_there_before_is_not_replaced(recipe: Path) -> None:
    folder = recipe.parent / "net-edgekit"
    folder.mkdir()
    (folder / "net.int8.onnx").write_text("mine")
    with pytest.raises(EdgekitError) as raised:
        build(recipe)
    assert raised.value.code == "EK195" and "[output]" in raised.value.fix
    assert [path.name for path in folder.iterdir()] == ["net.int8.onnx"]


def test_without_its_memory_a_build_knows_its_files_by_the_lock(recipe: Path) -> None:
    made = build(recipe).directory
    (made / ".recipe.build.json").unlink()
    assert build(recipe).report is None
    (made / ".recipe.build.json").unlink()
    (recipe.parent / "net.pt").write_text("others!")
    assert build(recipe).report is not None
    (made / ".recipe.build.json").unlink()
    (made / "report.json").write_text("{}")
    with pytest.raises(EdgekitError, match="EK975"):
        build(recipe)


def test_with_anothers_lock_a_build_knows_its_files_by_its_memory(recipe: Path) -> None:
    build(recipe)
    lock = recipe.with_suffix(".lock")
    lock.write_text(lock.read_text().replace('"net.int8.onnx" = "', '"net.int8.onnx" = "0'))
    assert build(recipe).report is not None


# ---- what is left of one that was stopped ----------------------------------------------------------------------------


def stop(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_build_that_fails_leaves_nothing(paper: Paper, recipe: Path) -> None:
    paper.before = stop
    before = sorted(recipe.parent.iterdir())
    with pytest.raises(KeyboardInterrupt):
        build(recipe)
    assert sorted(recipe.parent.iterdir()) == before


def test_a_build_that_fails_leaves_the_last_one(paper: Paper, recipe: Path) -> None:
    made = build(recipe).directory
    before = contents(made)
    (recipe.parent / "net.pt").write_text("others!")
    paper.before = stop
    with pytest.raises(KeyboardInterrupt):
        build(recipe)
    assert contents(made) == before
    (recipe.parent / "net.pt").write_text("weights")
    assert build(recipe).report is None


@pytest.mark.parametrize("moved", [0, 1, 2, 3])
def test_killed_while_files_take_their_places(recipe: Path, moved: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after kill -9: nothing is cleaned up, and some of the files are new."""
    made = build(recipe).directory
    (recipe.parent / "net.pt").write_text("others!")
    left = moved
    real = Path.replace

    def killed(self: Path, target: Path) -> Path:
        nonlocal left
        if self.parent.name.startswith(".edgekit-"):
            if not left:
                raise SystemError("killed")
            left -= 1
        return real(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", killed)
        patched.setattr(builds, "_take_back", lambda *_: None)
        patched.setattr(builds.locks, "write_lock", stop)
        with pytest.raises((SystemError, KeyboardInterrupt)):
            build(recipe)
    (made / ".edgekit-left").mkdir()
    (made / ".recipe.build.json.x.part").touch()
    assert build(recipe).report is not None
    assert contents(made) == {name: f"{name}: others! auto ids" for name in ("net.int8.onnx", "net.int8.tflite")}
    assert {path.name for path in made.iterdir()} == {*contents(made), "report.json", ".recipe.build.json"}
    assert build(recipe).report is None


TRAINING = '[data]\ntraining = "train.npz"\n[qat]\nepochs = 3\n'


def interrupted(outputs: Outputs) -> None:
    outputs.checkpoint.write_text("half way")
    raise KeyboardInterrupt


def test_an_interrupted_training_goes_on(paper: Paper, recipe: Path) -> None:
    (recipe.parent / "train.npz").touch()
    said(recipe.parent, TRAINING)
    paper.before = interrupted
    with pytest.raises(KeyboardInterrupt) as stopped:
        build(recipe)
    assert stopped.value.__notes__ == ["so does the same edgekit build"]
    assert not paper.walked[-1].output.resume
    paper.before = lambda _: None
    assert build(recipe).report is not None
    assert paper.walked[-1].output.resume
    assert {path.suffix for path in (recipe.parent / "net-edgekit").iterdir()} == {".onnx", ".tflite", ".json"}


def does_not_fit(outputs: Outputs) -> None:
    if outputs.checkpoint.exists():
        raise EdgekitError("EK923", "cannot resume", "it is of other samples", "delete it")


def test_a_checkpoint_of_samples_that_are_drawn_anew_is_dropped(paper: Paper, recipe: Path) -> None:
    (recipe.parent / "train.npz").touch()
    said(recipe.parent, TRAINING)
    paper.before = interrupted
    with pytest.raises(KeyboardInterrupt):
        build(recipe)
    paper.before = does_not_fit
    assert build(recipe).report is not None
    assert [walked.output.resume for walked in paper.walked] == [False, True, False]


def test_a_checkpoint_that_no_build_left_is_kept(paper: Paper, recipe: Path) -> None:
    (recipe.parent / "train.npz").touch()
    said(recipe.parent, TRAINING)
    folder = recipe.parent / "net-edgekit"
    folder.mkdir()
    (folder / "net.training").write_text("of edgekit quantize")
    paper.before = does_not_fit
    with pytest.raises(EdgekitError, match="EK923"):
        build(recipe)
    assert (folder / "net.training").exists()


def test_what_somebody_changed_and_nobody_makes_any_more_stays(recipe: Path) -> None:
    made = build(recipe).directory
    (made / "net.int8.tflite").write_text("mine")
    said(recipe.parent, '[output]\nformats = ["onnx"]\noverwrite = true\n')
    build(recipe)
    assert (made / "net.int8.tflite").read_text() == "mine"


def test_a_checkpoint_that_no_longer_fits_is_dropped(paper: Paper, recipe: Path) -> None:
    (recipe.parent / "train.npz").touch()
    said(recipe.parent, TRAINING)
    paper.before = interrupted
    with pytest.raises(KeyboardInterrupt):
        build(recipe)
    (recipe.parent / "net.pt").write_text("others!")

    def looks(outputs: Outputs) -> None:
        assert not outputs.checkpoint.exists()

    paper.before = looks
    assert build(recipe).report is not None
    assert not paper.walked[-1].output.resume


def test_the_training_of_a_pruned_model_goes_on_where_it_was(paper: Paper, recipe: Path) -> None:
    (recipe.parent / "train.npz").touch()
    said(recipe.parent, f'{TRAINING}[prune]\nmacs = "70%"\n')

    def while_pruning(outputs: Outputs) -> None:
        outputs.finetuning.write_text("half way")
        raise KeyboardInterrupt

    paper.before = while_pruning
    with pytest.raises(KeyboardInterrupt):
        build(recipe)

    def forgotten(outputs: Outputs) -> None:  # killed while the checkpoints of a finished training were taken away
        outputs.finetuning.unlink()
        outputs.checkpoint.write_text("done")
        raise KeyboardInterrupt

    paper.before = forgotten
    with pytest.raises(KeyboardInterrupt):
        build(recipe)
    assert paper.walked[-1].output.resume
    paper.before = lambda _: None
    assert build(recipe).report is not None
    assert not paper.walked[-1].output.resume


def test_one_build_at_a_time(recipe: Path) -> None:
    made = build(recipe).directory
    other = os.open(made, os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(EdgekitError, match="EK976"):
            build(recipe)
    finally:
        os.close(other)
    assert build(recipe).report is None


# ---- what is locked --------------------------------------------------------------------------------------------------


def test_what_is_built_as_locked(paper: Paper, recipe: Path) -> None:
    made = build(recipe).directory
    before = {path: path.stat().st_mtime_ns for path in made.iterdir()}
    assert build_locked(recipe).report is not None
    assert len(paper.walked) == 2
    assert {path: path.stat().st_mtime_ns for path in made.iterdir()} == before


def test_nothing_is_locked(recipe: Path) -> None:
    with pytest.raises(EdgekitError, match="EK970"):
        build_locked(recipe)


def test_other_inputs_than_locked(paper: Paper, recipe: Path) -> None:
    build(recipe)
    said(recipe.parent, '[quantize]\nranges = "mse"\n')
    (recipe.parent / "net.pt").write_text("others!")
    with pytest.raises(EdgekitError) as raised:
        build_locked(recipe)
    assert raised.value.code == "EK972"
    assert raised.value.why == "changed: [quantize] ranges, 'net.pt'"
    assert len(paper.walked) == 1


def test_other_versions_than_locked(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(recipe)
    now = {**builds.versions((), builds.Hashes()), "torch": "9.9"}
    monkeypatch.setattr(builds, "versions", lambda *_: now)
    with pytest.raises(EdgekitError, match=r"(?s)EK973.*torch .* -> 9\.9") as raised:
        build_locked(recipe)
    assert raised.value.fix.startswith("install")


def test_other_bytes_than_locked(paper: Paper, recipe: Path) -> None:
    made = build(recipe).directory
    before = contents(made)

    def why() -> str:
        with pytest.raises(EdgekitError) as raised:
            build_locked(recipe)
        assert raised.value.code == "EK974"
        assert "net.int8.onnx, net.int8.tflite are not" in raised.value.what
        return raised.value.why

    paper.drawn = "others"
    assert why().startswith("the calibration samples are others")
    lock = recipe.with_suffix(".lock")
    lock.write_text(lock.read_text().replace('"net.int8.onnx" = "', '"net.int8.onnx" = "0'))
    lock.write_text(lock.read_text().replace('"net.int8.tflite" = "', '"net.int8.tflite" = "0'))
    paper.drawn = "ids"
    assert "does not repeat itself" in why()
    lock.write_text(lock.read_text().replace('machine = "', 'machine = "not '))
    assert "another machine" in why()
    assert contents(made) == before


def test_a_latency_is_never_quite_the_same(recipe: Path) -> None:
    said(recipe.parent, '[prune]\nlatency = "50%"\n')
    build(recipe)
    lock = recipe.with_suffix(".lock")
    lock.write_text(lock.read_text().replace('"net.int8.onnx" = "', '"net.int8.onnx" = "0'))
    with pytest.raises(EdgekitError, match=r"(?s)EK974.*net\.int8\.onnx is not.*pruned to a latency"):
        build_locked(recipe)


# ---- the real street -------------------------------------------------------------------------------------------------

NET = """
import numpy as np
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 5))

def samples(seed=0):
    x = np.random.default_rng(seed).normal(size=(96, 1, 8, 8)).astype(np.float32)
    with torch.inference_mode():
        return x, net()(torch.from_numpy(x)).argmax(1).numpy()

def training():
    return samples(1)
"""
RECIPE = """
[model]
path = "net.py:net"
[data]
data = "net.py:samples"
training = "net.py:training"
[prune]
params = "80%"
epochs = 6
[qat]
epochs = 6
"""
KILLED_AT = (".recipe.build.json", "net.finetuning", "net.training")  # files that show how far a build has come
PATIENCE_S = 600


def real(folder: Path) -> Path:
    folder.mkdir()
    (folder / "net.py").write_text(NET)
    (folder / "recipe.toml").write_text(RECIPE)
    return folder / "recipe.toml"


def command(recipe: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "edgekit", "build", str(recipe), *options]


def killed_at(recipe: Path, sign: str) -> None:
    """Start a build, and kill -9 it as soon as a file by that name is there."""
    child = subprocess.Popen(command(recipe), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_S
    while not (recipe.parent / "net-edgekit" / sign).exists() and time.monotonic() < deadline:
        assert child.poll() is None, f"it ended without '{sign}'"
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()


@pytest.mark.slow
def test_killed_at_any_moment_the_next_build_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """`--locked` builds without a checkpoint to go on from, so it says what nobody killed would have made."""
    recipe = real(tmp_path / "killed")
    for sign in KILLED_AT:
        killed_at(recipe, sign)
    ended = subprocess.run(command(recipe, "--verbose"), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "training, from step" in ended.stderr, "it went on from a checkpoint"
    names = {"net.onnx", "net.int8.onnx", "net.int8.tflite", "net.pt2"}
    assert {path.name for path in (recipe.parent / "net-edgekit").iterdir()} == {
        *names,
        "report.json",
        ".recipe.build.json",
    }
    locked = subprocess.run(command(recipe, "--locked"), capture_output=True, text=True, check=False)
    assert (locked.returncode, locked.stderr) == (0, "")
