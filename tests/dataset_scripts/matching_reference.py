"""Name matching by trying every span, in plain Python: slow, and easy to see to be right."""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

from kbioxlm.dataset_scripts.knowledge.name_table import NameTable
from kbioxlm.dataset_scripts.matching.folding import (
    fold,
    fold_characters,
    groups,
    in_spaced_word,
    is_boundary,
    is_unspaced,
    write_alike,
)
from kbioxlm.dataset_scripts.matching.matcher import Match
from kbioxlm.dataset_scripts.matching.rules import MatchingRules


class Entry(NamedTuple):
    concept: str
    language: str
    preferred: bool
    written: str


def written(text: str) -> str:
    return "".join(map(write_alike, groups(text))).strip(" ")


class ReferenceMatcher:
    def __init__(self, table: NameTable, rules: MatchingRules):
        self.languages = table.languages
        self.rules = rules
        self.stops = {fold_characters(name).strip(" ") for name in rules.stops} - {""}
        self.entries: dict[str, list[Entry]] = {}
        concepts = table.concepts.to_pylist()
        for concept, language, preferred, name in zip(
            table.concept.tolist(),
            table.language.tolist(),
            table.preferred.tolist(),
            table.names.to_pylist(),
            strict=True,
        ):
            key = fold_characters(name).strip(" ")
            acronym = self.is_short(key) and written(name).isupper()
            if self.is_long_enough(key) and (key not in self.stops or acronym):
                entry = Entry(concepts[concept], table.languages[language], preferred, written(name))
                self.entries.setdefault(key, []).append(entry)
        self.silent = self.stops | ({fold_characters(name).strip(" ") for name in rules.covers} - {""})
        self.keys = self.entries.keys() | self.silent
        self.longest = max(map(len, self.keys), default=0)
        self.prefixes = {key[:length] for key in self.keys for length in range(1, min(len(key), 40) + 1)}

    def is_long_enough(self, key: str) -> bool:
        if any(map(is_unspaced, key)):
            return sum(unicodedata.category(character)[0] in "LN" for character in key) >= self.rules.minimal_unspaced
        return any(map(str.isalpha, key)) and sum(map(in_spaced_word, key)) >= self.rules.minimal_spaced

    def is_short(self, key: str) -> bool:
        return sum(map(str.isalpha, key)) <= self.rules.case_letters and not any(map(is_unspaced, key))

    def resolve(self, key: str, language: str, original: str) -> Match | None:
        """The match without its place; None if the span is not taken. One without a concept hides what is inside."""
        entries = self.entries.get(key, [])
        if self.is_short(key):
            entries = [
                entry
                for entry in entries
                if (entry.written == written(original) if entry.written.isupper() else not written(original).isupper())
            ]
        for candidate in (language, *self.languages):
            of_language = [entry for entry in entries if entry.language == candidate]
            if of_language:
                concepts = sorted({entry.concept for entry in of_language})
                preferred = sorted({entry.concept for entry in of_language if entry.preferred})
                if len(concepts) > 1 and len(preferred) == 1:
                    concepts = preferred
                return Match(0, 0, concepts[0], candidate, len(concepts) > 1)
        return Match(0, 0, "", "", False) if key in self.silent else None

    def find(self, text: str, language: str) -> list[Match]:
        folded, starts, ends = fold(text)
        starts = list(range(len(text))) if starts is None else starts
        ends = list(range(1, len(text) + 1)) if ends is None else ends
        matches: list[Match] = []
        free = 0
        for start in range(len(folded)):
            if start < free or starts[start] < 0 or not is_boundary(folded, start):
                continue
            candidates = []
            for end in range(start + 1, min(len(folded), start + self.longest) + 1):
                if end - start <= 40 and folded[start:end] not in self.prefixes:
                    break
                if folded[start:end] in self.keys:
                    candidates.append(end)
            for end in reversed(candidates):
                if ends[end - 1] < 0 or not is_boundary(folded, end):
                    continue
                first, last = starts[start], ends[end - 1]
                match = self.resolve(folded[start:end], language, text[first:last])
                if match is not None:
                    free = end
                    if match.concept:
                        matches.append(Match(first, last, *match[2:]))
                    break
        return matches
