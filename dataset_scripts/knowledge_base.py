"""Build the multilingual knowledge base: UMLS rich release files → a data set folder of Parquet files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from kbioxlm.common.cli import new_app, run
from kbioxlm.dataset_scripts.knowledge.build import build_knowledge_base
from kbioxlm.dataset_scripts.knowledge.languages import parse_languages

app = new_app("The multilingual knowledge base from which the aligned corpora are made.")


@app.callback()
def main() -> None:
    """The multilingual knowledge base from which the aligned corpora are made."""


@app.command()
def build(
    umls: Annotated[Path, typer.Option(help="Folder with MRCONSO.RRF, MRREL.RRF and MRSTY.RRF (or .RRF.gz).")],
    output: Annotated[Path, typer.Option(help="Folder to write; an earlier data set in its place is replaced.")],
    languages: Annotated[
        str | None, typer.Option(help="ISO 639-1 codes to keep, such as en,zh. Default: every language found.")
    ] = None,
    relation_names: Annotated[
        Path | None,
        typer.Option(help="Tab-separated phrases of relations (relation, language, name), beside the shipped ones."),
    ] = None,
) -> None:
    """Read a UMLS release (or anything in its format) into concepts, names, relations and relation phrases."""
    wanted = parse_languages(languages) if languages is not None else None
    statistics = build_knowledge_base(umls, output, wanted, relation_names)
    names = ", ".join(f"{count:,} {language}" for language, count in statistics.names.items())
    print(
        f"{output}: {statistics.concepts:,} concepts ({statistics.bilingual_concepts:,} in more than one language), "
        f"names: {names}; {sum(statistics.relations.values()):,} relations",
        file=sys.stderr,
    )


if __name__ == "__main__":
    run(app)
