"""Opening the text files of a source: proved to be whole UTF-8 before anything else looks at them."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import zlib
from pathlib import Path
from typing import BinaryIO, cast

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import require_file

LINE_LIMIT = 1 << 20  # bytes; names and definitions are far below
_CHUNK = 1 << 20


def open_bytes(path: str | Path) -> BinaryIO:
    """The bytes of a file, decompressed if its name ends in `.gz`."""
    path = Path(path)
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def file_stem(path: str | Path) -> str:
    """The file's name without its folder and endings: `hp-zh` of `x/hp-zh.babelon.tsv.gz`."""
    return Path(path).name.split(".", 1)[0] or Path(path).name


def checked(path: str | Path, line_limit: int | None = LINE_LIMIT) -> str:
    """Read the file once, in constant memory, and give the SHA-256 of the file as it lies on disk.

    Args:
        path: a text file, plain or `.gz`.
        line_limit: the most bytes of a line, or None for a format without lines.

    Raises:
        InputError: missing or empty file, gzip data that is damaged or breaks off, bytes that are not UTF-8, a line
            over `line_limit`.
    """
    path = require_file(path)
    _check_text(path, line_limit)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_text(path: Path, line_limit: int | None) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    ended = 0  # lines
    pending = 0  # bytes of the line that has not ended yet
    try:
        with open_bytes(path) as stream:
            while True:
                chunk = stream.read(_CHUNK)
                held = len(decoder.getstate()[0])
                try:
                    decoder.decode(chunk, final=not chunk)
                except UnicodeDecodeError as error:
                    line = ended + 1 + chunk.count(b"\n", 0, max(error.start - held, 0))
                    value = shown(error.object[max(error.start - 20, 0) : error.end])
                    found = f"not UTF-8 text ({error.reason} at the end of {value})"
                    raise InputError(path, found, "convert the file to UTF-8", line=line) from error
                if not chunk:
                    return
                first = chunk.find(b"\n")
                pending += len(chunk) if first < 0 else first
                if line_limit is not None and pending > line_limit:
                    found = f"a line of more than {line_limit:,} bytes"
                    raise InputError(path, found, "check that this is the right file", line=ended + 1)
                if first >= 0:
                    pending = len(chunk) - 1 - chunk.rfind(b"\n")
                    ended += chunk.count(b"\n")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        found = f"the gzip data breaks off or is damaged after line {ended} ({error})"
        raise InputError(path, found, "fetch the file again") from error


def open_text(path: str | Path) -> io.TextIOWrapper:
    """The text of a file that was `checked`, a byte order mark removed; lines end as they do in the file."""
    return io.TextIOWrapper(open_bytes(path), encoding="utf-8-sig", newline="")
