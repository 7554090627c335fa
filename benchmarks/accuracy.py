"""edgekit's INT8 files beside those of other quantizers: the same models, samples and runtimes.

    python benchmarks/accuracy.py [MODEL ...] [--limit N] [--work DIR] [--nncf PYTHON] [--aimet PYTHON]
                                  [--ai-edge PYTHON] [--readme] [-- OPTION OF edgekit quantize ...]

MODEL: a name of the table; "uneven": the same function with its channels rescaled, as `uneven.py` does. PYTHON: the
interpreter of an environment with that tool (`rivals/`); ONNX Runtime's quantizer needs none. --work keeps what the
others made and every answer, and takes what is there; --limit is for a quick look, never for a result; --readme writes
the drops between the README's accuracy marks.

One line per file. value: top-1, PSNR in dB, or the mean score; drop: points of top-1, dB, or how far the score of a
sample is off, in % of the mean float score; behind: how much more edgekit's file of that format loses; each with its
95 % interval over the same samples. ran: convolutions and products executed as int8 / as float. A format's verdict:
edgekit is the best; or within the noise of the best, where no other file is better beyond the interval of the
difference; else BEHIND.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import uneven
from numpy.typing import NDArray
from shared_models import MODELS, Model, require

from edgekit.artifact import Format
from edgekit.cli import options
from edgekit.data import Given, read_data
from edgekit.run.runner import Runner
from edgekit.run.signature import opened
from edgekit.samples import Samples
from edgekit.verify import compare, executed, intervals, metrics, suited
from edgekit.verify.result import Interval

HERE = Path(__file__).resolve().parent
UNEVEN = "uneven "
LINEAR = ("CONV", "MATMUL", "GEMM", "FULLY_CONNECTED")  # in the names of what a runtime executes
TRANSFORMERS = {"kwt1"}  # which NNCF wants to be told of
NO_DATA_BARS = {"cifar_resnet20_jpegft": 2.0, "imagenet_mobilenetv1_025_224": 8.0}  # points of top-1
FORMATS: tuple[Format, ...] = ("onnx", "tflite")
UNITS = {"espcn_x2": ", dB", "mlperf_ad_autoencoder": ", % of the score"}  # where the drop is not in points of top-1
README = HERE.parent / "README.md"
MARKS = ("<!-- accuracy -->", "<!-- /accuracy -->")
Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One model with its samples. words: what `edgekit quantize` is told of the model; folder: for all files of it;
    torch: weights and factory, where it is a PyTorch model."""

    name: str
    folder: Path
    words: Sequence[str]
    evaluation: Samples
    torch: tuple[str, str] | None

    @property
    def calibration(self) -> Path:
        return self.folder / "calibration.npz"

    def float_file(self, format: Format) -> Path:
        return self.folder / f"float.{format}"


@dataclass(frozen=True, kw_only=True)
class Rival:
    """script: in `rivals/`; environment: the option that names its interpreter, None where this one has the tool;
    from_torch: it starts from PyTorch and not from edgekit's float file."""

    name: str
    format: Format
    script: str
    environment: str | None = None
    words: tuple[str, ...] = ()
    from_torch: bool = False


RIVALS = (
    *(
        Rival(name=f"onnxruntime {method}", format="onnx", script="onnxruntime_qdq.py", words=(method,))
        for method in ("MinMax", "Entropy", "Percentile")
    ),
    Rival(name="nncf", format="onnx", script="nncf_qdq.py", environment="nncf"),
    Rival(name="aimet", format="onnx", script="aimet_qdq.py", environment="aimet"),
    Rival(name="aimet cle", format="onnx", script="aimet_qdq.py", environment="aimet", words=("cle",)),
    Rival(name="ai-edge-quantizer", format="tflite", script="ai_edge_int8.py", environment="ai_edge"),
    Rival(
        name="litert-torch and ai-edge",
        format="tflite",
        script="ai_edge_int8.py",
        environment="ai_edge",
        from_torch=True,
    ),
)


