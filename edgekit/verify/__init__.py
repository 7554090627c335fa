"""Prove what the files compute: the same samples through the model and through every file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import combinations

import numpy as np
import onnx_ir as ir

from edgekit.artifact import INTEGERS, Arrays, Artifact
from edgekit.errors import EdgekitError
from edgekit.progress import SILENT, Progress
from edgekit.run.runner import Runner
from edgekit.samples import Samples
from edgekit.verify import compare, intervals, ledger, metrics, qdq_file
from edgekit.verify.compare import Answers, Ask, Likeness, expected
from edgekit.verify.layers import SAMPLES, layer_errors
from edgekit.verify.result import Agreement, LayerError, Score, Verification

__all__ = ["expected", "suited", "verify"]

Pair = tuple[str, str]
TORCH = "torch"  # the label of the model itself
PROGRAM = "float32 PyTorch"  # of the pruned model, as the .pt2 file holds it


def verify(
    reference: Iterator[Arrays] | None,
    opened: Sequence[Runner],
    samples: Samples,
    *,
    metric: str | None = None,
    graph: ir.Model | None = None,
    layers: bool = False,
    watch: Callable[[Arrays], None] | None = None,
    because: Mapping[str, str] | None = None,
    pruned: bool = False,
    program: Iterator[Arrays] | None = None,
    progress: Progress = SILENT,
) -> Verification:
    """Compare every opened artifact with the reference on the same samples.

    reference: what the model itself answers, from `expected`; None makes the first float32 artifact the reference
    (the first of all where none is float32). graph: the float graph that was quantized; it gives the ledgers and layers
    the model's node names, MACs and source lines. The INT8 files are compared with each other too; without a graph, all
    files are. watch: is shown the inputs of every batch; because: why nodes of the graph were not put into INT8;
    pruned: the reference is the unpruned model, by which the files are judged; what they should compute, and their SQNR
    is against, is then what the program, the pruned model in PyTorch, answers, or the first float32 artifact.
    """
    if not len(samples):
        raise EdgekitError("EK609", "nothing to verify on", "there are 0 evaluation samples", "give some with --eval")
    runners = _labelled(opened)
    files = {label: runner.artifact for label, runner in runners.items()}
    chosen = suited(metric, samples)
    pairs = {pair: _steps(files, pair) for pair in combinations(_integers(files) if graph else list(files), 2)}
    with ExitStack() as stack:
        threads = {label: ThreadPoolExecutor(1) for label in [TORCH, PROGRAM, *files]}
        for thread in threads.values():  # none is waited for: whoever still computes is ended by its owner
            stack.callback(thread.shutdown, wait=False, cancel_futures=True)
        asks = _asks(reference, runners, threads, program)
        made_of = _made_of(asks, files, pruned)
        with progress.step("verifying", len(samples)) as advance:
            answers, likenesses = compare.ask_all(asks, samples, chosen, pairs, advance, watch, made_of)
        ledgers = tuple(ledger.read(label, runners[label], graph, because or {}) for label in _integers(files))
    errors: tuple[LayerError, ...] = ()
    if layers and graph:
        with progress.step("comparing layers", SAMPLES) as advance:
            errors = layer_errors(graph, {label: files[label] for label in _integers(files)}, samples, advance)
    exact, *others = answers
    return Verification(
        metric=chosen.name,
        unit=chosen.unit,
        higher_is_better=chosen.higher_is_better,
        count=len(samples),
        reference=_score(exact, answers[exact], chosen),
        scores=tuple(_compared(label, answers[label], answers[exact], chosen) for label in others),
        agreements=tuple(_agreement(pair, answers, likeness) for pair, likeness in likenesses.items()),
        ledgers=ledgers,
        layers=errors,
        sqnr_against=None if made_of == exact else made_of,
    )


def suited(metric: str | None, samples: Samples) -> metrics.Metric:
    """The metric of that name, or the one that the samples choose. Raises where they have not what it needs."""
    return metrics.choose(metric, labels=samples.labels is not None, target_rank=_target_rank(samples))


def _labelled(runners: Sequence[Runner]) -> dict[str, Runner]:
    """By label; where two share one, the file tells them apart, and a number where that is the same too."""
    artifacts = [runner.artifact for runner in runners]
    labels = Counter(artifact.label for artifact in artifacts)
    names = Counter(artifact.path.name for artifact in artifacts)

    def label(artifact: Artifact) -> str:
        if labels[artifact.label] == 1:
            return artifact.label
        return f"{artifact.label} ({artifact.path.name if names[artifact.path.name] == 1 else artifact.path})"

    given = [label(artifact) for artifact in artifacts]
    unique = [text if text not in given[:i] else f"{text} [{i + 1}]" for i, text in enumerate(given)]
    return dict(zip(unique, runners, strict=True))


def _integers(files: Mapping[str, Artifact]) -> list[str]:
    return [label for label, artifact in files.items() if artifact.precision in INTEGERS]


def _asks(
    reference: Iterator[Arrays] | None,
    runners: Mapping[str, Runner],
    threads: Mapping[str, ThreadPoolExecutor],
    program: Iterator[Arrays] | None = None,
) -> dict[str, Ask]:
    """Who is asked, the reference first."""

    def asked(label: str, run: Callable[[Arrays], Arrays]) -> Ask:
        return lambda inputs: threads[label].submit(run, inputs)

    asks = {label: asked(label, runner.run) for label, runner in runners.items()}
    if program is not None:
        asks = {PROGRAM: asked(PROGRAM, lambda _: next(program))} | asks
    if reference is not None:
        return {TORCH: asked(TORCH, lambda _: next(reference))} | asks
    floats = [label for label, runner in runners.items() if runner.artifact.precision == "float32"]
    unpruned = [label for label, runner in runners.items() if runner.artifact.unpruned]
    first = [*unpruned, *floats, *runners][0]
    return {first: asks[first]} | asks


def _made_of(asks: Iterable[str], files: Mapping[str, Artifact], pruned: bool) -> str:
    """Whose answers the files should give: those of the graph that they were made of."""
    reference, *others = asks
    if not pruned:
        return reference
    floats = [label for label in others if label == PROGRAM or files[label].precision == "float32"]
    return [*floats, reference][0]


def _target_rank(samples: Samples) -> int | None:
    if not samples.has_targets:
        return None
    targets = next(samples.take([0]).batches(1)).targets
    assert targets
    return int(next(iter(targets.values())).ndim)


def _steps(files: Mapping[str, Artifact], pair: Pair) -> Mapping[str, float]:
    """The scale of each quantized output, from the pair's ONNX file: both come from one graph."""
    path = next((files[label].path for label in pair if files[label].format == "onnx"), None)
    scales = qdq_file.read(path).output_scales if path else {}
    integers = {spec.name: spec.qparams for label in pair for spec in files[label].outputs if spec.qparams is not None}
    return scales | {name: float(qparams.scale) for name, qparams in integers.items()}


