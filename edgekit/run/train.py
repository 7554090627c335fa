"""The loop that quantization and pruning train with: gradients, a schedule, checkpoints, and a way back.

The same samples and the same course give the same bits, whatever the order of the samples, the number of cores, and
however often the training was interrupted and resumed: the order of each epoch follows from the samples' ids, the seed
and the epoch; each batch is computed in two halves of fixed rows, each on one thread, and their gradients are added in
order. What is trained is a `Trainee`; what it learns from is its own business.

    lr(step) = lr * (1 + cos(pi * step / steps)) / 2            Loshchilov and Hutter 2017, "SGDR", equation 5

A tensor's step is in units of its own size (`Unit`), so that one lr serves weights of 0.01 and of 10: AdamW's lr is
multiplied by the unit, SGD's, whose gradient has the inverse unit, by its square.
"""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekit.errors import EdgekitError
from edgekit.progress import Progress
from edgekit.run import checkpoint
from edgekit.run.augment import Change, augmented, check_augmentable, image_axes
from edgekit.run.checkpoint import Checkpoint
from edgekit.run.one_thread import one_thread
from edgekit.samples import Batch, Samples

SHARDS = 2  # of a batch, one core each; results depend on it, so it follows no machine
SAVED_EVERY_S = 60.0
Optimizer = Literal["adamw", "sgd"]


@dataclass(frozen=True, kw_only=True)
class Course:
    """How long and how fast. epochs: times that every sample is seen; batch: samples per step; lr: of the first step,
    in the tensors' units; seed: of the order in which samples come; augment: what is done to images."""

    epochs: int
    batch: int
    lr: float
    optimizer: Optimizer = "adamw"
    momentum: float = 0.9
    weight_decay: float = 0.0
    seed: int = 0
    augment: tuple[Change, ...] = ()

    def fitting(self, samples: int) -> Course:
        """With batches no larger than all there is."""
        return replace(self, batch=min(self.batch, samples))

    def steps(self, samples: int) -> int:
        return self.epochs * per_epoch(samples, self.batch)


@dataclass(frozen=True)
class Learned:
    """A tensor that is trained, and the size that a step of 1 has for it."""

    tensor: Tensor
    unit: float


class Trainee(Protocol):
    """What is trained."""

    @property
    def learned(self) -> Mapping[str, Learned]:
        """The tensors by name: always the same ones, whether or not they still move."""

    def loss(self, batch: Batch) -> Tensor:
        """Mean over the batch; called from several threads at once. A tensor that it does not reach stays."""

    def settle(self, share: float) -> None:
        """Told before every step how much of the training is over, and again after a checkpoint was read."""


@dataclass(frozen=True)
class Patience:
    """When to end early. epochs: without a lower loss on samples that are not trained on, which `judge` tells."""

    epochs: int
    judge: Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class History:
    """losses: mean over each epoch; steps: taken in all; samples: that were trained on; best: the epoch that the
    tensors are from, from 1 on, None where it is the last whatever it was worth."""

    losses: tuple[float, ...]
    steps: int
    samples: int
    best: int | None = None


def train(
    trainee: Trainee,
    samples: Samples,
    course: Course,
    progress: Progress,
    kept: Checkpoint | None = None,
    patience: Patience | None = None,
) -> History:
    """Train in place. kept: where to leave checkpoints, and whether to go on from one; patience: None to see all epochs
    and keep the last.

    Raises EK921 where the loss is no number any more; Ctrl-C leaves a checkpoint first.
    """
    check_augmentable(samples, course.augment)
    place, best = _Place(steps=course.steps(len(samples))), None
    optimizer = _optimizer(trainee, course)
    if kept is not None and (found := kept.read()) is not None:
        place, best = _restored(found, trainee, optimizer), _best_in(found)
    ended = _tried_enough(place, best, patience)
    said = "training" if place.step == 0 else f"training, from step {place.step} of {place.steps} on"
    with one_thread(), _shards() as pool, progress.step(said, (place.steps - place.step) * course.batch) as advance:
        saved = monotonic()
        with _interruptible() as interrupted:
            for batch in () if ended else _batches(samples, course, place.step):
                trainee.settle(place.step / place.steps)
                loss = _stepped(trainee, batch, optimizer, pool, course.lr * _cosine(place))
                if not math.isfinite(loss):
                    raise _diverged(place, course)
                place = place.after(loss, per_epoch(len(samples), course.batch))
                advance(len(batch.ids))
                if place.between_epochs:
                    progress.note(f"epoch {len(place.losses)} of {course.epochs}: loss {place.losses[-1]:.4g}")
                    best = _judged(patience, place, best, trainee)
                    ended = _tried_enough(place, best, patience)
                if kept is None:
                    interrupted.raise_now()
                elif interrupted.now or place.between_epochs or monotonic() - saved > SAVED_EVERY_S:
                    kept.write({**_state(place, trainee, optimizer), **({} if best is None else _kept_best(best))})
                    saved = monotonic()
                    interrupted.raise_now(f"training stopped at step {place.step} of {place.steps}; --resume goes on")
                if ended and best is not None:
                    progress.note(f"epoch {best.epoch} stays the best: done")
                    break
        if best is not None:
            _take(best, trainee)
        trainee.settle(1.0)
    return History(
        losses=place.losses,
        steps=place.step,
        samples=len(samples),
        best=None if best is None else best.epoch,
    )


