"""Folding and name matching: exact offsets, boundaries, acronyms, stop names."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import numba
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.knowledge.name_table import NameTable
from kbioxlm.dataset_scripts.matching import index_build
from kbioxlm.dataset_scripts.matching.code_points import CODE, CODES, EXPANDED, MARK, code_points
from kbioxlm.dataset_scripts.matching.compiled import compiled
from kbioxlm.dataset_scripts.matching.folding import fold, fold_characters, fold_group, is_boundary, write_alike
from kbioxlm.dataset_scripts.matching.matcher import Match, NameMatcher, is_long_enough
from kbioxlm.dataset_scripts.matching.rules import MatchingRules, read_rules

Names = dict[str, dict[str, list[str]]]


def _reference() -> ModuleType:
    path = Path(__file__).with_name("matching_reference.py")
    specification = importlib.util.spec_from_file_location("matching_reference", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


ReferenceMatcher = _reference().ReferenceMatcher


def table(names: Names) -> NameTable:
    languages = tuple(names)
    rows = sorted(
        (concept, languages.index(language), place, name)
        for language, concepts in names.items()
        for concept, its_names in concepts.items()
        for place, name in enumerate(its_names)
    )
    concepts = sorted({row[0] for row in rows})
    return NameTable(
        languages,
        pa.array(concepts, pa.large_string()),
        np.array([concepts.index(row[0]) for row in rows], np.int32),
        np.array([row[1] for row in rows], np.uint8),
        np.array([row[2] == 0 for row in rows], np.bool_),
        pa.array([row[3] for row in rows], pa.large_string()),
    )


def matcher(names: Names, rules: MatchingRules | None = None) -> NameMatcher:
    return NameMatcher.build(table(names), rules or MatchingRules())


def found(names: Names, text: str, language: str = "en", rules: MatchingRules | None = None) -> list[str]:
    return [text[match.start : match.end] for match in matcher(names, rules).find(text, language)]


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Ｔ细胞，ＩＬ－２", "t细胞,il-2"),
        ("non‐Hodgkin’s\u00a0lymphoma", "non-hodgkin's lymphoma"),
        ("Sjo\u0308gren", "sjögren"),
        ("25 ㎎ ﬁbrin Strauß", "25 mg fibrin strauss"),
        ("ΑΣ ας", "ασ ασ"),
        ("阿爾茨海默病與糖尿病腎病變", "阿尔茨海默病与糖尿病肾病变"),
        ("頭髮頭发", "头发头发"),
    ],
)
def test_folding(text: str, folded: str) -> None:
    assert fold_characters(text) == folded


@given(st.text())
def test_folded_offsets_lead_back(text: str) -> None:
    folded, starts, ends = fold(text)
    if starts is None or ends is None:
        assert len(folded) == len(text)
        return
    assert len(starts) == len(ends) == len(folded)
    assert [start for start in starts if start >= 0][:1] == [0]
    assert ends[-1] == len(text)
    assert sum(start >= 0 for start in starts) == sum(end >= 0 for end in ends)


@pytest.mark.parametrize(
    ("text", "offset", "expected"),
    [
        ("heart failure", 5, True),
        ("heartburn", 5, False),
        ("肝炎病", 2, True),
        ("患HIV者", 1, True),
        ("B12", 1, False),
        ("1.5", 1, False),
        ("1.5", 2, False),
        ("1,000", 1, False),
        ("in 1, then", 4, True),
        ("end.5 mg", 3, True),
        ("Pawe\u0301l", 4, False),
        ("대장암은", 3, True),
    ],
)
def test_boundaries(text: str, offset: int, expected: bool) -> None:
    assert is_boundary(text, offset) is expected


EN = {"en": {"C1": ["heart failure"], "C2": ["heart"], "C3": ["failure of the heart"]}}


def test_the_longest_name_with_boundaries_is_taken() -> None:
    assert found(EN, "Heart failure and heart failures; sweethearts") == ["Heart failure", "heart"]


def test_a_longer_name_that_fails_does_not_hide_a_shorter_one() -> None:
    names = {"en": {"C1": ["liver"], "C2": ["liver cell"]}}
    assert found(names, "liver cells") == ["liver"]


def test_chinese_needs_no_boundaries() -> None:
    names = {"zh": {"C1": ["糖尿病"], "C2": ["糖尿病肾病"], "C3": ["T细胞"]}}
    assert found(names, "患者有糖尿病肾病和糖尿病史，Ｔ细胞减少", "zh") == ["糖尿病肾病", "糖尿病", "Ｔ细胞"]
    assert found(names, "CAT细胞", "zh") == []


def test_offsets_are_those_of_the_original() -> None:
    names = {"en": {"C1": ["sjögren syndrome"], "C2": ["25 mg tablet"]}}
    text = "㎎ Sjo\u0308gren syndrome, 25 ㎎ tablet"
    assert found(names, text) == ["Sjo\u0308gren syndrome", "25 ㎎ tablet"]
    assert found({"en": {"C1": ["abcg"]}}, "abc㎎") == []


def test_short_acronyms_keep_their_case() -> None:
    names = {"en": {"C1": ["ALL"], "C2": ["cat"], "C3": ["AIDS"], "C4": ["ARDS-2"], "C5": ["HPV infection"]}}
    assert found(names, "all cats and a Cat; CAT, ALL, Aids, AIDS, ards-2") == ["Cat", "ALL", "AIDS"]
    assert found(names, "hpv INFECTION") == ["hpv INFECTION"]


def test_names_that_are_too_short_are_left_out() -> None:
    names = {"en": {"C1": ["MI"], "C2": ["12345"], "C3": ["B12"]}, "zh": {"C4": ["癌"], "C5": ["肺癌"]}}
    assert found(names, "MI 12345 B12 癌 肺癌") == ["B12", "肺癌"]


def test_stop_names_say_nothing_and_hide_what_they_hold() -> None:
    stops = MatchingRules(stops=("all", "right"), covers=("不适合", "糖尿病"))
    names = {"en": {"C1": ["ALL"], "C2": ["right"]}, "zh": {"C3": ["不适"], "C4": ["糖尿病"], "C5": ["合并"]}}
    text = "all right, ALL 不适合并 不适 糖尿病"
    assert found(names, text, "zh", stops) == ["ALL", "不适", "糖尿病"]
    assert matcher(names, stops).concepts_named(["Right"]) == [set()]


def test_a_name_of_several_concepts_is_ambiguous_unless_preferred_by_one() -> None:
    names = {"en": {"C2": ["cold"], "C1": ["chilly", "cold"], "C4": ["fever", "heat"], "C3": ["warmth", "heat"]}}
    assert matcher(names).find("cold heat", "en") == [
        Match(0, 4, "C2", "en", False),
        Match(5, 9, "C3", "en", True),
    ]
    assert matcher(names).concepts_named(["Heat"]) == [{"C3", "C4"}]


def test_the_language_of_the_text_goes_first() -> None:
    names = {"en": {"C1": ["aspirin"]}, "es": {"C2": ["aspirin"]}, "zh": {"C3": ["阿司匹林"]}}
    assert [match[2:4] for match in matcher(names).find("aspirin", "es")] == [("C2", "es")]
    assert [match[2:4] for match in matcher(names).find("服用aspirin", "zh")] == [("C1", "en")]


def test_no_names_no_matches() -> None:
    assert found({"en": {}}, "anything") == []


def test_traditional_chinese_is_met_by_simplified_names_and_the_other_way_round() -> None:
    names = {"zh": {"C1": ["糖尿病肾病"], "C2": ["腎結石"]}}
    assert found(names, "糖尿病腎病、肾结石與腎結石", "zh") == ["糖尿病腎病", "肾结石", "腎結石"]


def test_names_may_begin_and_end_with_signs() -> None:
    names = {"en": {"C1": ["CD4+"], "C2": ["CD4+ T cell"], "C3": ["(S)-warfarin"], "C4": ["Meniere'"]}}
    text = "CD4+T cells, CD4+ T cell; x(S)-warfarin (s)-Warfarin; meniere's"
    assert found(names, text) == ["CD4+", "CD4+ T cell", "(S)-warfarin", "(s)-Warfarin", "meniere'"]


def test_spaces_around_a_name_are_not_part_of_it() -> None:
    assert found({"en": {"C1": [" heart\u00a0failure "]}}, "Heart failure.") == ["Heart failure"]


def test_hyphens_of_acronyms_are_folded() -> None:
    assert found({"en": {"C1": ["IL-2"]}}, "IL\u20112, il-2, IL-2") == ["IL\u20112", "IL-2"]


def test_minimal_lengths_are_those_of_the_rules() -> None:
    names = {"en": {"C1": ["pH"], "C2": ["ion"]}, "zh": {"C3": ["癌"], "C4": ["肺癌"]}}
    rules = MatchingRules(minimal_spaced=2, minimal_unspaced=1)
    assert found(names, "pH ion 癌 肺癌 肝癌", "zh", rules) == ["pH", "ion", "癌", "肺癌", "癌"]
    assert found(names, "pH ion 癌 肺癌 肝癌", "zh", MatchingRules(minimal_spaced=4, minimal_unspaced=3)) == []


def test_case_letters_are_those_of_the_rules() -> None:
    names = {"en": {"C1": ["AIDS"], "C2": ["COVID"]}}
    assert found(names, "aids covid", rules=MatchingRules(case_letters=0)) == ["aids", "covid"]
    assert found(names, "aids covid", rules=MatchingRules(case_letters=5)) == []


def test_surrogates_and_nul_are_no_characters_of_names() -> None:
    text = "\x00heart\ud800heart\x00failure\udfff heart failure"
    assert found(EN, text) == ["heart", "heart", "heart failure"]


@pytest.mark.parametrize("text", ["", " ", "\x00", "\u0301", "\ud800", "."])
def test_texts_with_nothing_in_them(text: str) -> None:
    assert matcher(EN).find_all([text, "heart", text], ["en"] * 3) == [[], [Match(0, 5, "C2", "en", False)], []]


def test_a_character_with_many_marks() -> None:
    text = "e" + "\u0301" * 200 + " heart " + "\ufdfa\u0344" * 50 + " heart"
    assert matcher(EN).find(text * 3, "en") == ReferenceMatcher(table(EN), MatchingRules()).find(text * 3, "en")


def test_texts_together_are_as_texts_alone() -> None:
    matching = matcher({**EN, "zh": {"C1": ["心力衰竭"]}})
    texts = ["heart", "", "㎎ Heart failure", "heart fail", "ure 心力", "衰竭心力衰竭", "\u0301heart"] * 9000
    languages = ["en", "zh", "xx"] * 21000
    alone = {key: matching.find(*key) for key in set(zip(texts, languages, strict=True))}
    assert matching.find_all(texts, languages) == [alone[key] for key in zip(texts, languages, strict=True)]


def test_a_text_of_ten_million_characters() -> None:
    text = "no name here, " * 700_000 + "heart failure"
    assert matcher(EN).find(text, "en") == [Match(9_800_000, 9_800_013, "C1", "en", False)]
    assert matcher(EN).find("a" * 10_000_000, "en") == []


def test_names_of_ten_thousand_characters_with_one_long_prefix() -> None:
    stem = "肝" * 9_990
    names = {"zh": {f"C{number:04}": [f"{stem}{number:04}号"] for number in range(300)}}
    matching = matcher(names)
    assert matching.find(f"在{stem}0123号", "zh") == [Match(1, 9_996, "C0123", "zh", False)]
    assert matching.find("肝" * 11_000, "zh") == []


def test_the_shipped_rules_load() -> None:
    shipped = read_rules()
    assert "right" in shipped.stops
    assert "不适合" in shipped.covers
    assert (len(shipped.stops), len(shipped.covers)) == (75, 143)
    assert not set(shipped.stops) & set(shipped.covers)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stop: [right]\n", r"rules.yaml: unknown key 'stop'; known are minimal_spaced, .*, stops, covers"),
        ("minimal_spaced: many\n", r"rules.yaml: minimal_spaced: 'many'; Input should be a valid integer"),
        ("minimal_unspaced: 0\n", r"rules.yaml: minimal_unspaced: 0; Input should be greater than or equal to 1"),
        ("stops: [right, 12]\n", r"rules.yaml: stops.1: 12; Input should be a valid string"),
        ("covers: [' ']\n", r"rules.yaml: covers.0: ' '; String should have at least 1"),
        ("- right\n", r"rules.yaml: not keys with values: \['right'\]"),
        ("stops: [right\ncovers: x\n", r"rules.yaml:\d: not YAML"),
        ("", r"rules.yaml: the file is empty"),
    ],
)
def test_bad_rules_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_rules(path)


def test_the_tables_are_the_folding() -> None:
    tables = code_points()
    for form, folded, expansions in (
        (fold_group, tables.folded, tables.expansions),
        (write_alike, tables.written, tables.written_expansions),
    ):
        for code in [*range(0x3100), *range(0x3100, 0x30000, 7), *range(0xF900, 0x10000), 0xD800, 0x10FFFF]:
            value = int(folded[code])
            if value == MARK:
                continue
            number = value & ~int(EXPANDED)
            values = [value]
            if value & EXPANDED:
                values = expansions.characters[expansions.offsets[number] : expansions.offsets[number + 1]].tolist()
            assert "".join(chr(one & int(CODE)) for one in values) == form(chr(code)), hex(code)
    assert tables.folded[CODES] & CODE == CODES


def test_a_saved_matcher_is_the_same_and_its_bytes_too(tmp_path: Path) -> None:
    names = {"en": {"C1": ["ALL"], "C2": ["Heart failure", "cardiac failure"]}, "zh": {"C2": ["心力衰竭"]}}
    built = matcher(names, MatchingRules(stops=("all",), covers=("心力衰竭期",)))
    for folder in ("one", "two", "two"):
        built.save(tmp_path / folder)
    contents = [{path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()} for folder in ("one", "two")]
    assert contents[0] == contents[1]
    opened = NameMatcher.open(tmp_path / "one")
    text = "ALL all heart failure 心力衰竭 心力衰竭期"
    assert (
        opened.find(text, "en")
        == built.find(text, "en")
        == [
            Match(0, 3, "C1", "en", False),
            Match(8, 21, "C2", "en", False),
            Match(22, 26, "C2", "zh", False),
        ]
    )
    asked = [" Cardiac FAILURE", "cardiac", "", "cardiac failures", "e\u0301 cardiac failure", "cardiac\u00a0failure"]
    assert opened.concepts_named(asked) == [{"C2"}, set(), set(), set(), set(), {"C2"}]
    assert opened.concepts_named([]) == []


def _cut(folder: Path) -> None:
    path = folder / "patterns.npy"
    path.write_bytes(path.read_bytes()[:-3])


def _flip(folder: Path) -> None:
    path = folder / "slots.npy"
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)


def _pickle(folder: Path) -> None:
    np.save(folder / "entry_offsets.npy", np.array([{}], dtype=object), allow_pickle=True)


def _rewrite(folder: Path, old: str, new: str) -> None:
    path = folder / "index.json"
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut, r"patterns.npy: missing or damaged"),
        (_flip, r"slots.npy: damaged: its checksum is another; build the index again"),
        (_pickle, r"entry_offsets.npy: missing or damaged"),
        (lambda folder: (folder / "written.npy").unlink(), r"written.npy: missing or damaged"),
        (lambda folder: (folder / "index.json").unlink(), r"no index.json in it"),
        (lambda folder: (folder / "index.json").write_text("{"), r"index.json: not JSON"),
        (lambda folder: (folder / "index.json").write_text("[]"), r"index.json: not a JSON object"),
        (lambda folder: _rewrite(folder, '"version": 1', '"version": 0'), r"index.json: version 0, and this program"),
        (lambda folder: _rewrite(folder, '"unicode": "', '"unicode": "0'), r"index.json: unicode '0"),
        (lambda folder: _rewrite(folder, '"seed"', '"seeds"'), r"index.json: incomplete"),
        (lambda folder: _rewrite(folder, '"slots"', '"slotz"'), r"slotz.npy: missing or damaged"),
    ],
)
def test_damaged_folders_are_named(tmp_path: Path, damage: object, message: str) -> None:
    matcher(EN).save(tmp_path / "names")
    damage(tmp_path / "names")  # type: ignore[operator]
    with pytest.raises(InputError, match=message):
        NameMatcher.open(tmp_path / "names")


def test_other_folders_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    with pytest.raises(InputError, match="is there, and is not an index of names"):
        matcher(EN).save(tmp_path)
    assert (tmp_path / "mine").is_file()


def test_long_enough() -> None:
    assert [is_long_enough(name) for name in ("b12", "mi", "123", "癌", "肺癌", "癌a")] == [
        True,
        False,
        False,
        False,
        True,
        True,
    ]


LETTERS = "abAＢé. ,1２肝髒脏髮ﬁ㎎ß\u0301-–'’+αΣςかガｶﾞกี่😀\x00"
NAMES = st.text(LETTERS, min_size=1, max_size=6)
RULES = st.builds(
    MatchingRules,
    minimal_spaced=st.integers(1, 3),
    minimal_unspaced=st.integers(1, 2),
    case_letters=st.sampled_from([0, 4]),
    stops=st.lists(NAMES.filter(str.strip), max_size=2).map(tuple),
    covers=st.lists(NAMES.filter(str.strip), max_size=2).map(tuple),
)
TABLES = st.dictionaries(
    st.sampled_from(["en", "zh", "ja"]),
    st.dictionaries(st.sampled_from(["C1", "C2", "C3"]), st.lists(NAMES, min_size=1, max_size=4, unique=True)),
    min_size=1,
)


@settings(max_examples=400, deadline=None)
@given(
    TABLES, RULES, st.lists(st.text(LETTERS + "\ud800", max_size=24), max_size=4), st.sampled_from(["en", "zh", "xx"])
)
def test_matches_are_those_of_the_reference(
    names: Names, rules: MatchingRules, texts: list[str], language: str
) -> None:
    names_table = table(names)
    matching, reference = NameMatcher.build(names_table, rules), ReferenceMatcher(names_table, rules)
    texts = [*texts, "".join(names_table.names.to_pylist()), " ".join(names_table.names.to_pylist()).upper()]
    assert matching.find_all(texts, [language] * len(texts)) == [reference.find(text, language) for text in texts]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.text("ab 肝", min_size=2, max_size=9), min_size=20, max_size=60, unique=True),
    st.text("ab 肝", max_size=60),
)
def test_names_that_share_prefixes(names: list[str], text: str) -> None:
    names_table = table({"en": {f"C{number:02}": [name] for number, name in enumerate(names)}})
    rules = MatchingRules(minimal_spaced=1, minimal_unspaced=1, case_letters=0)
    reference = ReferenceMatcher(names_table, rules)
    for part in (text, "".join(names), " ".join(names)):
        assert NameMatcher.build(names_table, rules).find(part, "en") == reference.find(part, "en")


def test_prefixes_that_share_a_hash_make_another_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    built = index_build._built
    seeds = []

    def collides_first(*arguments: object) -> object:
        seeds.append(arguments[-1])
        if len(seeds) == 1:
            raise index_build.CollisionError
        return built(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(index_build, "_built", collides_first)
    assert found(EN, "heart failure") == ["heart failure"]
    assert len(set(seeds)) == 2


def test_an_index_that_grows_stays_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_build, "_room", lambda names, characters: (64, 4, 64, 4))
    names = {
        "en": {f"C{number:05}": [f"Factor {number:05} {'x' * (number % 50)}y", f"F{number}"] for number in range(3000)}
    }
    matching = matcher(names)
    for number in (0, 1, 1499, 2999):
        text = f"F{number}, factor {number:05} {'x' * (number % 50)}y"
        assert [match.concept for match in matching.find(text, "en")] == [f"C{number:05}"] * len(
            matching.find(text, "en")
        )
        assert matching.find(text, "en")[-1].end == len(text)


REAL = os.environ.get("KBIOXLM_REAL_DATA")
UMLS = {"ENG": "en", "CHI": "zh", "JPN": "ja", "SPA": "es", "FRE": "fr", "POR": "pt", "GER": "de", "ITA": "it"}


@pytest.mark.skipif(REAL is None, reason="KBIOXLM_REAL_DATA is not set")
def test_real_names_in_real_texts_are_those_of_the_reference() -> None:
    names: Names = {language: {} for language in UMLS.values()}
    with Path(str(REAL), "open_knowledge_base", "MRCONSO.RRF").open(encoding="utf-8") as lines:
        for fields in (line.split("|") for line in lines):
            names[UMLS[fields[1]]].setdefault(fields[0], []).append(fields[14])
    names_table = _large_table(names)
    assert len(names_table.names) > 130_000
    rules = read_rules()
    matching, reference = NameMatcher.build(names_table, rules), ReferenceMatcher(names_table, rules)
    for language in ("en", "zh"):
        texts = list(_texts(language))[::40]
        matches = matching.find_all(texts, [language] * len(texts))
        assert matches == [reference.find(text, language) for text in texts]
        assert sum(map(len, matches)) > 1000


def _texts(language: str) -> Iterator[str]:
    with gzip.open(Path(str(REAL), "corpora", f"{language}.jsonl.gz"), "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["text"]


def _large_table(names: Names) -> NameTable:
    languages: Sequence[str] = tuple(names)
    rows = sorted(
        (concept, place, name)
        for place, language in enumerate(languages)
        for concept, its_names in names[language].items()
        for name in dict.fromkeys(its_names)
    )
    concepts = sorted({row[0] for row in rows})
    places = {concept: place for place, concept in enumerate(concepts)}
    preferred = [place == 0 or row[:2] != rows[place - 1][:2] for place, row in enumerate(rows)]
    return NameTable(
        tuple(languages),
        pa.array(concepts, pa.large_string()),
        np.array([places[row[0]] for row in rows], np.int32),
        np.array([row[1] for row in rows], np.uint8),
        np.array(preferred, np.bool_),
        pa.array([row[2] for row in rows], pa.large_string()),
    )


def test_where_no_kernel_can_be_kept_it_is_compiled_all_the_same() -> None:
    namespace: dict[str, Callable[[int], int]] = {}
    exec(compile("def kernel(x):\n    return x + 1", "<in no file>", "exec"), namespace)
    with pytest.raises(RuntimeError, match="cannot cache"):
        numba.njit(cache=True)(namespace["kernel"])
    assert compiled(namespace["kernel"])(1) == 2
