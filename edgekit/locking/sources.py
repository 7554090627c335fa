"""The user's Python files that a factory is made of: its own, and what it imports from its folder, told without running
any of it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Code:
    """files: the user's own; modules: names of the other modules that they import, without the standard library's."""

    files: set[Path] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)


def imported(file: Path) -> Code:
    """What `file` is made of, whose folder is importable while it runs."""
    code = Code()
    _walk(file, file.resolve().parent, (), code)
    return code


def imported_as(name: str, root: Path) -> Code:
    """What the module of that dotted name is made of. root: the folder that is importable while it runs."""
    code = Code()
    _follow(name, root, code)
    return code


def module_file(name: str, root: Path) -> Path | None:
    """Where the dotted `name` is below `root`, None where it is not."""
    place = root.joinpath(*name.split("."))
    for found in (place / "__init__.py", place.with_name(f"{place.name}.py")):
        if found.is_file():
            return found
    return None


def _walk(file: Path, root: Path, package: tuple[str, ...], code: Code) -> None:
    if file in code.files:
        return
    code.files.add(file)
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # running it says so
        return
    for name in _names(tree, package):
        _follow(name, root, code)


def _follow(name: str, root: Path, code: Code) -> None:
    """A dotted name that may be a module, with the packages that it is in."""
    parts = name.split(".")
    prefixes = [parts[:length] for length in range(1, len(parts) + 1)]
    found = [(inner, file) for inner in prefixes if (file := module_file(".".join(inner), root)) is not None]
    for inner, file in found:
        _walk(file, root, tuple(inner if file.name == "__init__.py" else inner[:-1]), code)
    if not found and not (root / parts[0]).is_dir() and parts[0] not in sys.stdlib_module_names:
        code.modules.add(parts[0])


def _names(tree: ast.AST, package: tuple[str, ...]) -> Iterator[str]:
    """Dotted names that may be modules; `from a import b` gives a.b, which may also be no module."""
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                above = package[: len(package) - node.level + 1] if node.level else ()
                where = ".".join([*above, *([node.module] if node.module else [])])
                yield from (f"{where}.{alias.name}" if where else alias.name for alias in node.names)
