"""How much of an article is about biomedicine, to leave out what the categories let in by accident."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from kbioxlm.dataset_scripts.knowledge.store import KnowledgeBase
from kbioxlm.dataset_scripts.matching.matcher import Match, NameMatcher
from kbioxlm.dataset_scripts.matching.rules import read_rules

TAGGED_CHARACTERS = 2_000


class Relevance(Protocol):
    """Scores texts."""

    def scores(self, texts: Sequence[str], language: str) -> list[float]:
        """For each text, which is in `language`, a number from 0 (off topic) to 1."""
        ...


class EntityDensity:
    """The share of a text's characters, without spaces, that is in names of a knowledge base.

    Args:
        matcher: of the knowledge base in the languages of the texts.
    """

    def __init__(self, matcher: NameMatcher):
        self._matcher = matcher

    @classmethod
    def of_folder(cls, knowledge_base: str | Path, languages: tuple[str, ...]) -> EntityDensity:
        """By the names in a knowledge base folder.

        Raises:
            InputError: not a knowledge base folder, or a language without names.
        """
        names = KnowledgeBase.load(knowledge_base, languages).name_table()
        return cls(NameMatcher.build(names, read_rules()))

    def scores(self, texts: Sequence[str], language: str) -> list[float]:
        found = self._matcher.find_all(texts, [language] * len(texts))
        return [_share(text, matches) for text, matches in zip(texts, found, strict=True)]


class TaggerDensity:
    """The share of a text's characters, without spaces, that a fine-tuned token classifier tags as an entity.

    Only the beginning of a text is read (`TAGGED_CHARACTERS`): an encyclopaedia says first what an article is about.

    Args:
        checkpoint: folder or Hub id of a tagger fine-tuned with train.py.

    Raises:
        InputError: no tagger there.
    """

    def __init__(self, checkpoint: str):
        # torch takes seconds to import, and nothing else here needs it
        from kbioxlm.training.finetuning.tagger import load_tagger

        self._model, self._tokenizer = load_tagger(checkpoint)

    def scores(self, texts: Sequence[str], language: str) -> list[float]:
        from kbioxlm.dataset_scripts.benchmarks.iob import Sentence
        from kbioxlm.training.device import has_fast_bfloat16
        from kbioxlm.training.finetuning.encoders import longest_input
        from kbioxlm.training.finetuning.ner import NerData
        from kbioxlm.training.finetuning.tagger import predict, prepare
        from kbioxlm.training.pretraining.features import word_spans

        heads = [text[:TAGGED_CHARACTERS] for text in texts]
        sentences = tuple(
            Sentence(str(i), str(i), text, (), tuple(word_spans(text)), language) for i, text in enumerate(heads)
        )
        prepared = prepare(NerData("articles", "", sentences), self._tokenizer, longest_input(self._model))
        found = predict(self._model, prepared, bf16=has_fast_bfloat16())
        return [_share(text, spans) for text, spans in zip(heads, found, strict=True)]


class _Spanned(Protocol):
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


def _share(text: str, spans: Sequence[_Spanned] | Sequence[Match]) -> float:
    """Of the characters that are no spaces, those within `spans`, which do not overlap."""
    inside = sum(_solid(text[span.start : span.end]) for span in spans)
    return inside / max(1, _solid(text))


def _solid(text: str) -> int:
    return sum(map(len, text.split()))
