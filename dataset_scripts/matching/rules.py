"""The list of what is not matched, which can be replaced: stop names, covers, minimal lengths."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import require_file

SHIPPED_RULES = Path(__file__).with_name("rules.yaml")

_Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, strict=True)]


class MatchingRules(BaseModel):
    """What is matched, and of which names nothing is made.

    Names are compared folded. Like all names, stop names and covers are found leftmost-longest, and so hide what is
    inside them.

    Attributes:
        minimal_spaced: letters and digits that a name of a script with spaces must have, one letter among them.
        minimal_unspaced: letters and digits that a name with characters of Han and the like must have.
        case_letters: up to how many letters letter case matters: an acronym is met only as it is written, and a word
            never by an acronym.
        stops: not meant as a concept in most texts ("right", "position"). An acronym written alike ("ALL") is.
        covers: words that hold a name by accident, as 不适合 ("does not suit") holds 不适 ("discomfort"). A cover
            that is itself a name of the knowledge base counts as a name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    minimal_spaced: int = Field(default=3, ge=1, strict=True)
    minimal_unspaced: int = Field(default=2, ge=1, strict=True)
    case_letters: int = Field(default=4, ge=0, strict=True)
    stops: tuple[_Name, ...] = ()
    covers: tuple[_Name, ...] = ()


def read_rules(path: str | Path = SHIPPED_RULES) -> MatchingRules:
    """The rules of a YAML file; what it leaves out is as in `MatchingRules`.

    Raises:
        InputError: a missing or empty file, not YAML, a key that is not known, a value of the wrong kind.
    """
    path = require_file(path)
    try:
        content = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else None
        raise InputError(
            path, f"not YAML ({error})", "write keys with values, as in the rules shipped", line
        ) from error
    if not isinstance(content, dict):
        raise InputError(path, f"not keys with values: {shown(content)}", "write them as in the rules shipped")
    try:
        return MatchingRules.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise InputError(
                path, f"unknown key {key!r}", f"known are {', '.join(MatchingRules.model_fields)}"
            ) from error
        raise InputError(path, f"{key}: {shown(first['input'])}", first["msg"]) from error
