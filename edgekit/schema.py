"""A TOML file held against a strict schema: every key is known, and a complaint names the key as it is written."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from edgekit.errors import EdgekitError

Keys = dict[str, Any]
"""A TOML document as Python has it."""
Names = Mapping[str, Sequence[tuple[str, str]]]
"""What else people call a key: name -> (section, key) of each that it may mean; section "" is the top of the file."""


class Section(BaseModel):
    """Keys that belong together. A key that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


M = TypeVar("M", bound=BaseModel)
NO_NAMES: Names = {}


def read_toml(path: Path) -> Keys:
    """The file's keys, not yet held against anything."""
    if not path.is_file():
        raise EdgekitError(
            "EK101", f"no file at '{path}'", "the path does not exist or is not a file", "check the path"
        )
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as broken:
        raise EdgekitError(
            "EK150", f"cannot read '{path}' as TOML", str(broken), "mend the line that it names"
        ) from broken


def held_against(schema: type[M], keys: Mapping[str, Any], where: str, names: Names = NO_NAMES) -> M:
    """keys as a record of `schema`. where: what the user calls the place the keys are from; names: to guess by."""
    try:
        return schema.model_validate(keys)
    except ValidationError as wrong:
        raise _complaint(schema, wrong, where, names) from None


def _complaint(schema: type[BaseModel], wrong: ValidationError, where: str, names: Names) -> EdgekitError:
    """All unknown keys, since they often explain other problems; else the first problem."""
    problems = wrong.errors()
    strangers = [[str(part) for part in problem["loc"]] for problem in problems if problem["type"] == "extra_forbidden"]
    if strangers:
        return _unknown(schema, strangers, len(problems) - len(strangers), where, names)
    first = problems[0]
    others = _and_more(len(problems) - 1)
    path = [str(part) for part in first["loc"]]
    match first["type"]:
        case "string_unicode":
            return EdgekitError(
                "EK152",
                f"cannot use {'.'.join(path)} = {_shown(first['input'])} in {where}{others}",
                "its bytes are not UTF-8",
                "rename the file or folder",
            )
        case "missing":
            return EdgekitError(
                "EK153",
                f"'{path[-1]}' is missing {_inside(path[:-1], where)}{others}",
                "it has no default",
                FIXES.get(".".join(path), f"add {path[-1]} = ..."),
            )
    return _wrong_value(schema, path, first["input"], first["msg"], where, others)


def _and_more(count: int) -> str:
    return f" (and {count} more)" if count else ""


def _unknown(
    schema: type[BaseModel], strangers: Sequence[list[str]], others: int, where: str, names: Names
) -> EdgekitError:
    """strangers: paths of keys that the schema does not have."""
    sections = {tuple(path[:-1]): _known(schema, path[:-1]) for path in strangers}
    shown = [", ".join(f"'{path[-1]}'" for path in strangers if tuple(path[:-1]) == section) for section in sections]
    places = [_section_name(section) for section in sections]
    listed = "; ".join(f"{keys} {place}" for keys, place in zip(shown, places, strict=True))
    keys = "unknown key" if len(strangers) == 1 else "unknown keys"
    known = [", ".join(found) for found in sections.values()]
    several = [f"{place}: {found}" for place, found in zip(places, known, strict=True)]
    hints = [(path[-1], _hint(schema, path, names)) for path in strangers]
    said = "; ".join(f"'{name}': {hint}" for name, hint in hints) if len(hints) > 1 else hints[0][1]
    return EdgekitError(
        "EK151",
        f"{keys} {listed} of {where}{_and_more(others)}",
        f"known there: {known[0]}" if len(sections) == 1 else f"known {'; '.join(several)}",
        said,
    )


