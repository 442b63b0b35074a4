"""A Unigram tokenizer in XLM-R's layout, learnt from text with SentencePiece, for models trained from scratch.

Layout: `<s>`=0 `<pad>`=1 `</s>`=2 `<unk>`=3, the learnt pieces by falling score, `<mask>` last. Text is
normalised by SentencePiece's own NFKC table; a space becomes the metaspace `▁` at the front of the next piece.

One thing differs from XLM-R's vocabulary: a metaspace never fuses with a Han or Kana character. A Chinese name
therefore has the same pieces inside Chinese text, where nothing precedes it, and after a space, where
code-switching puts it into English text; otherwise the two would share no embedding.
"""

from __future__ import annotations

import io
import random
import re
from collections.abc import Iterable
from pathlib import Path

import sentencepiece
from pydantic import Field, PositiveInt
from sentencepiece.sentencepiece_model_pb2 import ModelProto
from transformers import XLMRobertaTokenizer

from kbioxlm.common.errors import InputError
from kbioxlm.common.files import read_json_lines, written_beside
from kbioxlm.training.recipe import Recipe

_FUSED = re.compile(r"▁[\u3040-\u30ff\u3400-\u9fff]")
_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


class TokenizerRecipe(Recipe):
    """What `train.py tokenizer` learns."""

    output: Path = Field(description="folder of the tokenizer")
    texts: list[Path] = Field(description="JSON-lines files with `text`, plain or .gz")
    vocab_size: PositiveInt = Field(description="pieces in all, the five special ones included")
    character_coverage: float = Field(default=0.9999, gt=0, le=1, description="share of characters that get a piece")
    max_characters: PositiveInt = Field(default=10_000_000, description="characters to learn from, drawn by text")
    seed: int = 13


def train_tokenizer(recipe: TokenizerRecipe) -> XLMRobertaTokenizer:
    """Learn the tokenizer of `recipe` from its texts and write it to `recipe.output`.

    Raises:
        InputError: unusable texts, or texts that do not yield `vocab_size` pieces.
    """
    texts = [record["text"] for path in recipe.texts for _, record in read_json_lines(path, required=("text",))]
    random.Random(recipe.seed).shuffle(texts)
    tokenizer = learn(_first(texts, recipe.max_characters), recipe.vocab_size, recipe.character_coverage)
    with written_beside(recipe.output) as draft:
        tokenizer.save_pretrained(draft)
    return tokenizer


def _first(texts: list[str], characters: int) -> Iterable[str]:
    for text in texts:
        if characters <= 0:
            return
        yield text
        characters -= len(text)


def learn(texts: Iterable[str], vocab_size: int, character_coverage: float = 0.9999) -> XLMRobertaTokenizer:
    """Learn a tokenizer of `vocab_size` pieces from `texts`.

    Raises:
        InputError: the texts do not hold enough different pieces.
    """
    wanted = vocab_size - len(_SPECIAL)
    model = _sentencepiece(texts, round(wanted * 1.15), character_coverage)
    learnt = [(p.piece, p.score) for p in model.pieces if p.type == ModelProto.SentencePiece.NORMAL]
    pieces = [(piece, score) for piece, score in learnt if not _FUSED.match(piece)]
    if len(pieces) < wanted:
        raise InputError(
            "vocab_size",
            f"{vocab_size} pieces were asked for, the texts yield {len(pieces) + len(_SPECIAL)}",
            "ask for fewer or give more text",
        )
    # Characters stay, so that whatever they spell can be written; of the longer pieces the most likely stay.
    characters = sum(len(piece) == 1 for piece, _ in pieces)
    longer = sorted((score for piece, score in pieces if len(piece) > 1), reverse=True)[: max(wanted - characters, 0)]
    threshold = longer[-1] if longer else 0.0
    kept = [(piece, score) for piece, score in pieces if len(piece) == 1 or score >= threshold][:wanted]
    return XLMRobertaTokenizer(
        vocab=[(token, 0.0) for token in _SPECIAL[:4]] + kept + [("<mask>", 0.0)],
        _spm_precompiled_charsmap=model.normalizer_spec.precompiled_charsmap,
    )


def _sentencepiece(texts: Iterable[str], pieces: int, character_coverage: float) -> ModelProto:
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=written,
        model_type="unigram",
        vocab_size=pieces + 3,  # <s>, </s> and <unk> are SentencePiece's own
        hard_vocab_limit=False,
        character_coverage=character_coverage,
        normalization_rule_name="nmt_nfkc",
        max_sentence_length=1_000_000,
        num_threads=2,  # fixed: the sums of the EM steps depend on it
        minloglevel=1,
    )
    return ModelProto.FromString(written.getvalue())
