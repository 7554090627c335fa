"""`path/to/file.py:name` or `package.module:name`: a place in the user's own code, and calling what is there."""

from __future__ import annotations

import ast
import contextlib
import difflib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from edgekit.errors import EdgekitError

EDGEKIT = Path(__file__).resolve().parent
STANDARD_LIBRARY = Path(ast.__file__).resolve().parent


@dataclass(frozen=True)
class Place:
    """A file or a module's dotted name, and the name in it (dots reach into classes)."""

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


def called(where: Place, wanted: type | tuple[()] = ()) -> Any:
    """What the function or class at `where` gives when called without arguments.

    What is no callable, or is one of `wanted` already, stays as it is. The file's folder, or the current folder for a
    dotted name, is importable meanwhile; what the code prints goes to stderr.
    """
    folder = where.file.resolve().parent if where.file else Path.cwd()
    with importable(folder), contextlib.redirect_stdout(sys.stderr):
        found = _named(where, _load(where))
        if isinstance(found, wanted) or not callable(found):
            return found
        try:
            return found()
        except (Exception, SystemExit) as broken:
            raise failed(where, broken) from broken


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
        raise failed(where, missing) from missing
    except (Exception, SystemExit) as broken:
        raise failed(where, broken) from broken


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
            known = _callables(module)
            near = difflib.get_close_matches(part, known, 1, cutoff=0.4)
            raise EdgekitError(
                "EK107",
                f"'{where.file or where.module}' has no '{where.name}'",
                f"it defines {', '.join(known[:8]) or 'nothing that can be called'}",
                f"did you mean '{near[0]}'?" if near else "name one of these",
            )
        found = getattr(found, part)
    return found


def _callables(module: ModuleType) -> list[str]:
    """The functions and classes that the module itself defines."""
    return [
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__ and callable(value)
    ]


def failed(where: Place, broken: BaseException) -> EdgekitError:
    """The user's own code raised `broken`."""
    return EdgekitError(
        "EK108",
        f"the factory '{where}' failed",
        f"{type(broken).__name__}: {first_line(broken)}{at_line(broken)}",
        "mend it there; the factory is called without arguments",
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


@contextlib.contextmanager
def importable(folder: Path) -> Iterator[None]:
    """`folder` first on the import path, for the time of the block."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
