"""Answers of translators kept on disk by what was asked of whom, so that nothing is asked twice."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Self

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.translation.protocol import Answer

# marks the file as ours (sqlite's `application_id`) and names the layout of its table
_APPLICATION = 0x4B425854
_LAYOUT = 1
_KEYS_A_QUERY = 500
_SECONDS_TO_WAIT_FOR_ANOTHER_WRITER = 60.0


class AnswerCache:
    """A SQLite file: digest of (identity, source language, target language, text) → answer.

    Every `put` is one transaction: what it stored outlives a kill of the process. Other processes may read and
    write the file at the same time.

    Raises:
        InputError: the file is damaged or something else than a cache.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._errors():
            self._connection = sqlite3.connect(self.path, timeout=_SECONDS_TO_WAIT_FOR_ANOTHER_WRITER)
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, identity: str, source: str, target: str, texts: Sequence[str]) -> dict[str, Answer]:
        """The answers that are known, by text; None where the translator had none to give."""
        text_of = {_key(identity, source, target, text): text for text in texts}
        keys = list(text_of)
        found: dict[str, Answer] = {}
        with self._errors():
            for start in range(0, len(keys), _KEYS_A_QUERY):
                part = keys[start : start + _KEYS_A_QUERY]
                marks = ",".join("?" * len(part))
                rows = self._connection.execute(f"SELECT key, answer FROM answers WHERE key IN ({marks})", part)
                found.update((text_of[key], answer) for key, answer in rows)
        return found

    def put(self, identity: str, source: str, target: str, answers: Mapping[str, Answer]) -> None:
        """Store `answers` by text, all of them or none."""
        rows = [(_key(identity, source, target, text), answer) for text, answer in answers.items()]
        with self._errors(), self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", rows)

    def _prepare(self) -> None:
        connection = self._connection
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (layout,) = connection.execute("PRAGMA user_version").fetchone()
        if (application, layout) != (_APPLICATION, _LAYOUT):
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
                raise InputError(
                    self.path, "an SQLite file, but no cache of translations of this version", "give another path"
                )
            with connection:
                connection.execute("CREATE TABLE answers (key BLOB PRIMARY KEY, answer TEXT) WITHOUT ROWID")
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                connection.execute(f"PRAGMA user_version = {_LAYOUT}")
        connection.execute("PRAGMA journal_mode = WAL")  # readers go on while a batch is written
        connection.execute("PRAGMA synchronous = NORMAL")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code == sqlite3.SQLITE_FULL:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path)) from error
            if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise InputError(
                    self.path,
                    f"a damaged cache of translations, or another kind of file ({error})",
                    "move it away (what it held is asked again) or restore a copy; "
                    "`sqlite3 FILE .recover` can save most of a damaged one",
                ) from error
            if isinstance(error, sqlite3.OperationalError):
                raise InputError(
                    self.path, f"the cache of translations cannot be used ({error})", "check path and permissions"
                ) from error
            raise


def _key(identity: str, source: str, target: str, text: str) -> bytes:
    content = json.dumps([identity, source, target, text], ensure_ascii=False)
    return blake2b(content.encode("utf-8", "surrogatepass"), digest_size=16).digest()
