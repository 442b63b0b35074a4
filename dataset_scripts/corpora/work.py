"""The work folder of a corpora build: what is finished stays, whatever happens to the processes that make it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kbioxlm.common.errors import InputError

_KEY = "key.json"
_LOCK = "lock"


@dataclass(frozen=True)
class WorkFolder:
    """Paths inside the work folder.

    Attributes:
        version: of the texts; what is made from all of them together is kept for each apart.
    """

    path: Path
    version: str = ""

    @property
    def logs(self) -> Path:
        """datatrove's logs and marks of finished tasks, a folder for each stage."""
        return self.path / "logs"

    @property
    def failures(self) -> Path:
        """One file for each task that ended with an error the user can do something about."""
        return self.path / "failures"

    @property
    def compiled(self) -> Path:
        """Knowledge base and matcher as all workers open them, and the held-out concepts."""
        return self.path / "compiled"

    @property
    def documents(self) -> Path:
        """Texts as they were read: a folder for each part, a file for each block."""
        return self.path / "documents"

    @property
    def revisions(self) -> Path:
        """Which documents of a block a later part replaces or withdraws; nothing where it is none."""
        return self.path / f"revisions-{self.version}"

    @property
    def rows(self) -> Path:
        """Rows of all levels: a folder for each unit."""
        return self.path / "rows"

    @property
    def selection(self) -> Path:
        """Which rows are kept, and in which shards."""
        return self.path / f"selection-{self.version}"

    @property
    def counts(self) -> Path:
        """Statistics of each shard."""
        return self.path / f"counts-{self.version}"

    @property
    def output(self) -> Path:
        """The data set folder that takes the place of the output at the end."""
        return self.path / f"output-{self.version}"


@contextmanager
def work_folder(output: Path, key: Mapping[str, Any], remove_drafts: bool) -> Iterator[WorkFolder]:
    """The work folder beside `output`: that of an unfinished run with the same `key`, or a new one.

    It goes when the block ends well, and when the block fails before any text was read to its end.

    Args:
        key: everything that decides the content of the work folder.
        remove_drafts: remove what killed workers left half-written; False where some of them may be alive.

    Raises:
        InputError: another process is at work on the same output.
    """
    folder = WorkFolder(output.with_name(f".{output.name}.work"))
    folder.path.mkdir(parents=True, exist_ok=True)
    with (folder.path / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                output, "another process is writing it", "wait for its end, or give another folder"
            ) from None
        _take_over(folder, key)
        if remove_drafts:
            for draft in folder.path.glob("**/.*.part"):
                _remove(draft)
        try:
            yield folder
        except BaseException:
            if not any(folder.documents.glob("*/done.json")):
                shutil.rmtree(folder.path, ignore_errors=True)
            raise
        shutil.rmtree(folder.path)


def _take_over(folder: WorkFolder, key: Mapping[str, Any]) -> None:
    text = json.dumps(key, sort_keys=True, indent=2, default=str)
    path = folder.path / _KEY
    if path.is_file():
        if path.read_text(encoding="utf-8") == text:
            print(f"{folder.path}: going on with an unfinished run", file=sys.stderr)
            return
        print(f"{folder.path}: left by a run with other settings or another knowledge base, removed", file=sys.stderr)
    for old in folder.path.iterdir():
        if old.name != _LOCK:
            _remove(old)
    with placed(path) as draft:
        draft.write_text(text, encoding="utf-8")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def placed(path: Path) -> Iterator[Path]:
    """A draft beside `path` that takes this name when the block ends well, and vanishes when it does not.

    Several processes may make the same file or folder at once, as its content depends on none of them; one wins.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.part")
    try:
        yield draft
        try:
            draft.replace(path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    finally:
        _remove(draft)