class UnavailableError(Exception):
    """Why there is no file of a tool."""


def main() -> None:
    require()
    said, quantize_options = arguments()
    if said.limit:
        print(f"NOT THE FULL SETS: at most {said.limit} evaluation samples of each model")
    print(f"{'model':36}{'format':8}{'tool':26}{'value':>9}{'drop':>8}{'95 %':>18}{'behind':>8}{'95 %':>18}{'ran':>9}")
    behind: list[str] = []
    drops: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as kept:
        for name in said.models or names():
            task = prepared(name, Path(said.work or kept), said.limit)
            for format in FORMATS:
                found, better = compared(task, format, said, quantize_options)
                drops.setdefault(name, {}).update(found)
                behind += [f"{name} {format}"] if better else []
            if name in NO_DATA_BARS:
                behind += without_data(task, NO_DATA_BARS[name])
    if said.readme:
        write_readme(drops)
    if behind:
        raise SystemExit(f"behind: {', '.join(behind)}")


def arguments() -> tuple[argparse.Namespace, list[str]]:
    words = sys.argv[1:]
    at = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--work")
    parser.add_argument("--readme", action="store_true")
    for environment in sorted({rival.environment for rival in RIVALS if rival.environment}):
        parser.add_argument(f"--{environment.replace('_', '-')}", metavar="PYTHON")
    said = parser.parse_args(words[:at])
    if unknown := set(said.models) - set(names()):
        parser.error(f"no model {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    if said.readme and (said.limit or said.models):
        parser.error("--readme is for the full table")
    return said, words[at + 1 :]


def names() -> list[str]:
    return [*(model.name for model in MODELS), *(UNEVEN + name for name in uneven.NAMES)]


# ---- one model -------------------------------------------------------------------------------------------------------


def prepared(name: str, work: Path, limit: int | None) -> Task:
    """The float files and the calibration samples that everybody gets."""
    model = next(model for model in MODELS if model.name == name.removeprefix(UNEVEN))
    folder = work / name.replace(" ", "_")
    folder.mkdir(parents=True, exist_ok=True)
    calibration, evaluation = samples(model)
    if limit and limit < len(evaluation):  # spread, since samples may come class by class
        evaluation = evaluation.take(np.linspace(0, len(evaluation) - 1, limit).astype(int))
    hard = name.startswith(UNEVEN)
    words = [str(folder / "model.onnx")] if hard else model.command()[:3]
    weights, _, factory = model.command()[:3]
    task = Task(
        name=name, folder=folder, words=words, evaluation=evaluation, torch=None if hard else (weights, factory)
    )
    if not task.calibration.exists():
        arrays = [next(iter(batch.inputs.values())) for batch in calibration.batches(64)]
        np.savez(task.calibration, inputs=np.concatenate(arrays).astype(np.float32))  # as all these models take them
    if hard and not Path(words[0]).exists():
        rescaled = onnx.load(uneven.exported(model, folder))
        uneven.clips_to_relus(rescaled)
        uneven.rescale(rescaled, np.random.default_rng(0))
        onnx.save(rescaled, words[0])
    if not task.float_file("tflite").exists():
        converted = folder / "converted"
        edgekit("convert", *words, "--data", str(task.calibration), "-o", str(converted), "--overwrite")
        for format in FORMATS:
            next(converted.glob(f"*.{format}")).rename(folder / f"float.{format}")
    return task


def samples(model: Model) -> tuple[Samples, Samples]:
    """What the model's options name, to calibrate and to judge on."""
    words = model.command()[1:]
    said = {word[2:].replace("-", "_"): value for word, value in zip(words[::2], words[1::2], strict=True)}
    numbers = {key: int(value) if value.isdecimal() else value for key, value in said.items()}
    data = read_data(options.recipe({**numbers, "path": model.weights}), Given(), calibrate=True)
    return data.for_calibration, data.for_evaluation


def compared(
    task: Task, format: Format, said: argparse.Namespace, quantize_options: list[str]
) -> tuple[dict[str, float], list[str]]:
    """Print the lines of one format; the mean loss by column of the README, and who is better than edgekit."""
    exact = answered(task, task.float_file("onnx"))
    line(task, format, "float", exact)
    own_file = by_edgekit(task, format, quantize_options)
    own = losses(task, answered(task, own_file), exact)
    line(task, format, "edgekit", answered(task, own_file), own, ran=ran(own_file))
    found = {f"edgekit {format}": float(own.mean())}
    better: list[str] = []
    for rival in RIVALS:
        if rival.format != format:
            continue
        try:
            file = by_rival(task, rival, said)
            answers = answered(task, file)
        except UnavailableError as reason:
            print(f"{task.name:36}{format:8}{rival.name:26}{reason}", flush=True)
            continue
        other = losses(task, answers, exact)
        line(task, format, rival.name, answers, other, own - other, ran(file))
        found[rival.name] = float(other.mean())
        if interval(task, own - other).low > 0:
            better.append(rival.name)
    verdict = "the best" if min(found.values()) == own.mean() else "within the noise of the best"
    verdict = "alone: no other tool gave a file" if len(found) == 1 else verdict
    verdict = f"BEHIND {', '.join(better)}" if better else verdict
    print(f"{task.name:36}{format:8}edgekit is {verdict}", flush=True)
    return found, better


def without_data(task: Task, bar: float) -> list[str]:
    """Quantized on nothing but the model; what is over its bar."""
    exact, folder = answered(task, task.float_file("onnx")), task.folder / "no-data"
    spec = opened(task.float_file("onnx")).inputs[0]
    shape = "x".join(str(size or 1) for size in spec.shape)
    edgekit("quantize", *task.words, "--input", f"{spec.name}={shape}", "-o", str(folder), "--overwrite")
    over = []
    for format in FORMATS:
        file = next(folder.glob(f"*.int8.{format}"))
        loss = losses(task, answered(task, file), exact)
        line(task, format, f"edgekit, no data (bar {bar:.0f})", answered(task, file), loss, ran=ran(file))
        if loss.mean() > bar:
            over.append(f"{task.name} {format} without data")
    return over


# ---- the files -------------------------------------------------------------------------------------------------------


def by_edgekit(task: Task, format: Format, quantize_options: list[str]) -> Path:
    folder = task.folder / "edgekit"
    if format == "onnx" or not folder.exists():  # both files come from one run
        given = ["--calib", str(task.calibration), *quantize_options]
        edgekit("quantize", *task.words, *given, "-o", str(folder), "--overwrite")
    return next(folder.glob(f"*.int8.{format}"))


def by_rival(task: Task, rival: Rival, said: argparse.Namespace) -> Path:
    """The file, made unless it is there. Raises UnavailableError."""
    file = task.folder / f"{rival.name.replace(' ', '-')}.{rival.format}"
    failure = file.with_suffix(".failed")
    if failure.exists():
        raise UnavailableError(failure.read_text())
    if file.exists():
        return file
    python = getattr(said, rival.environment) if rival.environment else sys.executable
    if python is None:
        raise UnavailableError(f"not run: no --{rival.environment.replace('_', '-')} given")
    if rival.from_torch and task.torch is None:
        raise UnavailableError("not run: the model is an ONNX file")
    source = task.float_file(rival.format)
    words = [*rival.words, *(["transformer"] if rival.environment == "nncf" and task.name in TRANSFORMERS else [])]
    try:
        if rival.from_torch:
            assert task.torch is not None
            source = task.folder / "litert-torch.tflite"
            script(python, "litert_torch_float.py", *task.torch, task.calibration, source)
        script(python, rival.script, source, task.calibration, file, *words)
    except UnavailableError as reason:
        failure.write_text(str(reason))
        raise
    return file


def script(python: str, name: str, *words: object) -> None:
    alone = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}  # of its own environment
    command = [python, str(HERE / "rivals" / name), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=alone)
    if done.returncode:
        said = [text for text in done.stderr.splitlines() if text.strip()] or ["nothing"]
        raise UnavailableError(f"failed, exit {done.returncode}: {said[-1][:100]}")


