"""Entity, fact and passage examples, held-out concepts."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.corpora.entity_level import MAX_REPLACED, code_switched, replaced
from kbioxlm.dataset_scripts.corpora.fact_level import FactTeller, translation_facts
from kbioxlm.dataset_scripts.corpora.held_out import blocked_concepts, hold_out
from kbioxlm.dataset_scripts.corpora.passage_level import passage_rows
from kbioxlm.dataset_scripts.corpora.readers import ArticlePair
from kbioxlm.dataset_scripts.corpora.rows import Entity, RelationSpan, Row
from kbioxlm.dataset_scripts.corpora.segments import Segment, Segmenter
from kbioxlm.dataset_scripts.corpora.translations import Translations, fits_into_text
from kbioxlm.dataset_scripts.knowledge.store import KnowledgeBase
from kbioxlm.dataset_scripts.matching.matcher import Match, NameMatcher
from kbioxlm.dataset_scripts.matching.rules import MatchingRules


def matcher_of(base: KnowledgeBase) -> NameMatcher:
    return NameMatcher.build(base.name_table(), MatchingRules())


BASE = KnowledgeBase.of(
    ("en", "zh"),
    {
        "en": {
            "C1": ["hypertension", "high blood pressure", "HTN"],
            "C2": ["losartan"],
            "C3": ["cough"],
            "C4": ["fever", "pyrexia"],
            "C5": ["fever of unknown origin"],
            "C6": ["HIV-1"],
            "C7": ["cold"],
            "C8": ["chill", "cold"],
        },
        "zh": {
            "C1": ["高血压"],
            "C2": ["氯沙坦"],
            "C3": ["咳嗽"],
            "C4": ["发热", "发烧"],
            "C6": ["HIV-1", "人免疫缺陷病毒1型"],
            "C7": ["感冒"],
            "C8": ["寒战"],
        },
    },
    {"C2": {"C1": ["may_treat", "isa_unnamed"], "C3": ["may_treat"]}, "C3": {"C5": ["isa"]}},
    {
        ("may_treat", "en"): "may treat",
        ("may_treat", "zh"): "可治疗",
        ("isa", "en"): "is a",
        ("isa", "zh"): "是一种",
        ("isa_unnamed", "en"): "isa unnamed",
    },
)
MATCHER = matcher_of(BASE)


def segment(text: str, language: str = "en", number: int = 0) -> Segment:
    return Segment(f"doc/{number}", language, text, MATCHER.find(text, language))


def spans(row: Row) -> list[tuple[str, str, str, bool]]:
    texts = (row.text, row.text_pair or "")
    return [
        (texts[entity.in_pair][entity.start : entity.end], entity.concept, entity.language, entity.replaced)
        for entity in row.entities
    ]


def test_names_are_replaced_and_one_is_left() -> None:
    row = code_switched(segment("Hypertension, cough and losartan."), Translations(BASE), seed=1)
    assert row is not None
    assert (row.id, row.level, row.language) == ("doc/0", "entity", "en")
    found = spans(row)
    assert [concept for _, concept, _, _ in found] == ["C1", "C3", "C2"]
    assert sorted(language for _, _, language, _ in found) == ["en", "zh", "zh"]
    assert all(switched == (language == "zh") for _, _, language, switched in found)
    assert code_switched(segment("Hypertension, cough and losartan."), Translations(BASE), seed=1) == row


def test_a_single_name_is_replaced_and_others_stay_text() -> None:
    row = code_switched(segment("His cough is dry."), Translations(BASE), seed=0)
    assert row is not None
    assert row.text == "His 咳嗽 is dry."
    assert spans(row) == [("咳嗽", "C3", "zh", True)]


@pytest.mark.parametrize(
    "text",
    ["nothing known", "fever of unknown origin"],
)
def test_without_a_name_in_the_other_language_there_is_no_row(text: str) -> None:
    assert code_switched(segment(text), Translations(BASE), seed=0) is None


def test_ambiguous_and_blocked_names_stay() -> None:
    ambiguous = KnowledgeBase.of(
        ("en", "zh"), {"en": {"A": ["x1", "colds"], "B": ["y1", "colds"]}, "zh": {"A": ["感冒"]}}, {}, {}
    )
    text = "many colds"
    matches = matcher_of(ambiguous).find(text, "en")
    assert [match.ambiguous for match in matches] == [True]
    assert code_switched(Segment("d/0", "en", text, matches), Translations(ambiguous), 0) is None
    blocked = Translations(BASE, frozenset({"C3"}))
    row = code_switched(segment("cough, cough, fever"), blocked, seed=0)
    assert row is not None
    assert [(concept, switched) for _, concept, _, switched in spans(row)] == [
        ("C3", False),
        ("C3", False),
        ("C4", True),
    ]


def test_a_name_is_never_replaced_by_itself() -> None:
    for seed in range(8):
        row = code_switched(segment("hiv-1 and HIV-1"), Translations(BASE), seed)
        assert row is not None
        assert ("人免疫缺陷病毒1型", "C6", "zh", True) in spans(row)


def test_words_do_not_run_together() -> None:
    matches = [Match(1, 4, "C1", "zh", False), Match(4, 6, "C3", "zh", False), Match(7, 9, "C4", "zh", False)]
    text, entities = replaced("患高血压咳嗽3发热天", matches, {0: "hypertension", 1: "cough", 2: "fever"}, "en")
    assert text == "患hypertension cough 3 fever天"
    assert [text[entity.start : entity.end] for entity in entities] == ["hypertension", "cough", "fever"]
    text, entities = replaced("患高血压咳嗽", matches[:2], {1: "cough"}, "en")
    assert text == "患高血压cough"
    assert entities == [Entity(1, 4, False, "C1", "zh", False), Entity(4, 9, False, "C3", "en", True)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["hypertension", "cough", "fever", "losartan", "x2", "发热", "和", ", "]), max_size=30),
    st.integers(0, 99),
)
def test_switched_spans_are_exact(pieces: list[str], seed: int) -> None:
    original = segment(" ".join(pieces))
    row = code_switched(original, Translations(BASE), seed)
    if row is None:
        return
    found = spans(row)
    assert len(found) == len(original.matches)
    switched = [name for name in found if name[3]]
    assert 1 <= len(switched) <= MAX_REPLACED
    replaceable = [match for match in original.matches if match.language == "en"]
    assert len(switched) == min(MAX_REPLACED, max(1, len(replaceable) - 1))
    for match, (name, concept, language, was_replaced) in zip(original.matches, found, strict=True):
        assert concept == match.concept
        if was_replaced:
            assert name in BASE.names_of(concept, "zh")
            assert language == "zh"
        else:
            assert name == original.text[match.start : match.end]


def test_preferred_names_are_drawn_half_of_the_time() -> None:
    translations = Translations(BASE)
    rng = random.Random(0)
    drawn = Counter(translations.draw("C1", "en", "高血压", rng) for _ in range(400))
    assert drawn.keys() == {"hypertension", "high blood pressure"}  # the acronym is a last resort
    assert 160 < drawn["hypertension"] < 240
    assert translations.targets("C5", "en", "fever of unknown origin") == []


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("asthma", True),
        ("2型糖尿病", True),
        ("斜视，其他特指的", False),
        ("asthma [disease]", False),
        ("x" * 61, False),
        ("Asthma NOS", False),
        ("asthma, unspecified", False),
        ("癌", False),
    ],
)
def test_names_that_fit(name: str, fits: bool) -> None:
    assert fits_into_text(name) is fits


def test_facts_are_told_in_the_other_language() -> None:
    row = FactTeller(BASE, Translations(BASE)).with_facts(segment("Losartan for hypertension, with cough."), seed=3)
    assert row is not None
    assert row.level == "fact"
    assert row.text == "Losartan for hypertension, with cough."
    assert row.text_pair == "氯沙坦可治疗高血压；氯沙坦可治疗咳嗽"
    assert [name for name in spans(row) if not name[3]] == [
        ("Losartan", "C2", "en", False),
        ("hypertension", "C1", "en", False),
        ("cough", "C3", "en", False),
    ]
    assert [name[0] for name in spans(row) if name[3]] == ["氯沙坦", "高血压", "氯沙坦", "咳嗽"]
    assert row.relations == [RelationSpan(3, 6, "may_treat"), RelationSpan(13, 16, "may_treat")]


def test_facts_in_english_have_spaces() -> None:
    row = FactTeller(BASE, Translations(BASE)).with_facts(segment("氯沙坦治疗咳嗽", "zh"), seed=0)
    assert row is not None
    assert row.text_pair == "losartan may treat cough"
    assert row.relations == [RelationSpan(9, 18, "may_treat")]


def test_translation_facts_pair_every_name_with_its_translation() -> None:
    rows = {row.id: row for row in translation_facts(BASE, Translations(BASE, frozenset({"C4"})))}
    row = rows["C2/zh/0/en"]
    assert (row.level, row.language, row.text, row.text_pair) == ("fact", "zh", "氯沙坦", "losartan")
    assert spans(row) == [("氯沙坦", "C2", "zh", False), ("losartan", "C2", "en", True)]
    assert rows["C2/en/0/zh"].text_pair == "氯沙坦"
    assert not any(key.startswith("C4/") for key in rows)
    assert len(rows) == sum(1 for row in rows.values() if row.text != row.text_pair)


def test_all_facts_are_told_unless_a_limit_is_given() -> None:
    names = {
        language: {f"C{n}": [f"{word}{n:02d}"] for n in range(20)}
        for language, word in (("en", "drug"), ("zh", "药物"))
    }
    relations = {"C0": {f"C{n}": ["isa"] for n in range(1, 20)}}
    base = KnowledgeBase.of(("en", "zh"), names, relations, {("isa", "zh"): "是一种"})
    text = " ".join(f"drug{n:02d}" for n in range(20))
    part = Segment("d/0", "en", text, matcher_of(base).find(text, "en"))
    row = FactTeller(base, Translations(base)).with_facts(part, seed=0)
    assert row is not None
    assert row.text_pair == "；".join(f"药物00是一种药物{n:02d}" for n in sorted(range(1, 20), key=lambda n: f"C{n}"))
    told = set()
    for seed in range(20):
        limited = FactTeller(base, Translations(base), max_facts=3).with_facts(part, seed)
        assert limited is not None
        assert limited.text_pair is not None
        sentences = limited.text_pair.split("；")
        assert len(sentences) == len(limited.relations) == 3
        assert [sentence for sentence in row.text_pair.split("；") if sentence in sentences] == sentences
        told.update(sentences)
    assert len(told) == 19


def test_facts_in_the_own_language_use_the_names_of_the_text() -> None:
    teller = FactTeller(BASE, Translations(BASE), "own")
    row = teller.with_facts(segment("High blood pressure: losartan."), seed=0)
    assert row is not None
    assert row.text_pair == "losartan isa unnamed high blood pressure; losartan may treat high blood pressure"
    assert [relation.relation for relation in row.relations] == ["isa_unnamed", "may_treat"]
    assert {language for _, _, language, _ in spans(row)} == {"en"}
    assert not any(is_replaced for *_, is_replaced in spans(row))
    chinese = teller.with_facts(segment("氯沙坦治疗咳嗽", "zh"), seed=0)
    assert chinese is not None
    assert chinese.text_pair == "氯沙坦可治疗咳嗽"


def test_mixed_facts_have_parts_in_both_languages() -> None:
    teller = FactTeller(BASE, Translations(BASE), "mixed")
    parts = {0: ("losartan", "氯沙坦"), 1: ("may treat", "可治疗"), 2: ("cough", "咳嗽")}
    expected = {
        "losartan may treat 咳嗽",
        "losartan 可治疗 cough",
        "losartan 可治疗咳嗽",
        "氯沙坦 may treat cough",
        "氯沙坦 may treat 咳嗽",
        "氯沙坦可治疗 cough",
    }
    told = set()
    for seed in range(80):
        row = teller.with_facts(segment("losartan, cough"), seed)
        assert row is not None
        assert row.text_pair is not None
        told.add(row.text_pair)
        subject, object_ = (name for name in spans(row)[2:])
        assert subject[0] in parts[0]
        assert object_[0] in parts[2]
        for name, _, language, is_replaced in (subject, object_):
            assert is_replaced == (language == "zh") == (not name.isascii())
        span = row.relations[0]
        assert row.text_pair[span.start : span.end] in parts[1]
    assert told == expected
    assert teller.with_facts(segment("losartan, cough"), 3) == teller.with_facts(segment("losartan, cough"), 3)


def test_the_same_sentence_is_told_once() -> None:
    base = KnowledgeBase.of(
        ("en", "zh"),
        {"en": {"A": ["aspirin"], "B": ["headache"]}, "zh": {"A": ["阿司匹林"], "B": ["头痛"]}},
        {"A": {"B": ["RO", "related_to"]}},
        {("RO", "zh"): "相关于", ("related_to", "zh"): "相关于", ("related_to", "en"): "is related to"},
    )
    text = "aspirin headache"
    part = Segment("d/0", "en", text, matcher_of(base).find(text, "en"))
    row = FactTeller(base, Translations(base)).with_facts(part, 0)
    assert row is not None
    assert (row.text_pair, [span.relation for span in row.relations]) == ("阿司匹林相关于头痛", ["RO"])
    own = FactTeller(base, Translations(base), "own").with_facts(part, 0)
    assert own is not None
    assert own.text_pair == "aspirin is related to headache"
    chinese = Segment("d/0", "zh", "头痛", matcher_of(base).find("头痛", "zh"))
    assert FactTeller(base, Translations(base)).with_facts(chinese, 0) is None


def test_held_out_concepts_have_names_of_their_own() -> None:
    rows = hold_out(BASE, MATCHER, 4, seed=0)
    assert [row.concept for row in rows] == sorted(row.concept for row in rows)
    assert {row.concept for row in rows} <= {"C1", "C2", "C3", "C4", "C8"}  # C6 is written alike, "cold" is of two
    assert Counter(row.split for row in rows) == {"dev": 1, "test": 3}
    assert hold_out(BASE, MATCHER, 0, seed=0) == []
    with pytest.raises(InputError, match=r"--hold-out: 6 concepts asked, but only 5 have unambiguous"):
        hold_out(BASE, MATCHER, 6, seed=0)


def test_concepts_that_share_both_names_are_blocked_too() -> None:
    base = KnowledgeBase.of(
        ("en", "zh"),
        {
            "en": {"C1": ["fever", "pyrexia"], "C2": ["Pyrexia"], "C3": ["pyrexia"], "C4": ["heat"]},
            "zh": {"C1": ["发热"], "C2": ["发烧", "发热"], "C3": ["高热"], "C4": ["发热"]},
        },
        {},
        {},
    )
    assert blocked_concepts(base, ["C1"]) == {"C1", "C2"}
    assert blocked_concepts(base, []) == set()


ARTICLES = [
    ArticlePair(f"a{number}", {
        "en": f"Cough {number} is one. Fever {number} is two. Losartan {number} is three.",
        "zh": f"咳嗽{number}是一。发热{number}是二。氯沙坦{number}是三。",
    })
    for number in range(12)
]  # fmt: skip


def test_passages_come_in_equal_thirds() -> None:
    segmenter = Segmenter(MATCHER, {"en": 24, "zh": 9})
    rows = list(passage_rows(lambda: ARTICLES, segmenter, 60, seed=5))
    assert Counter(row.passage_relation for row in rows) == {"positive": 20, "random": 20, "context": 20}
    assert len({(row.text, row.text_pair, row.passage_relation) for row in rows}) == 60
    for row in rows:
        article, other = (part.split(":")[0] for part in row.id.split("+"))
        languages = [part.split(":")[1].split("/")[0] for part in row.id.split("+")]
        assert (article == other) == (row.passage_relation != "random")
        assert (len(set(languages)) == 1) == (row.passage_relation == "context")
        assert row.language == languages[0]
        if row.passage_relation == "context":
            first, second = (int(part.rsplit("/", 1)[1]) for part in row.id.split("+"))
            assert second == first + 1
        assert [entity.in_pair for entity in row.entities] == [False, True]
        assert not any(entity.replaced for entity in row.entities)
        assert all(name.lower() in {"cough", "fever", "losartan", "咳嗽", "发热", "氯沙坦"} for name, *_ in spans(row))
    assert {row.language for row in rows} == {"en", "zh"}
    assert list(passage_rows(lambda: ARTICLES, segmenter, 60, seed=5)) == rows
    assert list(passage_rows(lambda: ARTICLES, segmenter, 60, seed=6)) != rows


def test_passages_end_where_the_articles_do() -> None:
    segmenter = Segmenter(MATCHER, {"en": 24, "zh": 9})
    assert (
        len(list(passage_rows(lambda: ARTICLES[:2], segmenter, 600, seed=0))) == 3 * 8
    )  # 2 articles, 2 languages, 2 pairs
    assert list(passage_rows(lambda: ARTICLES[:1], segmenter, 600, seed=0)) == []
    assert list(passage_rows(list, segmenter, 600, seed=0)) == []


def test_records_that_share_a_text_are_one_article() -> None:
    segmenter = Segmenter(MATCHER, {"en": 24, "zh": 9})
    twice = [ARTICLES[0], ArticlePair("again", {"en": ARTICLES[0].texts["en"], "zh": ARTICLES[1].texts["zh"]})]
    assert list(passage_rows(lambda: twice, segmenter, 600, seed=0)) == []  # no second article for random pairs
    blank = [ArticlePair(pair.id, {**pair.texts, "ja": " \n"}) for pair in ARTICLES[:2]]
    assert len(list(passage_rows(lambda: blank, Segmenter(MATCHER, {"en": 24, "zh": 9, "ja": 9}), 600, seed=0))) == 24


def test_articles_that_change_between_the_readings_are_an_error() -> None:
    segmenter = Segmenter(MATCHER, {"en": 24, "zh": 9})
    longer = [ArticlePair(pair.id, {"en": pair.texts["en"] * 2, "zh": pair.texts["zh"] * 2}) for pair in ARTICLES]
    for second in (ARTICLES[:3], longer):
        readings = iter([ARTICLES, second])
        with pytest.raises(InputError, match="article pairs: they changed while they were read"):
            list(passage_rows(readings.__next__, segmenter, 60, seed=0))
