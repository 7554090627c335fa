"""Reports as a run would make them, for the tests of `report` and `cli`."""

from __future__ import annotations

from dataclasses import replace

from edgekit.profile.measure import Latency
from edgekit.profile.memory import planned
from edgekit.report import (
    BudgetFacts,
    Candidate,
    DataFacts,
    FileFacts,
    Machine,
    ModelFacts,
    OpFacts,
    OpSensitivity,
    QuantizationFacts,
    Report,
    TensorFacts,
)
from edgekit.report.facts import PrunedGroup, PruningFacts, PruningTrial, UncutChannels
from edgekit.run.trained import Judged, Training
from edgekit.verify.result import Agreement, Interval, LayerError, Ledger, LedgerRow, Score, Verification
from tests.profile.flows import flow, tensor

IMAGE = TensorFacts(name="image", dtype="float32", shape=(None, 3, 32, 32))
LOGITS = TensorFacts(name="logits", dtype="float32", shape=(None, 10))

MACHINE = Machine(
    system="Linux 6.1",
    cpu="Example CPU",
    architecture="x86_64",
    cores=2,
    memory_bytes=8 * 2**30,
    features=("avx2", "avx512_vnni"),
    python="3.11.2",
    versions={"edgekit": "0.1.0"},
)

MODEL = ModelFacts(
    path="nets/resnet20.pt",
    sha256="0" * 64,
    kind="state dict",
    parameters=269_722,
    macs=40_551_000,
    inputs=(IMAGE,),
    outputs=(LOGITS,),
    factory="nets.py:resnet20",
)


MEMORY = planned(
    flow([tensor("image", 1, 32, 32, 3), tensor("clipped", 1, 32, 32, 3)], [("RELU", (0,), (1,))], outputs=(1,))
)


def file(label: str, size_bytes: int) -> FileFacts:
    precision, _, kind = label.partition(" ")
    suffix = {"ONNX": "onnx", "TFLite": "tflite"}[kind]
    infix = "" if precision == "float32" else ".int8"
    return FileFacts(
        label=label,
        path=f"resnet20-edgekit/resnet20{infix}.{suffix}",
        format=suffix,
        precision=precision.lower(),
        size_bytes=size_bytes,
        sha256="1" * 64,
        inputs=(IMAGE,),
        outputs=(LOGITS,),
        transposes=0 if kind == "TFLite" else None,
        memory=MEMORY if kind == "TFLite" else None,
    )


def score(label: str, value: float, drop: float | None = None, flips: int | None = None) -> Score:
    around = Interval(value - 0.0065, value + 0.0065)
    drop_interval = None if drop is None else Interval(drop - 0.0009, drop + 0.0011)
    return Score(
        label=label, value=value, count=10_000, interval=around, drop=drop, drop_interval=drop_interval, flips=flips
    )


def latency(label: str, median_s: float) -> Latency:
    return Latency(
        label=label,
        runtime="ONNX Runtime 1.31.1" if label.endswith("ONNX") else "LiteRT 2.3.0",
        threads=1,
        runs=200,
        median_s=median_s,
        p05_s=median_s * 0.97,
        p95_s=median_s * 1.08,
        min_s=median_s * 0.95,
        load_s=0.01,
        doubts=(),
    )


def ledger(label: str) -> Ledger:
    rows = (
        LedgerRow(node="conv1", op="Conv", macs=40_550_360, precision="int8"),
        LedgerRow(node="fc", op="Gemm", macs=640, precision="int8"),
        LedgerRow(
            node="softmax", op="Softmax", macs=0, precision="float32", reason="no int8 kernel", source="nets.py:41"
        ),
    )
    runtime = "ONNX Runtime 1.31.1" if label.endswith("ONNX") else "LiteRT 2.3.0, XNNPACK"
    return Ledger(label=label, runtime=runtime, rows=rows if label.endswith("ONNX") else rows[:2], int8_macs_share=1.0)