def edgekit(*words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "edgekit", *words], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"edgekit {' '.join(words)}: {done.stderr}")


# ---- what they compute -----------------------------------------------------------------------------------------------


def answered(task: Task, file: Path) -> Values:
    """The metric of each sample: 0 or 1, dB, or the score. Kept by the file's content."""
    count = len(task.evaluation)
    kept = task.folder / "answers" / f"{hashlib.sha256(file.read_bytes()).hexdigest()[:16]}-{count}.npy"
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        np.save(kept, asked(task, file))
    return np.load(kept)


def asked(task: Task, file: Path) -> Values:
    metric = suited(None, task.evaluation)
    low, high, values = np.inf, -np.inf, []
    with Runner(opened(file)) as runner:
        (given,), first = runner.artifact.inputs, runner.artifact.outputs[0].name
        for batch in task.evaluation.batches(compare.batch_size(task.evaluation)):
            outputs = runner.run({given.name: next(iter(batch.inputs.values()))})
            values.append(metrics.per_sample(metric, {"output": outputs[first]}, batch, {}))
            for target in (batch.targets or {}).values():
                low, high = min(low, float(target.min())), max(high, float(target.max()))
    found = np.concatenate(values)
    return metrics.psnr(found, low, high) if metric.name == "psnr" else found