def per_epoch(samples: int, batch: int) -> int:
    """Whole batches; what is left over has its turn in another epoch."""
    return max(1, samples // batch)


# ---- one step --------------------------------------------------------------------------------------------------------


def _stepped(
    trainee: Trainee, batch: Batch, optimizer: torch.optim.Optimizer, pool: ThreadPoolExecutor, lr: float
) -> float:
    tensors = [learned.tensor for learned in trainee.learned.values()]
    parts = [part for part in (_rows(batch, i) for i in range(SHARDS)) if part.ids]
    found = list(pool.map(lambda part: _gradients(trainee, part, tensors, len(part.ids) / len(batch.ids)), parts))
    loss = sum(share for share, _ in found)
    if not math.isfinite(loss):
        return loss
    for i, tensor in enumerate(tensors):
        given = [gradients[i] for _, gradients in found]
        known = [gradient for gradient in given if gradient is not None]
        tensor.grad = sum(known[1:], known[0]) if known else None
    for group in optimizer.param_groups:
        group["lr"] = lr * group["size"]
    optimizer.step()
    return loss


def _gradients(
    trainee: Trainee, batch: Batch, tensors: Sequence[Tensor], weight: float
) -> tuple[float, Sequence[Tensor | None]]:
    loss = trainee.loss(batch) * weight
    gradients: Sequence[Tensor | None] = torch.autograd.grad(loss, tensors, allow_unused=True)
    return float(loss.detach()), gradients


def _rows(batch: Batch, shard: int) -> Batch:
    """Every SHARDS-th row, from `shard` on."""
    rows = slice(shard, None, SHARDS)
    return replace(
        batch,
        inputs={name: x[rows] for name, x in batch.inputs.items()},
        ids=batch.ids[rows],
        labels=None if batch.labels is None else batch.labels[rows],
        targets=None if batch.targets is None else {name: x[rows] for name, x in batch.targets.items()},
    )


@contextmanager
def _shards() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(SHARDS, "train", lambda: torch.set_num_threads(1)) as pool:
        yield pool


def _optimizer(trainee: Trainee, course: Course) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = []
    for learned in trainee.learned.values():
        size = learned.unit if course.optimizer == "adamw" else learned.unit**2
        groups.append({"params": [learned.tensor], "lr": course.lr * size, "size": size})
    if course.optimizer == "adamw":
        return torch.optim.AdamW(groups, weight_decay=course.weight_decay)
    return torch.optim.SGD(groups, momentum=course.momentum, weight_decay=course.weight_decay)


# ---- where a training stands -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Place:
    """step: the next one; total: of the losses of this epoch so far; losses: mean of each that is over."""

    steps: int
    step: int = 0
    total: float = 0.0
    losses: tuple[float, ...] = ()
    between_epochs: bool = True

    def after(self, loss: float, per_epoch: int) -> _Place:
        step, total = self.step + 1, self.total + loss
        if step % per_epoch:
            return replace(self, step=step, total=total, between_epochs=False)
        return replace(self, step=step, total=0.0, losses=(*self.losses, total / per_epoch), between_epochs=True)


def _cosine(place: _Place) -> float:
    return (1 + math.cos(math.pi * place.step / place.steps)) / 2


def _batches(samples: Samples, course: Course, done: int) -> Iterator[Batch]:
    """Of every epoch, from step `done` on."""
    count = per_epoch(len(samples), course.batch)
    by_id = np.argsort(np.asarray(samples.ids), kind="stable")
    for epoch in range(done // count, course.epochs):
        order: NDArray[np.int64] = by_id[np.random.default_rng([course.seed, epoch]).permutation(len(by_id))]
        first = done - epoch * count if epoch == done // count else 0
        batches = samples.take(order[first * course.batch : count * course.batch]).batches(course.batch)
        for step, batch in enumerate(batches, start=first):
            yield augmented(batch, course.augment, (course.seed, epoch, step), image_axes(samples))


def _state(place: _Place, trainee: Trainee, optimizer: torch.optim.Optimizer) -> checkpoint.State:
    return {
        "step": place.step,
        "steps": place.steps,
        "total": place.total,
        "losses": list(place.losses),
        "learned": {name: learned.tensor.detach() for name, learned in trainee.learned.items()},
        "optimizer": optimizer.state_dict(),
    }


def _restored(found: checkpoint.State, trainee: Trainee, optimizer: torch.optim.Optimizer) -> _Place:
    with torch.no_grad():
        for name, learned in trainee.learned.items():
            learned.tensor.copy_(found["learned"][name])
    optimizer.load_state_dict(found["optimizer"])
    return _Place(steps=found["steps"], step=found["step"], total=found["total"], losses=tuple(found["losses"]))


# ---- the best epoch --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class _Best:
    """epoch: from 1 on; loss: on samples that are not trained on; tensors: by name, as they were."""

    epoch: int
    loss: float
    tensors: Mapping[str, Tensor]


def _judged(patience: Patience | None, place: _Place, best: _Best | None, trainee: Trainee) -> _Best | None:
    """Between epochs."""
    if patience is None:
        return None
    trainee.settle(place.step / place.steps)
    loss = patience.judge()
    if best is not None and not (loss < best.loss or math.isnan(best.loss)):
        return best
    tensors = {name: learned.tensor.detach().clone() for name, learned in trainee.learned.items()}
    return _Best(epoch=len(place.losses), loss=loss, tensors=tensors)


def _tried_enough(place: _Place, best: _Best | None, patience: Patience | None) -> bool:
    return patience is not None and best is not None and len(place.losses) - best.epoch >= patience.epochs


def _take(best: _Best, trainee: Trainee) -> None:
    with torch.no_grad():
        for name, learned in trainee.learned.items():
            learned.tensor.copy_(best.tensors[name])


def _kept_best(best: _Best) -> checkpoint.State:
    return {"best": {"epoch": best.epoch, "loss": best.loss, "tensors": dict(best.tensors)}}


def _best_in(found: checkpoint.State) -> _Best | None:
    return _Best(**found["best"]) if "best" in found else None


# ---- being stopped ---------------------------------------------------------------------------------------------------


class _Interruption:
    """Signals that came while a step was under way, to be dealt with after it."""

    def __init__(self) -> None:
        self.now: int | None = None
        self.before: dict[int, Any] = {}

    def remember(self, number: int, _: object) -> None:
        self.now = number

    def raise_now(self, note: str = "") -> None:
        """As the handler that was there before would have, with a note on what is left."""
        if self.now is None:
            return
        try:
            self.before[self.now](self.now, None)
        except BaseException as stop:
            stop.add_note(note)
            raise
        raise KeyboardInterrupt(note)


@contextmanager
def _interruptible() -> Iterator[_Interruption]:
    """Ctrl-C and SIGTERM wait for the end of a step: half a step cannot be resumed. Only where this is the main thread,
    since no other hears of signals; a handler that was not Python's stays."""
    interruption = _Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    interruption.before = {number: handler for number, handler in before.items() if callable(handler)}
    for number in interruption.before:
        signal.signal(number, interruption.remember)
    try:
        yield interruption
    finally:
        for number, handler in interruption.before.items():
            signal.signal(number, handler)


def _diverged(place: _Place, course: Course) -> EdgekitError:
    return EdgekitError(
        "EK921",
        "training does not converge",
        f"the loss is no number any more at step {place.step + 1} of {place.steps} (lr {course.lr:g})",
        "give a smaller --lr; if it stays so, check the training samples",
    )
