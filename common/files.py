"""Reading and writing files so that nothing is half-read or half-written."""

from __future__ import annotations

import gzip
import json
import shutil
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kbioxlm.common.errors import InputError, shown


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


def read_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Yield `(line number from 1, line without its end)` of a UTF-8 text file, plain or `.gz`.

    Lines end at `\\n` alone: a Unicode line separator inside a name or a text is data.

    Raises:
        InputError: missing or empty file, truncated or corrupt gzip, bytes that are not UTF-8.
    """
    path = require_file(path)
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                yield number, line.decode("utf-8").rstrip("\r\n")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            path, f"the gzip data breaks off or is damaged after line {number} ({error})", "fetch the file again"
        ) from error
    except UnicodeDecodeError as error:
        value = shown(error.object[max(error.start - 20, 0) : error.end])
        raise InputError(
            path, f"not UTF-8 text ({error.reason} at the end of {value})", "convert the file to UTF-8", line=number
        ) from error


def read_json_lines(path: str | Path, required: tuple[str, ...] = ()) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield `(line number, object)` of a JSON-lines file, plain or `.gz`; blank lines are passed over.

    Raises:
        InputError: as `read_lines`; a line that is not a JSON object, or lacks one of `required`.
    """
    for number, line in read_lines(path):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(
                path, f"not JSON: {shown(line)} ({error.msg})", "write one JSON object on each line", line=number
            ) from error
        if not isinstance(record, dict):
            raise InputError(
                path, f"not a JSON object: {shown(record)}", "write one JSON object on each line", line=number
            )
        for key in required:
            if key not in record:
                raise InputError(path, f"no {key!r} in {shown(record)}", f"give every object {key!r}", line=number)
        yield number, record


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