VERIFICATION = Verification(
    metric="top1",
    unit="share",
    higher_is_better=True,
    count=10_000,
    reference=score("torch", 0.8735),
    scores=(
        score("float32 ONNX", 0.8735, 0.0, 0),
        score("INT8 ONNX", 0.8730, 0.0005, 93),
        score("INT8 TFLite", 0.8729, 0.0006, 95),
    ),
    agreements=(Agreement(first="INT8 ONNX", second="INT8 TFLite", top1=0.99985, identical=0.9971, largest_steps=1),),
    ledgers=(ledger("INT8 ONNX"), ledger("INT8 TFLite")),
)

REPORT = Report(
    version="0.1.0",
    directory="resnet20-edgekit",
    model=MODEL,
    machine=MACHINE,
    files=(file("float32 ONNX", 1_102_822), file("INT8 ONNX", 324_118), file("INT8 TFLite", 312_600)),
    data=DataFacts(
        calibration="cifar10_calib.npz",
        calibration_count=256,
        evaluation="cifar10_test.npz",
        evaluation_count=10_000,
        class_names=("cat", "dog"),
        preprocess={"scale": 1 / 255},
    ),
    quantization=QuantizationFacts(ranges="auto", chosen={"mse": 31, "minmax": 10}, calibrated=True, io="float32"),
    verification=VERIFICATION,
    latencies=(
        latency("float32 ONNX", 0.000_712),
        latency("INT8 ONNX", 0.000_345),
        latency("float32 TFLite", 0.000_655),
        latency("INT8 TFLite", 0.000_251),
    ),
    stages_s={"capture": 1.9, "quantize": 3.1},
)

TRAINING = Training(
    where="train.npz",
    epochs=3,
    batch=64,
    lr=0.001,
    optimizer="adamw",
    distilled=0.5,
    labels=True,
    samples=900,
    held_out=100,
    steps=45,
    losses=(0.9, 0.5, 0.4),
    before=Judged(loss=0.5, top1=0.84),
    after=Judged(loss=0.4, top1=0.86),
    kept=True,
)

SENSITIVE = replace(
    REPORT,
    quantization=QuantizationFacts(
        ranges="auto",
        chosen={},
        calibrated=True,
        io="float32",
        sensitivity=tuple(
            OpSensitivity(
                node=f"conv{i}",
                op="Conv",
                ops=1 + i % 2,
                macs=4_055_100,
                sqnr_db=20.5 + i,
                int16_sqnr_db=None if i else 31.25,
                source="nets.py:12",
            )
            for i in range(12)
        ),
    ),
)

SLOW = replace(
    REPORT,
    latencies=(
        latency("float32 ONNX", 0.001),
        replace(latency("INT8 ONNX", 0.00125), doubts=("clock frequency not fixed",)),
    ),
)

LAYERED = replace(
    REPORT,
    verification=replace(
        VERIFICATION, layers=(LayerError(node="conv1", label="INT8 ONNX", sqnr_db=21.4, source="nets.py:12"),)
    ),
)

PRUNED = replace(
    REPORT,
    files=(file("float32 ONNX", 800_000), file("float32 TFLite", 700_000)),
    quantization=None,
    pruning=PruningFacts(
        goal="latency",
        asked=0.7,
        reached=0.72,
        score="norms",
        macs=MODEL.macs // 2,
        parameters=MODEL.parameters // 4,
        unpruned_bytes={"unpruned ONNX": 1_200_000, "unpruned TFLite": 1_050_000},
        groups=(
            PrunedGroup(name="conv1", members=("conv1", "conv3"), channels=16, kept=16),
            PrunedGroup(name="conv2", members=("conv2",), channels=32, kept=20),
        ),
        multiple=4,
        trials=(
            PruningTrial(left=0.6, costs={"float32 ONNX": 0.8}, how="measured"),
            PruningTrial(left=0.5, costs={"float32 ONNX": 0.7}, how="measured"),
        ),
        uncut=tuple(UncutChannels(name=f"n{i}", channels=4, why=f"reason {i // 2}") for i in range(8)),
    ),
    verification=replace(
        VERIFICATION,
        scores=(
            replace(VERIFICATION.scores[0], label="float32 PyTorch"),
            replace(VERIFICATION.scores[0], drop=0.02, sqnr_db={"logits": 120.0}),
            replace(VERIFICATION.scores[0], label="float32 TFLite", drop=0.03, sqnr_db={"logits": 40.0}),
        ),
        sqnr_against="float32 PyTorch",
    ),
    latencies=(
        latency("unpruned ONNX", 1e-3),
        latency("float32 ONNX", 0.5e-3),
        latency("unpruned TFLite", 1e-3),
        latency("float32 TFLite", 1.25e-3),
    ),
)
HOSTILE = "<script>alert(1)</script>"  # a tensor may be called anything
ENDING = "</script><img src=x onerror=alert(1)>"

