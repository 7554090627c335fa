"""Somebody else's tests: the cases of the `onnx` package through capture, simplify and float TFLite, run by LiteRT.

    python benchmarks/conformance.py [--only PATTERN] [--kind KIND] [--wrong] [--refused] [--cannot] [--passed]

pass: the outputs have the expected shapes and types and lie within the case's tolerances. WRONG: they do not, or
edgekit or the runtime crashed. refused: edgekit said no, with a code. cannot: it said no, and TFLite has no words for
the case; REASONS gives them, and a case that one of them names and that passes all the same counts as passed.
The flags list the cases of a verdict. Settings and weights that a node case feeds are constants (see onnx_cases.py);
"folded" counts the passed cases of which nothing is left to run.
"""

from __future__ import annotations

import argparse
import logging
import re
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnx
from onnx_cases import KINDS, Case, cases
from tflite_runner import LiteRT

from edgekit.capture import Source, capture, load
from edgekit.errors import EdgekitError
from edgekit.graph.check import checked
from edgekit.lower import Wishes, lower
from edgekit.run.worker import Worker
from edgekit.simplify import simplify, unroll

VERDICTS = ("pass", "WRONG", "refused", "cannot")
BAR = 0.95
WISHES = Wishes(activations="uint8", nhwc=False, io_int8=False, metadata={})
RUN_S = 120.0
READ = {"FLOAT", "INT64", "INT32", "UINT8", "INT8", "BOOL"}
QUANTIZED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger")
# Ops that TFLite has no form of, alone or composed of others with static shapes.
NO_FORM: Mapping[str, str] = {
    **dict.fromkeys(("If", "Loop", "Scan", "SequenceMap"), "control flow"),
    **dict.fromkeys(("NonZero", "Unique", "Compress", "NonMaxSuppression"), "the result's shape depends on the data"),
    **dict.fromkeys(("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike"), "random numbers"),
    **dict.fromkeys(("Bernoulli", "Multinomial"), "random numbers"),
    **dict.fromkeys(("Det", "Inverse"), "no determinant or inverse"),
    **dict.fromkeys(("DeformConv", "RoiAlign", "MaxRoiPool"), "sampling at computed places"),
    **dict.fromkeys(("ImageDecoder", "RegexFullMatch", "TfIdfVectorizer"), "files and strings"),
    **dict.fromkeys(QUANTIZED, "quantized already"),
    **dict.fromkeys(("BitCast",), "reinterpreted bits"),
}


@dataclass(frozen=True, kw_only=True)
class Result:
    """why: the difference, the error or the reason; strict: float32, static shapes and words that TFLite has."""

    case: Case
    verdict: str
    why: str
    strict: bool


def main() -> None:
    words = arguments()
    start, results = perf_counter(), []
    logging.disable(logging.WARNING)
    with Process() as process:
        for case in cases([words.kind] if words.kind else KINDS, words.only):
            results.append(judged(case, process))
            if getattr(words, results[-1].verdict.lower()):
                print(f"{results[-1].verdict:8}{case.kind:18}{case.name:60} {results[-1].why}", flush=True)
    show(results)
    print(f"{perf_counter() - start:.0f} s")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", metavar="PATTERN", default="", help="the cases whose name holds PATTERN")
    parser.add_argument("--kind", choices=KINDS, help="the cases of one kind")
    for flag in ("wrong", "refused", "cannot", "passed"):
        parser.add_argument(
            f"--{flag}", action="store_true", dest=flag.removesuffix("ed") if flag == "passed" else flag
        )
    return parser.parse_args()


def judged(case: Case, process: Process) -> Result:
    reason = next(reasons(case), None)
    strict = reason is None and uses_float32(case)
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            differences = [*ran(case, Path(folder), process)]
    except EdgekitError as refusal:
        if refusal.code.startswith("EK9"):
            return Result(case=case, verdict="WRONG", why=f"{refusal.code} {refusal.why}", strict=strict)
        verdict, why = ("refused", said(refusal)) if reason is None else ("cannot", reason)
        return Result(case=case, verdict=verdict, why=why, strict=strict)
    except Exception as crash:  # a bug of edgekit, whatever the model is
        verdict = "cannot" if reason == OTHER_DOMAIN else "WRONG"
        return Result(case=case, verdict=verdict, why=f"{type(crash).__name__}: {crash}"[:300], strict=strict)
    return Result(case=case, verdict="WRONG" if differences else "pass", why="; ".join(differences), strict=strict)


def said(refusal: EdgekitError) -> str:
    return f"{refusal.code} {refusal.what}: {refusal.why}"


def ran(case: Case, folder: Path, process: Process) -> Iterator[str]:
    """What differs from the expected outputs."""
    path = folder / "model.onnx"
    onnx.save(case.model, path)
    captured = capture(load(Source(path=str(path), inputs={}), None))
    graph = checked(unroll(checked(simplify(captured.graph))))
    artifact = lower(graph, "tflite", "float32", folder / "model.tflite", WISHES).artifact
    file = artifact.path.read_bytes()
    for feed, expected in zip(case.feeds, case.expected, strict=True):
        inputs = {spec.name: spec.to_file(feed[spec.name]) for spec in artifact.inputs}
        found = process.run(file, inputs)
        outputs = [spec.from_file(found[spec.name]) for spec in artifact.outputs]
        yield from differing(case, outputs, expected)