def _score(label: str, answers: Answers, metric: metrics.Metric) -> Score:
    values = answers.values
    return Score(
        label=label,
        value=float(np.mean(values)),
        count=values.size,
        interval=intervals.wilson(int(values.sum()), values.size) if metric.rate else intervals.bootstrap(values),
        sqnr_db=answers.sqnr_db,
    )


def _compared(label: str, answers: Answers, exact: Answers, metric: metrics.Metric) -> Score:
    score = _score(label, answers, metric)
    flips = None
    if exact.classes is not None and answers.classes is not None:
        flips = int(np.sum(exact.classes != answers.classes))
    if metric.needs == "reference":  # the value is the distance itself
        return replace(score, flips=flips)
    worse = (exact.values - answers.values) * (1 if metric.higher_is_better else -1)
    if metric.rate:
        interval = intervals.tango(int(np.sum(worse > 0)), int(np.sum(worse < 0)), worse.size)
    else:
        interval = intervals.bootstrap(worse)
    return replace(score, drop=float(np.mean(worse)), drop_interval=interval, flips=flips)


def _agreement(pair: Pair, answers: Mapping[str, Answers], likeness: Likeness) -> Agreement:
    first, second = (answers[label].classes for label in pair)
    return Agreement(
        first=pair[0],
        second=pair[1],
        top1=float(np.mean(first == second)) if first is not None and second is not None else None,
        identical=likeness.equal / likeness.elements,
        largest_steps=likeness.steps,
    )
