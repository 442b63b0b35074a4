"""Tiny checkpoints of other shapes than XLM-R's, with tokenizers of their own; transformers itself saves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertForPreTraining,
    DistilBertConfig,
    DistilBertForMaskedLM,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaTokenizer,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

SIZES: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
}  # fmt: skip
POSITIONS = 64
LONGEST = {"bert": 64, "distilbert": 64, "roberta": 62, "xlm-roberta": 62}


def save_encoder(kind: str, texts: list[str], xlm_roberta: Path, folder: Path) -> Path:
    """A checkpoint of one kind with random weights; `xlm_roberta` holds a Unigram tokenizer to copy."""
    torch.manual_seed(3)
    if kind == "xlm-roberta":
        names = ["tokenizer.json", "tokenizer_config.json"]
        folder.mkdir()
        for name in names:
            (folder / name).write_bytes((xlm_roberta / name).read_bytes())
        size = json.loads((xlm_roberta / "config.json").read_text())["vocab_size"]
        config = XLMRobertaConfig(**SIZES, vocab_size=size, max_position_embeddings=POSITIONS, type_vocab_size=1)
        XLMRobertaForMaskedLM(config).save_pretrained(folder)
    elif kind == "roberta":
        tokenizer = _byte_level_bpe(texts)
        config = RobertaConfig(
            **SIZES, vocab_size=len(tokenizer), max_position_embeddings=POSITIONS, type_vocab_size=1,
            bos_token_id=tokenizer.bos_token_id, pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )  # fmt: skip
        RobertaForMaskedLM(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    else:
        folder.mkdir()
        vocabulary = _word_pieces(texts)
        # as published before there were fast tokenizers: no tokenizer.json
        (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
        (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
        if kind == "bert":
            config = BertConfig(**SIZES, vocab_size=len(vocabulary), max_position_embeddings=POSITIONS)
            BertForPreTraining(config).save_pretrained(folder)
        else:
            config = DistilBertConfig(
                dim=32, n_layers=2, n_heads=4, hidden_dim=48, vocab_size=len(vocabulary),
                max_position_embeddings=POSITIONS,
            )  # fmt: skip
            DistilBertForMaskedLM(config).save_pretrained(folder)
    return folder


def _word_pieces(texts: list[str]) -> list[str]:
    characters = sorted({character for text in texts for character in text.lower() if not character.isspace()})
    words = ["the", "patient", "took", "and", "had", "asp", "##irin", "hep", "##arin", "nausea", "fever", "skin"]
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *characters, *(f"##{c}" for c in characters)]


def _byte_level_bpe(texts: list[str]) -> RobertaTokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return RobertaTokenizer(vocab=model["vocab"], merges=[tuple(merge) for merge in model["merges"]])
