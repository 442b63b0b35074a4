"""Name matching beside the peers: the same folded names and texts, correct spans only.

Correct are the leftmost-longest among the names that respect boundaries. The automata give all overlapping matches,
from which those are chosen; their own leftmost-longest mode would lose valid short names.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from harness import Row, in_own_process, in_turn, less_is_better, more_is_better, report
from names import names, texts

SIZES = (200_000, 2_000_000)
MEGABYTES = {200_000: 4.0, 2_000_000: 4.0}
ROUNDS = 5
SPACY_LIMIT = 200_000
GOALS = {
    (200_000, "en"): 4.0,
    (200_000, "zh"): 1.2,
    (2_000_000, "en"): 4.0,
    (2_000_000, "zh"): 1.5,
}
Span = tuple[int, int, int]


def keys(listed: list[tuple[str, str]]) -> list[str]:
    """The folded names, those that are long enough; letter case is folded for all, as the peers can."""
    from kbioxlm.dataset_scripts.matching.folding import fold_characters
    from kbioxlm.dataset_scripts.matching.matcher import is_long_enough

    folded = dict.fromkeys(fold_characters(name).strip(" ") for name, _ in listed)
    return [name for name in folded if is_long_enough(name)]


def boundaries(kinds: Any) -> Any:
    """Of each offset of folded characters between separators, whether a name may begin or end there."""
    import numpy as np

    from kbioxlm.dataset_scripts.matching.code_points import DIGIT, POINT, WORD

    padded = np.zeros(len(kinds) + 3, np.uint32)
    padded[2:-1] = kinds
    word, digit, point = ((padded & kind) != 0 for kind in (WORD, DIGIT, POINT))
    inside = word[1:-2] & word[2:-1]
    inside |= digit[1:-2] & point[2:-1] & digit[3:]
    inside |= digit[:-3] & point[1:-2] & digit[2:-1]
    return ~inside


def chosen(batch: list[str], find: Callable[[str], list[Span]], start_at: int = 0) -> list[list[tuple[int, int]]]:
    """Of overlapping matches, the leftmost-longest that respect boundaries, in the original texts.

    The peers get our compiled folding, and a look-up of boundaries made for all texts at once.

    Args:
        batch: texts, searched as one, with line ends between them, which no folded name has.
        find: gives the matches in a folded text.
        start_at: where in a match its start is; its end comes next.
    """
    import numpy as np

    from kbioxlm.dataset_scripts.matching.batches import folded_batch
    from kbioxlm.dataset_scripts.matching.code_points import CODE, SEPARATOR, code_points

    folded = folded_batch(batch, np.zeros(len(batch), np.uint8), code_points())
    codes = folded.folded & CODE
    codes[codes == SEPARATOR] = ord("\n")
    places = folded.places if len(folded.places) else np.arange(len(codes), dtype=np.int32)
    allowed = (boundaries(folded.folded) & (places >= 0)).tobytes()
    end_at = start_at + 1
    hits = find(codes.tobytes().decode("utf-32-le", "surrogatepass"))
    hits = [hit for hit in hits if allowed[hit[start_at]] and allowed[hit[end_at]]]
    hits.sort(key=lambda hit: (hit[start_at], -hit[end_at]))
    spans: list[list[tuple[int, int]]] = [[] for _ in batch]
    free, text, begin, end_of_text = 0, -1, 0, 1
    origins = places.tolist() if len(folded.places) else None
    for hit in hits:
        start, end = hit[start_at], hit[end_at]
        if start >= free:
            free = end
            if origins is not None:
                start, end = origins[start], origins[end]
            while start >= end_of_text:
                text += 1
                begin, end_of_text = end_of_text, end_of_text + len(batch[text]) + 1
            spans[text].append((start - begin, end - begin))
    return spans


def in_batches(found: Callable[[list[str]], list[Any]]) -> Callable[[list[str]], list[Any]]:
    """`found` of a hundred texts at a time."""
    return lambda batch: [spans for start in range(0, len(batch), 100) for spans in found(batch[start : start + 100])]


def table_of(listed: list[tuple[str, str]]) -> Any:
    """Names as the knowledge base gives them."""
    import numpy as np
    import pyarrow as pa

    from kbioxlm.dataset_scripts.knowledge.name_table import NameTable

    order = np.arange(len(listed), dtype=np.int32)
    column = pa.array([name for name, _ in listed], pa.large_string())
    concepts = pa.array([f"C{number:07}" for number in order.tolist()], pa.large_string())
    return NameTable(("en",), concepts, order, np.zeros(len(order), np.uint8), np.ones(len(order), np.bool_), column)


def ours(table: Any) -> Callable[[list[str]], Any]:
    """Our matcher, letter case folded for all names. The result is arrays of text, start and end."""
    from kbioxlm.dataset_scripts.matching.matcher import NameMatcher
    from kbioxlm.dataset_scripts.matching.rules import MatchingRules

    matcher = NameMatcher.build(table, MatchingRules(case_letters=0))
    return lambda batch: [*matcher.find_spans(batch, ["en"] * len(batch))]


def automaton(library: str) -> Callable[[list[str]], Callable[[list[str]], list[list[tuple[int, int]]]]]:
    """A peer that finds overlapping matches."""

    def build(folded_names: list[str]) -> Callable[[list[str]], list[list[tuple[int, int]]]]:
        if library == "daachorse":
            import daachorse

            find = daachorse.CharwiseDoubleArrayAhoCorasick(folded_names).find_overlapping
        else:
            import ahocorasick_rs

            automaton_ = ahocorasick_rs.AhoCorasick(folded_names, store_patterns=False)
            return in_batches(
                lambda batch: chosen(batch, partial(automaton_.find_matches_as_indexes, overlapping=True), 1)
            )
        return in_batches(lambda batch: chosen(batch, find))

    return build


def spacy_phrases(folded_names: list[str]) -> Callable[[list[str]], list[list[tuple[int, int]]]]:
    """spaCy's PhraseMatcher and filter_spans, on a tokenizer that cuts where names may begin or end."""
    import re

    import spacy
    from spacy.matcher import PhraseMatcher
    from spacy.tokens import Doc
    from spacy.util import filter_spans

    from kbioxlm.dataset_scripts.matching.folding import is_unspaced

    vocabulary = spacy.blank("xx").vocab
    pieces = re.compile(r"[^\W_]+|\s|.", re.DOTALL)

    def cut(text: str) -> Doc:
        words = []
        for piece in pieces.findall(text):
            words.extend(piece if any(map(is_unspaced, piece)) else [piece])
        return Doc(vocabulary, words=words, spaces=[False] * len(words))

    matcher = PhraseMatcher(vocabulary)
    for start in range(0, len(folded_names), 10_000):
        matcher.add("name", [cut(name) for name in folded_names[start : start + 10_000]])

    def find(text: str) -> list[Span]:
        return [(span.start_char, span.end_char, 0) for span in filter_spans(matcher(cut(text), as_spans=True))]

    return in_batches(lambda batch: chosen(batch, find))


