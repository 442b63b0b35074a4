"""What makes a long job repeatable: an identity, a finished output that is recognised, a work folder to resume from."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import write_json

REPORT = "report.json"
STATE = "trainer_state.json"  # the last file of a checkpoint, by whose presence it is complete
PREDICTIONS = "predictions"
"""Folder of `dev.jsonl` and `TEST.jsonl` beside a fine-tuned model; `tasks.task.Scored` says what they hold."""
SHOTS = "shots.json"
"""Beside a model that was trained on a sample: the ids of its documents."""


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
    """Make the work folder; the newest checkpoint in it, if an equal run left one, else None.

    Raises:
        InputError: a run with another recipe or other inputs left a checkpoint, which would be lost.
    """
    note, checkpoint = work / "run.json", _newest_whole_checkpoint(work)
    if note.is_file():
        earlier = json.loads(note.read_text(encoding="utf-8"))
        if earlier == identity:
            for draft in work.glob(".checkpoint-*.part"):  # the run was killed while it wrote
                shutil.rmtree(draft)
            return None if checkpoint is None else str(checkpoint)
        if checkpoint is not None:
            raise InputError(
                work, f"holds a run that was cut off at step {step_of(checkpoint)} and differs in "
                f"{', '.join(_differences(earlier, identity)[:8])}",
                f"restore these to go on with it, or delete {work} to begin anew",
            )  # fmt: skip
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    write_json(note, identity)
    return None


def _differences(earlier: Any, now: Any, key: str = "") -> list[str]:
    """Where two identities differ: `recipe.steps (12, now 24)`."""
    if isinstance(earlier, dict) and isinstance(now, dict):
        names = dict.fromkeys([*earlier, *now])
        return [
            difference
            for name in names
            for difference in _differences(earlier.get(name), now.get(name), f"{key}.{name}" if key else name)
        ]
    return [] if earlier == now else [f"{key} ({shown(earlier, 40)}, now {shown(now, 40)})"]


@contextmanager
def disk_errors(place: Path, lost: str, kept: str) -> Iterator[None]:
    """A disk that is full or refuses, while `lost` is written, becomes an InputError that says what is `kept`."""
    try:
        yield
    except (OSError, SafetensorError) as error:  # safetensors has an exception of its own for both
        raise InputError(
            place, f"{lost} cannot be written ({error})", f"make room and run the same command again; {kept}"
        ) from error


def _newest_whole_checkpoint(work: Path) -> Path | None:
    """The last checkpoint that was finished: its state is the last file written."""
    whole = []
    for folder in work.glob("checkpoint-*"):
        try:
            json.loads((folder / STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        whole.append(folder)
    return max(whole, key=step_of, default=None)


def step_of(checkpoint: Path) -> int:
    """The step after which `work/checkpoint-STEP` was written."""
    return int(checkpoint.name.rpartition("-")[2])


def fingerprint(path: str | Path, left_out: Collection[str] = ()) -> str:
    """A short hash of a file's or folder's content; of anything else (a Hub id), the text itself.

    Args:
        left_out: names directly in a folder that do not count.
    """
    path = Path(path)
    if not path.exists():
        return str(path)
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file() and file.relative_to(path).parts[:1] not in [(name,) for name in left_out]:
            with file.open("rb") as stream:
                digest.update(str(file.relative_to(path)).encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def checkpoint_fingerprint(checkpoint: str | Path) -> str:
    """The fingerprint of a model: of its folder without what its run has to tell, such as the time it took."""
    return fingerprint(checkpoint, left_out=(REPORT, "loss.png", PREDICTIONS, SHOTS))


def code_commit() -> str | None:
    """The commit of the code that runs, marked where the tree differs from it; None outside a repository."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
