"""Translation models of transformers, on tiny checkpoints that learn five names here."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from transformers import (
    M2M100Config,
    M2M100ForConditionalGeneration,
    M2M100Tokenizer,
    MarianConfig,
    MarianMTModel,
    MarianTokenizer,
    MBart50Tokenizer,
    MBartConfig,
    MBartForConditionalGeneration,
    NllbTokenizer,
    T5Config,
    T5ForConditionalGeneration,
)

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.knowledge.languages import ENGLISH_NAMES
from kbioxlm.dataset_scripts.translation.language_codes import FLORES, M2M_100, MBART_50, opus_codes
from kbioxlm.dataset_scripts.translation.seq2seq import Seq2SeqSettings, Seq2SeqTranslator

ENGLISH = ["fever", "heart attack", "insulin", "acute renal failure", "asthma"]
CHINESE = ["发热", "心肌梗死", "胰岛素", "急性肾衰竭", "哮喘"]
SPANISH = ["fiebre", "infarto", "insulina", "insuficiencia renal aguda", "asma"]
SIZES = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 40,
    "init_std": 0.1,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "encoder_layerdrop": 0.0,
    "decoder_layerdrop": 0.0,
}


@pytest.fixture(scope="session")
def pieces() -> bytes:
    """A SentencePiece model of the names, with the ids of fairseq's special tokens."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter((ENGLISH + CHINESE + SPANISH) * 3),
        model_writer=model,
        model_type="bpe",
        vocab_size=90,
        hard_vocab_limit=False,
        bos_id=0,
        pad_id=1,
        eos_id=2,
        unk_id=3,
        minloglevel=2,
    )
    return model.getvalue()


def scored(pieces: bytes) -> list[tuple[str, float]]:
    model = sentencepiece.SentencePieceProcessor(model_proto=pieces)
    return [(model.id_to_piece(number), model.get_score(number)) for number in range(model.vocab_size())]


def taught(model: Any, examples: Sequence[tuple[list[int], list[int]]], pad: int, forced: int = 1) -> Any:
    """`model` after it has learnt `examples` (source ids, target ids) by heart, but for the first `forced` targets."""
    sources, targets = (
        torch.nn.utils.rnn.pad_sequence([torch.tensor(pair[side]) for pair in examples], True, pad) for side in (0, 1)
    )
    seen = torch.cat([torch.full((len(examples), 1), model.config.decoder_start_token_id), targets[:, :-1]], dim=1)
    targets[targets == pad] = -100
    targets[:, :forced] = -100
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    model.train()
    for _ in range(300):
        mask = (sources != pad).long()
        loss = model(input_ids=sources, attention_mask=mask, decoder_input_ids=seen, labels=targets).loss
        if loss < 0.02:
            return model
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    raise AssertionError(f"the model did not learn its examples (loss {loss:.3f})")


def examples_of(tokenizer: Any, codes: dict[str, str], ids: dict[str, int]) -> list[tuple[list[int], list[int]]]:
    """Every English name into Chinese and Spanish: `language text </s>` on both sides."""
    examples = []
    for language, names in (("zh", CHINESE), ("es", SPANISH)):
        for english, name in zip(ENGLISH, names, strict=True):
            tokenizer.src_lang = codes["en"]
            source = tokenizer(english).input_ids
            tokenizer.src_lang = codes[language]
            target = tokenizer(name).input_ids
            assert target[0] == ids[language]
            examples.append((source, target))
    return examples


