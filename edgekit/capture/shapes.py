"""What to feed the model: names, shapes and types of its inputs, from the file, from the samples or from `--input`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from edgekit.errors import EdgekitError

Shape = tuple[int, ...]
OpenShape = tuple[tuple[int | None, ...], str]
Signature = Mapping[str, tuple[Shape, str]]
FIXED_AT_ONE = "the batch is fixed at 1, as in the file"
NO_BATCH = "an input of fixed sizes has no batch of 1: the files take it as it is, and no samples can be fed"
AGREE = "change the preprocess or --input so that they agree"
CHANNELS_LAST = (
    'images keep their channels last with [preprocess] model_layout = "nhwc" in a recipe, named with --recipe; arrays'
    " must lie as the model takes them"
)
T = TypeVar("T")
ONLY_INPUT = "inputs"  # the samples' name for the only input, whatever the model calls it
HOW = "give one of: --input NAME=1x3x224x224, samples with --data, or a model file that carries its shapes (.pt2, ONNX)"


@dataclass(frozen=True)
class Input:
    """One input of the model. shape: without the batch; dtype: what the model is fed, a NumPy name."""

    name: str
    shape: Shape
    dtype: str


def fed_as(sample_dtype: str) -> str:
    """The type that the model gets for samples of a type.

    8-bit integers are pixels or the like: the model gets float32. Wider integers are indices and stay as they are, so
    does bool. Floats of any width become float32, the type that edgekit captures in.
    """
    return sample_dtype if sample_dtype in {"int16", "int32", "int64", "bool"} else "float32"


def settle(
    model: str,
    names: Sequence[str],
    required: int,
    inputs: Mapping[str, Shape],
    signature: Signature | None,
) -> tuple[Input, ...]:
    """One Input per input that is fed, in the model's order.

    names: of forward's parameters, empty where it takes any (`*inputs`); required: how many have no default;
    inputs: from `--input`, with the batch; signature: of the samples, without it. `--input` and samples must agree.
    """
    needed = list(names[:required])
    given = {name: shape[1:] for name, shape in _renamed(model, inputs, names, needed, "--input").items()}
    sampled = _renamed(model, signature or {}, names, needed, "the samples")
    for name in given.keys() & sampled.keys():
        if given[name] != sampled[name][0]:
            raise EdgekitError(
                "EK202",
                f"two shapes for the input '{name}' of '{model}'",
                f"--input says {_written(given[name])}, the samples hold {_written(sampled[name][0])} (batch left out)",
                "drop --input, or change the preprocess so that they agree",
            )
    order = names or list(dict.fromkeys([*sampled, *given]))
    settled = {name: Input(name, shape, "float32") for name, shape in given.items()}
    settled |= {name: Input(name, shape, fed_as(dtype)) for name, (shape, dtype) in sampled.items()}
    unknown = [name for name in needed if name not in settled]
    if unknown or not settled:
        takes = f"its forward takes {', '.join(needed)}" if needed else "its forward takes any number of inputs"
        raise EdgekitError(
            "EK201",
            f"the input shapes of '{model}' are not known",
            f"{takes}; no shape was given for {', '.join(unknown) or 'any'}",
            HOW,
        )
    return tuple(settled[name] for name in order if name in settled)


def complete(
    model: str, held: Mapping[str, OpenShape], inputs: Mapping[str, Shape], signature: Signature | None
) -> tuple[tuple[Input, ...], bool]:
    """The inputs of a file that knows its shapes, and whether it left none of them open.

    held: by name, (shape without the batch, None where open; dtype). Open sizes come from `--input` or samples.
    """
    names = list(held)
    given = {name: shape[1:] for name, shape in _renamed(model, inputs, names, names, "--input").items()}
    sampled = {
        name: shape for name, (shape, _) in _renamed(model, signature or {}, names, names, "the samples").items()
    }
    settled = []
    for name, (shape, dtype) in held.items():
        for by, offered in (("--input", given.get(name)), ("the samples", sampled.get(name))):
            if offered is None:
                continue
            if not _fits(shape, offered):
                raise EdgekitError(
                    "EK202",
                    f"the input '{name}' of '{model}' has another shape",
                    f"{by} say {_written(offered)}, the model takes {_written(shape)} (batch left out)",
                    CHANNELS_LAST if _fits(shape, (*offered[1:], *offered[:1])) else AGREE,
                )
            shape = offered
        if None in shape:
            raise EdgekitError(
                "EK201",
                f"the input shapes of '{model}' are not known",
                f"the file leaves sizes of '{name}' open: {_written(shape)} (batch left out)",
                f"give --input {name}=1x{_written(shape)} with numbers for the '?', or samples with --data",
            )
        settled.append(Input(name, tuple(size for size in shape if size is not None), dtype))
    return tuple(settled), all(None not in shape for shape, _ in held.values())


def _fits(shape: Sequence[int | None], offered: Shape) -> bool:
    return len(offered) == len(shape) and all(a in (None, b) for a, b in zip(shape, offered, strict=True))


def fixed_batch(model: str, name: str, batch: int) -> EdgekitError:
    return EdgekitError(
        "EK212",
        f"'{model}' takes only batches of {batch}",
        f"the first axis of its input '{name}' is fixed at {batch}; to feed samples it must be open, or 1",
        "export it again with a dynamic batch (dynamic_shapes, or dynamic_axes in older exporters) or with batch 1; "
        "`edgekit convert` without samples takes an ONNX model as it is",
    )


def no_batch(model: str, name: str, what: str) -> EdgekitError:
    return EdgekitError(
        "EK206",
        f"'{model}' takes an input without a batch axis",
        f"'{name}' is {what}",
        "export it with tensors only, batch first; make the others constants of the model",
    )


def not_float32(model: str, name: str, dtype: str) -> EdgekitError:
    return EdgekitError(
        "EK211",
        f"'{model}' is not a float32 model",
        f"'{name}' is {dtype}; float32, integers and bool are read",
        "export it in float32; edgekit makes the small types itself",
    )


def _renamed(
    model: str, given: Mapping[str, T], names: Sequence[str], needed: Sequence[str], by: str
) -> Mapping[str, T]:
    """`given` under the model's names: 'inputs' alone stands for the only input that must be fed."""
    if set(given) == {ONLY_INPUT} and len(needed) == 1 and ONLY_INPUT not in names:
        return {needed[0]: given[ONLY_INPUT]}
    unknown = [name for name in given if names and name not in names]
    if unknown:
        raise EdgekitError(
            "EK202",
            f"'{model}' has no input '{unknown[0]}'",
            f"{by} name {', '.join(given)}; the model takes {', '.join(names)}",
            "use the model's names",
        )
    return given


def _written(shape: Sequence[int | None]) -> str:
    return "x".join("?" if size is None else str(size) for size in shape) or "a scalar"
