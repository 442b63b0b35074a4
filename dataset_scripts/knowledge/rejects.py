"""What happens to lines that cannot be used: they stop the run, or go to a file of their own."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Literal, TextIO

from kbioxlm.common.errors import InputError, one_line, shown

OnError = Literal["stop", "skip"]
HEADER = ("file", "line", "reason", "text")
SHOWN_CHARACTERS = 200


class BadLineError(ValueError):
    """A line that cannot be used: what was found in it, and what to do about it."""

    def __init__(self, found: str, remedy: str):
        super().__init__(found)
        self.found = found
        self.remedy = remedy


class Rejects:
    """Takes the lines that cannot be used.

    With `on_error="skip"` they are written to `path`, tab-separated with the header `file`, `line`, `reason`,
    `text`; the file is there only if there is such a line, and one of an earlier run is removed.
    """

    def __init__(self, path: Path, on_error: OnError = "stop"):
        self.path = path
        self.count = 0
        self._skip = on_error == "skip"
        self._stream: TextIO | None = None

    def add(self, place: str | Path, line: int, bad: BadLineError, text: bytes) -> None:
        """Note line number `line` of `place`.

        Raises:
            InputError: lines are not to be skipped.
        """
        if not self._skip:
            raise InputError(place, bad.found, bad.remedy, line=line)
        self.count += 1
        if self._stream is None:
            self._stream = self._draft.open("w", encoding="utf-8", newline="\n")
            self._stream.write("\t".join(HEADER) + "\n")
        row = (str(place), str(line), one_line(bad.found), shown(text.decode("utf-8", "replace"), SHOWN_CHARACTERS))
        self._stream.write("\t".join(row) + "\n")

    @property
    def _draft(self) -> Path:
        return self.path.with_name(f".{self.path.name}.part")

    def __enter__(self) -> Rejects:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()
        if kind is not None:
            self._draft.unlink(missing_ok=True)
        elif self._stream is not None:
            self._draft.replace(self.path)
        else:
            self.path.unlink(missing_ok=True)
