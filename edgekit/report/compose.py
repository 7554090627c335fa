"""From what the stages hand over to the facts of a report."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import onnx_ir as ir

from edgekit import recipe
from edgekit.artifact import Precision, TensorSpec
from edgekit.capture import Captured
from edgekit.graph import cost, facts, source
from edgekit.lower import Lowered
from edgekit.preprocess import Preprocess
from edgekit.profile.memory import plan_of
from edgekit.quantize import Quantized
from edgekit.quantize.sensitivity import Sensitivity, in_db
from edgekit.quantize.weights_only import WeightsOnly
from edgekit.report.facts import (
    DataFacts,
    DenseLayer,
    FileFacts,
    KeptFloat,
    ModelFacts,
    OpFacts,
    OpSensitivity,
    PrunedGroup,
    PruningFacts,
    PruningTrial,
    QuantizationFacts,
    SparsityFacts,
    TensorFacts,
    UncutChannels,
)
from edgekit.samples import Samples

if TYPE_CHECKING:  # torch takes seconds to import
    from edgekit.prune import Pruned
    from edgekit.prune.sparsify import Sparse
    from edgekit.run.trained import Training

ACTIVATIONS: Mapping[Precision, str] = {
    "int8": "int8 activations per tensor",
    "int16x8": "int16 activations per tensor",
    "int8-dynamic": "float activations",
}


DEFLATE_LEVEL = 9
# onnxruntime expands sparse initializers when it loads a file, and has no CPU kernel that skips zeros. XNNPACK has some
# for chains of 1x1 convolutions with weights in TFLite's sparse format (tensorflow/lite/delegates/xnnpack/README.md,
# "Sparse Inference"). TensorRT has some for 2:4 since version 8 (arXiv:2104.08378; BuilderFlag.SPARSE_WEIGHTS).
NO_SPEED_UP: Mapping[str, str] = {
    "ONNX Runtime": "none: it multiplies by zeros as by any number",
    "LiteRT": "none: its sparse kernels want weights in a sparse format, and these files are dense",
}
IN_FOURS = "known, not measured: GPUs since Ampere can skip them, if its builder may use sparse weights"
NOT_IN_FOURS = "none: its sparse kernels want 2:4"


def _integers(precision: Precision, scheme: str) -> str:
    """Which numbers stand for what, in words."""
    weights = "int8 weights per tensor" if scheme == "per-tensor" else "int8 weights per channel"
    symmetric = precision == "int8" and scheme == "symmetric"
    said = [ACTIVATIONS[precision] + (" with zero point 0" if symmetric else ""), weights]
    return ", ".join([*said, "float biases (for TensorRT)"] if symmetric else said)


def model_facts(name: str, wanted: recipe.Model, captured: Captured, graph: ir.Model) -> ModelFacts:
    """graph: the simplified float graph, whose parameters and MACs are those that a device pays for."""
    return ModelFacts(
        path=wanted.path or name,
        sha256=captured.sha256,
        kind=captured.kind,
        parameters=cost.parameters(graph),
        macs=sum(cost.macs_by_node(graph).values()),
        inputs=tuple(map(_value, graph.graph.inputs)),
        outputs=tuple(map(_value, graph.graph.outputs)),
        factory=wanted.factory,
        trusted_pickle=wanted.trust_pickle,
    )


def op_facts(graph: ir.Model) -> tuple[OpFacts, ...]:
    """graph: in float, as the files were made of it."""
    return tuple(
        OpFacts(
            node=node.name or "",
            op=node.op_type,
            macs=cost.macs(node),
            parameters=cost.parameters_of(node),
            shape=None if node.outputs[0].shape is None else facts.shape(node.outputs[0]),
            source=source.source_line(node),
        )
        for node in facts.real_nodes(graph)
    )


def data_facts(
    calibration: Samples | None, evaluation: Samples | None, overlap: int, preprocess: Preprocess
) -> DataFacts:
    known = calibration or evaluation
    return DataFacts(
        calibration=calibration.where if calibration is not None else None,
        calibration_count=len(calibration) if calibration is not None else 0,
        evaluation=evaluation.where if evaluation is not None else None,
        evaluation_count=len(evaluation) if evaluation is not None else 0,
        split=calibration is not None and evaluation is not None and calibration.where == evaluation.where,
        overlap=overlap,
        class_names=known.class_names if known is not None else None,
        preprocess=preprocess.to_metadata(),
        calibration_ids=_digest(calibration),
        evaluation_ids=_digest(evaluation),
    )


def _digest(samples: Samples | None) -> str | None:
    """Of which samples they are, in whatever order."""
    return None if samples is None else hashlib.sha256("\n".join(sorted(samples.ids)).encode()).hexdigest()


def file_facts(lowered: Lowered, directory: Path) -> FileFacts:
    """directory: where the file will be, which need not be where it is now."""
    artifact = lowered.artifact
    return FileFacts(
        label=artifact.label,
        path=str(directory / artifact.path.name),
        format=artifact.format,
        precision=artifact.precision,
        size_bytes=artifact.size_bytes,
        sha256=artifact.sha256,
        inputs=tuple(map(_spec, artifact.inputs)),
        outputs=tuple(map(_spec, artifact.outputs)),
        transposes=lowered.transposes,
        transposed_bytes=lowered.transposed_bytes,
        memory=plan_of(artifact.path.read_bytes()) if artifact.format == "tflite" else None,
    )


def pruning_facts(
    goal: tuple[str, float] | None,
    score: str | None,
    pruned: Pruned,
    graph: ir.Model,
    unpruned: Sequence[Lowered],
    trials: Sequence[PruningTrial],
    training: Training | None,
) -> PruningFacts:
    """pruned: how it was cut; graph: what came of it, simplified and in float; what was reached is told later."""
    channels = pruned.channels
    return PruningFacts(
        goal=None if goal is None else goal[0],
        asked=None if goal is None else goal[1],
        reached=None,
        score=score,
        macs=sum(cost.macs_by_node(graph).values()),
        parameters=cost.parameters(graph),
        unpruned_bytes={file.artifact.label: file.artifact.size_bytes for file in unpruned},
        groups=tuple(
            PrunedGroup(
                name=group.name,
                members=group.members,
                channels=len(group.units) * group.channels,
                kept=len(pruned.choice.kept[group.name]) * group.channels,
            )
            for group in channels.groups
        ),
        multiple=pruned.choice.multiple,
        uncut=tuple(UncutChannels(name=one.name, channels=one.channels, why=one.why) for one in channels.blocked),
        trials=tuple(trials),
        training=training,
    )


def sparsity_facts(asked: float | str | None, sparse: Sparse, graph: ir.Model) -> SparsityFacts:
    """sparse: as zeros were set; graph: what came of it; sizes are told later."""
    from edgekit.prune.sparsify import zeros  # not at the top: torch takes seconds to import

    empty, weights = zeros(graph)
    pattern = isinstance(asked, str)
    return SparsityFacts(
        asked=asked if isinstance(asked, str) else f"{asked:.0%}",
        weights=weights,
        zeros=empty,
        dense=tuple(DenseLayer(name=layer.name, why=layer.why) for layer in sparse.dense),
        speed_ups={**NO_SPEED_UP, "TensorRT": IN_FOURS if pattern else NOT_IN_FOURS},
        level=DEFLATE_LEVEL,
    )


def program_facts(label: str, path: Path, directory: Path, model: ModelFacts) -> FileFacts:
    """A torch.export archive, which takes and gives what the model does."""
    data = path.read_bytes()
    return FileFacts(
        label=label,
        path=str(directory / path.name),
        format=path.suffix.removeprefix("."),
        precision="float32",
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        inputs=model.inputs,
        outputs=model.outputs,
    )


def quantization_facts(
    quantized: Quantized,
    wanted: recipe.Quantize,
    scheme: str,
    ranked: Sequence[Sensitivity],
    *,
    calibrated: bool,
) -> QuantizationFacts:
    """ranked: what ops lose alone; calibrated: on samples that somebody gave."""
    return QuantizationFacts(
        precision=wanted.precision,
        ranges=wanted.ranges,
        chosen=dict(Counter(quantized.methods.values()).most_common()),
        calibrated=calibrated,
        io=wanted.io,
        scheme=_integers(wanted.precision, scheme),
        kept_float=_kept_float(quantized.base, quantized.plan.kept_float),
        kept_int16=_kept_float(quantized.base, quantized.int16_because),
        repairs=_repairs(quantized),
        sensitivity=tuple(map(_sensitivity, ranked)),
    )


def _sensitivity(found: Sensitivity) -> OpSensitivity:
    cluster = found.cluster
    return OpSensitivity(
        node=cluster.name,
        op=cluster.op,
        ops=len(cluster.nodes),
        macs=cluster.macs,
        sqnr_db=in_db(found.error),
        int16_sqnr_db=None if found.int16_error is None else in_db(found.int16_error),
        source=cluster.source,
    )


def weights_facts(made: WeightsOnly, scheme: str, graph: ir.Model) -> QuantizationFacts:
    """graph: the float graph whose weights became integers."""
    return QuantizationFacts(
        precision="int8-dynamic",
        ranges="none",
        chosen={},
        calibrated=True,  # nothing is left to calibrate
        io="float32",
        scheme=_integers("int8-dynamic", scheme),
        kept_float=_kept_float(graph, made.kept_float),
    )


def _kept_float(graph: ir.Model, reasons: Mapping[str, str]) -> tuple[KeptFloat, ...]:
    nodes = {node.name or "": node for node in graph.graph}
    return tuple(
        KeptFloat(node=name, op=nodes[name].op_type, reason=reason, source=source.source_line(nodes[name]))
        for name, reason in reasons.items()
    )


def _repairs(quantized: Quantized) -> tuple[str, ...]:
    done = []
    if quantized.equalized:
        done.append("cross-layer equalization")
    if quantized.biases_corrected:
        done.append("bias correction")
    if quantized.weight_rule.scale == "mse":
        done.append("weight scales of least squared error")
    if quantized.rounding_learned:
        done.append("learned rounding of weights")
    elif quantized.weight_rule.rounding == "balanced":
        done.append("balanced rounding of weights")
    return tuple(done)


def _value(value: ir.Value) -> TensorFacts:
    assert value.dtype is not None
    return TensorFacts(name=value.name or "", dtype=value.dtype.numpy().name, shape=facts.shape(value))


def _spec(spec: TensorSpec) -> TensorFacts:
    return TensorFacts(name=spec.name, dtype=spec.dtype, shape=spec.shape)
