"""Reading and writing files so that nothing is half-read or half-written."""

from __future__ import annotations

import bz2
import codecs
import gzip
import json
import re
import shutil
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

from kbioxlm.common.errors import InputError, shown

LINE_LIMIT = 16 << 20  # bytes; lines of text and of tables are thousands of times shorter
JSON_LINE_LIMIT = 64 << 20  # a whole book in one object
_BLOCK = 1 << 16  # what stays in the processor's cache


def require_file(path: str | Path) -> Path:
    """`path` as a Path, after checking that it is a file that is not empty.

    Raises:
        InputError: the file is missing, is a folder, or has no bytes.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(path, "is a folder", "a file was expected here")
    if not path.is_file():
        raise InputError(path, "no such file", "check the path")
    if path.stat().st_size == 0:
        raise InputError(path, "the file is empty", "give a file with content, or leave it out")
    return path


def read_blocks(path: str | Path, size: int = _BLOCK, reached: Callable[[], str] | None = None) -> Iterator[bytes]:
    """The bytes of a file, plain, `.gz` or `.bz2`, in blocks of at most `size`.

    Args:
        reached: says how far the reader came, such as "line 7", for the message about damaged data. By default
            the bytes are counted.

    Raises:
        InputError: missing or empty file, truncated or corrupt compressed data.
    """
    path = require_file(path)
    total = 0
    with _opened(path) as stream:
        while True:
            try:
                block = stream.read1(size)  # type: ignore[attr-defined]  # one read: all before the damage comes out
            except (EOFError, zlib.error, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise  # the disk, not the data
                kind = "gzip" if path.suffix == ".gz" else "bzip2"
                where = f"{total:,} bytes of content" if reached is None else reached()
                found = f"the {kind} data breaks off or is damaged after {where} ({error})"
                raise InputError(path, found, "fetch the file again") from error
            if not block:
                return
            yield block
            total += len(block)


def read_lines(path: str | Path, limit: int = LINE_LIMIT) -> Iterator[tuple[int, str]]:
    """Yield `(line number from 1, line without its end)` of a UTF-8 text file, plain, `.gz` or `.bz2`.

    Lines end at `\\n` alone: a Unicode line separator inside a name or a text is data. A byte order mark at the
    start of the file is dropped.

    Args:
        limit: the most bytes of a line; hardly more is ever held in memory.

    Raises:
        InputError: as `read_blocks`; bytes that are not UTF-8; a line longer than `limit`.
    """
    path = Path(path)
    number = 0
    blocks = read_blocks(path, min(limit, _BLOCK), lambda: f"line {number}")
    for first, lines in _whole_lines(path, blocks, limit):
        try:
            texts = lines.decode("utf-8").split("\n")
        except UnicodeDecodeError:
            yield from _up_to_bad_line(path, lines, first)
            continue
        if b"\r" in lines:
            texts = [text.rstrip("\r") for text in texts]
        yield from enumerate(texts, first)
        number = first + len(texts) - 1


def _opened(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    if path.suffix == ".bz2":
        return cast(BinaryIO, bz2.open(path, "rb"))
    return path.open("rb")


def _whole_lines(path: Path, blocks: Iterator[bytes], limit: int) -> Iterator[tuple[int, bytes]]:
    """Whole lines, without the end of the last one, and the number of the first."""
    begun: list[bytes] = []
    length = 0
    number = 1
    for index, block in enumerate(blocks):
        if index == 0:
            block = _without_mark(path, block)
        end = block.find(b"\n")
        length += len(block) if end < 0 else end
        if length > limit:
            start = b"".join((*begun[:2], block[:40]))[:40]
            raise InputError(
                path,
                f"a line of more than {limit:,} bytes, which begins with {shown(start)}",
                "check that it is a text file with one record on each line",
                line=number,
            )
        if end < 0:
            begun.append(block)
            continue
        end = block.rfind(b"\n")
        begun.append(block[:end])
        lines = b"".join(begun)
        yield number, lines
        number += lines.count(b"\n") + 1
        begun = [block[end + 1 :]]
        length = len(begun[0])
    if length:
        yield number, b"".join(begun)


def _without_mark(path: Path, block: bytes) -> bytes:
    wide = block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if wide or (len(block) > 1 and (block[0] == 0) != (block[1] == 0)):
        raise InputError(path, f"UTF-16 or UTF-32 text (it begins with {block[:4]!r})", "convert the file to UTF-8")
    return block.removeprefix(codecs.BOM_UTF8)


def _up_to_bad_line(path: Path, lines: bytes, first: int) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines.split(b"\n"), first):
        try:
            yield number, line.decode("utf-8").rstrip("\r")
        except UnicodeDecodeError as error:
            value = shown(line[max(error.start - 20, 0) : error.end])
            raise InputError(
                path, f"not UTF-8 text ({error.reason} at the end of {value})", "convert the file to UTF-8", line=number
            ) from error


def read_json_lines(
    path: str | Path, required: tuple[str, ...] = (), limit: int = JSON_LINE_LIMIT
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield `(line number, object)` of a JSON-lines file, plain, `.gz` or `.bz2`; blank lines are passed over.

    Raises:
        InputError: as `read_lines`; a line that is not a JSON object, or lacks one of `required`; NaN or Infinity,
            a key given twice, half of a surrogate pair, or nesting without end.
    """
    for number, line in read_lines(path, limit):
        if not line.strip():
            continue
        record = _json_object(path, number, line)
        for key in required:
            if key not in record:
                raise InputError(path, f"no {key!r} in {shown(record)}", f"give every object {key!r}", line=number)
        yield number, record


class _RefusedError(ValueError):
    """A value that Python's parser takes and JSON, or a text file, has no place for."""


def _refuse_constant(name: str) -> NoReturn:
    raise _RefusedError(f"{name} is no JSON number")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _RefusedError(f"the key {shown(next(key for key in keys if keys.count(key) > 1))} is given twice")
    return record


_SURROGATE = re.compile(r"\\u[dD]")
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_without_repeats)


def _json_object(path: str | Path, number: int, line: str) -> dict[str, Any]:
    remedy = "write one JSON object on each line"
    try:
        record = _DECODER.decode(line)
        if "\\u" in line and _SURROGATE.search(line):
            json.dumps(record, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        found = f"{half} is half of a surrogate pair, no character"
        raise InputError(path, found, "write the whole pair or the character itself", line=number) from error
    except RecursionError as error:
        raise InputError(path, f"nested too deeply: {shown(line[:200])}", remedy, line=number) from error
    except ValueError as error:  # JSONDecodeError, _RefusedError, or a number of thousands of digits
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise InputError(path, f"not JSON: {shown(line[:200])} ({reason})", remedy, line=number) from error
    if not isinstance(record, dict):
        raise InputError(path, f"not a JSON object: {shown(record)}", remedy, line=number)
    return record


@contextmanager
def written_beside(target: str | Path) -> Iterator[Path]:
    """A temporary path beside `target` that replaces it when the block ends well and vanishes when it does not.

    The block may create a file or a folder at the path it is given. A folder that stands at `target` is
    replaced as a whole.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        yield draft
        if target.is_dir():
            old = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.old")
            target.replace(old)
            try:
                draft.replace(target)
            except OSError:
                old.replace(target)
                raise
            shutil.rmtree(old)
        else:
            draft.replace(target)
    finally:
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON, whole or not at all."""
    with written_beside(path) as draft:
        draft.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