def differing(case: Case, outputs: list[Any], expected: Any) -> Iterator[str]:
    if len(outputs) != len(expected):
        yield f"{len(outputs)} outputs, expected {len(expected)}"
        return
    for index, (found, wanted) in enumerate(zip(outputs, expected, strict=True)):
        wanted = np.asarray(wanted)
        if (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
            yield f"output {index} is {found.dtype}{list(found.shape)}, expected {wanted.dtype}{list(wanted.shape)}"
        elif not np.allclose(found, wanted, rtol=case.rtol, atol=absolute(case, wanted), equal_nan=True):
            apart = np.abs(found.astype(np.float64) - wanted.astype(np.float64))
            yield f"output {index} differs by up to {np.nanmax(apart):.3g} of {np.nanmax(np.abs(wanted)):.3g}"


def absolute(case: Case, wanted: Any) -> float:
    """The case's tolerance, or one step of float32 at the largest value: a sum in another order is no nearer to 0."""
    finite = np.abs(wanted[np.isfinite(wanted)]) if wanted.dtype == np.float32 else np.zeros(0)
    return max(case.atol, float(np.spacing(finite.max())) if finite.size else 0.0)


class Process:
    """LiteRT in a worker process; a new one after a crash."""

    def __init__(self) -> None:
        self._worker: Worker | None = None

    def run(self, file: bytes, inputs: dict[str, Any]) -> dict[str, Any]:
        self._worker = self._worker or Worker(LiteRT, what="running the TFLite file")
        try:
            found: dict[str, Any] = self._worker.call("run", file, inputs, timeout_s=RUN_S)
        except EdgekitError as error:
            if error.code not in ("EK902", "EK908", "EK909"):  # those leave it alive
                self._worker.kill()
                self._worker = None
            raise
        return found

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        if self._worker is not None:
            self._worker.close()


# -- what TFLite cannot express ---------------------------------------------------------------------------------------

TRAINING = "training: random numbers, batch statistics"
OTHER_DOMAIN = "ops of another domain (training, classical learning)"


def reasons(case: Case) -> Iterator[str]:
    """Why TFLite has no words for the case; the first is shown."""
    graph = case.model.graph
    if any(entry.domain not in ("", "ai.onnx") for entry in case.model.opset_import):
        yield OTHER_DOMAIN
    types = {word for value in (*graph.input, *graph.output) for word in type_of(value)}
    types |= {onnx.TensorProto.DataType.Name(tensor.data_type) for tensor in graph.initializer}
    yield from (f"type {word}" for word in sorted(types - READ))
    yield from (NO_FORM[op] for op in case.ops if op in NO_FORM)
    if any(op.startswith("QLinear") for op in case.ops):
        yield "quantized already"
    yield from (TRAINING for node in graph.node if trains(node, graph))
    arrays = [x for feed in case.feeds for x in feed.values()] + [y for ys in case.expected for y in ys]
    if any(np.size(x) == 0 for x in arrays if isinstance(x, np.ndarray)):
        yield "a tensor without elements"


def trains(node: onnx.NodeProto, graph: onnx.GraphProto) -> bool:
    """Whether it drops values at random, or normalizes by the batch that it gets."""
    if node.op_type == "BatchNormalization":
        return any(attribute.name == "training_mode" and attribute.i for attribute in node.attribute)
    held = {tensor.name: tensor for tensor in graph.initializer}
    if node.op_type != "Dropout" or len(node.input) < 3 or node.input[2] not in held:
        return False
    return bool(onnx.numpy_helper.to_array(held[node.input[2]]).item())


def type_of(value: onnx.ValueInfoProto) -> Iterator[str]:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        yield str(kind).removesuffix("_type").upper()
    else:
        yield onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type)


def uses_float32(case: Case) -> bool:
    values = (*case.model.graph.input, *case.model.graph.output)
    return any(value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT for value in values)


# -- the table --------------------------------------------------------------------------------------------------------


def show(results: list[Result]) -> None:
    print(f"\n{'':20}" + "".join(f"{head:>9}" for head in (*VERDICTS, "all", "folded")))
    for kind in KINDS:
        of_kind = [result for result in results if result.case.kind == kind]
        if of_kind:
            folded = sum(result.verdict == "pass" and result.case.folded for result in of_kind)
            print(f"{kind:20}" + "".join(f"{n:9}" for n in (*counts(of_kind), len(of_kind), folded)))
    for verdict in ("refused", "cannot"):
        tally = Counter(group(result) for result in results if result.verdict == verdict)
        print(f"\n{verdict}, by reason")
        for why, count in tally.most_common(60):
            print(f"{count:7}  {why}")
    strict = [result for result in results if result.strict and result.case.kind == "node"]
    light = [result.verdict for result in results if result.case.kind == "light"]
    wrong = sum(result.verdict == "WRONG" for result in results)
    passed = counts(strict)[0]
    print(f"\nnode cases in float32, of static shapes, that TFLite can express: {passed} of {len(strict)} pass, "
          f"{passed / max(1, len(strict)):.1%} (bar: {BAR:.0%})")  # fmt: skip
    print(f"wrong: {wrong} (bar: 0); light: {light.count('pass')} of {len(light)} (bar: all)")


def counts(results: list[Result]) -> list[int]:
    tally = Counter(result.verdict for result in results)
    return [tally[verdict] for verdict in VERDICTS]


def group(result: Result) -> str:
    """A refusal by its code and the op that it is about; a reason as it is."""
    if result.verdict == "cannot":
        return result.why
    code, _, text = result.why.partition(" ")
    op = re.match(r"cannot lower (\w+) ", text)
    return f"{code} {op[1]}" if op and op[1] != "value" else f"{code} in a case of {result.case.ops[-1]}"


if __name__ == "__main__":
    main()
