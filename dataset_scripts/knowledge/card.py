"""The card and the statistics of a knowledge base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from kbioxlm.dataset_scripts.folder import markdown_table, write_card
from kbioxlm.dataset_scripts.knowledge.languages import ENGLISH_NAMES

CONFIGS = ("concepts", "names", "relations", "relation_names", "sources")


@dataclass(frozen=True)
class KnowledgeBaseStatistics:
    """What a knowledge base holds, as written to its stats.json.

    Attributes:
        names: by language.
        relations: by relation.
        relation_names: by language.
        sources: names by source.
        folded_relations: statements left out since their inverse is there.
        duplicate_relations: statements left out since they are there.
        merged_concepts: concepts that became part of another.
        merge_conflicts: groups of concepts left apart, since a source would have had two concepts in them.
        rejected_lines: lines of the input that were skipped.
    """

    concepts: int
    bilingual_concepts: int
    names: dict[str, int]
    relations: dict[str, int]
    relation_names: dict[str, int]
    sources: dict[str, int]
    folded_relations: int
    duplicate_relations: int
    merged_concepts: int
    merge_conflicts: int
    rejected_lines: int


class SourceRow(NamedTuple):
    """A row of the config `sources`."""

    source: str
    license: str
    title: str
    version: str
    file: str
    sha256: str
    names: int


def write_knowledge_base_card(folder: Path, statistics: KnowledgeBaseStatistics, sources: Sequence[SourceRow]) -> None:
    """Write the card of the knowledge base in `folder`, whose shards are written already."""
    title = "Multilingual biomedical knowledge base"
    body = "\n\n".join(
        [
            f"# {title}",
            f"{statistics.concepts:,} concepts, {statistics.bilingual_concepts:,} of them with names in more than one "
            f"language, and {sum(statistics.relations.values()):,} relations. Every name keeps the licence of the "
            "source that it came from (columns `source` and `license`).",
            "A row of `relations` reads as the sentence subject, relation, object. "
            f"{statistics.folded_relations:,} statements that say the inverse of another are left out, and "
            f"{statistics.duplicate_relations:,} repeated ones.",
            markdown_table(
                ("language", "names", "relation phrases"),
                [
                    (f"{ENGLISH_NAMES[code]} ({code})", count, statistics.relation_names.get(code, 0))
                    for code, count in statistics.names.items()
                ],
            ),
            markdown_table(("relation", "rows"), list(statistics.relations.items())),
            "## Sources of the names",
            markdown_table(
                ("source", "licence", "title", "version", "names"),
                [(row.source, row.license, _cell(row.title), _cell(row.version), row.names) for row in sources],
            ),
            *_levels(sources),
        ]
    )
    front_matter = {
        "language": list(statistics.names),
        "license": "other",
        "pretty_name": title,
        "tags": ["biomedical", "knowledge base", *(["UMLS"] if _levels(sources) else [])],
    }
    write_card(folder, front_matter, CONFIGS, body)


def _levels(sources: Sequence[SourceRow]) -> list[str]:
    if not any(row.license.startswith("UMLS-SRL-") for row in sources):
        return []
    return [
        "`UMLS-SRL-n` stands for the source restriction level n of the UMLS Metathesaurus License Agreement; "
        "no such name may be passed on to people without that licence."
    ]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
