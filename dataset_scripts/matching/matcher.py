"""Finding the names of a knowledge base in text.

All names of all languages are in one Aho-Corasick automaton. The matches taken are the leftmost-longest among
those that respect boundaries; an automaton's own leftmost-longest mode, filtered afterwards, would lose a valid
short name wherever a longer one fails.

The automaton is daachorse's character-wise one. Beside ahocorasick-rs, with the 61,769 English and Chinese names
of an open knowledge base, overlapping matches on one core of a small cloud machine: 47 against 45 MB/s on English
text, 84 against 54 MB/s on Chinese text, with the same matches; it is built in 0.5 against 0.35 s.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import daachorse

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import read_lines
from kbioxlm.dataset_scripts.knowledge.store import KnowledgeBase
from kbioxlm.dataset_scripts.matching.folding import fold, fold_characters, in_spaced_word, is_boundary, is_unspaced

STOP_NAMES = Path(__file__).with_name("stop_names.tsv")
SHORT_LETTERS = 4
MINIMAL_SPACED = 3
MINIMAL_UNSPACED = 2


class Match(NamedTuple):
    """A name in a text: `text[start:end]`.

    Attributes:
        concept: the concept named; of several, the first in order (then `ambiguous`).
        language: the language the name is in, that of the text where it has the name too.
        ambiguous: whether the name stands for several concepts and is the preferred name of none or of several.
    """

    start: int
    end: int
    concept: str
    language: str
    ambiguous: bool


class _Entry(NamedTuple):
    concept: str
    language: str
    preferred: bool
    written: str


class StopNames(NamedTuple):
    """Folded names of which nothing is made. Like all names they are found leftmost-longest, and so hide what is
    inside them.

    Attributes:
        stops: not meant as a concept in most texts ("right", "position"). An acronym written alike ("ALL") is.
        covers: words that hold a name by accident, as 不适合 ("does not suit") holds 不适 ("discomfort"). A cover
            that is itself a name of the knowledge base counts as a name.
    """

    stops: frozenset[str] = frozenset()
    covers: frozenset[str] = frozenset()


_NO_STOP_NAMES = StopNames()
_SILENT = Match(0, 0, "", "", False)


class NameMatcher:
    """All usable names of a knowledge base as one automaton.

    Args:
        knowledge_base: whose names, in all its languages.
        stop_names: names of which nothing is made.
    """

    def __init__(self, knowledge_base: KnowledgeBase, stop_names: StopNames = _NO_STOP_NAMES):
        self._languages = knowledge_base.languages
        self._entries: dict[str, list[_Entry]] = {}
        for language, concepts in knowledge_base.names.items():
            for concept, names in concepts.items():
                for position, name in enumerate(names):
                    key = fold_characters(name)
                    if is_long_enough(key) and (key not in stop_names.stops or (_is_short(key) and name.isupper())):
                        entry = _Entry(concept, language, position == 0, _width_folded(name))
                        self._entries.setdefault(key, []).append(entry)
        self._stops = stop_names.stops
        self._silent = stop_names.covers - self._entries.keys()
        self._keys = sorted(self._entries.keys() | stop_names.stops | self._silent)
        self._short = [_is_short(key) for key in self._keys]
        self._resolved: dict[tuple[int, str], Match | None] = {}
        self._automaton = daachorse.CharwiseDoubleArrayAhoCorasick(self._keys) if self._keys else None

    def find(self, text: str, language: str) -> list[Match]:
        """The names in `text`, which is in `language`: leftmost-longest, in order, never overlapping."""
        if self._automaton is None:
            return []
        folded, starts, ends = fold(text)
        hits = self._automaton.find_overlapping(folded)
        if len(hits) > 1:
            hits.sort(key=itemgetter(1), reverse=True)
            hits.sort(key=itemgetter(0))
        matches: list[Match] = []
        free = 0
        for start, end, pattern in hits:
            if start < free or not is_boundary(folded, start) or not is_boundary(folded, end):
                continue
            first = start if starts is None else starts[start]
            last = end if ends is None else ends[end - 1]
            if first < 0 or last < 0:
                continue
            if self._short[pattern]:
                resolved = self._resolve(pattern, language, _width_folded(text[first:last]))
            else:
                key = (pattern, language)
                if key not in self._resolved:
                    self._resolved[key] = self._resolve(pattern, language, None)
                resolved = self._resolved[key]
            if resolved is None:
                continue
            free = end
            if resolved is not _SILENT:
                matches.append(Match(first, last, resolved.concept, resolved.language, resolved.ambiguous))
        return matches

    def concepts_named(self, name: str) -> set[str]:
        """All concepts that have `name`, in any language and letter case; none if it is too short or a stop name."""
        return {entry.concept for entry in self._entries.get(fold_characters(name), ())}

    def _resolve(self, pattern: int, language: str, written: str | None) -> Match | None:
        """The concept and language of a name, as a match without a place; None if it was not written like the name."""
        key = self._keys[pattern]
        entries: Iterable[_Entry] = self._entries.get(key, ())
        if written is not None:
            entries = [entry for entry in entries if _written_alike(entry.written, written)]
        by_language: dict[str, list[_Entry]] = {}
        for entry in entries:
            by_language.setdefault(entry.language, []).append(entry)
        for candidate in (language, *self._languages):
            if candidate in by_language:
                found = by_language[candidate]
                concepts = sorted({entry.concept for entry in found})
                if len(concepts) > 1:
                    preferred = sorted({entry.concept for entry in found if entry.preferred})
                    concepts = preferred if len(preferred) == 1 else concepts
                return Match(0, 0, concepts[0], candidate, len(concepts) > 1)
        return _SILENT if key in self._stops or key in self._silent else None


def read_stop_names(path: str | Path = STOP_NAMES) -> StopNames:
    """The names of a tab-separated file with the header `name kind`, kind being `stop` or `cover`.

    Raises:
        InputError: a missing or empty file, another header, a line that is not a name and a kind.
    """
    names: dict[str, set[str]] = {"stop": set(), "cover": set()}
    for line, text in read_lines(path):
        row = text.split("\t")
        if line == 1:
            if row != ["name", "kind"]:
                raise InputError(path, f"header {shown(text)}", "begin with the columns name, kind", line=1)
            continue
        if len(row) != 2 or not row[0].strip() or row[1] not in names:
            raise InputError(path, f"cannot use {shown(text)}", "write a name, a tab, and stop or cover", line=line)
        names[row[1]].add(fold_characters(row[0].strip()))
    return StopNames(frozenset(names["stop"]), frozenset(names["cover"]))


def is_long_enough(folded: str) -> bool:
    """Whether a folded name is long enough to be told in text: 2 characters of Han and the like, 3 letters or digits
    with a letter among them otherwise."""
    unspaced = sum(map(is_unspaced, folded))
    if unspaced:
        return sum(unicodedata.category(character)[0] in "LN" for character in folded) >= MINIMAL_UNSPACED
    letters = sum(character.isalpha() for character in folded)
    return letters > 0 and sum(map(in_spaced_word, folded)) >= MINIMAL_SPACED


def _is_short(folded: str) -> bool:
    return sum(map(str.isalpha, folded)) <= SHORT_LETTERS and not any(map(is_unspaced, folded))


def _width_folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _written_alike(name: str, written: str) -> bool:
    """For short names: an acronym is met only as it is written, and a word never by an acronym."""
    return name == written if name.isupper() else not written.isupper()