RICH = replace(
    SENSITIVE,
    command="edgekit quantize nets/resnet20.pt --data cifar10.npz --max-drop 1",
    ops=(
        OpFacts(
            node="conv1", op="Conv", macs=40_550_360, parameters=448, shape=(None, 16, 32, 32), source="nets.py:12"
        ),
        OpFacts(node="fc", op="Gemm", macs=640, parameters=650, shape=(None, 10)),
        OpFacts(node="softmax", op="Softmax", macs=0, parameters=0, shape=(None, 10), source="nets.py:41"),
    ),
    pruning=PruningFacts(
        goal="latency",
        asked=0.7,
        reached=0.68,
        score="taylor",
        macs=28_000_000,
        parameters=190_000,
        unpruned_bytes={"unpruned ONNX": 1_102_822, "unpruned TFLite": 1_090_000},
        groups=(PrunedGroup(name="conv1", members=("Conv 'conv1'",), channels=16, kept=10),),
        uncut=(UncutChannels(name="fc", channels=10, why="'logits' is an output of the model"),),
        trials=(PruningTrial(left=0.6, costs={"float32 ONNX": 0.68}, how="measured"),),
        training=TRAINING,
    ),
    budget=BudgetFacts(
        max_drop=1.0,
        unit="points",
        met=True,
        drop=0.06,
        upper=0.17,
        least=0.02,
        samples=10_000,
        samples_needed=900,
        candidates=(
            Candidate(drop=1.4, upper=1.9, shares={"int8": 1.0, "int16": 0.0, "float32": 0.0}),
            Candidate(drop=0.06, upper=0.17, shares={"int8": 0.9, "int16": 0.1, "float32": 0.0}),
        ),
        shares={"int8": 0.9, "int16": 0.1, "float32": 0.0},
    ),
    training=TRAINING,
    verification=LAYERED.verification,
)


def named(report: Report, name: str) -> Report:
    """Every op and tensor of the report by one name."""
    found, memory = report.verification, report.files[2].memory
    assert found is not None and memory is not None and report.quantization is not None and report.pruning is not None
    quantization, pruning = report.quantization, report.pruning
    alive = tuple(replace(one, name=name) for one in memory.alive)
    timeline = tuple(replace(one, output=name) for one in memory.timeline)
    return replace(
        report,
        command=f"edgekit quantize '{name}'",
        directory=name,
        model=replace(report.model, path=name, kind=name, inputs=(replace(IMAGE, name=name),)),
        machine=replace(report.machine, cpu=name, versions={name: name}),
        files=(*report.files[:2], replace(report.files[2], memory=replace(memory, alive=alive, timeline=timeline))),
        data=replace(report.data, class_names=(name,), evaluation=name, preprocess={name: name}),
        ops=tuple(replace(op, node=f"{name}{i}", op=name, source=name) for i, op in enumerate(report.ops)),
        quantization=replace(
            quantization,
            repairs=(name,),
            sensitivity=tuple(replace(one, node=name, source=name) for one in quantization.sensitivity),
        ),
        pruning=replace(pruning, groups=tuple(replace(one, name=name, members=(name,)) for one in pruning.groups)),
        verification=replace(
            found,
            ledgers=tuple(
                replace(ledger, rows=tuple(replace(row, node=name, reason=name, source=name) for row in ledger.rows))
                for ledger in found.ledgers
            ),
            layers=tuple(replace(layer, node=name, source=name) for layer in found.layers),
            notes=(name,),
        ),
        latencies=tuple(replace(latency, doubts=(name,)) for latency in report.latencies),
    )
