"""From a folder in rich release format to a knowledge base folder."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from tqdm import tqdm

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.folder import dataset_folder, markdown_table, write_card, write_rows, write_statistics
from kbioxlm.dataset_scripts.knowledge.languages import ENGLISH_NAMES
from kbioxlm.dataset_scripts.knowledge.relation_names import RelationNames, relation_names
from kbioxlm.dataset_scripts.knowledge.rrf import (
    Name,
    Relation,
    RichReleaseFiles,
    read_names,
    read_relations,
    read_semantic_types,
)

CONCEPTS = pa.schema([("concept", pa.string()), ("semantic_types", pa.list_(pa.string()))])
NAMES = pa.schema(
    [
        ("concept", pa.string()),
        ("language", pa.string()),
        ("name", pa.string()),
        ("preferred", pa.bool_()),
        ("source", pa.string()),
        ("term_type", pa.string()),
    ]
)
RELATIONS = pa.schema(
    [("subject", pa.string()), ("relation", pa.string()), ("object", pa.string()), ("source", pa.string())]
)
RELATION_NAMES = pa.schema([("relation", pa.string()), ("language", pa.string()), ("name", pa.string())])
NameRow = tuple[str, str, str, bool, str, str]


@dataclass(frozen=True)
class KnowledgeBaseStatistics:
    """What a knowledge base holds, as written to its stats.json."""

    concepts: int
    bilingual_concepts: int
    names: dict[str, int]
    relations: dict[str, int]
    relation_names: dict[str, int]
    sources: dict[str, int]


def build_knowledge_base(
    umls: str | Path,
    output: str | Path,
    languages: tuple[str, ...] | None = None,
    relation_names_file: str | Path | None = None,
) -> KnowledgeBaseStatistics:
    """Read MRCONSO, MRREL and MRSTY from `umls` and write the knowledge base folder `output`.

    Args:
        languages: ISO 639-1 codes to keep; None keeps every language.
        relation_names_file: phrases of relations beside the shipped ones (`relation`, `language`, `name`).

    Raises:
        InputError: a file that is missing or malformed, or a language of `languages` without a single name.
    """
    files = RichReleaseFiles.of_folder(umls)
    names = _name_rows(tqdm(read_names(files.names, languages), desc="names", unit=" names"))
    found = _counted(row[1] for row in names)
    for language in languages or ():
        if language not in found:
            raise InputError(
                files.names,
                f"no name in language {language!r} ({ENGLISH_NAMES[language]})",
                "leave it out of --languages, or read a file that has it; "
                f"of those asked it found: {','.join(found) or 'no names'}",
            )
    if not names:
        raise InputError(files.names, "no name that is not suppressible", "check column SUPPRESS: N marks the others")
    concepts = _concept_rows(
        names, tqdm(read_semantic_types(files.semantic_types), desc="semantic types", unit=" types")
    )
    known = {concept for concept, _ in concepts}
    relations = _relation_rows(known, tqdm(read_relations(files.relations), desc="relations", unit=" relations"))
    phrases = relation_names({row.relation for row in relations}, found, relation_names_file)
    statistics = _statistics(concepts, names, relations, phrases)
    with dataset_folder(output) as draft:
        write_rows(draft / "concepts", CONCEPTS, concepts)
        write_rows(draft / "names", NAMES, names)
        write_rows(draft / "relations", RELATIONS, relations)
        write_rows(draft / "relation_names", RELATION_NAMES, sorted((*key, name) for key, name in phrases.items()))
        write_statistics(draft, dataclasses.asdict(statistics))
        _write_card(draft, statistics)
    return statistics


def _name_rows(names: Iterable[Name]) -> list[NameRow]:
    """Rows of the names table: no duplicates, sorted, exactly one preferred name a concept and language.

    Preferred is the first in the UMLS's own order (TS, then STT, then ISPREF); ties go to the first in the file.
    """
    rows: dict[tuple[str, str, str, str, str], None] = {}
    best: dict[tuple[str, str], tuple[tuple[bool, bool, bool], str, str, str]] = {}
    for concept, language, name, source, term_type, rank in names:
        rows[concept, language, name, source, term_type] = None
        current = best.get((concept, language))
        if current is None or rank < current[0]:
            best[concept, language] = (rank, name, source, term_type)
    return sorted(
        (concept, language, name, best[concept, language][1:] == (name, source, term_type), source, term_type)
        for concept, language, name, source, term_type in rows
    )


def _concept_rows(names: list[NameRow], types: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    known: dict[str, set[str]] = {row[0]: set() for row in names}
    for concept, semantic_type in types:
        if concept in known:
            known[concept].add(semantic_type)
    return [(concept, sorted(known[concept])) for concept in sorted(known)]


def _relation_rows(known: set[str], relations: Iterable[Relation]) -> list[Relation]:
    return sorted({row for row in relations if row.subject in known and row.object in known})


def _statistics(
    concepts: list[tuple[str, list[str]]], names: list[NameRow], relations: list[Relation], phrases: RelationNames
) -> KnowledgeBaseStatistics:
    languages_of = defaultdict(set)
    for concept, language, *_ in names:
        languages_of[concept].add(language)
    return KnowledgeBaseStatistics(
        concepts=len(concepts),
        bilingual_concepts=sum(len(languages) > 1 for languages in languages_of.values()),
        names=_counted(row[1] for row in names),
        relations=_counted(row.relation for row in relations),
        relation_names=_counted(language for _, language in phrases),
        sources=_counted(row[4] for row in names),
    )


def _counted(values: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for value in values:
        counts[value] += 1
    return {value: counts[value] for value in sorted(counts)}


def _write_card(folder: Path, statistics: KnowledgeBaseStatistics) -> None:
    languages = list(statistics.names)
    body = "\n\n".join(
        [
            "# Multilingual biomedical knowledge base",
            f"{statistics.concepts:,} concepts, {statistics.bilingual_concepts:,} of them with names in more than one "
            f"language, and {sum(statistics.relations.values()):,} relations. The names keep the licences of the "
            "source vocabularies (`source`) that they came from.",
            "A row of `relations` reads as the sentence subject, relation, object.",
            markdown_table(
                ("language", "names", "relation phrases"),
                [
                    (f"{ENGLISH_NAMES[code]} ({code})", count, statistics.relation_names.get(code, 0))
                    for code, count in statistics.names.items()
                ],
            ),
            markdown_table(("relation", "rows"), list(statistics.relations.items())),
            markdown_table(("source of names", "rows"), list(statistics.sources.items())),
        ]
    )
    front_matter = {
        "language": languages,
        "license": "other",
        "pretty_name": "Multilingual biomedical knowledge base",
        "tags": ["biomedical", "UMLS", "knowledge base"],
    }
    write_card(folder, front_matter, ("concepts", "names", "relations", "relation_names"), body)
