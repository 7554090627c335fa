"""Weights and modules out of torch.save, TorchScript and safetensors files, without running what a file brings along.

A pickle is a program. `torch.load(weights_only=True)` runs the part of it that builds tensors and refuses the rest;
only `--trust-pickle` runs all of it.
"""

from __future__ import annotations

import contextlib
import io
import pickletools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from edgekit import user_code
from edgekit.capture.captured import not_finite
from edgekit.capture.quiet import quiet
from edgekit.errors import EdgekitError

Weights = dict[str, torch.Tensor]

# Where training scripts put the weights inside a checkpoint, the most specific first: averaged weights are what a
# training run means to ship.
WRAPPERS = (
    "model_ema",
    "state_dict_ema",
    "ema",
    "ema_state_dict",
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "weights",
)
PARALLEL_PREFIXES = ("module.", "_orig_mod.")  # nn.DataParallel and torch.compile
PLAIN = frozenset({"collections.OrderedDict", "collections.Counter", "__builtin__.set", "builtins.set"})
PLAIN_TORCH = re.compile(
    r"torch\.nn\.parameter\.Parameter|torch\._utils\._rebuild_\w+|torch\.(\w+\.)?\w*Storage|torch\.[a-z]+\d+|torch\.Size"
)
SHOWN = 6  # names in an error message


def load_saved(path: Path, trust_pickle: bool) -> tuple[Any, bool]:
    """What torch.save wrote, on the CPU, and whether its pickle had to be trusted for it."""
    try:
        with quiet():
            return torch.load(path, map_location="cpu", weights_only=True), False
    except Exception as refused:
        unsafe = unsafe_globals(path.read_bytes())
        if not unsafe:
            raise damaged(path, refused) from refused
        if not trust_pickle:
            raise refused_pickle(path, unsafe) from refused
    try:
        with user_code.importable(path.resolve().parent), user_code.importable(Path.cwd()):
            return torch.load(path, map_location="cpu", weights_only=False), True
    except Exception as broken:
        raise EdgekitError(
            "EK103",
            f"'{path}' cannot be unpickled",
            f"{type(broken).__name__}: {user_code.first_line(broken)}",
            "run edgekit where the classes that it names can be imported, or save the state dict and use --model",
        ) from broken


def refused_pickle(path: Path, unsafe: list[str]) -> EdgekitError:
    more = f" and {len(unsafe) - SHOWN} more" if len(unsafe) > SHOWN else ""
    return EdgekitError(
        "EK104",
        f"'{path}' can run code when it is loaded",
        f"besides tensors it asks for {', '.join(unsafe[:SHOWN])}{more}",
        "save model.state_dict() instead and name what builds the module with --model file.py:factory; "
        "or, if you trust where the file is from, add --trust-pickle",
    )


def unsafe_globals(data: bytes) -> list[str]:
    """The 'module.name's beyond tensors and containers that a torch.save file asks for, read without running it."""
    if data.startswith(b"PK"):
        # The reader that torch.load uses: another might see other bytes in a crafted archive.
        try:
            data = torch._C.PyTorchFileReader(io.BytesIO(data)).get_record("data.pkl")
        except RuntimeError:
            return []
    return [name for name in dict.fromkeys(_globals(data)) if not _is_plain(name)]


def _globals(data: bytes) -> list[str]:
    found: list[str] = []
    strings: list[str] = []
    start = 0
    # An old torch.save file is a row of pickles (magic, version, system, content), then raw storages that are none.
    with contextlib.suppress(ValueError, UnicodeDecodeError):
        while start < len(data):
            end = start
            for opcode, argument, position in pickletools.genops(data[start:]):
                end = start + (position or 0) + 1
                if opcode.name in {"GLOBAL", "INST"}:
                    found.append(str(argument).replace(" ", "."))
                elif opcode.name == "STACK_GLOBAL":
                    found.append(".".join(strings[-2:]))
                elif isinstance(argument, str):
                    strings.append(argument)
            start = end
    return found


def _is_plain(name: str) -> bool:
    """Whether it only builds tensors and containers. Asked after a refusal, to say what it was about."""
    return name in PLAIN or PLAIN_TORCH.fullmatch(name) is not None


def damaged(path: Path, broken: Exception) -> EdgekitError:
    return EdgekitError(
        "EK103",
        f"'{path}' is damaged",
        f"{type(broken).__name__}: {user_code.first_line(broken)}",
        "copy or save the model again",
    )


def load_safetensors(path: Path) -> Weights:
    try:
        return dict(safetensors.torch.load_file(path))
    except (safetensors.SafetensorError, ValueError) as broken:
        raise damaged(path, broken) from broken