def losses(task: Task, values: Values, exact: Values) -> Values:
    """What each sample lost against the float model, in the units of the table."""
    match suited(None, task.evaluation).name:
        case "top1":
            return 100 * (exact - values)
        case "psnr":
            return exact - values
        case _:  # a score, as an anomaly detector's: either direction is off
            return 100 * np.abs(values - exact) / exact.mean()


def interval(task: Task, differences: Values) -> Interval:
    """Of the mean difference: Tango's for rates, else the bootstrap's."""
    if suited(None, task.evaluation).rate:
        found = intervals.tango(int((differences > 0).sum()), int((differences < 0).sum()), differences.size)
        return Interval(100 * found.low, 100 * found.high)
    return intervals.bootstrap(differences)


def ran(file: Path) -> str:
    """Linear ops executed as int8 / as anything else."""
    with Runner(opened(file)) as runner:
        onnx_file = runner.artifact.format == "onnx"
        ops = executed.from_onnxruntime(runner.optimized()) if onnx_file else executed.from_litert(runner.kernels())
    linear = [op.dtype for op in ops if any(word in op.op.upper() for word in LINEAR)]
    return f"{linear.count('int8')}/{len(linear) - linear.count('int8')}"


def line(
    task: Task,
    format: Format,
    tool: str,
    values: Values,
    loss: Values | None = None,
    behind: Values | None = None,
    ran: str = "",
) -> None:
    value = values.mean() * (100 if suited(None, task.evaluation).rate else 1)
    cells = f"{task.name:36}{format:8}{tool:26}{value:9.3f}"
    for differences in (loss, behind):
        if differences is None:
            cells += " " * 26
            continue
        found = interval(task, differences)
        cells += f"{differences.mean():8.2f}{found.low:8.2f}..{found.high:8.2f}"
    print(f"{cells}{ran:>9}".rstrip(), flush=True)


def write_readme(drops: Mapping[str, Mapping[str, float]]) -> None:
    columns = [
        column
        for format in FORMATS
        for column in (f"edgekit {format}", *(rival.name for rival in RIVALS if rival.format == format))
    ]
    rows = [("model", *columns), tuple("---" for _ in ("model", *columns))]
    for name, found in drops.items():
        cells = (f"{found[column]:.2f}" if column in found else "-" for column in columns)
        rows.append((f"{name}{UNITS.get(name, '')}", *cells))
    text = "\n".join("| " + " | ".join(cells) + " |" for cells in rows)
    before, rest = README.read_text().split(MARKS[0])
    README.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{rest.split(MARKS[1])[1]}")


if __name__ == "__main__":
    main()
