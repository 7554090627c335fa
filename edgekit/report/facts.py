"""What a run found out: a `Report` is made of facts, and every fact is a value that JSON can carry.

Units are SI; shares and rates are 0..1. A `None` is an honest "not known" or "does not apply", never a zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal

from edgekit.report.json import to_json

if TYPE_CHECKING:  # types only: the stages take a second to load, which `edgekit inspect` should not
    from edgekit.profile.measure import Latency
    from edgekit.profile.memory import Memory
    from edgekit.quantize.doubts import Examination
    from edgekit.run.trained import Training
    from edgekit.verify.result import Verification


USUAL_SCHEME = "int8 activations per tensor, int8 weights per channel"


@dataclass(frozen=True, kw_only=True)
class TensorFacts:
    """An input or output by the model's name. shape: None where dynamic."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """The model that the user gave.

    kind: what the file turned out to be ("state dict", "ONNX"); factory: what built the module, where one did;
    macs: multiply-accumulates of one sample; trusted_pickle: arbitrary code in the file was allowed to run.
    """

    path: str
    sha256: str
    kind: str
    parameters: int
    macs: int | None
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    factory: str | None = None
    trusted_pickle: bool = False


@dataclass(frozen=True, kw_only=True)
class OpFacts:
    """An op of the float graph that the files were made of, in the order they run.

    macs, parameters: of one sample, and of float numbers that it holds; shape: of what it makes, None where dynamic,
    and where nothing is known of it; source: "model.py:41".
    """

    node: str
    op: str
    macs: int
    parameters: int
    shape: tuple[int | None, ...] | None
    source: str | None = None


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """The samples behind the numbers.

    calibration, evaluation: where they came from, None where there were none; *_count: samples used;
    split: both came from one place and were parted by content; overlap: samples that stood on both sides and were
    dropped from one; preprocess: what was done to each sample (JSON-able); *_ids: SHA-256 over the samples' ids,
    sorted, which tells the same samples from others.
    """

    calibration: str | None
    calibration_count: int
    evaluation: str | None
    evaluation_count: int
    split: bool = False
    overlap: int = 0
    class_names: tuple[str, ...] | None = None
    preprocess: dict[str, object] = field(default_factory=dict)
    calibration_ids: str | None = None
    evaluation_ids: str | None = None


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """A file that was written. transposes, transposed_bytes: layout changes left in it and what they write in one run;
    memory: what is alive at each op, and the arena on a microcontroller, planned; all in TFLite files only."""

    label: str
    path: str
    format: str
    precision: str
    size_bytes: int
    sha256: str
    inputs: tuple[TensorFacts, ...] = ()
    outputs: tuple[TensorFacts, ...] = ()
    transposes: int | None = None
    transposed_bytes: int | None = None
    memory: Memory | None = None


@dataclass(frozen=True, kw_only=True)
class KeptFloat:
    """An op that was not put into INT8, and why."""

    node: str
    op: str
    reason: str
    source: str | None = None


@dataclass(frozen=True, kw_only=True)
class OpSensitivity:
    """What an op loses when it alone is quantized, with those that change their precision with it.

    ops: how many they are; sqnr_db: of the model's outputs on calibration samples that no range was taken from;
    int16_sqnr_db: on int16 activations, None where that was not measured.
    """

    node: str
    op: str
    ops: int
    macs: int
    sqnr_db: float
    int16_sqnr_db: float | None = None
    source: str | None = None


@dataclass(frozen=True, kw_only=True)
class QuantizationFacts:
    """How real numbers became integers.

    ranges: the method asked for ("auto"), "none" where there is nothing to choose; chosen: method -> number of tensors
    it won ({"mse": 31, "minmax": 10}); calibrated: False where inputs had to be synthesised; io: what the files take
    and give; scheme: the integers; kept_int16: on int16 activations for accuracy's sake; repairs: what was done to win
    accuracy back ("bias correction: 12 ops"), in order; sensitivity: the most sensitive ops first, empty where it was
    not measured.
    """

    ranges: str
    chosen: dict[str, int]
    calibrated: bool
    io: str
    precision: str = "int8"
    scheme: str = USUAL_SCHEME
    kept_float: tuple[KeptFloat, ...] = ()
    kept_int16: tuple[KeptFloat, ...] = ()
    repairs: tuple[str, ...] = ()
    sensitivity: tuple[OpSensitivity, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PrunedGroup:
    """Channels that go together. name: the node that makes them, the first if there are several; members: all that
    make channels of the group; channels, kept: how many of each there were, and are."""

    name: str
    members: tuple[str, ...]
    channels: int
    kept: int


@dataclass(frozen=True, kw_only=True)
class UncutChannels:
    """Channels that had to stay. name: the node that makes them; why: completes "... stays, because"."""

    name: str
    channels: int
    why: str


How = Literal["written", "measured", "estimated"]
"""How a cost is known: bytes of a file, seconds here, or seconds on a device that is not at hand."""


@dataclass(frozen=True, kw_only=True)
class PruningTrial:
    """A smaller model that was tried for a goal. left: share of the MACs (of the parameters, where the goal is the
    size); costs: file -> its cost as a share of the unpruned file's; how: they are known."""

    left: float
    costs: dict[str, float]
    how: How


