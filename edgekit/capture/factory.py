"""`path/to/file.py:name` or `package.module:name`: the user's own code that builds the model."""

from __future__ import annotations

import ast
import contextlib
import difflib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from edgekit.errors import EdgekitError


@dataclass(frozen=True)
class Place:
    """Where a factory lives: a file or a module's dotted name, and the name in it (dots reach into classes)."""

    file: Path | None
    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.file or self.module}:{self.name}"


def place(spec: str) -> Place | None:
    """The place that `spec` names, or None where it is no such thing ('model.pt')."""
    where, colon, name = spec.rpartition(":")
    if not colon or not all(part.isidentifier() for part in name.split(".")):
        return None
    if where.endswith(".py"):
        return Place(Path(where), Path(where).stem, name)
    if all(part.isidentifier() for part in where.split(".")):
        return Place(None, where, name)
    return None


def build(spec: str) -> tuple[nn.Module, Place]:
    """The nn.Module that the factory gives when called without arguments (an nn.Module itself is taken as it is).

    The file's folder, or the current folder for a dotted name, is importable meanwhile; what the code prints goes to
    stderr.
    """
    where = place(spec)
    if where is None:
        raise EdgekitError(
            "EK107",
            f"'{spec}' does not name a factory",
            "it has no form 'path/to/file.py:name' or 'package.module:name'",
            "write --model path/to/file.py:name, where name is a function or class that builds the module",
        )
    folder = where.file.resolve().parent if where.file else Path.cwd()
    with importable(folder), contextlib.redirect_stdout(sys.stderr):
        made = _call(where, _named(where, _load(where)))
    if not isinstance(made, nn.Module):
        raise EdgekitError(
            "EK109",
            f"'{where}' did not give a model",
            f"it returned {type(made).__name__}; a torch.nn.Module is needed",
            "return the module from the factory",
        )
    return made, where


def _load(where: Place) -> ModuleType:
    if where.file is not None and not where.file.is_file():
        raise EdgekitError(
            "EK107", f"no factory file at '{where.file}'", "the path does not exist or is not a file", "check the path"
        )
    try:
        return _from_file(where.file, where.module) if where.file else importlib.import_module(where.module)
    except ModuleNotFoundError as missing:
        if where.file is None and missing.name is not None and f"{where.module}.".startswith(f"{missing.name}."):
            raise EdgekitError(
                "EK107",
                f"no module named '{missing.name}' for the factory '{where}'",
                "Python cannot import it from here or from the installed packages",
                "run edgekit from the folder that holds the package, or name the file: path/to/file.py:name",
            ) from missing
        raise _failed(where, missing) from missing
    except (Exception, SystemExit) as broken:
        raise _failed(where, broken) from broken


def _from_file(file: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file.resolve())
    assert spec is not None and spec.loader is not None, "a .py file always has a loader"
    module = importlib.util.module_from_spec(spec)
    # Pickle, dataclasses and torch.export look a class's module up by name. A module that is there already stays.
    added = sys.modules.setdefault(name, module) is module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        if added:
            del sys.modules[name]
        raise
    return module


def _named(where: Place, module: ModuleType) -> Any:
    found: Any = module
    for part in where.name.split("."):
        if not hasattr(found, part):
            near = difflib.get_close_matches(part, _builders(module), 1, cutoff=0.4)
            known = ", ".join(_builders(module)[:8]) or "nothing that can be called"
            raise EdgekitError(
                "EK107",
                f"'{where.file or where.module}' has no '{where.name}'",
                f"it defines {known}",
                f"did you mean '{near[0]}'?" if near else "name one of these",
            )
        found = getattr(found, part)
    return found


def _builders(module: ModuleType) -> list[str]:
    """The functions and classes that the module itself defines."""
    return [
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__ and callable(value)
    ]


def _call(where: Place, factory: Callable[[], Any]) -> Any:
    if isinstance(factory, nn.Module) or not callable(factory):
        return factory
    try:
        return factory()
    except (Exception, SystemExit) as broken:
        raise _failed(where, broken) from broken


def _failed(where: Place, broken: BaseException) -> EdgekitError:
    return EdgekitError(
        "EK108",
        f"the factory '{where}' failed",
        f"{type(broken).__name__}: {first_line(broken)}{at_line(broken)}",
        "mend it there; the factory is called without arguments and returns the module",
    )


def first_line(broken: BaseException) -> str:
    return (str(broken).strip().splitlines() or ["no message"])[0]


def at_line(broken: BaseException) -> str:
    """' (file.py:12, in make)': the innermost line of the user's own code that `broken` came through."""
    if isinstance(broken, SyntaxError) and broken.filename:
        return f" ({Path(broken.filename).name}:{broken.lineno})"
    mine = [frame for frame in traceback.extract_tb(broken.__traceback__) if is_users(frame.filename)]
    return f" ({Path(mine[-1].filename).name}:{mine[-1].lineno}, in {mine[-1].name})" if mine else ""


def is_users(filename: str) -> bool:
    """Whether a traceback's file is the user's: neither edgekit's, nor an installed package's, nor Python's."""
    if filename.startswith("<") or "site-packages" in filename or "dist-packages" in filename:
        return False
    inside = Path(filename).resolve()
    return not any(inside.is_relative_to(root) for root in (EDGEKIT, STANDARD_LIBRARY))


EDGEKIT = Path(__file__).resolve().parents[1]
STANDARD_LIBRARY = Path(ast.__file__).resolve().parent


@contextlib.contextmanager
def importable(folder: Path) -> Iterator[None]:
    """`folder` first on the import path, for the time of the block."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
