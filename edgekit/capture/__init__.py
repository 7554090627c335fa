"""Capture: a trained model in any form that PyTorch or ONNX know -> one graph, and the model to compare it with.

load      the model as it is, which can run
capture   its graph
"""

from __future__ import annotations

from pathlib import Path

from edgekit import user_code
from edgekit.capture import from_onnx, shapes
from edgekit.capture.captured import Captured, Loaded, Source, no_factory, sha256_of
from edgekit.capture.sniff import Form, sniff

__all__ = ["Captured", "Loaded", "Source", "capture", "load", "recognized"]

# Forms that carry the model's structure themselves.
WHOLE: dict[Form, str] = {
    "ONNX": "an ONNX model",
    "TorchScript": "a TorchScript model",
    "torch.export": "a torch.export program",
}


def load(source: Source, signature: shapes.Signature | None) -> Loaded:
    """The model that `source` names.

    signature: of the samples, by input name: shape without the batch, NumPy dtype name. 'inputs' alone stands for the
    only input of the model, whatever its name. 8-bit integers feed a float32 input, wider ones stay integers.
    """
    form = recognized(source)
    if form == "ONNX":
        return _from_onnx(source, Path(source.path), signature)
    from edgekit.capture import torch_model  # not at the top: torch takes seconds to import, and ONNX needs none of it

    return torch_model.loaded(source, form, signature)


def capture(model: Loaded) -> Captured:
    """The graph of a model."""
    graph, notes = model.graph()
    return Captured(graph=graph, kind=model.kind, sha256=model.sha256, notes=(*model.notes, *notes))


def recognized(source: Source) -> Form | None:
    """What the model's file is, None where code builds the model. Refuses what cannot be a model, in no time."""
    path = Path(source.path)
    if source.module is not None:
        return None
    if not path.exists() and user_code.place(source.path) is not None:
        no_factory(source, "built in code")
        return None
    form = sniff(path)
    if form in WHOLE:
        no_factory(source, WHOLE[form])
    return form


def _from_onnx(source: Source, path: Path, signature: shapes.Signature | None) -> Loaded:
    graph, notes = from_onnx.from_onnx(path, source.inputs, signature)
    return Loaded(
        inputs=tuple(str(value.name) for value in graph.graph.inputs),
        run=None,
        synthesize=lambda count, _: from_onnx.synthesized(path, graph, count),
        graph=lambda: (graph, ()),
        kind="ONNX",
        sha256=sha256_of(path),
        notes=notes,
    )
