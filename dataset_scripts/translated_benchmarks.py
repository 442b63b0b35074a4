"""ADE, BC5CDR, GAD and HoC in English and Chinese, from the files that KBioXLM's authors publish."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from kbioxlm.common.cli import new_app, run
from kbioxlm.common.files import written_beside
from kbioxlm.dataset_scripts.benchmarks.folder import write_benchmarks
from kbioxlm.dataset_scripts.benchmarks.published import read_published, training_texts

app = new_app("The translated benchmarks as a data set folder, and their training texts without labels.")

Source = Annotated[Path, typer.Option(help="folder of the authors' published files (the one that holds NER/ and RE/)")]


@app.command()
def build(source: Source, output: Annotated[Path, typer.Option(help="data set folder to write")]) -> None:
    """Write the configurations ade_en, ade_zh, bc5cdr_en, … hoc_zh; load_dataset(OUTPUT, "ade_en") opens one."""
    for config, splits in write_benchmarks(read_published(source), output)["splits"].items():
        for split, row in splits.items():
            print(f"{config:10} {split:10} {row['documents']:5} documents {row['rows']:5} rows")
    print(f"wrote {output}", file=sys.stderr)


@app.command()
def text(source: Source, output: Annotated[Path, typer.Option(help="JSON-lines file to write, plain or .gz")]) -> None:
    """Write the training documents of ADE and BC5CDR without labels, for pretraining; test documents are left out."""
    rows = list(training_texts(read_published(source)))
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    with written_beside(output) as draft:
        draft.write_bytes(gzip.compress(data, mtime=0) if output.suffix == ".gz" else data)
    for language in sorted({row["lang"] for row in rows}):
        print(f"{language} {sum(row['lang'] == language for row in rows):5} documents")
    print(f"wrote {output}", file=sys.stderr)


if __name__ == "__main__":
    run(app)
