"""Reading a text file of any size as blocks of whole lines, in constant memory."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from kbioxlm.common.errors import InputError
from kbioxlm.common.files import require_file

BLOCK_BYTES = 1 << 21
LONGEST_LINE = 1 << 20
NEWLINE = ord("\n")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def line_blocks(path: Path, place: str | Path) -> Iterator[bytes]:
    """Blocks of whole lines of `path`, plain or `.gz`; every block ends with `\\n`.

    A byte order mark at the beginning is left out. Of a line that is longer than `LONGEST_LINE` bytes at least
    `LONGEST_LINE + 1` bytes are given, but not necessarily all, so that no line can fill the memory.

    Args:
        place: what errors call the file.

    Raises:
        InputError: missing or empty file, truncated or corrupt gzip.
    """
    require_file(path)
    compressed = path.suffix == ".gz"
    lines = 0
    try:
        with _opened(path) as stream:
            head = stream.read(len(BYTE_ORDER_MARK)).removeprefix(BYTE_ORDER_MARK)
            while chunk := head + stream.read(BLOCK_BYTES - len(head)):
                head = b""
                block = chunk if chunk.endswith(b"\n") else chunk + stream.readline(LONGEST_LINE + 1)
                if not block.endswith(b"\n"):
                    block += b"\n"
                    _pass_over_line(stream)
                yield block
                if compressed:
                    lines += int(np.count_nonzero(np.frombuffer(block, np.uint8) == NEWLINE))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            place, f"the gzip data breaks off or is damaged after line {lines} ({error})", "fetch the file again"
        ) from error


def _pass_over_line(stream: BinaryIO) -> None:
    """Pass over the rest of a line."""
    while (part := stream.readline(LONGEST_LINE)) and not part.endswith(b"\n"):
        pass


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")
