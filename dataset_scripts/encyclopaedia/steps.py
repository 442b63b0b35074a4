"""Intermediate results that a run which was killed need not make again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kbioxlm.common.files import write_json, written_beside

VERSION = 1  # raised when what a step writes changes


class Steps:
    """A folder of finished steps, each a folder named for what it is made of.

    Args:
        folder: where they are kept; made if it is not there.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def once(self, name: str, inputs: Any, make: Callable[[Path], dict[str, Any]]) -> tuple[Path, dict[str, Any]]:
        """The folder of a step and what it counted; `make` fills the folder unless it is there from earlier.

        Args:
            name: of the step; file names may be made of it.
            inputs: everything that decides the result; JSON.
            make: writes into the folder it is given and returns counts.
        """
        key = json.dumps([VERSION, name, inputs], ensure_ascii=False, sort_keys=True)
        target = self.folder / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
        if not target.is_dir():
            with written_beside(target) as draft:
                draft.mkdir()
                write_json(draft / "counts.json", make(draft))
        counts: dict[str, Any] = json.loads((target / "counts.json").read_text(encoding="utf-8"))
        return target, counts
