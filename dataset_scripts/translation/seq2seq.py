"""Translation with encoder-decoder models of transformers: NLLB, M2M100, mBART-50, Opus-MT."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.recipe import Recipe
from kbioxlm.dataset_scripts.translation.language_codes import FLORES, M2M_100, MBART_50, opus_codes
from kbioxlm.dataset_scripts.translation.protocol import Answer, SettingValue, identity_of

_CODES = {"NllbTokenizer": FLORES, "M2M100Tokenizer": M2M_100, "MBart50Tokenizer": MBART_50}
_MARIAN = "MarianTokenizer"


class Seq2SeqSettings(Recipe):
    """A model of transformers in a list of translators.

    Attributes:
        model: a folder, or a model's name on the Hub.
        revision: of a model on the Hub: a branch, tag or commit.
        beams: width of the beam search; 1 is greedy. Nothing is ever drawn.
        max_length: tokens, the most of an answer. One that is not finished by then is none.
        dtype: `auto` is float32 on a CPU, and bfloat16 (float16 where a GPU lacks it) on a GPU.
    """

    kind: Literal["seq2seq"]
    model: str
    revision: str | None = None
    beams: int = Field(default=4, ge=1)
    batch_size: int = Field(default=64, ge=1)
    max_length: int = Field(default=128, ge=2)
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"


class Seq2SeqTranslator:
    """A model at work, on a GPU where there is one. It is loaded when the first text is not in the cache.

    Raises:
        InputError: no such model, or none of a known family.
    """

    concurrent = 1

    def __init__(self, settings: Seq2SeqSettings):
        self._settings = settings
        self.batch_size = settings.batch_size
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._dtype = _dtype(settings.dtype, self._device)
        self.settings: Mapping[str, SettingValue] = {
            "kind": "seq2seq",
            "model": Path(settings.model).name if Path(settings.model).is_dir() else settings.model,
            "version": _version(settings),
            "beams": settings.beams,
            "max_length": settings.max_length,
            "dtype": str(self._dtype).removeprefix("torch."),
            # Opus-MT's tokenizer also normalises punctuation where this package is installed
            "punctuation": "sacremoses" if find_spec("sacremoses") else None,
        }
        self.identity = identity_of(Path(settings.model).name, self.settings)

    @cached_property
    def _tokenizer(self) -> Any:
        tokenizer = _loaded(AutoTokenizer, self._settings)
        family = type(tokenizer).__name__
        if family not in _CODES and family != _MARIAN:
            raise InputError(
                self._settings.model,
                f"not a translation model of a known family (its tokenizer is a {family})",
                "give an NLLB, M2M100, mBART-50 or Opus-MT model",
            )
        return tokenizer

    @cached_property
    def _model(self) -> Any:
        model = _loaded(AutoModelForSeq2SeqLM, self._settings, dtype=self._dtype)
        return model.to(self._device).eval()

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[Answer]:
        """Answers of the beam search; None for a text that is too long for the model or an unfinished answer.

        Raises:
            InputError: a language that the model does not have.
        """
        texts, forced = self._addressed(texts, source, target)
        pieces = [self._tokenizer(text).input_ids for text in texts]
        limit = int(self._model.config.max_position_embeddings)
        fitting = [number for number, ids in enumerate(pieces) if len(ids) <= limit]
        answers: list[Answer] = [None] * len(texts)
        if fitting:
            decoded = self._decode([pieces[number] for number in fitting], forced, limit)
            for number, answer in zip(fitting, decoded, strict=True):
                answers[number] = answer
        return answers

    def _addressed(self, texts: Sequence[str], source: str, target: str) -> tuple[list[str], int | None]:
        """The texts as the model wants them, and the token with which every answer must begin."""
        tokenizer = self._tokenizer
        family = type(tokenizer).__name__
        if family == _MARIAN:
            _check_pair(self._settings.model, tokenizer, source, target)
            prefix = _target_prefix(self._settings.model, tokenizer, target)
            return [prefix + text for text in texts], None
        ids = {}
        for language in (source, target):
            code = _CODES[family].get(language)
            token = f"__{code}__" if family == "M2M100Tokenizer" else code
            ids[language] = tokenizer.convert_tokens_to_ids(token) if code else tokenizer.unk_token_id
            if ids[language] in (None, tokenizer.unk_token_id):
                raise _no_language(self._settings.model, language)
        tokenizer.src_lang = _CODES[family][source]
        return list(texts), ids[target]

    def _decode(self, pieces: list[list[int]], forced: int | None, limit: int) -> list[Answer]:
        model, tokenizer = self._model, self._tokenizer
        config = copy.deepcopy(model.generation_config)
        new_tokens = min(self._settings.max_length, limit - 1)
        # what a checkpoint's own generation config may hold must not change the answers unseen
        config.update(
            max_length=None, max_new_tokens=new_tokens, num_beams=self._settings.beams, num_return_sequences=1,
            do_sample=False, temperature=None, top_p=None, top_k=None, forced_bos_token_id=forced,
            forced_eos_token_id=None,
        )  # fmt: skip
        batch = tokenizer.pad({"input_ids": pieces}, return_tensors="pt").to(self._device)
        with torch.inference_mode():
            rows = model.generate(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], generation_config=config
            ).tolist()
        end = model.generation_config.eos_token_id
        ends = set(end if isinstance(end, list) else [end])
        # not every tokenizer knows its language tokens as special, so the forced one is cut off by its place
        answers = [row[1:] if forced is None else row[2:] for row in rows]
        return [tokenizer.decode(row, skip_special_tokens=True).strip() if ends & set(row) else None for row in answers]


def _loaded(kind: Any, settings: Seq2SeqSettings, **options: Any) -> Any:
    try:
        return kind.from_pretrained(settings.model, revision=settings.revision, **options)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            settings.model,
            f"cannot be loaded as a translation model ({shown(str(error), 200)})",
            "give the folder of one, or its name on the Hub; without a network it must have been fetched before",
        ) from error


def _dtype(asked: str, device: torch.device) -> torch.dtype:
    if asked == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type != "cuda" and asked != "float32":
        raise InputError("dtype", f"{asked} without a GPU", "give float32 or auto")
    dtype: torch.dtype = getattr(torch, asked)
    return dtype


def _version(settings: Seq2SeqSettings) -> str:
    """Digest of a folder's files, or the commit of a model on the Hub: what fixes the weights."""
    folder = Path(settings.model)
    if not folder.is_dir():
        commit = getattr(_loaded(AutoConfig, settings), "_commit_hash", None)
        return str(commit or settings.revision or "main")
    digest = blake2b(digest_size=16)
    for path in sorted(path for path in folder.iterdir() if path.is_file() and path.suffix != ".md"):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


def _check_pair(model: str, tokenizer: Any, source: str, target: str) -> None:
    """A model of one pair says nothing when it is given another; its own settings name the pair."""
    for language, declared in ((source, tokenizer.source_lang), (target, tokenizer.target_lang)):
        other = {code for iso in FLORES for code in opus_codes(iso)} - set(opus_codes(language))
        if declared in other:
            raise _no_language(
                model, language, f"it translates from {tokenizer.source_lang} to {tokenizer.target_lang}"
            )


def _target_prefix(model: str, tokenizer: Any, target: str) -> str:
    known = tokenizer.supported_language_codes
    if not known:
        return ""
    for code in opus_codes(target):
        if f">>{code}<<" in known:
            return f">>{code}<< "
    raise _no_language(model, target, f"its target languages are {shown(known, 200)}")


def _no_language(model: str, language: str, detail: str = "") -> InputError:
    return InputError(
        model, f"the model does not have language {language!r}{detail and f' ({detail})'}", "choose another model"
    )
