"""Build the aligned corpora: knowledge base + texts + article pairs → a data set folder of Parquet files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from kbioxlm.common.cli import new_app, run
from kbioxlm.common.errors import InputError, shown
from kbioxlm.dataset_scripts.corpora.build import build_corpora
from kbioxlm.dataset_scripts.corpora.settings import CorporaSettings
from kbioxlm.dataset_scripts.knowledge.languages import parse_languages
from kbioxlm.dataset_scripts.matching.matcher import STOP_NAMES

app = new_app("Monolingual, entity, fact and passage corpora for pretraining.")


@app.callback()
def main() -> None:
    """Monolingual, entity, fact and passage corpora for pretraining."""


@app.command()
def build(
    knowledge_base: Annotated[Path, typer.Option(help="Folder written by knowledge_base.py build.")],
    text: Annotated[
        list[Path], typer.Option(help='JSON lines of {"id", "lang", "text"}, plain or .gz; may be given several times.')
    ],
    output: Annotated[Path, typer.Option(help="Folder to write; an earlier data set in its place is replaced.")],
    languages: Annotated[
        str, typer.Option(help="ISO 639-1 codes; names are replaced by names in another of these languages.")
    ] = "en,zh",
    pairs: Annotated[
        Path | None,
        typer.Option(help='JSON lines of article pairs: {"id", "en": text, "zh": text} or {"sent1", "sent2"}.'),
    ] = None,
    language: Annotated[str | None, typer.Option(help='Language of texts without "lang".')] = None,
    seed: Annotated[int, typer.Option(help="Decides everything that is drawn.")] = 0,
    max_chars: Annotated[
        str | None,
        typer.Option(
            metavar="en=400,zh=150",
            help="Most characters of a segment by language, half of it in passage pairs. "
            "Default: 150 for zh, ja and ko, else 400.",
        ),
    ] = None,
    hold_out: Annotated[
        int, typer.Option(min=0, help="Concepts whose names are never paired, to measure alignment on.")
    ] = 0,
    passages: Annotated[
        int, typer.Option(min=0, help="Most passage examples, in equal thirds (30,000 in the paper).")
    ] = 30_000,
    translation_facts: Annotated[
        bool, typer.Option("--translation-facts", help="Add every name beside its translation as facts.")
    ] = False,
    stop_names: Annotated[
        Path,
        typer.Option(show_default="shipped", help="Names of which nothing is made, tab-separated (name, kind)."),
    ] = STOP_NAMES,
) -> None:
    """Cut texts into segments, find the names of the knowledge base in them, and write all levels."""
    codes = parse_languages(languages, at_least=2)
    if language is not None and language not in codes:
        raise InputError("--language", f"{shown(language)} is not one of {languages}", "add it to --languages")
    settings = CorporaSettings(
        languages=codes,
        seed=seed,
        max_chars=parse_max_chars(max_chars, codes),
        text_language=language,
        hold_out=hold_out,
        passages=passages,
        translation_facts=translation_facts,
        stop_names=stop_names,
    )
    statistics = build_corpora(knowledge_base, text, output, settings, pairs)
    sizes = ", ".join(f"{sum(counts.rows.values()):,} {level}" for level, counts in statistics.levels.items())
    print(f"{output}: {sizes} rows; {sum(statistics.held_out.values()):,} concepts held out", file=sys.stderr)


def parse_max_chars(value: str | None, languages: tuple[str, ...]) -> dict[str, int]:
    """`"en=400,zh=150"` as a dictionary.

    Raises:
        InputError: not of that form, a language that is not asked, or fewer than 20 characters.
    """
    budgets: dict[str, int] = {}
    for part in value.split(",") if value is not None else ():
        code, _, number = part.partition("=")
        if code not in languages or not number.isdecimal() or int(number) < 20:
            raise InputError(
                "--max-chars",
                f"cannot use {shown(part)}",
                f"write language=characters with at least 20 characters, for {','.join(languages)}",
            )
        budgets[code] = int(number)
    return budgets


if __name__ == "__main__":
    run(app)
