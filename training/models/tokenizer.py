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
from collections.abc import Iterable, Iterator
from pathlib import Path

import sentencepiece
from pydantic import Field, PositiveInt
from sentencepiece.sentencepiece_model_pb2 import ModelProto
from transformers import (
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedTokenizerBase,
    XLMRobertaConfig,
    XLMRobertaTokenizer,
)

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import read_json_lines, written_beside
from kbioxlm.common.recipe import Recipe
from kbioxlm.configuration_kbioxlm import KBioXLMConfig

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
        InputError: unusable texts, texts that do not yield `vocab_size` pieces, or an output that is something else.
    """
    found = {path.name for path in recipe.output.iterdir()} if recipe.output.is_dir() else set()
    if recipe.output.is_file() or (found and ("tokenizer.json" not in found or "config.json" in found)):
        raise InputError(recipe.output, "exists and is no tokenizer folder", "name a new folder as output")
    texts = [text for path in recipe.texts for text in _texts(path)]
    random.Random(recipe.seed).shuffle(texts)
    tokenizer = learn(_first(texts, recipe.max_characters), recipe.vocab_size, recipe.character_coverage)
    with written_beside(recipe.output) as draft:
        tokenizer.save_pretrained(draft)
    return tokenizer


def load_tokenizer(source: str | Path, config: PretrainedConfig | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder or on the Hub.

    Args:
        config: of the model in the same place, if there is one; without it transformers would look for it there,
            and ask whether to run the code beside it.

    Raises:
        InputError: nothing there, or no vocabulary.
    """
    # The files may not say whose they are, as where sentencepiece.bpe.model stands alone; ours are XLM-R's.
    config = XLMRobertaConfig() if isinstance(config, KBioXLMConfig) else config
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, config=config)
    except (OSError, ValueError) as error:
        raise InputError(source, f"has no tokenizer that can be loaded ({error})", "see train.py tokenizer") from error
    # transformers makes a tokenizer of special pieces alone where the vocabulary is missing
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise InputError(source, "has no tokenizer with a vocabulary", "put the model's own tokenizer.json there")
    return tokenizer


def _texts(path: Path) -> Iterator[str]:
    for number, record in read_json_lines(path, required=("text",)):
        if not isinstance(record["text"], str):
            raise InputError(path, f"'text' is {shown(record['text'])}", "make it a string", line=number)
        yield record["text"]


def _first(texts: list[str], characters: int) -> Iterable[str]:
    for text in texts:
        if characters <= 0:
            return
        yield text
        characters -= len(text)


def learn(texts: Iterable[str], vocab_size: int, character_coverage: float = 0.9999) -> XLMRobertaTokenizer:
    """Learn a tokenizer of `vocab_size` pieces from `texts`.

    Raises:
        InputError: no text, or texts whose characters alone are more, or whose pieces are fewer, than `vocab_size`.
    """
    wanted = vocab_size - len(_SPECIAL)
    model = _sentencepiece([text for text in texts if text.strip()], round(wanted * 1.15), character_coverage)
    learnt = [(p.piece, p.score) for p in model.pieces if p.type == ModelProto.SentencePiece.NORMAL]
    pieces = [(piece, score) for piece, score in learnt if not _FUSED.match(piece)]
    # Characters stay, so that whatever they spell can be written; of the longer pieces the most likely stay.
    characters = sum(len(piece) == 1 for piece, _ in pieces)
    if not characters <= wanted <= len(pieces):
        raise InputError(
            "vocab_size",
            f"{vocab_size} pieces were asked for, the texts yield {characters + len(_SPECIAL)} (their characters) to "
            f"{len(pieces) + len(_SPECIAL)}",
            "ask for fewer or give more text" if wanted > characters else "ask for more, or lower character_coverage",
        )
    room = wanted - characters
    kept: list[tuple[str, float]] = []
    for piece, score in pieces:  # by falling score
        if len(piece) > 1:
            room -= 1
        if len(piece) == 1 or room >= 0:
            kept.append((piece, score))
    return XLMRobertaTokenizer(
        vocab=[(token, 0.0) for token in _SPECIAL[:4]] + kept + [("<mask>", 0.0)],
        _spm_precompiled_charsmap=model.normalizer_spec.precompiled_charsmap,
    )


def _sentencepiece(texts: list[str], pieces: int, character_coverage: float) -> ModelProto:
    if not texts:
        raise InputError("texts", "no text in any of them", "give texts that are not blank")
    written = io.BytesIO()
    try:
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
    except RuntimeError as error:  # its only check that these settings leave is the number of pieces
        raise InputError(
            "vocab_size", f"too small for the characters of the texts ({error})", "ask for more pieces"
        ) from error
    return ModelProto.FromString(written.getvalue())