def authors_method(listed: list[tuple[str, str]]) -> Callable[[list[str]], list[list[tuple[int, int]]]]:
    """The method that the paper describes: runs of at most five words, looked up as they are written."""
    known = {name for name, _ in listed}

    def found(batch: list[str]) -> list[list[tuple[int, int]]]:
        result = []
        for text in batch:
            words, spans, place = text.split(), [], 0
            while place < len(words):
                for length in range(min(5, len(words) - place), 0, -1):
                    if " ".join(words[place : place + length]) in known:
                        spans.append((place, place + length))
                        place += length
                        break
                else:
                    place += 1
            result.append(spans)
        return result

    return found


def build_alone(name: str, data: str, count: int) -> tuple[float, float]:
    """Seconds to build, and by how many bytes the process grew at its largest."""
    listed = names(Path(data), count)
    prepared: Any = table_of(listed) if name == "ours" else keys(listed)
    del listed
    if name == "ours":
        ours(table_of([("some name", "en")]))  # the kernels are compiled or loaded
    _reset_peak()
    before = _resident()
    start = time.perf_counter()
    built = BUILDERS[name](prepared)
    seconds = time.perf_counter() - start
    del built
    return seconds, _peak() - before


def _status(key: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def _resident() -> float:
    return _status("VmRSS:")


def _peak() -> float:
    return _status("VmHWM:")


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


BUILDERS: dict[str, Callable[..., Any]] = {
    "ours": ours,
    "ahocorasick-rs": automaton("ahocorasick-rs"),
    "daachorse": automaton("daachorse"),
    "spaCy": spacy_phrases,
}


def spans_of(result: Any, texts_of: list[str]) -> list[list[tuple[int, int]]]:
    """Our arrays as the peers' lists."""
    if not result or isinstance(result[0], list):
        return result
    spans: list[list[tuple[int, int]]] = [[] for _ in texts_of]
    for part in result:
        for text, start, end in zip(part.text.tolist(), part.start.tolist(), part.end.tolist(), strict=True):
            spans[text].append((start, end))
    return spans


def speed(data: Path, count: int) -> tuple[list[Row], dict[str, Any]]:
    """The rows of one number of names."""
    listed = names(data, count)
    folded = keys(listed)
    matchers = {"ours": ours(table_of(listed))}
    for name in ("ahocorasick-rs", "daachorse", *(["spaCy"] if count <= SPACY_LIMIT else [])):
        print(f"building {name} of {count:,} names", file=sys.stderr)
        matchers[name] = BUILDERS[name](folded)
    matchers["authors' method"] = authors_method(listed)
    rows, notes = [], {}
    for language in ("en", "zh"):
        batch = texts(data, language, MEGABYTES[count])
        megabytes = sum(len(text.encode()) for text in batch) / 1e6
        results = {name: spans_of(matcher(batch), batch) for name, matcher in matchers.items()}
        wrong = {
            name: sum(one != other for one, other in zip(spans, results["ours"], strict=True))
            for name, spans in results.items()
            if name not in ("ours", "authors' method")
        }
        notes[f"{count} {language}: texts where spans differ from ours"] = wrong
        seconds = in_turn({name: partial(matcher, batch) for name, matcher in matchers.items()}, ROUNDS)
        rates = {name: megabytes / time_ for name, time_ in seconds.items()}
        best = max((name for name in wrong if not wrong[name]), key=rates.__getitem__, default="none")
        for name in rates:
            if name != "ours":
                goal = GOALS[count, language] if name == best else None
                rows.append(
                    more_is_better(f"{count:,} names, {language}", "MB/s", rates["ours"], rates[name], name, goal)
                )
    return rows, notes


def build_rows(data: Path, count: int) -> list[Row]:
    """Seconds and bytes to build, each in a process of its own."""
    measured = {}
    for name in ("ours", "ahocorasick-rs", "daachorse"):
        print(f"building {name} of {count:,} names alone", file=sys.stderr)
        measured[name], _ = in_own_process(build_alone, name, str(data), count)
    peers = [name for name in measured if name != "ours"]
    rows = []
    for place, (what, unit, scale, goal) in enumerate((("build", "s", 1.0, 10.0), ("memory", "GB", 1e9, 5.0))):
        best = min(peers, key=lambda name, place=place: measured[name][place])  # type: ignore[misc]
        for name in peers:
            ours_, peer = measured["ours"][place] / scale, measured[name][place] / scale
            wanted = goal if name == best and count > SPACY_LIMIT else None
            rows.append(less_is_better(f"{count:,} names, {what}", unit, ours_, peer, name, wanted))
    return rows


def main() -> int:
    """Measure all; 2 if there is nothing to measure with."""
    folder = os.environ.get("KBIOXLM_REAL_DATA")
    if not folder or not Path(folder).is_dir():
        print("bench/matching.py needs the real data: set KBIOXLM_REAL_DATA to its folder", file=sys.stderr)
        return 2
    rows: list[Row] = []
    notes: dict[str, Any] = {}
    for count in SIZES:
        found, said = speed(Path(folder), count)
        rows += [*found, *build_rows(Path(folder), count)]
        notes |= said
    report("matching", rows, notes)
    for note, values in notes.items():
        print(f"{note}: {values}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
