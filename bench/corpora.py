"""The whole pipeline (read, match, write Parquet): two local workers beside one.

All levels and the mixture are made of the texts, article pairs and knowledge base in $KBIOXLM_REAL_DATA; the knowledge
base is built first and not timed. The runs take turns, each in fresh processes, start-up and all, and their outputs
are compared byte by byte.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import in_turn, more_is_better, report

SCRIPTS = Path(__file__).parents[1] / "dataset_scripts"
ROUNDS = 3
GOAL = 1.8


def main() -> None:
    """Measure, and write runs/bench/corpora.json."""
    data = os.environ.get("KBIOXLM_REAL_DATA")
    if data is None:
        print("set KBIOXLM_REAL_DATA to the folder of real data", file=sys.stderr)
        sys.exit(2)
    texts = [Path(data) / "corpora" / name for name in ("en.jsonl.gz", "zh.jsonl.gz")]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        umls = str(Path(data) / "open_knowledge_base")
        call("knowledge_base.py", "build", "--umls", umls, "--output", str(folder / "kb"), "--languages", "en,zh")

        def build(workers: int) -> None:
            shutil.rmtree(folder / f"out{workers}", ignore_errors=True)
            options = ["--knowledge-base", str(folder / "kb"), "--output", str(folder / f"out{workers}")]
            named = [part for text in texts for part in ("--text", str(text))]
            named += ["--pairs", str(Path(data) / "wikipedia_pairs.jsonl"), "--translation-facts", "--mixture"]
            call("aligned_corpora.py", "build", *options, *named, "--workers", str(workers))

        build(1)  # the compiled kernels of the matcher are cached from here on
        seconds = in_turn({"one": lambda: build(1), "two": lambda: build(2)}, ROUNDS)
        if contents(folder / "out1") != contents(folder / "out2"):
            raise SystemExit("one and two workers wrote different bytes")
        size = sum(len(line) for text in texts for line in _lines(text)) / 1e6
    rates = {name: size / value for name, value in seconds.items()}
    row = more_is_better("texts to all levels, 2 workers", "MB/s", rates["two"], rates["one"], "1 worker", GOAL)
    report("corpora", [row], {"rounds": ROUNDS, "seconds": seconds, "input MB": size})


def call(script: str, *arguments: str) -> None:
    """Run a script of this project."""
    subprocess.run([sys.executable, str(SCRIPTS / script), *arguments], check=True, stderr=subprocess.DEVNULL)


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _lines(path: Path) -> list[bytes]:
    with gzip.open(path) as stream:
        return stream.readlines()


if __name__ == "__main__":
    main()
