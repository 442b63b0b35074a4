"""The knowledge base in arrays, beside plain dictionaries."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.corpora.held_out import blocked_concepts
from kbioxlm.dataset_scripts.folder import write_rows
from kbioxlm.dataset_scripts.knowledge.casing import RunningCase
from kbioxlm.dataset_scripts.knowledge.store import KnowledgeBase
from kbioxlm.dataset_scripts.knowledge.string_column import StringColumn, StringIndex
from kbioxlm.dataset_scripts.matching.folding import fold_characters

NAMES = pa.schema(
    [("concept", pa.string()), ("language", pa.string()), ("name", pa.string()), ("preferred", pa.bool_())]
)
RELATIONS = pa.schema([(column, pa.string()) for column in ("subject", "relation", "object")])
PHRASES = pa.schema([(column, pa.string()) for column in ("relation", "language", "name")])
NameRows = list[tuple[str, str, str, bool]]
Nested = dict[str, dict[str, list[str]]]

concepts = st.sampled_from(["C1", "C10", "C2", "HP:7", "Ω", "z"])
words = st.sampled_from(["Toe", "toe", "Pain", "pain", "Down", "(Toe)", "of", "HIV", "肝炎", "é", "Toe-nail", "type-2"])
names = st.lists(words, min_size=1, max_size=4).map(" ".join)
tables = st.dictionaries(
    st.sampled_from(["en", "zh", "de"]),
    st.dictionaries(concepts, st.lists(names, min_size=1, max_size=4, unique=True), max_size=6),
)
facts = st.dictionaries(
    concepts,
    st.dictionaries(concepts, st.lists(st.sampled_from(["isa", "may_treat", "RO"]), min_size=1, unique=True)),
)


def plain_running_case(rows: list[str], language: str, name: str) -> str:
    """What `RunningCase` says it does, one word after another."""

    def capitalised(word: str) -> bool:
        return len(word) > 1 and word[0].isupper() and word[1:].islower()

    edges = "()[]{},;:.'\"-"
    small: Counter[str] = Counter()
    capital: Counter[str] = Counter()
    for row in rows:
        for position, word in enumerate(part.strip(edges) for part in row.split()):
            small[word] += word.islower()
            capital[word.lower()] += position > 0 and not word.islower() and capitalised(word)
    first = name.split(" ")[0].strip(edges)
    low = first.lower()
    unseen = first == name and not small[low] and not capital[low]
    if language == "de" or not capitalised(first):
        return name
    if small[low] > capital[low] or ("-" in low and small[low.split("-")[0]] > capital[low.split("-")[0]]) or unseen:
        place = name.index(first)
        return name[:place] + first[0].lower() + name[place + 1 :]
    return name


def folder_of(folder: Path, rows: NameRows, relations: list[tuple[str, str, str]]) -> Path:
    write_rows(folder / "names", NAMES, rows)
    write_rows(folder / "relations", RELATIONS, relations)
    write_rows(
        folder / "relation_names", PHRASES, [("isa", "zh", "是一种"), ("isa", "en", "is a"), ("isa", "fr", "est")]
    )
    return folder


def plain_names(rows: NameRows, language: str) -> dict[str, list[str]]:
    written = [name for _, code, name, _ in rows if code == language]
    found: dict[str, list[str]] = {}
    for concept, _, name, _ in sorted(
        (row for row in rows if row[1] == language), key=lambda r: (r[0], not r[3], r[2])
    ):
        known = found.setdefault(concept, [])
        cased = plain_running_case(written, language, name)
        if cased not in known:
            known.append(cased)
    return found


def check(base: KnowledgeBase, expected: Nested, related: Nested) -> None:
    """`base` has exactly these names and, between the concepts that have some, these relations."""
    known = {concept for by_concept in expected.values() for concept in by_concept}
    rows = []
    for concept in sorted(known):
        for place, language in enumerate(base.languages):
            found = expected.get(language, {}).get(concept, [])
            assert base.names_of(concept, language) == found
            rows += [(concept, place, number == 0, name) for number, name in enumerate(found)]
    for language in base.languages:
        assert list(base.concepts(language)) == sorted(expected.get(language, {}))
    table = base.name_table()
    assert table.languages == base.languages
    assert table.concepts.to_pylist() == sorted(known)
    assert (table.concept.dtype, table.language.dtype, table.preferred.dtype) == (np.int32, np.uint8, np.bool_)
    of_names = (table.concepts.take(table.concept).to_pylist(), table.language.tolist(), table.preferred.tolist())
    assert list(zip(*of_names, table.names.to_pylist(), strict=True)) == rows
    pairs: dict[tuple[str, str], list[str]] = {}
    for subject in known:
        objects = {object_: sorted(ids) for object_, ids in related.get(subject, {}).items() if object_ in known}
        assert dict(base.relations_of(subject)) == objects
        assert list(base.relations_of(subject)) == sorted(objects)
        pairs |= {(subject, object_): ids for object_, ids in objects.items()}
    assert base.relations_among([*known, "unknown"]) == pairs
    some = set(sorted(known)[::2])
    assert base.relations_among(some) == {key: ids for key, ids in pairs.items() if {*key} <= some}


@settings(max_examples=60, deadline=None)
@given(tables, facts)
def test_it_holds_what_dictionaries_hold(
    tmp_path_factory: pytest.TempPathFactory,
    table: Nested,
    relations: Nested,
) -> None:
    phrases = {("isa", "en"): "is a"}
    base = KnowledgeBase.of(("zh", "en", "de"), table, relations, phrases)
    check(base, table, relations)
    folder = tmp_path_factory.mktemp("saved") / "kb"
    base.save(folder)
    opened = KnowledgeBase.open(folder)
    check(opened, table, relations)
    assert (opened.languages, opened.phrases) == (("zh", "en", "de"), phrases)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(concepts, st.sampled_from(["en", "zh", "de"]), names), max_size=12),
    st.lists(st.tuples(concepts, st.sampled_from(["isa", "RO"]), concepts), max_size=12),
    st.randoms(use_true_random=False),
)
def test_it_is_loaded_as_a_plain_program_would(tmp_path_factory: pytest.TempPathFactory, rows, facts, rng) -> None:
    first = {row[:2]: number for number, row in reversed(list(enumerate(rows)))}
    unique = [(*row, first[row[:2]] == number) for number, row in enumerate(rows)]
    unique += [("C1", "en", "Toe", ("C1", "en") not in first), ("C2", "de", "Zeh", ("C2", "de") not in first)]
    expected = {language: plain_names(unique, language) for language in ("de", "en")}
    related: Nested = {}
    for subject, relation, object_ in set(facts):
        related.setdefault(subject, {}).setdefault(object_, []).append(relation)
    rng.shuffle(unique)
    folder = folder_of(tmp_path_factory.mktemp("loaded") / "kb", unique, facts)
    base = KnowledgeBase.load(folder, ("de", "en"))
    check(base, expected, related)
    assert base.phrases == {("isa", "en"): "is a"}


@settings(max_examples=100, deadline=None)
@given(st.lists(names, max_size=20), st.sampled_from(["en", "de"]), names)
def test_running_case_counts_as_it_says(rows: list[str], language: str, name: str) -> None:
    fitted = RunningCase(iter(rows), language)
    for written in (*rows, name):
        assert fitted(written) == plain_running_case(rows, language, written)


@given(st.lists(st.text(max_size=6), unique=True), st.text(max_size=6))
def test_strings_are_found_where_they_are(values: list[str], other: str) -> None:
    array = pa.array(["before", *values, "behind"], pa.large_string()).slice(1, len(values))
    column = StringColumn.of(array)
    index = StringIndex.of(column)
    assert [column[place] for place in range(len(column))] == column.between(0, len(column)) == values
    assert column.arrow().to_pylist() == values
    assert [index.find(value) for value in values] == list(range(len(values)))
    assert index.find(other) == (values.index(other) if other in values else -1)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    rows = [("C1", "en", "Toe", True), ("C2", "en", "toe pain", True), ("C1", "zh", "脚趾", True)]
    facts = [("C2", "isa", "C1"), ("C1", "RO", "C2"), ("C1", "RO", "C2")]
    contents = []
    for number, order in enumerate((1, -1)):
        folder = folder_of(tmp_path / f"kb{number}", rows[::order], facts[::order])
        KnowledgeBase.load(folder, ("en", "zh")).save(tmp_path / "saved")
        contents.append({path.name: path.read_bytes() for path in (tmp_path / "saved").iterdir()})
    assert contents[0] == contents[1]
    assert json.loads(contents[0]["knowledge_base.json"])["relations"] == ["RO", "isa"]
    assert not list(tmp_path.glob(".*"))


def _names_in_worker(folder: Path) -> list[str]:
    return KnowledgeBase.open(folder).names_of("C1", "en")


def test_workers_open_what_was_saved(tmp_path: Path) -> None:
    KnowledgeBase.of(("en",), {"en": {"C1": ["toe", "digit"]}}, {}, {}).save(tmp_path / "kb")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(_names_in_worker, [tmp_path / "kb"]) == [["toe", "digit"]]


def test_lookups_beyond_the_cache_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kbioxlm.dataset_scripts.knowledge.store.REMEMBERED", 4)
    table = {"en": {f"C{number}": [f"name {number}"] for number in range(300)}}
    base = KnowledgeBase.of(("en",), table, {}, {})
    assert [base.names_of(f"C{number}", "en") for number in range(300)] == [[f"name {number}"] for number in range(300)]
    with pytest.raises(KeyError, match="fr"):
        base.names_of("C1", "fr")


def test_damaged_folders_are_named(tmp_path: Path) -> None:
    base = KnowledgeBase.of(("en",), {"en": {"C1": ["toe", "digit"]}}, {}, {})
    with pytest.raises(InputError, match=r"nothing: no knowledge_base\.json in it; save the"):
        KnowledgeBase.open(tmp_path / "nothing")

    def saved() -> Path:
        base.save(tmp_path / "kb")
        return tmp_path / "kb"

    (saved() / "cells.npy").unlink()
    with pytest.raises(InputError, match=r"kb: no cells\.npy in it"):
        KnowledgeBase.open(tmp_path / "kb")
    (saved() / "names.utf8").write_text("toe")
    with pytest.raises(InputError, match=r"kb: not a saved knowledge base \(3 bytes of strings, not 8\)"):
        KnowledgeBase.open(tmp_path / "kb")
    with (saved() / "names.npy").open("r+b") as stream:
        stream.truncate(130)
    with pytest.raises(InputError, match="kb: not a saved knowledge base"):
        KnowledgeBase.open(tmp_path / "kb")
    description = saved() / "knowledge_base.json"
    description.write_text(description.read_text().replace('"format": 1', '"format": 0'))
    with pytest.raises(InputError, match=r"knowledge_base\.json: format 0, not 1"):
        KnowledgeBase.open(tmp_path / "kb")
    (tmp_path / "thesis").mkdir()
    with pytest.raises(InputError, match="thesis: is something else than a saved knowledge base"):
        base.save(tmp_path / "thesis")


@settings(max_examples=60, deadline=None)
@given(tables, st.lists(concepts, unique=True))
def test_blocked_are_those_that_share_names_in_both(table: Nested, held: list[str]) -> None:
    base = KnowledgeBase.of(("en", "zh", "de"), table, {}, {})

    def folded(concept: str, language: str) -> set[str]:
        return set(map(fold_characters, table.get(language, {}).get(concept, ())))

    known = {concept for by_concept in table.values() for concept in by_concept}
    sharing = {
        other
        for concept in held
        for other in known
        if all(folded(concept, language) & folded(other, language) for language in ("en", "zh"))
    }
    assert blocked_concepts(base, held) == set(held) | sharing


REAL = os.environ.get("KBIOXLM_REAL_DATA")


@pytest.mark.skipif(REAL is None, reason="KBIOXLM_REAL_DATA is not set")
def test_the_open_knowledge_base_is_as_its_files_say(tmp_path: Path) -> None:
    folder = Path(REAL or "") / "open_knowledge_base"
    lines = (folder / "MRCONSO.RRF").read_text(encoding="utf-8").splitlines()
    languages = {"ENG": "en", "JPN": "ja"}
    rows: NameRows = []
    met = set()
    for concept, code, *_, name, _, _, _ in (line.split("|") for line in lines):
        if code in languages:
            rows.append((concept, languages[code], name, (concept, code) not in met))
            met.add((concept, code))
    lines = (folder / "MRREL.RRF").read_text(encoding="utf-8").splitlines()
    facts = [(row[4], row[7] or row[3], row[0]) for row in (line.split("|") for line in lines)]
    base = KnowledgeBase.load(folder_of(tmp_path / "kb", rows, facts), ("en", "ja"))
    expected: Nested = {}
    for language in ("en", "ja"):
        fitted = RunningCase((row[2] for row in rows if row[1] == language), language)
        of_language = (row for row in rows if row[1] == language)
        for concept, _, name, _ in sorted(of_language, key=lambda row: (row[0], not row[3], row[2])):
            known = expected.setdefault(language, {}).setdefault(concept, [])
            if fitted(name) not in known:
                known.append(fitted(name))
    related: Nested = {}
    for subject, relation, object_ in sorted(set(facts)):
        related.setdefault(subject, {}).setdefault(object_, []).append(relation)
    check(base, expected, related)
    assert len(expected["ja"]) > 10_000
