"""The house stands: imports point down, no stage imports a stage, and every file is where a reader looks for it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "edgekit"

# Floors from the ground up; a file may import its own room and whatever is on a lower floor.
# One row is one floor, and rooms on a floor do not know each other, except on the ground, where files build on files.
FLOORS: tuple[frozenset[str], ...] = (
    frozenset(
        {
            "affine",
            "artifact",
            "data",
            "device",
            "errors",
            "flags",
            "locking",
            "outputs",
            "paths",
            "plain",
            "preprocess",
            "progress",
            "recipe",
            "samples",
            "schema",
            "staging",
            "starter",
            "units",
            "user_code",
        }
    ),
    frozenset({"graph"}),
    frozenset({"run"}),
    frozenset({"bundle", "capture", "lower", "profile", "prune", "quantize", "simplify", "verify"}),
    frozenset({"report"}),
    frozenset({"budget", "estimating", "goals", "judging", "scoring", "search"}),
    frozenset({"reaching"}),
    frozenset({"finish", "integers", "profiling", "pruning", "start"}),
    frozenset({"fitting", "pipeline"}),
    frozenset({"api", "build"}),
    frozenset({"cli"}),
    frozenset({"__init__", "__main__"}),
)
GROUND = FLOORS[0]
STAGES = FLOORS[3]

TOP_LEVEL = {
    "LICENSE",
    "Makefile",
    "README.md",
    "benchmarks",
    "constraints.txt",
    "devices",
    "edgekit",
    "pyproject.toml",
    "recipes",
    "tests",
}
VAGUE = {"base", "common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}
HEAVY = {"ai_edge_litert", "onnx", "onnx_ir", "onnxruntime", "onnxscript", "pydantic", "rich", "torch"}
# What `edgekit --help` reads.
LIGHT = ["__init__", "__main__", "errors", "flags", "plain", "progress", "units"]

FILES = sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def room(module: str) -> str:
    """'edgekit.verify.result' -> 'verify'; 'edgekit' -> '__init__'."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def floor(module: str) -> int:
    (found,) = [level for level, rooms in enumerate(FLOORS) if room(module) in rooms] or [None]
    assert found is not None, f"{module} is on no floor: draw it in FLOORS and in the README"
    return found


def imports(path: Path, *, lazy: bool = True) -> Iterator[tuple[str, int]]:
    """Modules that a file imports and the line. lazy: also those inside functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if lazy else _eager(tree.body)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if _is_module(inner) else str(node.module), node.lineno


def _eager(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run on import: not those in functions, nor those for the type checker only."""
    for node in body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        yield node
        for inner in ("body", "orelse", "finalbody"):
            yield from _eager([child for child in getattr(node, inner, []) if isinstance(child, ast.stmt)])


def _is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def ours(path: Path, *, lazy: bool = True) -> Iterator[tuple[str, int]]:
    return ((name, line) for name, line in imports(path, lazy=lazy) if name.split(".")[0] == "edgekit")


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_point_down(path: Path) -> None:
    here = module_name(path)
    for name, line in ours(path):
        if room(name) == room(here) or {room(name), room(here)} <= GROUND:
            continue
        if here == "edgekit.__init__" or (room(here) in {"cli", "api", "__main__"} and name == "edgekit"):
            continue  # the package's own door, and its version
        assert floor(name) < floor(here), f"{path.name}:{line}: {here} imports {name}, which is not on a lower floor"


@pytest.mark.parametrize("path", [path for path in FILES if room(module_name(path)) in STAGES], ids=module_name)
def test_no_stage_imports_a_stage(path: Path) -> None:
    here = room(module_name(path))
    for name, line in ours(path):
        assert room(name) == here or room(name) not in STAGES, f"{path.name}:{line}: {here} imports the stage {name}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "cli").glob("*.py")), ids=module_name)
def test_commands_load_the_pipeline_only_when_called(path: Path) -> None:
    eager = {name for name, _ in ours(path, lazy=False)}
    if path.name in {"demo_training.py", "demo_model.py", "result.py"}:
        return  # these are themselves imported inside a command
    heavy = {name for name in eager if room(name) not in {"cli", *LIGHT}}
    assert not heavy, f"{path.name} imports {heavy} at its top, so that `edgekit --help` loads it"
    assert not {name.split(".")[0] for name, _ in imports(path, lazy=False)} & HEAVY


@pytest.mark.parametrize("name", LIGHT)
def test_what_help_reads_is_light(name: str) -> None:
    loaded = {found.split(".")[0] for found, _ in imports(PACKAGE / f"{name}.py", lazy=False)}
    assert not loaded & {*HEAVY, "numpy"}


def test_the_top_level_is_as_drawn() -> None:
    tracked = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    strangers = {name for name in tracked - TOP_LEVEL if not _is_ignored(name)}
    assert not strangers, f"{sorted(strangers)} are not in the house"


def _is_ignored(name: str) -> bool:
    """What .gitignore keeps out: environments, caches, results."""
    patterns = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    return any(Path("/" + name).match("/" + pattern.strip("/")) for pattern in patterns)


def test_names_say_something() -> None:
    vague = [path for path in PACKAGE.rglob("*") if path.stem in VAGUE]
    assert not vague


def test_tests_mirror_the_house() -> None:
    """tests/quantize/test_choose.py tests edgekit/quantize/choose.py; a test of a whole room stands in its folder."""
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    assert not {str(folder) for folder in folders if not (PACKAGE / folder).is_dir()}
    whole_house = {"api", "bad_inputs", "contract", "house", "readme", "street"}
    astray = [
        path.name
        for path in (ROOT / "tests").glob("test_*.py")
        if not (
            (PACKAGE / path.stem.removeprefix("test_")).exists() or (PACKAGE / path.name.removeprefix("test_")).exists()
        )
        and path.stem.removeprefix("test_") not in whole_house
    ]
    assert not astray, f"nothing in edgekit/ goes by the name of {astray}"
