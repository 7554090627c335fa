"""The files of a graph, held against what the model itself answers: once for the report, or for every candidate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from edgekit.artifact import Arrays
from edgekit.capture import Captured, Loaded
from edgekit.data import Data
from edgekit.errors import EdgekitError
from edgekit.graph.check import checked
from edgekit.lower import Lowered, Wishes, lower
from edgekit.outputs import FileKey, Outputs
from edgekit.progress import Timed
from edgekit.quantize import Quantized
from edgekit.recipe import Recipe
from edgekit.run.ahead import ahead
from edgekit.run.runner import Runner
from edgekit.run.tape import Tape
from edgekit.samples import Samples
from edgekit.verify import expected, verify
from edgekit.verify.result import Verification

Answers = Iterator[list[NDArray[Any]]]
"""The model's outputs in order, batch by batch."""
Replay = Callable[[], Answers | None]
"""The answers from their beginning; None where the model is its own float file."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What a pruned model is held against. unpruned: files of the model before channels were cut, ONNX first, which are
    only measured; program: the pruned model as PyTorch runs it, None where torch.export has no form for it; notes: for
    the report."""

    unpruned: tuple[Lowered, ...]
    program: Loaded | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Run:
    """What is settled once the model is a graph. answers: what the model itself says of the evaluation samples; wishes:
    how files should look; cut: None where nothing was pruned."""

    recipe: Recipe
    captured: Captured
    answers: Replay
    data: Data
    outputs: Outputs
    wishes: Wishes
    progress: Timed
    cut: Cut | None = None


@contextmanager
def answering(model: Loaded, samples: Samples | None, *, again: bool = False) -> Iterator[Replay]:
    """What the model itself answers on the samples, computed beside all the rest. again: asked for several times."""
    if model.run is None or samples is None:
        yield lambda: None
        return
    run = model.run
    with ahead(lambda: expected(run, samples), what="running the model in PyTorch") as answers:
        if not again:
            yield lambda: answers
            return
        with Tape(answers) as tape:
            yield tape.play


@contextmanager
def program_answering(run: Run) -> Iterator[Answers | None]:
    """What the pruned model answers in PyTorch; None where it has no program, or nothing was pruned."""
    program, samples = run.cut.program if run.cut is not None else None, run.data.evaluation
    if program is None or program.run is None or samples is None:
        yield None
        return
    answer = program.run
    # Its inputs are the graph's in the same order, under names that Python can have.
    names = dict(zip(program.inputs, (str(value.name) for value in run.captured.graph.graph.inputs), strict=True))

    def answered(given: Arrays) -> list[NDArray[Any]]:
        return answer({name: given[theirs] for name, theirs in names.items()})

    with ahead(lambda: expected(answered, samples), what="running the pruned model in PyTorch") as answers:
        yield answers


def named(answers: Answers | None, captured: Captured) -> Iterator[Arrays] | None:
    """The model's outputs under the graph's names."""
    if answers is None:
        return None
    names = [str(value.name) for value in captured.graph.graph.outputs]
    return (dict(zip(names, outputs, strict=True)) for outputs in answers)


def lowered_files(
    graphs: Mapping[FileKey, ir.Model], run: Run, folder: Path | None = None
) -> tuple[list[Lowered], list[EdgekitError]]:
    """Every file that can be written, and what stood in the way of the others. folder: None for what is kept."""
    folder = folder or run.outputs.folder
    folder.mkdir(exist_ok=True)
    lowered: list[Lowered] = []
    refusals: list[EdgekitError] = []
    for (precision, format), graph in graphs.items():
        path = folder / run.outputs.names[precision, format]
        try:
            lowered.append(lower(graph, format, precision, path, run.wishes))
        except EdgekitError as error:
            refusals.append(error)
    return lowered, refusals


@contextmanager
def running(lowered: Sequence[Lowered], recipe: Recipe) -> Iterator[list[Runner]]:
    """Every file in its runtime, each in a process of its own."""
    with ExitStack() as stack:
        yield [stack.enter_context(Runner(file.artifact, recipe.verify.threads)) for file in lowered]


def verified(
    run: Run,
    graph: ir.Model | None,
    answers: Answers | None,
    runners: Sequence[Runner],
    *,
    program: Answers | None = None,
    because: Mapping[str, str] | None = None,
    watch: Callable[[Arrays], None] | None = None,
) -> Verification | None:
    """runners: with that of the unpruned ONNX file, where the model itself does not answer and was pruned; program:
    what the pruned model answers in PyTorch."""
    if run.data.evaluation is None or not runners:
        return None
    return verify(
        named(answers, run.captured),
        runners,
        run.data.evaluation,
        metric=run.recipe.verify.metric,
        graph=graph,
        layers=run.recipe.verify.layers,
        watch=watch,
        because=because,
        pruned=run.cut is not None,
        program=named(program, run.captured),
        progress=run.progress,
    )


@dataclass(frozen=True)
class Judge:
    """Writes the files of a candidate where nobody keeps them, and compares them with the model. graph: in float."""

    run: Run
    graph: ir.Model

    def __call__(self, candidate: Quantized) -> Verification:
        recipe = self.run.recipe
        return self._judged(
            {(recipe.quantize.precision, format): checked(candidate.graph) for format in recipe.output.formats}
        )

    def in_float(self) -> Verification:
        """The pruned model, before anything is rounded."""
        return self._judged({("float32", "onnx"): self.graph})

    def _judged(self, graphs: dict[FileKey, ir.Model]) -> Verification:
        run = self.run
        answers = run.answers()
        if answers is None and run.cut is None:  # the model is judged by its own float file
            graphs = {("float32", "onnx"): self.graph, **graphs}
        lowered, refusals = lowered_files(graphs, run, run.outputs.unkept)
        if len(refusals) == len(graphs) or (refusals and all(_is_float(file) for file in lowered)):
            raise refusals[0]
        itself = run.cut.unpruned[:1] if answers is None and run.cut is not None else ()
        with running([*itself, *lowered], run.recipe) as runners:
            found = verified(run, None, answers, runners)
        assert found is not None, "a budget without samples to judge on is refused"
        return found


def _is_float(file: Lowered) -> bool:
    return file.artifact.precision == "float32"