@pytest.fixture(scope="session")
def m2m100(tmp_path_factory: pytest.TempPathFactory, pieces: bytes) -> Path:
    folder = tmp_path_factory.mktemp("m2m100")
    (folder / "vocab.json").write_text(json.dumps({piece: n for n, (piece, _) in enumerate(scored(pieces))}))
    (folder / "sentencepiece.bpe.model").write_bytes(pieces)
    tokenizer = M2M100Tokenizer(str(folder / "vocab.json"), str(folder / "sentencepiece.bpe.model"))
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    model = M2M100ForConditionalGeneration(
        M2M100Config(vocab_size=len(scored(pieces)) + 108, decoder_start_token_id=2, **SIZES)
    )
    ids = {code: tokenizer.get_lang_id(code) for code in ("zh", "es")}
    taught(model, examples_of(tokenizer, M2M_100, ids), 1).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def nllb(tmp_path_factory: pytest.TempPathFactory, pieces: bytes) -> Path:
    folder = tmp_path_factory.mktemp("nllb")
    vocabulary = {piece: number for number, (piece, _) in enumerate(scored(pieces))}
    merges = [
        next((p[:cut], p[cut:]) for cut in range(1, len(p)) if p[:cut] in vocabulary and p[cut:] in vocabulary)
        for p in list(vocabulary)[4:]
        if len(p) > 1
    ]
    tokenizer = NllbTokenizer(vocab=vocabulary, merges=merges)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    model = M2M100ForConditionalGeneration(M2M100Config(vocab_size=len(tokenizer), decoder_start_token_id=2, **SIZES))
    ids = {code: tokenizer.convert_tokens_to_ids(FLORES[code]) for code in ("zh", "es")}
    taught(model, examples_of(tokenizer, FLORES, ids), 1).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def mbart50(tmp_path_factory: pytest.TempPathFactory, pieces: bytes) -> Path:
    folder = tmp_path_factory.mktemp("mbart50")
    tokenizer = MBart50Tokenizer(vocab=[("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *scored(pieces)[4:]])
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    model = MBartForConditionalGeneration(MBartConfig(vocab_size=len(tokenizer), decoder_start_token_id=2, **SIZES))
    ids = {code: tokenizer.convert_tokens_to_ids(MBART_50[code]) for code in ("zh", "es")}
    taught(model, examples_of(tokenizer, MBART_50, ids), 1).save_pretrained(folder)
    return folder


def marian(folder: Path, pieces: bytes, codes: tuple[str, ...], **languages: str) -> Path:
    """An Opus-MT checkpoint: the target language is a prefix of the source text, if there are several."""
    for name in ("source.spm", "target.spm"):
        (folder / name).write_bytes(pieces)
    words = ["</s>", "<unk>", *(piece for piece, _ in scored(pieces)[4:]), *(f">>{code}<<" for code in codes), "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    files = [str(folder / name) for name in ("source.spm", "target.spm", "vocab.json")]
    tokenizer = MarianTokenizer(*files, **languages)
    tokenizer.save_pretrained(folder)
    pad = len(words) - 1
    torch.manual_seed(0)
    model = MarianMTModel(
        MarianConfig(
            vocab_size=len(words), pad_token_id=pad, decoder_start_token_id=pad, eos_token_id=0, bos_token_id=0,
            forced_eos_token_id=0, **SIZES,
        )
    )  # fmt: skip
    targets = list(zip(codes, (CHINESE, SPANISH), strict=True)) if codes else [("", CHINESE)]
    examples = [
        (tokenizer(f">>{code}<< {english}" if code else english).input_ids, tokenizer(name).input_ids)
        for code, names in targets
        for english, name in zip(ENGLISH, names, strict=True)
    ]
    taught(model, examples, pad, forced=0).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def opus_many(tmp_path_factory: pytest.TempPathFactory, pieces: bytes) -> Path:
    folder = tmp_path_factory.mktemp("opus-many")
    return marian(folder, pieces, ("cmn_Hans", "es"), source_lang="en", target_lang="mul")


@pytest.fixture(scope="session")
def opus_pair(tmp_path_factory: pytest.TempPathFactory, pieces: bytes) -> Path:
    return marian(tmp_path_factory.mktemp("opus-pair"), pieces, (), source_lang="eng", target_lang="zho")


def translator(folder: Path, **options: Any) -> Seq2SeqTranslator:
    return Seq2SeqTranslator(Seq2SeqSettings(kind="seq2seq", model=str(folder), **options))


@pytest.mark.parametrize("model", ["m2m100", "nllb", "mbart50", "opus_many"])
@pytest.mark.parametrize("beams", [1, 3])
def test_the_asked_language_is_answered_alone_and_in_any_batch(
    request: pytest.FixtureRequest, model: str, beams: int
) -> None:
    one = translator(request.getfixturevalue(model), beams=beams, max_length=24)
    assert one.translate(ENGLISH, "en", "zh") == CHINESE
    assert one.translate(ENGLISH, "en", "es") == SPANISH
    unlearnt = [*ENGLISH, "renal asthma", "acute fever", "infarto 发热"]
    together = one.translate(unlearnt, "en", "zh")
    assert [one.translate([text], "en", "zh")[0] for text in unlearnt] == together
    again = translator(request.getfixturevalue(model), beams=beams, max_length=24)
    assert again.translate(unlearnt[::-1], "en", "zh") == together[::-1]


def test_a_model_of_one_pair_translates_that_pair_only(opus_pair: Path) -> None:
    one = translator(opus_pair)
    assert one.translate(ENGLISH[::-1], "en", "zh") == CHINESE[::-1]
    with pytest.raises(InputError, match=r"does not have language 'es' \(it translates from eng to zho\)"):
        one.translate(["fever"], "en", "es")
    with pytest.raises(InputError, match="does not have language 'fr'"):
        one.translate(["fever"], "fr", "zh")


def test_a_language_that_a_model_lacks_is_an_error(m2m100: Path, mbart50: Path, opus_many: Path) -> None:
    for folder, language in ((m2m100, "eu"), (mbart50, "da"), (opus_many, "de")):
        with pytest.raises(InputError, match=f"does not have language '{language}'"):
            translator(folder).translate(["fever"], "en", language)
    with pytest.raises(InputError, match="does not have language 'eu'"):
        translator(m2m100).translate(["fever"], "eu", "en")


def test_an_unfinished_answer_and_a_text_too_long_are_none(m2m100: Path) -> None:
    assert translator(m2m100, max_length=2).translate(["acute renal failure", "fever"], "en", "es") == [None, None]
    assert translator(m2m100).translate(["fever " * 60, "fever"], "en", "zh") == [None, "发热"]
    assert translator(m2m100).translate(["fever " * 60], "en", "zh") == [None]


def test_settings_of_the_checkpoint_do_not_change_the_answers(m2m100: Path, tmp_path: Path) -> None:
    for file in m2m100.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"max_length": 3, "do_sample": True, "temperature": 9.0}))
    assert translator(tmp_path).translate(ENGLISH, "en", "zh") == CHINESE


def test_the_identity_is_weights_and_decoding(m2m100: Path, tmp_path: Path) -> None:
    one = translator(m2m100)
    assert one.identity.startswith("m2m1000#")
    assert one.identity == translator(m2m100, batch_size=3).identity
    assert one.identity != translator(m2m100, beams=1).identity
    assert one.identity != translator(m2m100, max_length=9).identity
    assert one.settings["dtype"] == "float32"
    copy = tmp_path / m2m100.name
    copy.mkdir()
    for file in m2m100.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert translator(copy).identity == one.identity  # wherever it is
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert translator(copy).identity != one.identity


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_half_precision_needs_a_gpu(m2m100: Path) -> None:
    with pytest.raises(InputError, match="float16 without a GPU; give float32 or auto"):
        translator(m2m100, dtype="float16")


def test_a_folder_without_a_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be loaded as a translation model"):
        translator(tmp_path).translate(["fever"], "en", "zh")


def test_a_model_of_another_family_is_an_error(tmp_path: Path, nllb: Path) -> None:
    for file in nllb.glob("token*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | {"tokenizer_class": "PreTrainedTokenizerFast"}))
    T5ForConditionalGeneration(
        T5Config(vocab_size=400, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    ).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="not a translation model of a known family"):
        translator(tmp_path).translate(["fever"], "en", "zh")


def test_every_language_of_the_project_has_its_codes() -> None:
    assert set(FLORES) == set(ENGLISH_NAMES)
    from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES as M2M_CODES
    from transformers.models.mbart50.tokenization_mbart50 import FAIRSEQ_LANGUAGE_CODES as MBART_CODES
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES as NLLB_CODES

    assert set(FLORES.values()) <= set(NLLB_CODES)
    assert set(M2M_100.values()) <= set(M2M_CODES["m2m100"])
    assert set(MBART_50.values()) <= set(MBART_CODES)
    owners: dict[str, str] = {}
    for language in FLORES:
        for code in opus_codes(language):
            assert owners.setdefault(code, language) == language