@dataclass(frozen=True, kw_only=True)
class EstimatedLatency:
    """What a pruned model takes on a device that was not there, beside the unpruned one. Estimated, not measured.

    file: label; precision: that its kernels were taken to compute in; evidence: A to D, as the device's file has it;
    unpruned_s: of the unpruned model, from the same parameters; low_s, high_s: the 90 % interval of `seconds`.
    """

    file: str
    device: str
    runtime: str
    version: str
    threads: int
    precision: str
    evidence: str
    unpruned_s: float
    seconds: float
    low_s: float
    high_s: float
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DenseLayer:
    """A layer that a pattern of zeros does not fit. name: of its node; why: completes "... stays dense, because"."""

    name: str
    why: str


@dataclass(frozen=True, kw_only=True)
class SparsityFacts:
    """Single weights that were set to zero, by their size.

    asked: share of the weights of all layers, or "2:4"; weights, zeros: of these layers, as they are in the end; dense:
    layers that 2:4 does not fit; deflated_bytes: file -> its size once it is compressed by deflate at `level`, those of
    the unpruned model too; speed_ups: runtime -> what zeros win there in time, in words: "none: ..." where it is none.
    """

    asked: str
    weights: int
    zeros: int
    dense: tuple[DenseLayer, ...]
    speed_ups: dict[str, str]
    level: int
    deflated_bytes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PruningRound:
    """One of several cuts. left: share of the unpruned model's MACs after it; training: what followed it."""

    left: float
    training: Training


@dataclass(frozen=True, kw_only=True)
class PruningFacts:
    """How channels were cut.

    goal: "macs", "params", "size" or "latency", None where no channel was cut; asked: share of the unpruned model's to
    be left at most; reached: what is left, for latency as measured at the end in the slowest runtime, or as estimated
    for another device, None where it is not known; score: what told which channels matter; macs, parameters: of the
    pruned model (`model` has those of the unpruned one); multiple: what widths were rounded to, less where a group is
    narrow, None where no channel was cut; unpruned_bytes: file of the unpruned model -> its size;
    trials: what was tried for a goal that only a file tells; estimates: of the pruned model's latency on a device that
    was not there, empty where it was measured here; training: the fine-tuning, of the last round where there are
    several, None without; rounds: all of them where there are several; sparsity: None where no weight was set to zero.
    """

    goal: str | None
    asked: float | None
    reached: float | None
    score: str | None
    macs: int
    parameters: int
    unpruned_bytes: dict[str, int]
    groups: tuple[PrunedGroup, ...]
    uncut: tuple[UncutChannels, ...]
    multiple: int | None = None
    trials: tuple[PruningTrial, ...] = ()
    estimates: tuple[EstimatedLatency, ...] = ()
    training: Training | None = None
    rounds: tuple[PruningRound, ...] = ()
    sparsity: SparsityFacts | None = None


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A quantization that was judged. drop, upper: as in BudgetFacts; shares: of the MACs, by the precision asked for;
    empty where there are no MACs."""

    drop: float
    upper: float
    shares: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class BudgetFacts:
    """What a budget asked for, and what became of it. Drops are in `unit`, the largest of all files.

    unit: "points", "dB", "%" of the float model's error, or "" for the metric's own numbers; met: `upper`, the end of
    the 95 % interval, is within max_drop; least: what it would be if no answer changed; samples_needed: about how many
    would show that a drop as measured is within max_drop, None where it is not; candidates: all that were judged on
    these samples, in order; shares: of what was kept.
    """

    max_drop: float
    unit: str
    met: bool
    drop: float
    upper: float
    least: float
    samples: int
    samples_needed: int | None
    candidates: tuple[Candidate, ...]
    shares: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where it was measured. features: CPU extensions that matter to the kernels ("avx512_vnni")."""

    system: str
    cpu: str
    architecture: str
    cores: int
    memory_bytes: int | None
    features: tuple[str, ...]
    python: str
    versions: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that a run says; the terminal and `report.json` show the same object.

    directory: where the files are; pruning: None where nothing was pruned; calibration: what was found out about its
    samples; training: of the integers, None without; notes: doubts and decisions in whole sentences, most important
    first; stages_s: wall-clock seconds of each stage, in order; command: what does the same again, None where it was
    given what no command line can say.
    """

    version: str
    directory: str
    model: ModelFacts
    machine: Machine
    files: tuple[FileFacts, ...]
    command: str | None = None
    ops: tuple[OpFacts, ...] = ()
    data: DataFacts | None = None
    pruning: PruningFacts | None = None
    quantization: QuantizationFacts | None = None
    budget: BudgetFacts | None = None
    calibration: Examination | None = None
    training: Training | None = None
    verification: Verification | None = None
    latencies: tuple[Latency, ...] = ()
    notes: tuple[str, ...] = ()
    stages_s: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> str:
        """The document that `report.json` holds and `--json` prints."""
        from edgekit.report.summary import headline, warnings  # these read a Report, so they stand above it

        said = {"headline": headline(self), "warnings": warnings(self)}
        return to_json({field.name: getattr(self, field.name) for field in fields(self)} | said)

    def __str__(self) -> str:
        """The summary that the command line prints, without colours."""
        from edgekit.report.terminal import to_text

        return to_text(self)
