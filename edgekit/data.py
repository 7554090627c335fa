"""The samples of one run, by what they are for: some to calibrate on, others to judge on, none for both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from edgekit.artifact import Arrays
from edgekit.errors import EdgekitError
from edgekit.recipe import TRAINING_KEYS, Recipe, said_of_training
from edgekit.samples import Samples, choose, disjoint, load_samples, split

SHOWN = 5  # names in a note
SYNTHESIZED = "synthesised inputs"


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the Python API hands over in memory, in place of the recipe's paths."""

    model: Any = None
    data: Any = None
    calibration: Any = None
    evaluation: Any = None
    training: Any = None

    @property
    def in_memory(self) -> bool:
        """Anything at all is."""
        return any(getattr(self, field.name) is not None for field in fields(self))


@dataclass(frozen=True, kw_only=True)
class Data:
    """overlap: calibration samples dropped because they stand in the evaluation too; given, copies: samples that there
    were to calibrate on, and how many of them are equal to others; synthesized: nobody gave any to calibrate on;
    unneeded: nothing is calibrated; training: without the training_overlap samples that stand in the evaluation too."""

    calibration: Samples | None
    evaluation: Samples | None
    overlap: int = 0
    given: int = 0
    copies: int = 0
    synthesized: bool = False
    unneeded: bool = False
    training: Samples | None = None
    training_overlap: int = 0

    @property
    def any(self) -> Samples | None:
        return self.calibration or self.evaluation

    @property
    def for_calibration(self) -> Samples:
        """Raises EK413 where there are none."""
        if self.calibration is None:
            raise no_samples("calibrate on", "--data nor --calib")
        return self.calibration

    @property
    def for_evaluation(self) -> Samples:
        """Raises EK413 where there are none."""
        if self.evaluation is None:
            raise no_samples("compare on", "--data nor --eval")
        return self.evaluation

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about how the samples were read."""
        said: list[str] = []
        for samples in filter(None, (self.calibration, self.evaluation, self.training)):
            said += samples.notes
            if samples.ignored:
                said.append(f"not used of '{samples.where}': {_few(samples.ignored)}")
        if self.unneeded and self.calibration is not None:
            why = "nothing is calibrated" if self.training is None else "the training samples are learned from"
            said.append(f"'{self.calibration.where}' was not needed: {why}")
        if not self.synthesized and self.evaluation is not None and self.evaluation.where == SYNTHESIZED:
            said.append("no samples were given, so the files are compared on synthesised inputs: accuracy is unknown")
        if self.training_overlap:
            both = f"{self.training_overlap} of the training samples stand in the evaluation too"
            said.append(f"{both}, and were not trained on")
        return tuple(dict.fromkeys(said))

    def named(self, names: Sequence[str]) -> Data:
        """Under the names of a model's inputs."""
        return replace(
            self,
            calibration=self.calibration and self.calibration.renamed(names),
            evaluation=self.evaluation and self.evaluation.renamed(names),
            training=self.training and self.training.renamed(names),
        )


def read_data(recipe: Recipe, given: Given, *, calibrate: bool) -> Data:
    """The samples that the recipe names, or that are given in memory instead.

    calibrate: False judges on all that --data names, since nothing is calibrated.
    """
    wanted = recipe.data
    sources = {
        "data": given.data if given.data is not None else wanted.data,
        "calibration": given.calibration if given.calibration is not None else wanted.calibration,
        "evaluation": given.evaluation if given.evaluation is not None else wanted.evaluation,
        "training": given.training if given.training is not None else wanted.training,
    }
    _check_training(sources["training"] is not None, recipe)
    found = {k: load_samples(what, recipe.preprocess) for k, what in sources.items() if what is not None}
    if not calibrate:
        return _to_judge_on(found)
    if "training" in found and "data" not in found:
        found.setdefault("calibration", found["training"])
    training, training_overlap = found.get("training"), 0
    offered = found.get("calibration", found.get("data"))
    if "data" in found:
        parts = split(found["data"], wanted.calibration_count, wanted.seed)
        found = dict(zip(("calibration", "evaluation"), parts, strict=True)) | found
    if training is not None and "evaluation" in found:
        training, training_overlap = disjoint(training, found["evaluation"], "train on")
    if "calibration" not in found or offered is None:
        return Data(
            calibration=None,
            evaluation=found.get("evaluation"),
            training=training,
            training_overlap=training_overlap,
        )
    calibration, overlap = found["calibration"], 0
    if "evaluation" in found:
        calibration, overlap = disjoint(calibration, found["evaluation"])
    calibration = choose(calibration, wanted.calibration_count, wanted.seed)
    return Data(
        calibration=calibration,
        evaluation=found.get("evaluation"),
        overlap=overlap,
        given=len(offered),
        copies=len(offered) - len(set(offered.ids)),
        training=training,
        training_overlap=training_overlap,
    )


def _to_judge_on(found: Mapping[str, Samples]) -> Data:
    """Nothing is calibrated."""
    evaluation, training = found.get("evaluation", found.get("data")), found.get("training")
    training_overlap = 0
    if training is not None and evaluation is not None:
        training, training_overlap = disjoint(training, evaluation, "train on")
    return Data(
        calibration=found.get("calibration"),
        evaluation=evaluation,
        unneeded=True,
        training=training,
        training_overlap=training_overlap,
    )


def with_synthesized(data: Data, arrays: Arrays) -> Data:
    """Made-up samples to calibrate on; without any to judge on, a quarter of them shows at least what the files do."""
    made = load_samples(arrays, where=SYNTHESIZED)
    count = len(made) if data.evaluation is not None else len(made) * 3 // 4
    calibration, evaluation = made.take(range(count)), data.evaluation or made.take(range(count, len(made)))
    return replace(data, calibration=calibration, evaluation=evaluation, synthesized=True)


def no_samples(purpose: str, options: str) -> EdgekitError:
    return EdgekitError(
        "EK413",
        f"no samples to {purpose}",
        f"neither {options} names any",
        "give representative inputs with --data PATH (.npz, .npy, a folder of images, or file.py:factory)",
    )


def _check_training(given: bool, recipe: Recipe) -> None:
    """Samples to train on, and something to train, or neither."""
    pruned, retrained = recipe.prune.wanted, recipe.qat.epochs is not None
    if given and not pruned and not retrained:
        raise EdgekitError(
            "EK154", "--train says nothing by itself", "nothing is trained without --qat or pruning", "add --qat EPOCHS"
        )
    if given:
        return
    if retrained:
        raise _nothing_to_train_on("--qat trains the INT8 graph")
    if pruned and (said := said_of_training(recipe.prune)):
        raise _nothing_to_train_on(f"{TRAINING_KEYS[said[0][0]]} is for training the pruned model")
    if recipe.prune.rounds > 1:
        raise _nothing_to_train_on("--rounds cuts a model that was trained again after each of them")
    if recipe.prune.patience is not None:
        raise _nothing_to_train_on("--patience ends a training")
    if recipe.output.resume:
        raise _nothing_to_train_on("--resume goes on with a training")


def _nothing_to_train_on(because: str) -> EdgekitError:
    return EdgekitError(
        "EK413",
        "no samples to train on",
        f"{because}, and --train names nothing to train it on",
        "give samples with --train PATH, not those of --eval: they would no longer tell anything",
    )


def _few(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
