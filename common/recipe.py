"""Recipes: YAML files that say everything a run needs, checked before anything starts.

A recipe is a pydantic model; a key it does not know, a value of the wrong type or an unset environment
variable stops the run with the file, the key, the value and what was expected.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import require_file

_VARIABLE = re.compile(r"\$\{(\w+)\}")


class Recipe(BaseModel):
    """The base of all recipes: immutable, and strict about unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


R = TypeVar("R", bound=Recipe)


def load_recipe(kind: type[R], path: str | Path, overrides: list[str] | None = None) -> R:
    """Read a recipe from `path` and apply command-line overrides.

    Args:
        kind: the recipe's class.
        path: a YAML file. `${NAME}` in a value stands for an environment variable.
        overrides: `key=value` or `section.key=value`; the value is read as YAML.

    Raises:
        InputError: unreadable YAML, unknown key, wrong value, unset environment variable.
    """
    path = require_file(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise InputError(
            path,
            f"not YAML: {getattr(error, 'problem', error)}",
            "correct the line",
            line=mark.line + 1 if mark else None,
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(path, f"not UTF-8 text ({error})", "convert the file to UTF-8") from error
    if not isinstance(content, dict):
        raise InputError(path, f"not a mapping: {shown(content)}", "write `key: value` lines")
    for override in overrides or []:
        _apply(content, override)
    return parse_recipe(kind, _expand(content, path), path)


def parse_recipe(kind: type[R], content: dict[str, Any], place: str | Path) -> R:
    """`content` as a recipe of class `kind`; `place` is named in errors.

    Raises:
        InputError: unknown key or wrong value.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        # a misspelt key is missing under its right name too; the misspelling says more
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            close = difflib.get_close_matches(str(first["loc"][-1]), _keys(kind), n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"remove it; the keys are {', '.join(_keys(kind))}"
            raise InputError(place, f"unknown key {key!r} = {shown(first['input'])}", hint) from error
        if first["type"] == "missing":
            raise InputError(place, f"key {key!r} is missing", "add it, or give it as an override") from error
        raise InputError(place, f"key {key!r} has {shown(first['input'])}", f"expected: {first['msg']}") from error


def _keys(kind: type[BaseModel]) -> list[str]:
    """All keys of a recipe and of the recipes inside it."""
    keys: list[str] = []
    for name, field in kind.model_fields.items():
        keys.append(name)
        for section in _sections(field.annotation):
            keys += _keys(section)
    return keys


def _sections(annotation: Any) -> list[type[BaseModel]]:
    """The recipes that a key's type is made of: `Shape`, or `Shape | None`."""
    parts = [annotation, *getattr(annotation, "__args__", ())]
    return [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]


def _apply(content: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise InputError("command line", f"override {override!r}", "write key=value or section.key=value")
    *sections, last = key.split(".")
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise InputError("command line", f"override {override!r}: {section!r} is not a section", "name a section")
    try:
        content[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise InputError("command line", f"override {override!r}: the value is not YAML", "quote it") from error


def _expand(value: Any, path: Path) -> Any:
    if isinstance(value, dict):
        return {key: _expand(item, path) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, path) for item in value]
    if not isinstance(value, str):
        return value
    for name in _VARIABLE.findall(value):
        if not os.environ.get(name):
            raise InputError(path, f"{value!r} needs the environment variable {name}, which is not set", f"set {name}")
    return _VARIABLE.sub(lambda match: os.environ[match[1]], value)


def describe(kind: type[Recipe]) -> str:
    """The keys of a recipe as text: name, type, default and meaning, one a line, sections indented."""
    lines: list[str] = []
    _describe(kind, "", lines)
    return "\n".join(lines)


def _type_name(annotation: object) -> str:
    name = re.sub(r"<class '|'>|\b[a-z_]+\.", "", str(annotation))
    name = re.sub(r"Annotated\[(\w+), \w+\([^)]*\)\]", r"\1", name)  # bounds are named where they are broken
    return re.sub(r"Optional\[(\w+)\]", r"\1 | None", name)


def _describe(kind: type[BaseModel], indent: str, lines: list[str]) -> None:
    for name, field in kind.model_fields.items():
        sections = _sections(field.annotation)
        type_name = "section" if sections else _type_name(field.annotation)
        default = "required" if field.is_required() else f"default {shown(field.default)}"
        meaning = f": {field.description}" if field.description else ""
        lines.append(f"{indent}{name} ({type_name}{'' if sections else ', ' + default}){meaning}")
        for section in sections:
            _describe(section, indent + "    ", lines)
