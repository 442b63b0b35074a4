"""What the Space is told by environment variables, and where it keeps files while it runs."""

from __future__ import annotations

import atexit
import os
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .refusal import RefusedError

HERE = Path(__file__).parent.parent
MODEL, COMPARE, KNOWLEDGE_BASE = "KBIOXLM_MODEL", "KBIOXLM_COMPARE", "KBIOXLM_KNOWLEDGE_BASE"
NUMBERS = {
    "KBIOXLM_MAX_CHARACTERS": 20_000,
    "KBIOXLM_MAX_UPLOAD": 2_000_000,
    "KBIOXLM_MAX_DOCUMENTS": 1_000,
    "KBIOXLM_MAX_QUEUE": 100,
    "KBIOXLM_CONCURRENCY": 2,
    "KBIOXLM_KEEP_SECONDS": 600,
}


@dataclass(frozen=True)
class Settings:
    """Where everything is and how much is taken.

    Attributes:
        model: folder or Hub id of the model that reads.
        compare: another one, to read the same text; empty for none.
        knowledge_base: folder or Hub id of the knowledge base.
        characters: of a text, at most.
        upload: bytes of an uploaded file, at most.
        documents: in an uploaded file, at most.
        queue: requests that wait, at most; the next one is told to come back later.
        concurrency: requests of a kind that are answered at once.
        keep_seconds: how long an uploaded or a written file may lie.
    """

    model: str
    compare: str
    knowledge_base: str
    characters: int
    upload: int
    documents: int
    queue: int
    concurrency: int
    keep_seconds: int

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """The settings of `environment`; README.md says what there is.

        Raises:
            RefusedError: a number that is none.
        """
        numbers = [_number(environment, name, default) for name, default in NUMBERS.items()]
        return cls(
            _place(environment.get(MODEL) or "models/bilingual"),
            _place(environment.get(COMPARE, "models/english")),
            _place(environment.get(KNOWLEDGE_BASE) or "knowledge_base"),
            *numbers,
        )


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    value = environment.get(name) or str(default)
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise RefusedError("setting_number", name=name, value=value)
    return int(value)


def _place(value: str) -> str:
    """A folder beside app.py as its path; anything else as it is."""
    return str(HERE / value) if value and (HERE / value).exists() else value


def private_folder(environment: dict[str, str] | os._Environ[str]) -> Path:
    """A folder of this process alone for whatever is uploaded or written, removed when the process ends.

    Gradio and Python's own temporary files are sent there. Call it before gradio is imported.
    """
    folder = tempfile.TemporaryDirectory(prefix="kbioxlm-space-", ignore_cleanup_errors=True)
    atexit.register(folder.cleanup)
    environment["GRADIO_TEMP_DIR"] = folder.name
    environment["GRADIO_ANALYTICS_ENABLED"] = "False"
    tempfile.tempdir = folder.name
    return Path(folder.name)


def sweep(folder: Path, seconds: float, now: float) -> None:
    """Remove files in `folder` that are older than `seconds`, and folders that this leaves empty."""
    for path in sorted(folder.rglob("*"), key=lambda path: len(path.parts), reverse=True):
        with suppress(OSError):  # gone meanwhile, or a folder that is not empty
            if path.lstat().st_mtime > now - seconds:
                continue
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()


def keep_clean(folder: Path, seconds: int) -> None:
    """Sweep `folder` again and again: also of uploads that were broken off, which gradio does not know of."""

    def work() -> None:
        while True:
            time.sleep(max(min(seconds / 4, 60), 0.5))
            sweep(folder, seconds, time.time())

    threading.Thread(target=work, daemon=True, name="sweeper").start()