def _hint(schema: type[BaseModel], path: list[str], names: Names) -> str:
    """What to write in place of a key that the schema does not have."""
    section, name = ".".join(path[:-1]), path[-1]
    here = _known(schema, path[:-1])
    meant = sorted(names.get(_plain(name), ()), key=lambda place: place[0] != section)
    meant = meant or [(place, name) for place in _known(schema, []) if name in _known(schema, [place])]
    if meant:
        there, key = meant[0]
        return f"did you mean '{key}'?" if there == section else f"write {key} = ... {_under(there)}"
    aliases = {alias: key for alias, found in names.items() for there, key in found if there == section}
    near = difflib.get_close_matches(_plain(name), [*here, *aliases], 1, cutoff=0.5)
    return f"did you mean '{aliases.get(near[0], near[0])}'?" if near else "remove it, or use one of these"


def _plain(name: str) -> str:
    """'--calib-count' -> 'calib_count'."""
    return name.lstrip("-").replace("-", "_")


def _under(section: str) -> str:
    return f"under [{section}]" if section else "at the top, before the first section"


def _section_name(path: Sequence[str]) -> str:
    return f"in [{'.'.join(path)}]" if path else "at the top"


def _wrong_value(
    schema: type[BaseModel], path: list[str], value: object, message: str, where: str, others: str
) -> EdgekitError:
    # After the key itself come pydantic's own words: which member of a union, which item of a list.
    key = _key(schema, path)
    why = message.removeprefix("Value error, ")
    why = why[0].lower() + why[1:]
    near = difflib.get_close_matches(str(value), _choices(schema, key), 1, cutoff=0.5)
    return EdgekitError(
        "EK152",
        f"cannot use {'.'.join(key)} = {_shown(value)} in {where}{others}",
        why,
        f"did you mean '{near[0]}'?"
        if near
        else HINTS.get(
            ".".join(key), "give a value of that kind; `edgekit quantize --help` says what each option takes"
        ),
    )


GOALS = ("macs", "params", "size", "latency")
FIXES = {
    "model": "name the model: edgekit quantize model.pt, or path under [model]",
    "model.path": "add path = 'model.pt'",
}
HINTS = {
    "preprocess.resize": "write 256 for the shorter side, or [240, 320] for height and width",
    "preprocess.crop": "write 224 for a square, or [240, 320] for height and width",
    "preprocess.scale": "write a number other than 0, or a fraction such as '1/255'",
    "preprocess.mean": "write one number, or one per channel: [0.485, 0.456, 0.406]",
    "preprocess.std": "write one number above 0, or one per channel: [0.229, 0.224, 0.225]",
    "budget.max_drop": "write a number above 0, such as 0.5; `edgekit quantize --help` says in which unit",
    **{f"prune.{goal}": "write what may be left of the unpruned model's: 70%, or 0.7" for goal in GOALS},
    "prune.sparsity": "write the share of weights to set to zero, 50% or 0.5, or 2:4",
    "model.inputs": "write inputs = { name = [1, 3, 224, 224] }",
}


def _inside(path: list[str], where: str) -> str:
    return f"{_section_name(path)} of {where}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _key(schema: type[BaseModel], path: list[str]) -> list[str]:
    """The part of an error's path that is keys of the schema."""
    key: list[str] = []
    inner: type[BaseModel] | None = schema
    for part in path:
        if inner is None or part not in inner.model_fields:
            break
        key.append(part)
        inner = _section(inner.model_fields[part].annotation)
    return key or path[:1]


def _known(schema: type[BaseModel], path: list[str]) -> list[str]:
    inner: type[BaseModel] | None = schema
    for part in path:
        inner = _section(inner.model_fields[part].annotation) if inner and part in inner.model_fields else None
    return sorted(inner.model_fields) if inner else []


def _choices(schema: type[BaseModel], key: list[str]) -> list[str]:
    """The words that a key may have, where it has words."""
    inner: type[BaseModel] | None = schema
    for part in key[:-1]:
        inner = _section(inner.model_fields[part].annotation) if inner else None
    field = inner.model_fields.get(key[-1]) if inner else None
    return [] if field is None else [choice for choice in _words(field.annotation) if isinstance(choice, str)]


def _words(annotation: Any) -> list[Any]:
    found: list[Any] = []
    for argument in get_args(annotation):
        found += _words(argument) if get_args(argument) else [argument]
    return found


def _section(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
