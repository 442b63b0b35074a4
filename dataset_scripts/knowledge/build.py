"""From sources of knowledge to a knowledge base folder."""

from __future__ import annotations

import dataclasses
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.folder import dataset_folder, write_rows, write_statistics
from kbioxlm.dataset_scripts.knowledge.assembly import NameCounts, RelationCounts, write_names, write_relations
from kbioxlm.dataset_scripts.knowledge.card import KnowledgeBaseStatistics, SourceRow, write_knowledge_base_card
from kbioxlm.dataset_scripts.knowledge.languages import ENGLISH_NAMES
from kbioxlm.dataset_scripts.knowledge.relation_folding import RelationFolding
from kbioxlm.dataset_scripts.knowledge.relation_names import RelationNames, relation_names
from kbioxlm.dataset_scripts.knowledge.same_concepts import SameConcepts, same_concepts
from kbioxlm.dataset_scripts.knowledge.schemas import RELATION_NAMES, SOURCES
from kbioxlm.dataset_scripts.knowledge.sources import KnowledgeSource, Provenance, SourceTables
from kbioxlm.dataset_scripts.knowledge.umls_release import ALL_NAMES, UmlsOptions, UmlsRelease


@dataclass(frozen=True)
class BuildSettings:
    """What is kept of all sources together.

    Attributes:
        languages: ISO 639-1 codes; None keeps every language.
        relation_names: file of phrases of relations beside the shipped ones (`relation`, `language`, `name`).
    """

    languages: tuple[str, ...] | None = None
    relation_names: Path | None = None


KEEP_ALL = BuildSettings()


def build_from_umls(
    umls: str | Path,
    output: str | Path,
    options: UmlsOptions = ALL_NAMES,
    settings: BuildSettings = KEEP_ALL,
    others: Sequence[KnowledgeSource] = (),
) -> KnowledgeBaseStatistics:
    """Read a UMLS release, and `others`, into the knowledge base folder `output`.

    Of the release only the languages of `settings` are read, unless `options` has its own. Skipped lines are
    written to `output` with `.rejects.tsv` after its name.

    Raises:
        InputError: see `UmlsRelease.read` and `build_knowledge_base`.
    """
    output = Path(output)
    if options.languages is None:
        options = dataclasses.replace(options, languages=settings.languages)
    with scratch_folder(output) as scratch:
        release = UmlsRelease(Path(umls), scratch, output.with_name(f"{output.name}.rejects.tsv"), options)
        return build_knowledge_base([release, *others], output, settings)


def build_knowledge_base(
    sources: Sequence[KnowledgeSource], output: str | Path, settings: BuildSettings = KEEP_ALL
) -> KnowledgeBaseStatistics:
    """Read `sources` and write the knowledge base folder `output`.

    Concepts that a source says to be the same become one (`same_concepts`). Of names with equal rank, those of the
    earlier source are preferred.

    Raises:
        InputError: what the sources raise; no name at all, or a language of `settings` without a single name.
    """
    with dataset_folder(output) as draft, scratch_folder(output) as scratch:
        tables = [source.read() for source in sources]
        same = same_concepts(each.same_as for each in tables)
        names = write_names(draft, scratch, tables, same.stands_for, settings.languages)
        _require_names(tables, names, settings.languages)
        folding = RelationFolding.of({key: value for each in tables for key, value in each.inverses.items()})
        relations = write_relations(draft, scratch, tables, same.stands_for, folding)
        phrases = relation_names(relations.relations, names.languages, settings.relation_names)
        write_rows(draft / "relation_names", RELATION_NAMES, sorted((*key, name) for key, name in phrases.items()))
        listed = _source_rows(tables, names)
        write_rows(draft / "sources", SOURCES, listed)
        statistics = _statistics(tables, same, names, relations, phrases)
        write_statistics(draft, dataclasses.asdict(statistics))
        write_knowledge_base_card(draft, statistics, listed)
    return statistics


@contextmanager
def scratch_folder(output: str | Path) -> Iterator[Path]:
    """A folder beside `output` for what is needed only until it is written."""
    output = Path(output)
    scratch = output.with_name(f".{output.name}.{uuid.uuid4().hex[:8]}.scratch")
    scratch.mkdir(parents=True)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _require_names(tables: Sequence[SourceTables], names: NameCounts, languages: tuple[str, ...] | None) -> None:
    place = ", ".join(sorted({each.file for table in tables for each in table.provenance})) or "sources"
    for language in languages or ():
        if language not in names.languages:
            raise InputError(
                place,
                f"no name in language {language!r} ({ENGLISH_NAMES[language]})",
                "leave it out of --languages, or read a file that has it; "
                f"of those asked it found: {','.join(sorted(names.languages)) or 'no names'}",
            )
    if not names.concepts:
        raise InputError(
            place, "no name that is kept", "check column SUPPRESS (N marks those to keep) and what was asked for"
        )


def _source_rows(tables: Sequence[SourceTables], names: NameCounts) -> list[SourceRow]:
    """One row a source and licence; one that names come from without being described has only these two."""
    described = {(each.source, each.license): each for table in tables for each in table.provenance}
    keys = sorted(described.keys() | names.licenses.keys())
    rows = (described.get(key, Provenance(*key)) for key in keys)
    return [
        SourceRow(**dataclasses.asdict(row), names=names.licenses[key]) for key, row in zip(keys, rows, strict=True)
    ]


def _statistics(
    tables: Sequence[SourceTables],
    same: SameConcepts,
    names: NameCounts,
    relations: RelationCounts,
    phrases: RelationNames,
) -> KnowledgeBaseStatistics:
    sources: dict[str, int] = {}
    for (source, _), count in names.licenses.items():
        sources[source] = sources.get(source, 0) + count
    said: dict[str, int] = {}
    for _, language in phrases:
        said[language] = said.get(language, 0) + 1
    return KnowledgeBaseStatistics(
        concepts=names.concepts,
        bilingual_concepts=names.bilingual_concepts,
        names=_sorted(names.languages),
        relations=_sorted(relations.relations),
        relation_names=_sorted(said),
        sources=_sorted(sources),
        folded_relations=relations.folded,
        duplicate_relations=relations.duplicates,
        merged_concepts=len(same.stands_for),
        merge_conflicts=same.conflicts,
        rejected_lines=sum(each.rejected for each in tables),
    )


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return {value: counts[value] for value in sorted(counts)}
