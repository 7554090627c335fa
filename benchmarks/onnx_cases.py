"""The test cases that the `onnx` package carries, as models in which only data is fed.

A node case feeds everything its op reads, weights and settings too; in a model that somebody trained those are
constants. `SETTINGS` says which: they become initializers, with the values that the case gives. Nothing else changes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

KINDS = ("node", "pytorch-operator", "pytorch-converted", "simple", "light")
DATA = Path(onnx.__file__).parents[1]
REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
# Inputs that set the shape of the result, choose axes or bounds, or are weights: by op, their positions.
SETTINGS: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys((f"Reduce{name}" for name in REDUCTIONS), (1,)),
    **dict.fromkeys(("Conv", "ConvTranspose", "DeformConv"), (1, 2)),
    **dict.fromkeys(
        ("Reshape", "Squeeze", "Unsqueeze", "Split", "Expand", "Tile", "Upsample", "SplitToSequence"), (1,)
    ),
    **dict.fromkeys(("CumSum", "CumProd", "TopK", "Trilu", "CenterCropPad", "AffineGrid"), (1,)),
    **dict.fromkeys(("ConstantOfShape", "BlackmanWindow", "HammingWindow", "HannWindow"), (0,)),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), (1, 2, 3, 4, 7)),
    "CausalConvWithState": (1, 2),
    "BatchNormalization": (1, 2, 3, 4),
    "Clip": (1, 2),
    "Col2Im": (1, 2),
    "DFT": (1, 2),
    "Dropout": (1, 2),
    "MaxUnpool": (2,),
    "MelWeightMatrix": (0, 1, 2, 3, 4),
    "NonMaxSuppression": (2, 3, 4),
    "OneHot": (1, 2),
    "Pad": (1, 2, 3),
    "Range": (0, 1, 2),
    "Resize": (1, 2, 3),
    "STFT": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """model: as the file gives it to edgekit; feeds, expected: per data set, by name and in order; sizes that the case
    leaves open are those of its data; folded: nothing is fed, the whole model is a constant."""

    kind: str
    name: str
    model: onnx.ModelProto
    feeds: Sequence[Mapping[str, Any]]
    expected: Sequence[Sequence[Any]]
    rtol: float
    atol: float

    @property
    def folded(self) -> bool:
        return not self.model.graph.input

    @property
    def ops(self) -> list[str]:
        return [node.op_type for node in self.model.graph.node]


def cases(kinds: Sequence[str], pattern: str) -> Iterator[Case]:
    """Those whose name holds the pattern."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the reference implementation
        for kind in kinds:
            found = load_model_tests(kind="real" if kind == "light" else kind)
            originals = {test.name: test.model for test in found}
            for test in sorted(found, key=lambda one: one.name):
                if pattern in test.name:
                    yield _case(kind, test, originals)


def _case(kind: str, test: Any, originals: Mapping[str, onnx.ModelProto | None]) -> Case:
    if test.url is not None:
        model, sets = _light(test)
    elif test.model_dir is not None:
        model, sets = _stored(Path(test.model_dir))
    else:
        model, sets = test.model, [([_plain(x) for x in xs], [_plain(y) for y in ys]) for xs, ys in test.data_sets]
    held = {tensor.name for tensor in model.graph.initializer}
    names = [value.name for value in model.graph.input if value.name not in held]
    feeds = [dict(zip(names, xs, strict=False)) for xs, _ in sets]
    original = originals.get(test.name.partition("_expanded")[0]) or model
    model = _with_settings(model, _settings(original) | _settings(model), feeds[0])
    fed = {value.name for value in model.graph.input}
    return Case(
        kind=kind,
        name=test.name,
        model=model,
        feeds=[{name: x for name, x in feed.items() if name in fed} for feed in feeds],
        expected=[ys for _, ys in sets],
        rtol=test.rtol,
        atol=test.atol,
    )


def _light(test: Any) -> tuple[onnx.ModelProto, list[tuple[list[Any], list[Any]]]]:
    """The architectures without weights of their own; fed and expected as the onnx package's own runner does."""
    path = DATA / test.url
    model = onnx.load(path)
    held = {tensor.name for tensor in model.graph.initializer}
    inputs = [Runner.generate_dummy_data(x, name=test.name) for x in model.graph.input if x.name not in held]
    outputs = [
        numpy_helper.to_array(onnx.load_tensor(path.with_name(f"{path.stem}_output_{i}.pb")))
        for i in range(len(model.graph.output))
    ]
    return model, [(inputs, outputs)]


def _stored(folder: Path) -> tuple[onnx.ModelProto, list[tuple[list[Any], list[Any]]]]:
    model = onnx.load(folder / "model.onnx")
    sets = []
    for data in sorted(folder.glob("test_data_set_*")):
        read = []
        for word, values in (("input", model.graph.input), ("output", model.graph.output)):
            count = len(list(data.glob(f"{word}_*.pb")))
            read.append([_tensor(data / f"{word}_{i}.pb", values[i]) for i in range(count)])
        sets.append((read[0], read[1]))
    return model, sets


def _tensor(path: Path, value: onnx.ValueInfoProto) -> Any:
    """An array; a sequence or the like as its message, which is never fed."""
    if value.type.WhichOneof("value") != "tensor_type":
        return path.read_bytes()
    return numpy_helper.to_array(onnx.load_tensor(path))


def _plain(x: Any) -> Any:
    return numpy_helper.to_array(x) if isinstance(x, onnx.TensorProto) else x


def _settings(model: onnx.ModelProto) -> set[str]:
    return {
        node.input[position]
        for node in model.graph.node
        for position in SETTINGS.get(node.op_type, ())
        if position < len(node.input) and node.input[position]
    }


def _with_settings(model: onnx.ModelProto, settings: set[str], feed: Mapping[str, Any]) -> onnx.ModelProto:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    kept = [value for value in model.graph.input if value.name not in settings or not _is_array(feed.get(value.name))]
    for value in model.graph.input:
        if value not in kept:
            changed.graph.initializer.append(numpy_helper.from_array(feed[value.name], value.name))
    del changed.graph.input[:]
    changed.graph.input.extend(kept)
    for value in changed.graph.input:
        _fix_sizes(value, feed.get(value.name))
    return changed


def _fix_sizes(value: onnx.ValueInfoProto, x: Any) -> None:
    """Open sizes become those of the data."""
    if not _is_array(x) or not value.type.tensor_type.HasField("shape"):
        return
    for size, number in zip(value.type.tensor_type.shape.dim, x.shape, strict=False):
        if not size.HasField("dim_value"):
            size.dim_value = number


def _is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray | np.generic)


Arrays = Mapping[str, NDArray[Any]]
