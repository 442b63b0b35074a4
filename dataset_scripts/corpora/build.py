"""From a knowledge base, texts and article pairs to the corpora folder."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from kbioxlm.common.errors import InputError
from kbioxlm.common.files import require_file
from kbioxlm.dataset_scripts.corpora.balance import BalancedWriter
from kbioxlm.dataset_scripts.corpora.card import write_corpora_card
from kbioxlm.dataset_scripts.corpora.entity_level import code_switched
from kbioxlm.dataset_scripts.corpora.fact_level import FactTeller, translation_facts
from kbioxlm.dataset_scripts.corpora.held_out import HeldOut, blocked_concepts, hold_out
from kbioxlm.dataset_scripts.corpora.passage_level import passage_rows
from kbioxlm.dataset_scripts.corpora.readers import Document, read_article_pairs, read_documents
from kbioxlm.dataset_scripts.corpora.rows import HELD_OUT, LevelCounts, Row, RowWriter
from kbioxlm.dataset_scripts.corpora.segments import Segmenter
from kbioxlm.dataset_scripts.corpora.settings import CorporaSettings, CorporaStatistics
from kbioxlm.dataset_scripts.corpora.translations import Translations
from kbioxlm.dataset_scripts.folder import dataset_folder, write_rows, write_statistics
from kbioxlm.dataset_scripts.knowledge.store import KnowledgeBase
from kbioxlm.dataset_scripts.matching.matcher import NameMatcher, read_stop_names


def build_corpora(
    knowledge_base: str | Path,
    texts: Sequence[str | Path],
    output: str | Path,
    settings: CorporaSettings,
    pairs: str | Path | None = None,
) -> CorporaStatistics:
    """Write the corpora folder `output`: monolingual, entity, fact and passage examples, and the held-out names.

    Args:
        knowledge_base: folder written by `build_knowledge_base`.
        texts: JSON-lines files of texts.
        pairs: JSON-lines file of article pairs; without it the passage level has no rows.

    Raises:
        InputError: an input that is missing or malformed.
    """
    for path in (*texts, *([pairs] if pairs is not None else [])):
        require_file(path)
    known = KnowledgeBase.load(knowledge_base, settings.languages)
    matcher = NameMatcher(known, read_stop_names(settings.stop_names))
    held_out = hold_out(known, matcher, settings.hold_out, settings.seed)
    translations = Translations(known, blocked_concepts(known, (row.concept for row in held_out)))
    teller = FactTeller(known, translations)
    segmenter = Segmenter(matcher, settings.budgets())
    half_segmenter = Segmenter(matcher, {code: chars // 2 for code, chars in settings.budgets().items()})
    with dataset_folder(output) as draft:
        facts = RowWriter(draft / "fact")
        documents, repeated, levels = _write_text_levels(draft, texts, settings, segmenter, translations, teller, facts)
        if settings.translation_facts:
            for row in translation_facts(known, translations):
                facts.add(row)
        facts.close()
        levels["fact"] = facts.counts
        levels["passage"] = _write_passages(draft, pairs, settings, half_segmenter)
        write_rows(draft / "held_out", HELD_OUT, held_out)
        statistics = CorporaStatistics(documents, repeated, levels, _splits(held_out))
        write_statistics(draft, statistics.as_dict())
        write_corpora_card(draft, settings, statistics)
    return statistics


def _write_text_levels(
    draft: Path,
    texts: Sequence[str | Path],
    settings: CorporaSettings,
    segmenter: Segmenter,
    translations: Translations,
    teller: FactTeller,
    facts: RowWriter,
) -> tuple[dict[str, int], int, dict[str, LevelCounts]]:
    monolingual = RowWriter(draft / "monolingual")
    entities = BalancedWriter(draft / "entity", draft / ".unbalanced", settings.seed)
    documents: Counter[str] = Counter()
    met: set[bytes] = set()
    repeated = 0
    for document in _documents(texts, settings):
        documents[document.language] += 1
        for segment in segmenter.segments(*document):
            digest = hashlib.blake2b(segment.text.encode(), digest_size=8).digest()
            if digest in met:
                repeated += 1
                continue
            met.add(digest)
            monolingual.add(Row(segment.id, "monolingual", segment.language, segment.text, entities=segment.entities()))
            if not segment.matches:
                continue
            if (switched := code_switched(segment, translations, settings.seed)) is not None:
                entities.add(switched)
            if (told := teller.with_facts(segment, settings.seed)) is not None:
                facts.add(told)
    monolingual.close()
    levels = {"monolingual": monolingual.counts, "entity": entities.close().counts}
    if not monolingual.counts.rows:
        raise InputError(", ".join(map(str, texts)), "no text in any object", "give texts that are not blank")
    return dict(sorted(documents.items())), repeated, levels


def _documents(texts: Sequence[str | Path], settings: CorporaSettings) -> Iterator[Document]:
    for path in texts:
        yield from tqdm(
            read_documents(path, settings.languages, settings.text_language),
            desc=Path(path).name,
            unit=" texts",
            mininterval=0.5,
        )


def _write_passages(
    draft: Path, pairs: str | Path | None, settings: CorporaSettings, segmenter: Segmenter
) -> LevelCounts:
    writer = RowWriter(draft / "passage")
    if pairs is not None:
        articles = tqdm(read_article_pairs(pairs, settings.languages), desc=Path(pairs).name, unit=" pairs")
        for row in passage_rows(articles, segmenter, settings.passages, settings.seed):
            writer.add(row)
    writer.close()
    return writer.counts


def _splits(held_out: Sequence[HeldOut]) -> dict[str, int]:
    return dict(sorted(Counter(row.split for row in held_out).items()))