def load_torchscript(path: Path) -> torch.jit.ScriptModule:
    try:
        module: torch.jit.ScriptModule = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
        return module
    except RuntimeError as broken:
        raise damaged(path, broken) from broken


def weights_in(saved: object, path: Path) -> Weights:
    """The state dict that `saved` is or wraps."""
    for _ in range(4):  # checkpoint -> "state_dict" -> ... is never nested deeper
        if not isinstance(saved, Mapping):
            break
        if saved and all(isinstance(value, torch.Tensor) for value in saved.values()):
            return {str(name): tensor for name, tensor in saved.items()}
        inner = [saved[name] for name in WRAPPERS if isinstance(saved.get(name), Mapping | nn.Module) and saved[name]]
        tensors = {str(name): value for name, value in saved.items() if isinstance(value, torch.Tensor)}
        if not inner:
            if tensors:  # a state dict with extra state beside the tensors
                return tensors
            inner = [value for value in saved.values() if isinstance(value, Mapping) and value]
            if len(inner) != 1:
                break
        saved = inner[0]
    if isinstance(saved, nn.Module):
        return dict(saved.state_dict())
    held = f"a dict with the keys {_some(map(str, saved))}" if isinstance(saved, Mapping) else type(saved).__name__
    raise EdgekitError(
        "EK102",
        f"'{path}' holds no model",
        f"it holds {held}; a state dict, a checkpoint around one, or a module is needed",
        "save model.state_dict() with torch.save",
    )


def module_in(saved: object) -> nn.Module | None:
    """The module that a pickle is, or wraps as checkpoints of some training scripts do."""
    if isinstance(saved, Mapping):
        saved = next((saved[name] for name in WRAPPERS if isinstance(saved.get(name), nn.Module)), None)
    return saved if isinstance(saved, nn.Module) else None


def needs_factory(path: Path, weights: Weights) -> EdgekitError:
    first = ", ".join(
        f"{name} {'x'.join(map(str, tensor.shape)) or 'scalar'}" for name, tensor in list(weights.items())[:SHOWN]
    )
    more = ", ..." if len(weights) > SHOWN else ""
    return EdgekitError(
        "EK105",
        f"'{path}' holds weights, not the model they belong to",
        f"it is a state dict of {len(weights)} tensors: {first}{more}",
        "name what builds the module: --model path/to/file.py:factory or --model package.module:factory",
    )


def fit(module: nn.Module, weights: Weights, path: Path, built_by: user_code.Place) -> list[str]:
    """Load `weights` into `module`, exactly; notes about what had to be changed for it."""
    notes = []
    for prefix in PARALLEL_PREFIXES:
        if all(name.startswith(prefix) for name in weights) and not any(
            name.startswith(prefix) for name in module.state_dict()
        ):
            weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
            notes.append(f"the prefix '{prefix}' was taken off the names of the weights")
    wanted = module.state_dict()
    missing = [name for name in wanted if name not in weights and isinstance(wanted[name], torch.Tensor)]
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    unexpected = [name for name in weights if name not in wanted]
    other = [
        f"{name} is {_shape(weights[name])} in the file, {_shape(wanted[name])} in the module"
        for name in wanted
        if name in weights and weights[name].shape != wanted[name].shape
    ]
    if missing or unexpected or other:
        said = [
            f"{what}: {_some(names)}"
            for what, names in (
                ("not in the file", missing),
                ("not in the module", unexpected),
                ("of another shape", other),
            )
            if names
        ]
        raise EdgekitError(
            "EK106",
            f"the weights in '{path}' do not fit the module of '{built_by}'",
            "; ".join(said),
            "name the factory that these weights were trained with, with the same arguments (width, classes)",
        )
    module.load_state_dict(weights, strict=False)
    return notes


def check_finite(module: nn.Module, path: str) -> None:
    """No NaN in any weight or buffer, no infinity in a weight (buffers such as attention masks may hold one)."""
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if not tensor.is_floating_point() or torch.isfinite(tensor).all():
            continue
        bad = torch.isnan(tensor) if not isinstance(tensor, nn.Parameter) else ~torch.isfinite(tensor)
        if count := int(bad.sum()):
            raise not_finite(path, name, count, tensor.numel())


def to_float32(module: nn.Module) -> list[str]:
    """Cast float16, bfloat16 and float64 weights in place; a note where there were any."""
    floats = {t.dtype for t in [*module.parameters(), *module.buffers()] if t.is_floating_point()} - {torch.float32}
    if not floats:
        return []
    module.float()
    return [f"weights in {', '.join(sorted(str(t).removeprefix('torch.') for t in floats))} were cast to float32"]


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a scalar"


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:SHOWN]) + (f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else "")
