"""What makes a long job repeatable: an identity, a finished output that is recognised, a work folder to resume from."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from kbioxlm.common.errors import InputError
from kbioxlm.common.files import write_json

REPORT = "report.json"


def finished_report(output: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """The report of an equal run that stands at `output`; None if there is none or its identity differs.

    Raises:
        InputError: something that is no run stands there and would be lost.
    """
    if not output.exists():
        return None
    path = output / REPORT
    if path.is_file():
        report = json.loads(path.read_text(encoding="utf-8"))
        return report if all(report.get(key) == value for key, value in identity.items()) else None
    if output.is_dir() and not any(output.iterdir()):
        return None
    raise InputError(output, f"exists and holds no {REPORT}, so it is not a run of ours", "name a new folder as output")


def refuse_to_replace(checkpoint: str, output: Path) -> None:
    """Refuse an output that is, or contains, the checkpoint that a run starts from.

    Raises:
        InputError: the checkpoint would be lost.
    """
    if Path(checkpoint).resolve().is_relative_to(output.resolve()):
        raise InputError(output, "would replace the checkpoint it starts from", "name another folder as output")


def work_folder(output: Path) -> Path:
    """Where the intermediate checkpoints of a run live until `output` is written."""
    return output.with_name(f".{output.name}.training")


def resume_point(work: Path, identity: dict[str, Any]) -> str | None:
    """Make the work folder; the newest checkpoint in it, if an equal run left one, else None."""
    note = work / "run.json"
    if note.is_file() and json.loads(note.read_text(encoding="utf-8")) == identity:
        return _newest_whole_checkpoint(work)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    write_json(note, identity)
    return None


def _newest_whole_checkpoint(work: Path) -> str | None:
    """The last checkpoint that Trainer finished writing: its state is the last file written."""
    whole = []
    for folder in work.glob("checkpoint-*"):
        try:
            json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        whole.append(folder)
    return str(max(whole, key=lambda folder: int(folder.name.rpartition("-")[2]))) if whole else None


def fingerprint(path: str | Path) -> str:
    """A short hash of a file's or folder's content; of anything else (a Hub id), the text itself."""
    path = Path(path)
    if not path.exists():
        return str(path)
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as stream:
                digest.update(str(file.relative_to(path)).encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
