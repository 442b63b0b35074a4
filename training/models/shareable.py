"""What of a run may leave this machine: names of files, and reports without the folders that they name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

# An absolute path of any system, and not the end of a URL or of a relative path; its last part is its name.
_PATH = re.compile(r"(?<![\w.:/~\\-])(?:~?/|[A-Za-z]:[\\/])(?:[^\s/\\:'\"`,;()<>|]+[/\\]+)+([^\s/\\:'\"`,;()<>|]*)")
_FILES = (
    "README.md", "LICENSE*", "report.json", "loss.png", "shots.json", "*.safetensors", "*.safetensors.index.json",
    "config.json", "adapter_config.json", "generation_config.json", "decoder.json", "*_kbioxlm.py",
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt",
    "vocab.json", "merges.txt", "sentencepiece.bpe.model", "spiece.model", "*.onnx", "*.onnx.data",
)  # fmt: skip


def without_folders(value: Any) -> Any:
    """`value`, a report or a part of one, with absolute paths shortened to their last part, which is all that says
    anything elsewhere.
    """
    if isinstance(value, dict):
        return {key: without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_folders(item) for item in value]
    return _PATH.sub(r"\1", value) if isinstance(value, str) else value


def holds_folders(text: str) -> str | None:
    """An absolute path of this machine that `text` names, if any."""
    here = {str(Path.home()), str(Path.cwd())} - {"/"}
    return next((path for path in sorted(here) if re.search(re.escape(path) + r"(?![\w-])", text)), None)


def shareable(folder: Path) -> tuple[list[Path], list[str]]:
    """The files of a model's folder that others need, and the names of what stays here: pickles, states of
    optimizers, logs, predictions on test sets.
    """
    entries = sorted(folder.iterdir())
    taken = [path for path in entries if path.is_file() and any(path.match(pattern) for pattern in _FILES)]
    return taken, [f"{path.name}/" if path.is_dir() else path.name for path in entries if path not in taken]
