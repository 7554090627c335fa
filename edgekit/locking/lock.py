"""`recipe.lock`, beside the recipe: what a build was made of, and the files that came of it.

It is TOML with sorted keys, made to be kept with the recipe: it holds nothing of the machine's clock, its folders or
its speed. Whoever has the same inputs and versions gets the same bytes, and `edgekit build --locked` shows it.

We put it beside the recipe, not among the outputs, since it is what is kept of them. What would change our mind: one
recipe that several people build into folders of their own.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError
from edgekit.paths import atomic
from edgekit.recipe import Recipe

FORMAT = 1
BARE = re.compile(r"[A-Za-z0-9_-]+")  # a key that TOML takes without quotes
IRRELEVANT = {"output": ("directory", "overwrite", "resume")}  # where files go, not what they hold


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What files are built from. recipe: "section.key" -> its value as text, where it is not the default; inputs: name
    -> SHA-256; versions: of what computes."""

    recipe: dict[str, str]
    inputs: dict[str, str]
    versions: dict[str, str]

    def changed(self, now: Origin) -> list[str]:
        """What is different now, in words: the recipe's keys and the files."""
        keys = [_in_toml(key) for key in _differing(self.recipe, now.recipe)]
        return [*keys, *(f"'{name}'" for name in _differing(self.inputs, now.inputs))]

    def upgraded(self, now: Origin) -> list[str]:
        """Which versions are different now, in words."""
        return [
            f"{name} {self.versions.get(name, 'none')} -> {now.versions.get(name, 'none')}"
            for name in _differing(self.versions, now.versions)
        ]


@dataclass(frozen=True, kw_only=True)
class Used:
    """Samples that were used. ids: SHA-256 over their sorted ids."""

    count: int
    ids: str


@dataclass(frozen=True, kw_only=True)
class Lock:
    """machine: that it was built on; samples: by what they were for; outputs: file -> SHA-256; met: the recipe's
    budget, None where it has none."""

    origin: Origin
    seed: int
    machine: str
    samples: dict[str, Used]
    outputs: dict[str, str]
    met: bool | None


def recipe_keys(recipe: Recipe) -> dict[str, str]:
    """The recipe's meaning. recipe: with paths as its file has them, so that it means the same in another folder."""
    said = recipe.model_dump(mode="json", exclude_defaults=True)
    keys = {}
    for section, value in said.items():
        if not isinstance(value, Mapping):
            keys[section] = _shown(value)
            continue
        for key, inner in value.items():
            if key not in IRRELEVANT.get(section, ()):
                keys[f"{section}.{key}"] = _shown(inner)
    return keys


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def lock_path(recipe: Path) -> Path:
    return recipe.with_suffix(".lock")


def read_lock(path: Path) -> Lock | None:
    """None where there is none. Raises EK971 for a file that is no lock."""
    if not path.exists():
        return None
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise _no_lock(path, f"its format is {found['format']!r}, and this edgekit knows {FORMAT}")
        return _lock(found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as broken:
        raise _no_lock(path, f"{type(broken).__name__}: {broken}") from broken


def write_lock(path: Path, lock: Lock, recipe: Path) -> None:
    head = (
        f"# Written by `edgekit build {recipe.name}`; keep it: with --locked it makes these bytes, or says why not.\n"
    )
    top: dict[str, object] = {"format": FORMAT, "seed": lock.seed, "machine": lock.machine}
    if lock.met is not None:
        top["budget_met"] = lock.met
    tables: dict[str, Mapping[str, object]] = {
        "recipe": lock.origin.recipe,
        "inputs": lock.origin.inputs,
        "versions": lock.origin.versions,
        **{f"samples.{name}": {"count": one.count, "ids": one.ids} for name, one in sorted(lock.samples.items())},
        "outputs": lock.outputs,
    }
    text = [head, _table(top), *(f"[{name}]\n{_table(table)}" for name, table in tables.items())]
    with atomic(path) as part:
        part.write_text("\n".join(text), encoding="utf-8")


def _lock(found: Mapping[str, Any]) -> Lock:
    samples = found.get("samples", {})
    return Lock(
        origin=Origin(
            recipe=_texts(found["recipe"]), inputs=_texts(found["inputs"]), versions=_texts(found["versions"])
        ),
        seed=int(found["seed"]),
        machine=str(found["machine"]),
        samples={name: Used(count=int(one["count"]), ids=str(one["ids"])) for name, one in samples.items()},
        outputs=_texts(found["outputs"]),
        met=found.get("budget_met"),
    )


def _in_toml(key: str) -> str:
    """'data.seed' -> '[data] seed'."""
    section, _, name = key.rpartition(".")
    return f"[{section}] {name}" if section else name


def _texts(table: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in table.items()}


def _table(keys: Mapping[str, object]) -> str:
    return "".join(f"{_key(key)} = {_text(value)}\n" for key, value in keys.items())


def _key(key: str) -> str:
    return key if BARE.fullmatch(key) else _text(key)


def _text(value: object) -> str:
    """JSON's strings, numbers and booleans are TOML's, but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _differing(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]


def _no_lock(path: Path, why: str) -> EdgekitError:
    return EdgekitError(
        "EK971", f"'{path}' is no lock that this edgekit can read", why, "restore it, or delete it and build anew"
    )
