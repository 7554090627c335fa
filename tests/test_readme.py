"""Every command, flag and line of Python in the README exists; light ones run, heavy ones are marked slow."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer

import edgekit
from edgekit.cli.commands import app
from edgekit.recipe import Recipe

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LIGHT = ("doctor", "explain")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


EDGEKIT = [command[1:] for command in commands() if command[0] == "edgekit"]


@pytest.mark.parametrize("arguments", EDGEKIT, ids=" ".join)
def test_a_command_parses(arguments: list[str]) -> None:
    group = typer.main.get_command(app())
    with group.make_context("edgekit", list(arguments), resilient_parsing=True) as context:
        command = group.get_command(context, arguments[0])  # type: ignore[attr-defined]
        assert command is not None
        command.make_context(arguments[0], arguments[1:], parent=context).close()


@pytest.mark.parametrize("arguments", [each for each in EDGEKIT if each[0] in LIGHT], ids=" ".join)
def test_a_light_command_runs(arguments: list[str]) -> None:
    subprocess.run([sys.executable, "-m", "edgekit", *arguments], check=True, capture_output=True)


def test_every_command_has_its_line() -> None:
    group = typer.main.get_command(app())
    assert {arguments[0] for arguments in EDGEKIT} == set(group.commands)  # type: ignore[attr-defined]


def test_flags_in_the_text_exist() -> None:
    group = typer.main.get_command(app())
    known = {flag for command in group.commands.values() for param in command.params for flag in param.opts}  # type: ignore[attr-defined]
    elsewhere = {"--strict"}  # mypy's
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README)) <= known | elsewhere


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`?make ([a-z-]+)`?", README):
        if target in {"in", "test"} or f"`make {target}`" in README or f"\nmake {target}\n" in README:
            assert re.search(rf"^{target}:", makefile, re.MULTILINE) or target == "in"


@pytest.mark.parametrize("block", blocks("toml"))
def test_a_recipe_is_one(block: str) -> None:
    Recipe.model_validate(tomllib.loads(block))


@pytest.mark.parametrize("block", blocks("python"))
def test_python_calls_what_there_is(block: str) -> None:
    """Names exist, and keywords are the API's; what it returns is tested where it is made."""
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("edgekit."):
            function = getattr(edgekit, ast.unparse(node.func).removeprefix("edgekit."))
            signature = inspect.signature(function)
            options = sys.modules["edgekit.api"].Options.__annotations__
            assert {str(keyword.arg) for keyword in node.keywords} <= {*signature.parameters, *options}


def test_exit_codes_are_those_of_the_code() -> None:
    from edgekit.errors import Exit

    listed = README.partition("Exit codes: ")[2].partition("\n\n")[0]
    assert {int(number) for number in re.findall(r"\b(\d+) [a-z]", listed)} == {int(code) for code in Exit}


def test_rooms_that_are_drawn_exist() -> None:
    house = next(block for block in blocks("text") if "pipeline.py" in block)
    for room in re.findall(r"^  ([\w]+(?:/|\.py))", house, re.MULTILINE):
        assert (ROOT / "edgekit" / room).exists(), room


def test_folders_that_are_named_exist() -> None:
    for path in re.findall(r"`((?:edgekit|tests|devices|recipes)/[\w/.]*)`", README):
        assert (ROOT / path).exists(), path


@pytest.mark.slow
def test_the_demo_runs(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "edgekit", "demo", "-o", str(tmp_path / "demo")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "report.json" in made.stdout
    assert "same as" in made.stderr
    assert "edgekit quantize" in made.stderr
    wanted = {"digits.onnx", "digits.int8.onnx", "digits.int8.tflite", "report.json", "digits.pt", "digits.py"}
    assert wanted <= {path.name for path in (tmp_path / "demo").iterdir()}
