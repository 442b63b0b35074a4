"""A trimmed checkpoint computes the same for text it covers, and says what it lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertTokenizer, PreTrainedTokenizerBase, XLMRobertaConfig, XLMRobertaForMaskedLM

from kbioxlm.common.errors import InputError
from kbioxlm.modeling_kbioxlm import KBioXLMForMaskedLM, KBioXLMForPreTraining
from kbioxlm.training.finetuning.classifier import load_classifier
from kbioxlm.training.finetuning.tagger import load_tagger
from kbioxlm.training.models.tokenizer import load_tokenizer
from kbioxlm.training.models.trimmed_model import kept_pieces, trim_model, trimmed_backend
from kbioxlm.training.models.trimming import TrimRecipe, trim_vocabulary

SHAPE = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 140, "type_vocab_size": 1, "layer_norm_eps": 1e-5,
}  # fmt: skip
SPANISH = ["El paciente tomó aspirina y tuvo náuseas.", "La heparina puede causar hemorragia grave."]
ENGLISH = ["The patient took aspirin and had nausea.", "Heparin may cause severe bleeding."]
CHINESE = ["患者服用阿司匹林后出现恶心。", "肝素可引起严重出血。"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, sample_tokenizer: Path) -> Path:
    """An XLM-R with a tokenizer of its own, saved by transformers."""
    folder = tmp_path_factory.mktemp("xlm-r")
    tokenizer = load_tokenizer(sample_tokenizer)
    torch.manual_seed(0)
    model = XLMRobertaForMaskedLM(XLMRobertaConfig(vocab_size=len(tokenizer), **SHAPE, initializer_range=0.3))
    torch.nn.init.normal_(model.lm_head.bias)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    rows = [{"lang": "en", "text": f"{text} {n}"} for n in range(60) for text in ENGLISH]
    rows += [{"lang": "zh", "text": f"{text}{n}"} for n in range(60) for text in CHINESE]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def tokenizer(checkpoint: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(checkpoint)


def trimmed(checkpoint: Path, texts: Path, output: Path, **changes: Any) -> dict[str, Any]:
    settings = {"measured_share": 0.2, "max_length": 128, **changes}
    return trim_vocabulary(TrimRecipe(output=output, checkpoint=str(checkpoint), texts=[texts], **settings))


def test_covered_text_keeps_its_pieces_and_hidden_states(
    checkpoint: Path, texts: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    report = trimmed(checkpoint, texts, tmp_path / "out")
    assert report["pieces"]["after"] < report["pieces"]["before"] == len(tokenizer)
    saved = report["pieces"]["before"] - report["pieces"]["after"]
    assert report["parameters"]["before"] - report["parameters"]["after"] == saved * (SHAPE["hidden_size"] + 1)
    assert report["parity"]["texts"] == report["parity"]["same_pieces"] > 20
    assert report["parity"]["largest_difference"] < 1e-5
    whole = KBioXLMForMaskedLM.from_xlm_roberta(checkpoint).eval()
    small = KBioXLMForMaskedLM.from_pretrained(tmp_path / "out").eval()
    small_tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out", config=small.config)
    for text in (*ENGLISH, *CHINESE):
        assert small_tokenizer.tokenize(text) == tokenizer.tokenize(text)
        ids = tokenizer(text, return_tensors="pt")
        small_ids = small_tokenizer(text, return_tensors="pt")
        logits, small_logits = whole(**ids).logits, small(**small_ids).logits
        shared = small_tokenizer.convert_ids_to_tokens(range(len(small_tokenizer)))
        rows = torch.tensor(tokenizer.convert_tokens_to_ids(shared))
        torch.testing.assert_close(small_logits, logits[..., rows], atol=1e-5, rtol=1e-5)
    assert small.lm_head.decoder.weight is small.get_input_embeddings().weight


def test_trim_for_three_languages(
    checkpoint: Path, texts: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    """A third language in a file of its own: each is covered, measured and on the card; a fourth is not promised."""
    spanish = tmp_path / "es.jsonl"
    rows = [{"lang": "es", "text": f"{text} {n}"} for n in range(60) for text in SPANISH]
    spanish.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    two = trimmed(checkpoint, texts, tmp_path / "two")
    recipe = TrimRecipe(
        output=tmp_path / "three", checkpoint=str(checkpoint), texts=[texts, spanish], measured_share=0.2
    )
    report = trim_vocabulary(recipe)
    assert report["pieces"]["after"] > two["pieces"]["after"]
    assert list(report["coverage"]) == ["en", "es", "zh"]
    assert all(figures["texts"] > 10 for figures in report["coverage"].values())
    assert report["parity"]["texts"] == report["parity"]["same_pieces"] > 40
    assert report["parity"]["largest_difference"] < 1e-5
    whole = KBioXLMForMaskedLM.from_xlm_roberta(checkpoint).eval()
    small = KBioXLMForMaskedLM.from_pretrained(tmp_path / "three").eval()
    small_tokenizer = AutoTokenizer.from_pretrained(tmp_path / "three", config=small.config)
    for text in (*ENGLISH, *CHINESE, *SPANISH):
        assert small_tokenizer.tokenize(text) == tokenizer.tokenize(text)
        ids, small_ids = tokenizer(text, return_tensors="pt"), small_tokenizer(text, return_tensors="pt")
        torch.testing.assert_close(
            small.roberta(**small_ids).last_hidden_state, whole.roberta(**ids).last_hidden_state, atol=1e-5, rtol=1e-5
        )
    card = (tmp_path / "three" / "README.md").read_text(encoding="utf-8")
    assert "language:\n- en\n- es\n- zh\n" in card
    two_tokenizer = AutoTokenizer.from_pretrained(tmp_path / "two", config=small.config)
    assert [two_tokenizer.tokenize(text) for text in SPANISH] != [tokenizer.tokenize(text) for text in SPANISH]


def test_trim_a_tagger(checkpoint: Path, texts: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    tagger, tokenizer = load_tagger(str(checkpoint), ["B-Drug", "I-Drug", "O"])
    assert tagger.crf is not None
    for parameter in tagger.crf.parameters():
        torch.nn.init.normal_(parameter)
    tagger.save_pretrained(tmp_path / "tagger")
    tokenizer.save_pretrained(tmp_path / "tagger")
    report = trimmed(tmp_path / "tagger", texts, tmp_path / "out")
    assert report["parity"]["largest_difference"] < 1e-5
    saved = report["pieces"]["before"] - report["pieces"]["after"]
    assert report["parameters"]["before"] - report["parameters"]["after"] == saved * SHAPE["hidden_size"] > 0
    small, small_tokenizer = load_tagger(str(tmp_path / "out"))
    for text in (*ENGLISH, *CHINESE):
        ids, small_ids = tokenizer(text, return_tensors="pt"), small_tokenizer(text, return_tensors="pt")
        logits, small_logits = tagger.eval()(**ids).logits, small.eval()(**small_ids).logits
        torch.testing.assert_close(small_logits, logits, atol=1e-5, rtol=1e-5)
        scored = torch.ones_like(ids["input_ids"], dtype=torch.bool)
        assert small.decode(small_logits, scored) == tagger.decode(logits, scored)


def test_trim_a_classifier_with_markers(checkpoint: Path, texts: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    classifier, tokenizer = load_classifier(str(checkpoint), ["0", "1"], markers=["@GENE$", "@DISEASE$"])
    classifier.save_pretrained(tmp_path / "classifier")
    tokenizer.save_pretrained(tmp_path / "classifier")
    report = trimmed(tmp_path / "classifier", texts, tmp_path / "out")
    assert report["pieces"]["after"] < report["pieces"]["before"]
    small, small_tokenizer = load_classifier(str(tmp_path / "out"))
    for text in ("@GENE$ may cause @DISEASE$ bleeding", "患者@GENE$后出现@DISEASE$"):
        assert small_tokenizer.tokenize(text) == tokenizer.tokenize(text)
        assert "@GENE$" in small_tokenizer.tokenize(text)
        logits = classifier.eval()(**tokenizer(text, return_tensors="pt")).logits
        small_logits = small.eval()(**small_tokenizer(text, return_tensors="pt")).logits
        torch.testing.assert_close(small_logits, logits, atol=1e-5, rtol=1e-5)


def test_special_pieces_keep_their_roles(checkpoint: Path, texts: Path, tmp_path: Path) -> None:
    trimmed(checkpoint, texts, tmp_path / "out")
    model = KBioXLMForPreTraining.from_pretrained(tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out", config=model.config)
    assert tokenizer.convert_tokens_to_ids(["<s>", "<pad>", "</s>", "<unk>"]) == [0, 1, 2, 3]
    assert tokenizer.mask_token_id == len(tokenizer) - 1 == model.config.vocab_size - 1
    pair = tokenizer("The patient", "患者")["input_ids"]
    assert pair[0] == 0
    assert pair[-1] == 2
    assert tokenizer.decode(pair, skip_special_tokens=True).replace(" ", "") == "Thepatient患者"


def test_what_is_lost_is_measured_and_on_the_card(checkpoint: Path, texts: Path, tmp_path: Path) -> None:
    report = trimmed(checkpoint, texts, tmp_path / "out", min_count=30)
    english = report["coverage"]["en"]
    assert 0 < english["covered_texts"] < english["texts"]  # numbers seen fewer than thirty times
    assert 0 < english["lost_pieces"] < english["pieces"]
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    share = 100 * english["covered_texts"] / english["texts"]
    assert f"| en | {english['texts']} | {share:.2f}% |" in card
    assert f"{report['pieces']['after']:,} of {report['pieces']['before']:,} pieces" in card


def test_a_finished_trimming_is_not_done_again(checkpoint: Path, texts: Path, tmp_path: Path) -> None:
    first = trimmed(checkpoint, texts, tmp_path / "out")
    written = (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns
    assert trimmed(checkpoint, texts, tmp_path / "out") == first
    assert (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns == written


def test_single_characters_and_the_lowest_score_are_kept(tokenizer: PreTrainedTokenizerBase) -> None:
    counts = np.zeros(len(tokenizer), dtype=np.int64)
    word = next(piece for piece in tokenizer.get_vocab() if piece.startswith("▁p") and len(piece) > 4)
    counts[tokenizer.convert_tokens_to_ids(word)] = 1
    kept = kept_pieces(tokenizer, counts, min_count=1)
    pieces = set(tokenizer.convert_ids_to_tokens(kept.tolist()))
    vocabulary = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["vocab"]
    assert {word, *word} - pieces == set()
    assert set(tokenizer.all_special_tokens) <= pieces
    assert min(score for _, score in vocabulary) == min(score for piece, score in vocabulary if piece in pieces)
    assert len(pieces) <= len(word) + 7


def test_any_covered_text_is_cut_as_before(tokenizer: PreTrainedTokenizerBase) -> None:
    rng = np.random.default_rng(0)
    vocabulary = [p for p in tokenizer.get_vocab() if p not in tokenizer.all_special_tokens]
    counts = rng.integers(0, 2, len(tokenizer))
    kept = kept_pieces(tokenizer, counts, min_count=1)
    backend, allowed, compared = trimmed_backend(tokenizer, kept), set(kept.tolist()), 0
    for _ in range(3000):
        text = "".join(rng.choice(vocabulary, 3)).replace("▁", " ").strip()
        ids = tokenizer(text)["input_ids"]
        if text and allowed.issuperset(ids):
            assert kept[backend.encode(text).ids].tolist() == ids, text
            compared += 1
    assert compared > 100


def test_a_reduced_head_keeps_its_rows(checkpoint: Path) -> None:
    model = KBioXLMForPreTraining.from_xlm_roberta(checkpoint, [5, 40, 60, 200]).eval()
    weights, bias = model.lm_head.decoder.weight.clone(), model.lm_head.bias.clone()
    kept = np.array([0, 1, 2, 3, 5, 60, 61, 200, 899])
    trim_model(model, kept)
    assert kept[model.lm_head.token_ids].tolist() == [5, 60, 200]
    assert model.config.mlm_vocab_size == 3
    torch.testing.assert_close(model.lm_head.decoder.weight, weights[[0, 2, 3]])
    torch.testing.assert_close(model.lm_head.bias, bias[[0, 2, 3]])
    loss = model(input_ids=torch.tensor([[0, 4, 2]]), labels=torch.tensor([[-100, 5, -100]])).loss
    loss.backward()
    assert model.get_input_embeddings().weight.grad.shape == (9, 32)


def test_other_tokenizers_and_missing_languages_are_refused(checkpoint: Path, texts: Path, tmp_path: Path) -> None:
    vocabulary = {token: n for n, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"])}
    wordpiece = BertTokenizer(vocab=vocabulary)
    with pytest.raises(InputError, match="its tokenizer is WordPiece; only Unigram"):
        kept_pieces(wordpiece, np.ones(6, dtype=np.int64), 1)
    bare = tmp_path / "bare.jsonl"
    bare.write_text('{"text": "no language"}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"bare.jsonl:1: no 'lang' in"):
        trimmed(checkpoint, bare, tmp_path / "out")
    with pytest.raises(InputError, match="would replace the checkpoint"):
        trimmed(checkpoint, texts, checkpoint)
    assert not (tmp_path / "out").exists()
