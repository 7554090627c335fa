"""A training from its samples to what came of it, which is kept where it is better on samples it never saw.

What quantization-aware training and fine-tuning after pruning share: a tenth of the samples is kept apart, the student
learns from the rest, and its graph before and after is judged on those kept apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import onnx_ir as ir
import torch

from edgekit.errors import EdgekitError
from edgekit.graph.check import checked
from edgekit.progress import Progress
from edgekit.run.checkpoint import Checkpoint
from edgekit.run.objective import Objective, answers_of, at_once
from edgekit.run.one_thread import one_thread
from edgekit.run.torch_view import to_torch
from edgekit.run.train import Course, Patience, Trainee, train
from edgekit.run.trained import Judged, Training
from edgekit.samples import Samples, choose

HELD_OUT_SHARE, HELD_OUT_AT_MOST = 0.1, 1000
HELD_OUT_AT_LEAST = 2
LEAST = round(HELD_OUT_AT_LEAST / HELD_OUT_SHARE)  # samples
AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """course: how to train; distilled: share of the float model's answers in the loss; checkpoint: where an interrupted
    training is kept; resume: go on from there; patience: epochs without a lower loss on the samples kept apart that end
    it, None to see all of them."""

    course: Course
    distilled: float
    checkpoint: Path
    resume: bool
    patience: int | None = None


class Result(Protocol):
    @property
    def graph(self) -> ir.Model: ...


R_co = TypeVar("R_co", bound=Result, covariant=True)


class Student(Trainee, Protocol[R_co]):
    """A trainee that a graph comes of."""

    def identity(self) -> str:
        """Of what there was before any training."""

    def result(self) -> R_co:
        """What was learned."""


def teach(
    student: Student[R_co], before: ir.Model, told: Objective, samples: Samples, wanted: Wanted, progress: Progress
) -> tuple[R_co, Training]:
    """before: the student's graph as it was; samples: named as its inputs. Raises EK925 for too few samples."""
    held_out, rest = parted(samples)
    course = wanted.course.fitting(len(rest))
    identity = _identity(student, course, told, (rest, held_out))
    patience = None
    if wanted.patience is not None:
        identity = f"{identity}|{wanted.patience}"
        patience = Patience(wanted.patience, lambda: judged(checked(student.result().graph), told, held_out).loss)
    kept = Checkpoint(wanted.checkpoint, identity, wanted.resume)
    history = train(student, rest, course, progress, kept, patience)
    trained = student.result()
    with progress.step("judging what was learned", 2 * len(held_out)) as advance:
        was, became = (judged(one, told, held_out) for one in (before, checked(trained.graph)))
        advance(2 * len(held_out))
    return trained, Training(
        where=samples.where,
        epochs=course.epochs,
        batch=course.batch,
        lr=course.lr,
        optimizer=course.optimizer,
        distilled=told.distilled,
        labels=told.labels,
        samples=history.samples,
        held_out=len(held_out),
        steps=history.steps,
        losses=history.losses,
        before=was,
        after=became,
        kept=became.loss < was.loss,
        best=history.best,
    )


def judged(graph: ir.Model, told: Objective, samples: Samples) -> Judged:
    """A graph, float or of integers, on samples."""
    view, names = to_torch(graph), answers_of(graph)
    types = {value.name or "": value.dtype.numpy() for value in graph.graph.inputs if value.dtype is not None}
    total, right = 0.0, 0
    with one_thread(), torch.no_grad():
        for batch in samples.batches(at_once(graph, AT_ONCE)):
            inputs = {name: torch.from_numpy(np.asarray(x, types[name])) for name, x in batch.inputs.items()}
            found = view(inputs, list(names.values()))
            answers = {output: found[name] for output, name in names.items()}
            total += float(told.loss(answers, inputs, batch)) * len(batch.ids)
            right += told.right(answers, batch) or 0
    return Judged(loss=total / len(samples), top1=right / len(samples) if told.labels else None)


def parted(samples: Samples) -> tuple[Samples, Samples]:
    """(held out, to train on), disjoint by content, every class in its share."""
    different = len(set(samples.ids))
    count = min(HELD_OUT_AT_MOST, int(HELD_OUT_SHARE * different))
    if count < HELD_OUT_AT_LEAST:
        raise EdgekitError(
            "EK925",
            f"too few samples to train on in '{samples.where}'",
            f"{different} are different; a tenth is kept apart to judge by, so {LEAST} are the least",
            "give more with --train, or leave the training out",
        )
    held_out = choose(samples, count)
    apart = set(held_out.ids)
    return held_out, samples.take([i for i, one in enumerate(samples.ids) if one not in apart])


def identity_of(learned: Trainee) -> str:
    """Of the tensors as they stand."""
    digest = hashlib.blake2b(digest_size=16)
    for name, one in learned.learned.items():
        digest.update(f"{name}|{tuple(one.tensor.shape)}|".encode())
        digest.update(one.tensor.detach().numpy().tobytes())
    return digest.hexdigest()


def _identity(student: Student[Result], course: Course, told: Objective, parts: Sequence[Samples]) -> str:
    """Equal where a training would be the same."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{student.identity()}|{course}|{told.distilled}|{told.labels}|{torch.__version__}".encode())
    for part in parts:
        labels = {} if part.labels is None else dict(zip(part.ids, part.labels.tolist(), strict=True))
        digest.update("|".join(f"{one}:{labels.get(one)}" for one in sorted(part.ids)).encode())
        if told.targets:
            digest.update("|".join(sorted(_targets(part))).encode())
    return digest.hexdigest()


def _targets(samples: Samples) -> Iterator[str]:
    """What each sample asks for, with its id, which is that of its inputs alone."""
    for batch in samples.batches(AT_ONCE):
        targets = batch.targets or {}
        for row, one in enumerate(batch.ids):
            yield f"{one}:{[hashlib.blake2b(x[row].tobytes(), digest_size=16).hexdigest() for x in targets.values()]}"
