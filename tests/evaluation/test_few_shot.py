"""Few-shot samples: by document, in the proportion of labels, nested, repeatable."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.benchmarks.iob import Sentence, Span
from kbioxlm.training.finetuning.few_shot import draw_shots, shots_record
from kbioxlm.training.finetuning.labelled_texts import LabelledText, LabelledTexts
from kbioxlm.training.finetuning.ner import NerData


def texts(*labels: tuple[str, ...]) -> LabelledTexts:
    """One text, a document of its own, for each of `labels`."""
    return LabelledTexts(
        "s", "b", tuple(LabelledText(f"t{i}", f"d{i}", "en", f"text {i}", given) for i, given in enumerate(labels))
    )


def counts(data: LabelledTexts) -> Counter[tuple[str, ...]]:
    return Counter(example.labels for example in data.examples)


def test_labels_have_their_share() -> None:
    data = texts(*[("0",)] * 300, *[("1",)] * 600, *[("2",)] * 100)
    for seed in range(5):
        assert counts(draw_shots(data, 10, seed)) == {("0",): 3, ("1",): 6, ("2",): 1}
        assert counts(draw_shots(data, 100, seed)) == {("0",): 30, ("1",): 60, ("2",): 10}


def test_every_label_is_there_once_before_any_twice() -> None:
    data = texts(*[("common",)] * 990, *[("rare",)] * 8, ("rarest",), ())
    assert counts(draw_shots(data, 4, 0)) == {("common",): 1, ("rare",): 1, ("rarest",): 1, (): 1}
    assert counts(draw_shots(data, 10, 0))[("common",)] == 7


def test_documents_with_several_labels_count_for_each() -> None:
    data = texts(*[("a", "b")] * 50, *[("a",)] * 25, *[("c",)] * 25)
    for seed in range(5):
        found = counts(draw_shots(data, 20, seed))
        borne = Counter(label for labels in found.elements() for label in labels)
        assert found[("c",)] == 5
        assert borne["a"] == 15
        assert abs(borne["b"] - 10) <= 1


def test_a_shot_is_a_whole_document() -> None:
    sentences = tuple(
        Sentence(f"{d}/{n}", f"{d}", "fever", (Span(0, 5, "DIS"),) if n else (), ((0, 5),), "en")
        for d in range(30)
        for n in range(3)
    )
    drawn = draw_shots(NerData("s", "b", sentences), 10, 1)
    assert len(drawn.documents) == 10
    assert len(drawn.examples) == 30
    assert [e for e in sentences if e.document in drawn.documents] == list(drawn.examples)  # their order is kept
    assert drawn.source == "s (10 shots, seed 1)"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.frozensets(st.sampled_from("abcd"), max_size=3), min_size=1, max_size=40),
    st.integers(0, 5),
    st.data(),
)
def test_samples_of_a_seed_are_nested_and_repeatable(
    labels: list[frozenset[str]], seed: int, data: st.DataObject
) -> None:
    source = texts(*(tuple(sorted(given)) for given in labels))
    large = data.draw(st.integers(1, len(labels)))
    small = data.draw(st.integers(1, large))
    drawn = draw_shots(source, large, seed)
    assert len(drawn.documents) == large
    assert draw_shots(source, small, seed).documents <= drawn.documents
    shuffled = LabelledTexts("s", "b", tuple(reversed(source.examples)))
    assert draw_shots(shuffled, large, seed).documents == drawn.documents


def test_seeds_differ() -> None:
    data = texts(*[("0",)] * 50, *[("1",)] * 50)
    assert len({draw_shots(data, 10, seed).documents for seed in range(10)}) == 10


def test_more_shots_than_documents() -> None:
    with pytest.raises(InputError, match="s: 4 shots of 3 documents; set shots to at most 3"):
        draw_shots(texts(("0",), ("0",), ("1",)), 4, 0)
    assert len(draw_shots(texts(("0",), ("0",), ("1",)), 3, 0).documents) == 3


def test_the_record_of_a_sample() -> None:
    data = texts(("a", "b"), ("a",), (), ("b",))
    record = shots_record(draw_shots(data, 3, 5), "folder:hoc_zh", 5)
    assert record["source"] == "folder:hoc_zh"
    assert (record["shots"], record["seed"], len(record["documents"])) == (3, 5, 3)
    assert record["documents"] == sorted(record["documents"])
    assert set(record["labels"]) == {"a", "b"}
    assert json.loads(json.dumps(record)) == record
