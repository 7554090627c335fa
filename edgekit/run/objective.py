"""What a model in training is told: its samples' labels or targets, and what the model answers that it was before.

    loss = (1 - d) * told + d * distilled
    told:       cross entropy with the labels; or squared error to the targets, relative to their variance
    distilled:  KL(teacher || student) of classes; or squared error to the teacher's answers, relative to their variance

d is 1 where the samples say nothing themselves. A last Softmax is left out, as cross entropy has its own: its rounded
result is 0 for most classes.

Source: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network"; Mishra and Marr 2018, "Apprentice", for a
teacher of the same size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor
from torch.nn import functional

from edgekit.errors import EdgekitError
from edgekit.graph import facts
from edgekit.progress import Progress
from edgekit.run.one_thread import one_thread
from edgekit.run.torch_view import TorchView, refusal
from edgekit.samples import Batch, Samples

TINY = 1e-12
REMEMBERED_BYTES = 2**28  # of a teacher's answers
AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Answers:
    """A teacher's, given beforehand. rows: sample's id -> its row in each of `by_output`."""

    rows: Mapping[str, int]
    by_output: Mapping[str, Tensor]

    def of(self, batch: Batch) -> Mapping[str, Tensor]:
        rows = torch.tensor([self.rows[one] for one in batch.ids])
        return {output: answers[rows] for output, answers in self.by_output.items()}


@dataclass(frozen=True, kw_only=True)
class Objective:
    """teacher: the float model; answered: output -> the value that stands for it (see `answers_of`); classes: the
    output that labels speak of, None where none does; labels, targets: whether the samples have them; distilled: d;
    answers: the teacher's to every sample, None where it is asked again each time."""

    teacher: TorchView
    answered: Mapping[str, str]
    classes: str | None
    labels: bool
    targets: Mapping[str, str]
    distilled: float
    answers: Answers | None = None

    def loss(self, answers: Mapping[str, Tensor], inputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """answers: of the student, by output. A mean over the batch."""
        total = torch.zeros(())
        if self.distilled < 1:
            total = total + (1 - self.distilled) * self._told(answers, batch)
        if self.distilled > 0:
            total = total + self.distilled * self._distilled(answers, self._wanted(inputs, batch))
        return total

    def right(self, answers: Mapping[str, Tensor], batch: Batch) -> int | None:
        """Samples whose class comes first; None without labels."""
        if not self.labels or self.classes is None:
            return None
        assert batch.labels is not None
        return int((answers[self.classes].argmax(dim=1) == torch.from_numpy(batch.labels)).sum())

    def _told(self, answers: Mapping[str, Tensor], batch: Batch) -> Tensor:
        if self.labels:
            assert batch.labels is not None and self.classes is not None
            return functional.cross_entropy(answers[self.classes], torch.from_numpy(batch.labels))
        assert batch.targets is not None
        told = [
            _relative(answers[output], torch.as_tensor(batch.targets[target], dtype=torch.float32))
            for target, output in self.targets.items()
        ]
        return torch.stack(told).mean()

    def _wanted(self, inputs: Mapping[str, Tensor], batch: Batch) -> Mapping[str, Tensor]:
        """The teacher's answers, by output."""
        return self.asked(inputs) if self.answers is None else self.answers.of(batch)

    def asked(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        with torch.no_grad():
            found = self.teacher(inputs, list(self.answered.values()))
        return {output: found[name] for output, name in self.answered.items()}

    def _distilled(self, answers: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Tensor:
        return torch.stack(
            [
                _divergence(answers[output], wanted[output]) if output == self.classes
                else _relative(answers[output], wanted[output])
                for output in self.answered
            ]
        ).mean()  # fmt: skip


def objective(teacher: TorchView, graph: ir.Model, samples: Samples, distilled: float) -> Objective:
    """What samples can teach. graph: the float model that the teacher is a view of. Raises EK911 and EK925."""
    if (refused := without_gradients(graph)) is not None:
        raise refused
    answered = answers_of(graph)
    shapes = {value.name or "": facts.shape(value) for value in graph.graph.outputs}
    scores = [name for name in answered if len(shapes[name]) == 2 and (shapes[name][1] or 0) > 1]
    ends_in_classes = [name for name in scores if answered[name] != name]
    labels = samples.labels is not None and bool(scores)
    classes = next(iter(scores if labels else ends_in_classes), None)
    targets = {} if labels else _targets(samples, answered)
    if labels:
        _check_labels(samples, shapes[scores[0]][1] or 0)
    told = labels or bool(targets)
    return Objective(
        teacher=teacher,
        answered=answered,
        classes=classes,
        labels=labels,
        targets=targets,
        distilled=distilled if told else 1.0,
    )


def without_gradients(graph: ir.Model) -> EdgekitError | None:
    """Why no gradient comes of a float graph, EK911 or EK925; None where one does."""
    if (refused := refusal(graph)) is not None:
        return refused
    if not answers_of(graph):
        return EdgekitError(
            "EK925",
            "cannot train the model",
            "none of its outputs is a real number, so no gradient leads to its weights",
            "leave out the last op (an ArgMax, say), which nobody can learn from",
        )
    return None


def check_trainable(graph: ir.Model) -> None:
    """Raises EK911 or EK925 for a float graph that steps of several samples cannot be taken with."""
    if (refused := without_gradients(graph)) is not None:
        raise refused
    if not facts.takes_batches(graph):
        raise EdgekitError(
            "EK925",
            "cannot train the model",
            "it takes one sample at a time, and a step of training several",
            "export it with a dynamic batch, or leave the training out",
        )


def at_once(graph: ir.Model, samples: int) -> int:
    """So many samples, or one where the graph takes no more."""
    return samples if facts.takes_batches(graph) else 1


def remembering(told: Objective, graph: ir.Model, samples: Samples, progress: Progress) -> Objective:
    """With the teacher's answers to all samples, asked once in an order and in batches that the samples' ids decide:
    an interrupted training learns from the same bits. The same objective where they are too large, are not one per
    sample (states of several layers, say), or are not wanted. graph: the teacher's.
    """
    types = {value.name or "": value.dtype.numpy() for value in graph.graph.inputs if value.dtype is not None}

    def ask(batch: Batch) -> Mapping[str, Tensor]:
        return told.asked({name: torch.from_numpy(np.asarray(x, types[name])) for name, x in batch.inputs.items()})

    if told.distilled == 0 or not _one_each(ask(next(samples.take([0]).batches(1))), 1):
        return told
    rows = {one: row for row, one in enumerate(sorted(set(samples.ids)))}
    place = {one: i for i, one in enumerate(samples.ids)}
    different = samples.take([place[one] for one in rows])
    found: dict[str, list[Tensor]] = {output: [] for output in told.answered}
    with one_thread(), progress.step("asking the float model", len(different)) as advance:
        for batch in different.batches(at_once(graph, AT_ONCE)):
            answers = ask(batch)
            n_bytes = sum(answer.nbytes for answer in answers.values()) * len(different) / len(batch.ids)
            if n_bytes > REMEMBERED_BYTES or not _one_each(answers, len(batch.ids)):
                return told
            for output, answer in answers.items():
                found[output].append(answer)
            advance(len(batch.ids))
    return replace(told, answers=Answers(rows, {output: torch.cat(parts) for output, parts in found.items()}))


def _one_each(answers: Mapping[str, Tensor], count: int) -> bool:
    return all(answer.dim() > 0 and len(answer) == count for answer in answers.values())


def answers_of(graph: ir.Model) -> dict[str, str]:
    """Float output -> the value to compare: itself, or what its last Softmax reads, also in a quantized graph."""
    answered: dict[str, str] = {}
    for output in graph.graph.outputs:
        if not facts.is_float(output):
            continue
        node = output.producer()
        while node is not None and node.op_type in facts.QDQ and node.inputs[0] is not None:
            node = node.inputs[0].producer()
        x = node.inputs[0] if node is not None and node.op_type == "Softmax" else None
        two = len(facts.shape(output)) == 2
        answered[output.name or ""] = (x.name or "") if x is not None and two else (output.name or "")
    return answered


def _targets(samples: Samples, answered: Mapping[str, str]) -> dict[str, str]:
    """Target -> output; a single target that is named after no output belongs to the first."""
    if not samples.has_targets:
        return {}
    batch = next(samples.take([0]).batches(1))
    assert batch.targets is not None
    names = list(batch.targets)
    if len(names) == 1 and names[0] not in answered:
        return {names[0]: next(iter(answered))}
    for name in names:
        if name not in answered:
            raise EdgekitError(
                "EK925",
                f"no output for the target '{name}' of '{samples.where}'",
                f"the model's outputs are {', '.join(answered)}",
                "name each target array after the output that it belongs to",
            )
    return {name: name for name in names}


def _check_labels(samples: Samples, classes: int) -> None:
    assert samples.labels is not None
    if samples.labels.max() >= classes:
        raise EdgekitError(
            "EK925",
            f"the labels of '{samples.where}' are not the model's",
            f"label {samples.labels.max()} is there, and the model tells {classes} classes apart",
            "give the samples of this model, or labels from 0 on",
        )


def _divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(teacher || student), mean over the batch."""
    return functional.kl_div(
        functional.log_softmax(student, 1), functional.log_softmax(teacher, 1), reduction="batchmean", log_target=True
    )


def _relative(answer: Tensor, wanted: Tensor) -> Tensor:
    if answer.shape != wanted.shape:
        raise EdgekitError(
            "EK925",
            "targets do not fit the model",
            f"they are {tuple(wanted.shape)} in a batch, its answers {tuple(answer.shape)}",
            "save targets in the shape of the model's output",
        )
    spread = (wanted - wanted.mean()).square().mean()
    return (answer - wanted).square().mean() / (spread + TINY)
