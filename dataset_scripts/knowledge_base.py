"""Build the multilingual knowledge base: UMLS and open sources → a data set folder of Parquet files; translate it."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kbioxlm.common.cli import new_app, run
from kbioxlm.common.errors import InputError, shown
from kbioxlm.dataset_scripts.knowledge.build import BuildSettings, build_from_umls, build_knowledge_base
from kbioxlm.dataset_scripts.knowledge.languages import parse_languages
from kbioxlm.dataset_scripts.knowledge.open_source import open_source
from kbioxlm.dataset_scripts.knowledge.sources import KnowledgeSource
from kbioxlm.dataset_scripts.knowledge.umls_release import UmlsOptions

app = new_app("The multilingual knowledge base from which the aligned corpora are made.")


class OnError(StrEnum):
    """What happens to lines that cannot be used."""

    stop = "stop"
    skip = "skip"


class Concepts(StrEnum):
    """Whose names are translated."""

    missing = "missing"
    all = "all"


class Names(StrEnum):
    """Which names of a concept are translated."""

    preferred = "preferred"
    all = "all"


@app.callback()
def main() -> None:
    """The multilingual knowledge base from which the aligned corpora are made."""


@app.command()
def build(
    output: Annotated[Path, typer.Option(help="Folder to write; an earlier data set in its place is replaced.")],
    umls: Annotated[
        Path | None,
        typer.Option(help="UMLS release: its META folder, the zip it is published as, or any folder with .RRF files."),
    ] = None,
    source: Annotated[
        list[Path] | None,
        typer.Option(help="Open source: .obo, OBO Graphs .json, babelon or own .tsv (each also .gz); several times."),
    ] = None,
    license: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE=LICENSE", help="Terms of a source that states none, such as hp.obo=CC0-1.0."),
    ] = None,
    languages: Annotated[
        str | None, typer.Option(help="ISO 639-1 codes to keep, such as en,zh. Default: every language found.")
    ] = None,
    relation_names: Annotated[
        Path | None,
        typer.Option(help="Tab-separated phrases of relations (relation, language, name), beside the shipped ones."),
    ] = None,
    vocabularies: Annotated[
        str | None, typer.Option(metavar="SAB,…", help="UMLS: source vocabularies to keep, such as MSH,SNOMEDCT_US.")
    ] = None,
    semantic_types: Annotated[
        str | None,
        typer.Option(metavar="TUI,…", help="UMLS: keep concepts of these types, such as T047,T121."),
    ] = None,
    suppressible: Annotated[
        str | None, typer.Option(metavar="O,E,Y", help="UMLS: also keep names that are suppressible in these ways.")
    ] = None,
    on_error: Annotated[
        OnError, typer.Option(help="UMLS: stop at a line that cannot be used, or list it in OUTPUT.rejects.tsv.")
    ] = OnError.stop,
) -> None:
    """Read a UMLS release and open sources into concepts, names, relations and relation phrases."""
    if umls is None and not source:
        raise InputError("command line", "neither --umls nor --source", "name at least one source of knowledge")
    wanted = parse_languages(languages) if languages is not None else None
    settings = BuildSettings(wanted, relation_names)
    open_sources = _open_sources(source or [], license or [], wanted)
    if umls is None:
        statistics = build_knowledge_base(open_sources, output, settings)
    else:
        options = UmlsOptions(
            languages=wanted,
            vocabularies=_listed(vocabularies),
            semantic_types=_listed(semantic_types),
            suppressible=_listed(suppressible) or (),
            on_error=on_error.value,
        )
        statistics = build_from_umls(umls, output, options, settings, open_sources)
    names = ", ".join(f"{count:,} {language}" for language, count in statistics.names.items())
    print(
        f"{output}: {statistics.concepts:,} concepts ({statistics.bilingual_concepts:,} in more than one language), "
        f"names: {names}; {sum(statistics.relations.values()):,} relations",
        file=sys.stderr,
    )


@app.command()
def translate(
    knowledge_base: Annotated[Path, typer.Option(help="Folder written by build, or by translate before.")],
    source: Annotated[str, typer.Option(help="Language to translate from, such as en.")],
    target: Annotated[str, typer.Option(help="Language to translate into, such as zh.")],
    translators: Annotated[
        Path, typer.Option(help="YAML list of two translators: seq2seq models, chat servers or lexicons.")
    ],
    review: Annotated[Path, typer.Option(help="Tab-separated disagreements; what you decide in it is applied.")],
    output: Annotated[Path, typer.Option(help="Folder to write; an earlier data set in its place is replaced.")],
    cache: Annotated[
        Path | None,
        typer.Option(show_default="beside OUTPUT", help="Answers got so far (SQLite); may serve several runs."),
    ] = None,
    concepts: Annotated[
        Concepts, typer.Option(help="Concepts without a name in the target language, or all.")
    ] = Concepts.missing,
    names: Annotated[Names, typer.Option(help="The preferred name of a concept, or all its names.")] = Names.preferred,
    limit: Annotated[int | None, typer.Option(min=1, help="Names to ask for at most, to try it out.")] = None,
) -> None:
    """Translate names and relation phrases by two independent translators (paper, section 3.1.1).

    Answers that agree are accepted. The others go to the review file: fill in its column decision and run the same
    command again. What a translator has answered is never asked again.
    """
    # torch and transformers take seconds to import, and no other command needs them
    from kbioxlm.dataset_scripts.knowledge.translate import TranslationSettings, translate_knowledge_base
    from kbioxlm.dataset_scripts.knowledge.translation_report import summary
    from kbioxlm.dataset_scripts.translation.specification import read_translators

    codes = parse_languages(f"{source},{target}", "--source, --target", at_least=2)
    found = read_translators(translators)
    if len(found) != 2:
        raise InputError(translators, f"lists {len(found)} translators", "list two, so that each checks the other")
    statistics = translate_knowledge_base(
        TranslationSettings(
            knowledge_base=knowledge_base,
            output=output,
            source=codes[0],
            target=codes[1],
            translators=(found[0], found[1]),
            review=review,
            cache=cache if cache is not None else output.with_name(f"{output.name}.answers.sqlite"),
            concepts=concepts.value,
            names=names.value,
            limit=limit,
        )
    )
    print(summary(statistics), file=sys.stderr)
    if statistics.names.open or statistics.relation_names.open:
        print(f"open ones are in {review}: fill in `decision` and run this again", file=sys.stderr)


def _open_sources(paths: list[Path], licenses: list[str], languages: tuple[str, ...] | None) -> list[KnowledgeSource]:
    given = {}
    for value in licenses:
        file, equals, terms = value.partition("=")
        if not equals or not terms.strip() or file not in {path.name for path in paths}:
            raise InputError("--license", f"cannot use {shown(value)}", "write FILE=LICENSE, FILE one of --source")
        given[file] = terms.strip()
    return [open_source(path, given.get(path.name), languages) for path in paths]


def _listed(value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(part.strip() for part in value.split(",") if part.strip())


if __name__ == "__main__":
    run(app)
