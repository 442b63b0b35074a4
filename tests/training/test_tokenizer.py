"""The learnt tokenizer has XLM-R's layout, loads elsewhere, and spells Chinese names the same everywhere."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from kbioxlm.common.errors import InputError
from kbioxlm.training.models.tokenizer import TokenizerRecipe, learn, train_tokenizer

LEARNT_PIECES = 900


@pytest.fixture(scope="module")
def tokenizer(sample_tokenizer: Path) -> PreTrainedTokenizerBase:
    """Loaded as a user loads it."""
    return AutoTokenizer.from_pretrained(sample_tokenizer)


def texts_of(paths: list[Path]) -> list[str]:
    return [json.loads(line)["text"] for path in paths for line in path.read_text(encoding="utf-8").splitlines()]


def test_layout_is_that_of_xlm_r(tokenizer: PreTrainedTokenizerBase) -> None:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    assert tokenizer.convert_tokens_to_ids(special) == [0, 1, 2, 3, LEARNT_PIECES - 1]
    assert [tokenizer.bos_token, tokenizer.pad_token, tokenizer.eos_token, tokenizer.unk_token] == special[:4]
    assert (tokenizer.cls_token, tokenizer.sep_token, tokenizer.mask_token) == ("<s>", "</s>", "<mask>")
    assert sorted(tokenizer.all_special_ids) == [0, 1, 2, 3, LEARNT_PIECES - 1]
    assert tokenizer("a")["input_ids"][0] == 0
    pair = tokenizer("a", "b")["input_ids"]
    assert [place for place, piece in enumerate(pair) if piece in (0, 2)] == [0, 2, 3, 5]  # <s> a </s></s> b </s>


def test_the_vocabulary_has_exactly_the_size_asked_for(
    tokenizer: PreTrainedTokenizerBase, sample_texts: list[Path]
) -> None:
    assert len(tokenizer) == tokenizer.vocab_size == LEARNT_PIECES
    assert sorted(tokenizer.get_vocab().values()) == list(range(LEARNT_PIECES))
    assert len(learn(texts_of(sample_texts), 1234)) == 1234


def test_no_piece_fuses_a_space_with_han(tokenizer: PreTrainedTokenizerBase) -> None:
    vocabulary = tokenizer.get_vocab()
    assert not [piece for piece in vocabulary if re.match("▁[\u3040-\u30ff\u3400-\u9fff]", piece)]
    assert "▁" in vocabulary
    alone, inside = tokenizer.tokenize("患者"), tokenizer.tokenize("took 患者")
    assert [piece for piece in alone if piece != "▁"] == inside[-len([p for p in alone if p != "▁"]) :]


def test_every_character_of_the_texts_can_be_written(
    tokenizer: PreTrainedTokenizerBase, sample_texts: list[Path]
) -> None:
    pieces = tokenizer(texts_of(sample_texts), add_special_tokens=False)["input_ids"]
    flat = [piece for row in pieces for piece in row]
    assert flat.count(tokenizer.unk_token_id) / len(flat) < 1e-3


def test_full_width_letters_and_ligatures_are_normalised(tokenizer: PreTrainedTokenizerBase) -> None:
    assert tokenizer.tokenize("１００ｍｇ") == tokenizer.tokenize("100mg")
    assert tokenizer.tokenize("ﬁne") == tokenizer.tokenize("fine")
    assert tokenizer.tokenize("a\u3000b") == tokenizer.tokenize("a b") == tokenizer.tokenize("a  b")


@pytest.mark.parametrize("text", ["Aspirin may cause nausea.", "阿司匹林可能导致恶心。", "take 阿司匹林 100mg daily"])
def test_offsets_point_into_the_original_text(tokenizer: PreTrainedTokenizerBase, text: str) -> None:
    encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    tokens = tokenizer.convert_ids_to_tokens(encoded["input_ids"])
    spelt = [
        (token.lstrip("▁"), text[start:end])
        for token, (start, end) in zip(tokens, encoded["offset_mapping"], strict=True)
        if token != "▁"
    ]
    assert all(token == found for token, found in spelt)
    assert "".join(found for _, found in spelt) == text.replace(" ", "")


def test_the_folder_loads_in_another_process_and_place(sample_tokenizer: Path, tmp_path: Path) -> None:
    shutil.copytree(sample_tokenizer, tmp_path / "elsewhere")
    code = (
        "import sys, json; from transformers import AutoTokenizer as A; t = A.from_pretrained(sys.argv[1]);"
        "print(json.dumps([type(t).__name__, len(t), t('Ａspirin 治疗发热。')['input_ids']]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "elsewhere"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    here = AutoTokenizer.from_pretrained(sample_tokenizer)
    assert json.loads(done.stdout) == ["XLMRobertaTokenizer", LEARNT_PIECES, here("Ａspirin 治疗发热。")["input_ids"]]


def test_the_same_texts_give_the_same_bytes(sample_texts: list[Path], sample_tokenizer: Path, tmp_path: Path) -> None:
    train_tokenizer(TokenizerRecipe(output=tmp_path / "again", texts=sample_texts, vocab_size=LEARNT_PIECES))
    files = sorted(path.name for path in sample_tokenizer.iterdir())
    assert files == sorted(path.name for path in (tmp_path / "again").iterdir())
    for name in files:
        assert (tmp_path / "again" / name).read_bytes() == (sample_tokenizer / name).read_bytes()


def test_max_characters_bounds_what_is_read(sample_texts: list[Path], tmp_path: Path) -> None:
    recipe = TokenizerRecipe(output=tmp_path / "t", texts=sample_texts, vocab_size=LEARNT_PIECES, max_characters=300)
    with pytest.raises(InputError, match="vocab_size: 900 pieces were asked for, the texts yield"):
        train_tokenizer(recipe)
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    ("texts", "vocab_size", "message"),
    [
        (["abc"], 30, r"vocab_size: 30 pieces were asked for, the texts yield 9 \(their characters\) to 9; .*fewer"),
        (["abcdefghij klm"] * 20, 12, "vocab_size: (too small for|12 pieces were asked for).*more"),
        (["abc"], 3, "vocab_size: too small for the characters of the texts .*ask for more pieces"),
        ([], 30, "texts: no text in any of them"),
        (["", " \n"], 30, "texts: no text in any of them"),
    ],
)
def test_texts_that_do_not_fit_the_vocabulary(texts: list[str], vocab_size: int, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        learn(texts, vocab_size)
    assert "\n" not in str(caught.value)


def test_characters_come_before_longer_pieces() -> None:
    text = ["abcdefgh " * 30]
    smallest = next(size for size in range(10, 40) if not _refused(text, size))
    vocabulary = learn(text, smallest).get_vocab()
    assert set("abcdefgh▁") <= set(vocabulary)


def _refused(texts: list[str], vocab_size: int) -> bool:
    try:
        learn(texts, vocab_size)
    except InputError:
        return True
    return False


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"txt": "a"}', "no 'text' in"),
        ('{"text": 3}', r"a\.jsonl:2: 'text' is 3; make it a string"),
        ("x", "not JSON"),
    ],
)
def test_bad_texts(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"text": "a"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(InputError, match=message):
        train_tokenizer(TokenizerRecipe(output=tmp_path / "t", texts=[path], vocab_size=30))


def test_a_truncated_gzip_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "a"}\n' * 1000)[:-12])
    with pytest.raises(InputError, match=r"a\.jsonl\.gz: the gzip data breaks off"):
        train_tokenizer(TokenizerRecipe(output=tmp_path / "t", texts=[path], vocab_size=30))


def test_only_a_tokenizer_is_replaced(sample_texts: list[Path], sample_tokenizer: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("words")
    model = tmp_path / "model"
    shutil.copytree(sample_tokenizer, model)
    (model / "config.json").write_text("{}")
    for folder in (tmp_path / "thesis", tmp_path / "thesis" / "chapter1.txt", model):
        with pytest.raises(InputError, match="exists and is no tokenizer folder; name a new folder as output"):
            train_tokenizer(TokenizerRecipe(output=folder, texts=sample_texts, vocab_size=LEARNT_PIECES))
    assert (tmp_path / "thesis" / "chapter1.txt").read_text() == "words"
    (tmp_path / "new").mkdir()
    for _ in range(2):
        train_tokenizer(TokenizerRecipe(output=tmp_path / "new", texts=sample_texts, vocab_size=LEARNT_PIECES))
    assert len(AutoTokenizer.from_pretrained(tmp_path / "new")) == LEARNT_PIECES
