"""Sentences and segments."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbioxlm.common.files import read_json_lines
from kbioxlm.dataset_scripts.corpora.segmentation import segment_spans, sentence_spans


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize(
    "text",
    [
        "Give 1.5 mg of E. coli toxin, e.g. by vein, vs. placebo.",
        "Smith et al. Found that i.e. 5 vs. 6 (cf. Fig. 2) differ.",
        "It covers 2 . 2 Mb of DNA.",
        "See www.cancer.gov/Types for the list.",
        "Dr. A. B. Smith, approx. No. 5.",
        "1. Take the tablet",
        "Version 3.Beta of p53.R175H",
        "血糖5.6mmol/L，HBV-DNA 3.5E+4",
        "the U.S. National Library",
        "is p<0.05?yes",
    ],
)
def test_one_sentence_stays_whole(text: str) -> None:
    assert sentences(text) == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It hurts. Call a doctor! Why? (Ask.) Now.", ["It hurts.", "Call a doctor!", "Why?", "(Ask.)", "Now."]),
        ("患者发热。咳嗽？“无。”有！", ["患者发热。", "咳嗽？", "“无。”", "有！"]),
        ("可以救治.其实不用. 好", ["可以救治.", "其实不用.", "好"]),
        ("into the muscle.Common side effects", ["into the muscle.", "Common side effects"]),
        ("Signs\n\n- fever\r\n- cough", ["Signs", "- fever", "- cough"]),
        ('He said "stop." Then it ended ...', ['He said "stop."', "Then it ended ..."]),
        ("为什么?因为", ["为什么?", "因为"]),
        ("The dose was 5. Patients slept.", ["The dose was 5.", "Patients slept."]),
        ("  \n ", []),
    ],
)
def test_sentences_are_told_apart(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@pytest.mark.parametrize(
    "marked",
    [
        "Aspirin vs. Placebo was tested.",
        "The effect vs. controls was seen.",
        "See Fig. 2 for details. |It is clear.",
        "As seen in Fig. S2A, the curve falls.",
        "Figs. 3 and 4 show this.",
        "We grew E. coli and S. aureus. |Both survived.",
        "Infection with E. Coli was rare.",
        "Drugs, e.g. Aspirin, were given.",
        "Drugs, e.g., aspirin, i.e. NSAIDs, were given.",
        "Give 1.5 mg daily. |Then stop.",
        "It was significant (p < .05). |No harm was seen.",
        "p < .05 and r = .73 were found.",
        "U.S. patients were older.",
        "the U.S. Food and Drug Administration",
        "St. John's wort is used. |It helps.",
        "Patients with approx. 5 lesions.",
        "No. 3 was the best.",
        "Wait ... then it stops.",
        "Dr. Smith saw her. |Prof. Jones did not.",
        "This was known [12]. |It was new.",
        "This was known.[12,13] |It was new.",
        "This was known (Smith et al., 2001). |It was new.",
        "Smith et al. The method was new.",
        "Smith et al. (2001) found it.",
        "Smith et al. [4] found it.",
        "Give 2 mg q.i.d. For pain add one.",
        "one b.i.d. dose",
        "I waited . . . and left.",
        'He said "stop." |Then he left.',
        "(It was seen.) |Then it ended.",
        "Was it so? |Yes! |Good.",
        'They asked "why?" and left.',
        "患者发热。|咳嗽？|“无。”|有！",
        "他说：“没有发烧。”|然后走了。",
        "『没事。』|他说。",
        "（见图2。）|结果如下。",
        "血糖5.6mmol/L。|体温38.5℃。",
        "给予E. coli治疗。|好转。",
        "Smith et al. 报道了此病。",
        "用药1.5 mg/d，p.o.，共7天。|停药。",
        "1. Take the tablet. |2. Wait.",
        "2) Take the tablet. |3) Wait.",
        "(1) Fever; (2) cough. |(3) None.",
        "発熱がある。|咳もある。",
        "これは薬ですか？|はい。",
        "¿Tiene fiebre? |¡Sí! |El paciente mejoró.",
        "El Dr. García lo vio. |La Sra. López no.",
        "See https://www.nih.gov/About.html for more. |It is free.",
        "Write to info@example.org for help. |We answer.",
        "We used SPSS v. 22.0.1 and R 3.6. |Data were kept.",
        "It covers 2 . 5 Mb of DNA . |Next .",
        "Dose was 1 . 5 mg .",
        "mice (n = 5). |Rats (n = 6).",
        "5-fluorouracil i.v. Was given.",
        "Type 2 vs. type 1 diabetes.",
        "given at 8 a.m. Patients slept.",
        "given at 8 a.m. and 5 p.m. daily.",
        "The ratio is 1:2. |None died.",
        "interferon-alpha. |IL-2 was added.",
        "with p53. |P53 is a gene.",
        "ca. 5 min. After that, stop.",
        "Drs. Smith and Jones, M.D., Ph.D., saw it.",
        "Staphylococcus sp. was found; S. spp. grew.",
        "Brucella spp. Are bacteria.",
        "Temp. 38.5 C was high.",
        "Mr. and Mrs. Miller came.",
        "Tab. 3 and Suppl. Fig. 2, Ref. 5, Eq. 2, Vol. 3, pp. 5-7.",
        "in Jan. 2020 and Dec. 2021 it rose.",
        "see sect. 3 and Sec. 4.",
        "subsp. enterica serovar Typhimurium",
        "What?! |No way!! |Fine.",
        "是吗?|不是!|好.",
        "He has Wiskott-Aldrich syndrome. |X-ray was normal.",
        "Use Inc. Products by Merck & Co. Ltd. daily.",
        "Washington, D.C. Hospital staff",
        "It costs $5.50! |Buy it.",
        "The drug (Bayer AG, Leverkusen, Germany). |It was new.",
        "i.p. injection of 5 i.u. insulin",
        "0.05 vs .01; i.e. .5",
        "Is it 3.5? |Yes.",
        "CD4. |CD8 cells fell.",
        "It was seen.[1][2] |It was new.",
        "(see above . ) |Next",
        "Crabs, etc. ) can result.",
        'How is "prediabetes?" lists it.',
        "Read (all of it!) or ask.",
        "Is it so? |yes",
        "发热．|咳嗽．|乏力",
        "肝功能正常．．．|主治医生",
        "一．诊断",
        "３．５ｍｇ",
        "３．诊断",
        "هل هو مريض؟ |نعم",
        "（发热。）|咳嗽",
        "《指南。》|然后",
        "He left ... |Then he came.",
        "Grow 1.5–2.5 mg/kg. |Stop.",
        "a.m.",
        "bzw. Tumoren und ca. 5 Kinder, vgl. Abb. 2, Nr. 5.",
        "HLA-DR.B1 and v1.2.Final",
        "Dr. rer. nat. Müller",
        "Zn2+. |Na+. |Then",
        'with "E. coli". |Then',
        "5%. |Then",
        "'DOA plus.' |DOA is inherited.",
        "Mean±SD was 3.2±.5. |It fell.",
        "患者，男，35岁。|主诉：发热3 d。",
        "B.Sc. Students and Pharm.D. Students",
        "Was it 5? |3 were.",
        "T. b. gambiense and T. b. rhodesiense",
    ],
)
def test_sentences_end_at_the_bars(marked: str) -> None:
    expected = [sentence.strip() for sentence in marked.split("|")]
    assert sentences(marked.replace("|", "")) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Patients live in the U.S. They were older.",
        "The answer was no. Patients then left.",
        "体温37.5.病人好转。",
        "Vitamin D. Calcium was given.",
        "5 mg. mRNA was measured.",
        "signal was lost. α-Synuclein was found.",
        "是的……好。",
    ],
)
def test_doubtful_boundaries_are_missed_rather_than_made_up(text: str) -> None:
    assert sentences(text) == [text]


@pytest.mark.parametrize("mark", ["\n", "\r\n", "\v", "\f", "\x85", "\u2028", "\u2029", "\n \n"])
def test_line_ends_end_sentences(mark: str) -> None:
    assert sentences(f"no stop{mark}no stop, e.g.{mark}the end") == ["no stop", "no stop, e.g.", "the end"]


def test_sentences_are_packed_as_long_as_they_fit() -> None:
    text = "One is here. Two is here.  Three is here. Four."
    assert [text[start:end] for start, end in segment_spans(text, 30)] == [
        "One is here. Two is here.",
        "Three is here. Four.",
    ]


def test_a_long_sentence_is_cut_at_space_comma_or_anywhere() -> None:
    assert cut("alpha beta gamma delta epsilon", 12) == ["alpha beta", "gamma delta", "epsilon"]
    assert cut("发热咳嗽，头痛乏力恶心", 8) == ["发热咳嗽，", "头痛乏力恶心"]
    assert cut("一二三四五六七八九十", 4) == ["一二三四", "五六七八", "九十"]
    assert cut("abcdefghijkl", 5) == ["abcde", "fghij", "kl"]
    assert cut("exactly ten", 11) == ["exactly ten"]


def cut(text: str, max_chars: int) -> list[str]:
    return [text[start:end] for start, end in segment_spans(text, max_chars)]


@given(st.text('ab 。.!?，, 1\n肝A)"．[]…；', max_size=120), st.integers(4, 40))
def test_nothing_is_lost_and_nothing_too_long(text: str, max_chars: int) -> None:
    for spans in (segment_spans(text, max_chars), sentence_spans(text)):
        ends = [0, *(offset for span in spans for offset in span), len(text)]
        assert ends == sorted(ends)
        assert all(not text[end:start].strip() for end, start in zip(ends[::2], ends[1::2], strict=True))
        assert all(text[start:end] == text[start:end].strip() != "" for start, end in spans)
    assert all(end - start <= max_chars for start, end in segment_spans(text, max_chars))


@given(st.lists(st.integers(0, 99999), min_size=1, max_size=8))
def test_numbers_are_never_torn(numbers: list[int]) -> None:
    text = "The mean was " + " and ".join(f"{number / 100:.2f} mg. Then" for number in numbers)
    assert all(re.search(rf"{number / 100:.2f} mg\.$", "\n".join(sentences(text)), re.M) for number in numbers)


@pytest.mark.skipif("KBIOXLM_REAL_DATA" not in os.environ, reason="KBIOXLM_REAL_DATA does not name the real data")
@pytest.mark.parametrize(("language", "max_chars"), [("en", 400), ("zh", 150)])
def test_real_texts_keep_their_numbers_and_all_their_characters(language: str, max_chars: int) -> None:
    corpus = Path(os.environ["KBIOXLM_REAL_DATA"]) / "corpora" / f"{language}.jsonl.gz"
    for _, row in itertools.islice(read_json_lines(corpus), 0, None, 20):
        text = row["text"]
        spans = sentence_spans(text)
        assert "".join(text.split()) == "".join("".join(text[slice(*span)].split()) for span in spans)
        for (_, end), (start, _) in itertools.pairwise(spans):
            assert not re.match(r"\d\s?\.\s?\d", text[end - 2 : start + 1])
        assert all(end - start <= max_chars for start, end in segment_spans(text, max_chars))
