"""The one exception for input that cannot be used.

Every entry point turns it into a single line on standard error and exit code 2 (`common.cli`), so the
message must say everything: where, what was found, what was expected, what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


class InputError(ValueError):
    """Input from outside (a file, an option, a recipe) that cannot be used as it is.

    Args:
        place: the file or option at fault.
        found: what is wrong, with the offending value.
        remedy: what was expected and what the user can do about it.
        line: 1-based line number in `place`, where there is one.
    """

    def __init__(self, place: str | Path, found: str, remedy: str, line: int | None = None):
        where = f"{place}:{line}" if line is not None else str(place)
        super().__init__(one_line(f"{where}: {found}; {remedy}"))
        self.place = where
        self.found = found
        self.remedy = remedy
        self._parts = (place, found, remedy, line)

    def __reduce__(self) -> tuple[type[InputError], tuple[str | Path, str, str, int | None]]:
        """Pickled by its parts, so that it comes back whole from a worker process."""
        return type(self), self._parts


Report = Callable[[InputError], None]
"""What a reader does with a row that cannot be used: `refuse` raises it, the `append` of a list lets the reader pass
over the row and go on, so that everything that is wrong with a file can be said at once."""


def refuse(problem: InputError) -> None:
    """Raise `problem`: one row that cannot be used makes a whole file unusable."""
    raise problem


def one_line(text: str) -> str:
    """`text` on one line, so that no value can smuggle line breaks into an error message."""
    return " ".join(text.split())


def shown(value: object, limit: int = 80) -> str:
    """`value` as it is quoted in error messages: its repr, shortened to `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
