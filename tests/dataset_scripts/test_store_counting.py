"""Counting tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.corpora.counting import TokenCounter


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("Take 1.5 mg/kg (twice), don't stop - ever.", 7),
        ("患者高血压3年", 7),
        ("HIV-1感染，用AZT。", 5),
        ("糖尿病：２型（T2DM）", 6),
        ("ロサルタン", 5),
        ("고혈압 환자", 2),
        ("Größe naïve été", 3),
        ("ยา", 2),
        ("…—!?", 0),
    ],
)
def test_words_and_characters(text: str, count: int) -> None:
    counter = TokenCounter()
    assert counter.unit == "words"
    assert counter.count([text, "one two"]) == [count, 2]
    assert counter.count([]) == []


def test_pieces_of_a_tokenizer(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "high": 1, "##er": 2, "<s>": 3}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 3)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", model_max_length=4)
    folder = tmp_path / "tokenizer"
    fast.save_pretrained(folder)
    counter = TokenCounter(str(folder))
    assert counter.unit == f"tokens of {folder}"
    assert counter.count(["higher", "", "high high er " * 3, *["high"] * 2500]) == [2, 0, 9, *[1] * 2500]


def test_a_tokenizer_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--tokenizer: cannot load .*empty.*; give a folder with a tokenizer"):
        TokenCounter(str(tmp_path / "empty"))
