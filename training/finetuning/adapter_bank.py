"""Several adapters on one base, in memory at once: the encoder is there once, and one call changes what it does."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerBase

from kbioxlm.common.errors import InputError
from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.training.finetuning.adapters import Adapter, read_adapter
from kbioxlm.training.finetuning.classifier import new_classifier
from kbioxlm.training.finetuning.encoder_tagger import EncoderTaggerConfig
from kbioxlm.training.finetuning.encoders import encoder_of, is_xlm_roberta_shaped, load_encoder, model_type
from kbioxlm.training.finetuning.markers import add_markers
from kbioxlm.training.finetuning.tagger import new_tagger
from kbioxlm.training.models.checkpoints import weight_files
from kbioxlm.training.models.tokenizer import load_tokenizer


@dataclass(frozen=True)
class _Member:
    model: PeftModel
    tokenizer: PreTrainedTokenizerBase
    markers: torch.Tensor  # (added pieces, hidden)


class AdapterBank:
    """Adapters by task, language and shots, such as a tagger for English and a classifier for Chinese, on one encoder.

        bank = AdapterBank()
        bank.add("ade", "runs/ade-lora")
        bank.add("hoc", "runs/hoc-lora")
        model, tokenizer = bank.use("ade")

    An adapter takes a few megabytes beside the encoder. Only the one that was last asked for is right: all of them
    share the encoder's layers.
    """

    def __init__(self) -> None:
        self._encoder: PreTrainedModel | None = None
        self._base = ""
        self._pieces = 0
        self._members: dict[str, _Member] = {}

    @property
    def names(self) -> list[str]:
        """Of all adapters, in the order in which they were added."""
        return list(self._members)

    def add(self, name: str, folder: str) -> None:
        """Load the adapter in `folder` and call it `name`; the first one brings the base.

        Raises:
            InputError: no adapter there, one for another base, or a name that is taken or holds a dot.
        """
        adapter = read_adapter(folder)
        if name in self._members or "." in name or not name:
            raise InputError(folder, f"cannot be called {name!r}", "give each adapter a name of its own, without dots")
        if self._encoder is None:
            self._encoder, _ = load_encoder(adapter.base, weight_files(adapter.convert_pickle), pooler=True)
            self._base, self._pieces = adapter.base, self._encoder.config.vocab_size
        elif adapter.base != self._base:
            raise InputError(
                folder, f"is for {adapter.base}, the others are for {self._base}", "open another bank for this base"
            )
        self._members[name] = self._member(name, adapter)

    def use(self, name: str) -> tuple[Any, PreTrainedTokenizerBase]:
        """The model, ready to predict, and the tokenizer of the adapter called `name`.

        Raises:
            InputError: there is none.
        """
        if name not in self._members:
            raise InputError(
                "adapters", f"none is called {name!r}", f"name one of {', '.join(self._members) or 'none'}"
            )
        member = self._members[name]
        member.model.set_adapter(name, inference_mode=True)
        with torch.no_grad():
            self._added_rows(len(member.markers)).copy_(member.markers)
        return member.model.eval(), member.tokenizer

    def _member(self, name: str, adapter: Adapter) -> _Member:
        model = _model_of(adapter)
        setattr(model, model.base_model_prefix, self._encoder)
        tokenizer = load_tokenizer(adapter.base, encoder_of(model).config)
        add_markers(model, tokenizer, adapter.markers)
        with warnings.catch_warnings():
            # peft takes an encoder that is adapted already for a mistake
            warnings.filterwarnings("ignore", "Already found a `peft_config`|You are trying to modify", UserWarning)
            adapted = adapter.put_on(model, name)
        return _Member(adapted, tokenizer, self._added_rows(len(tokenizer) - self._pieces).clone())

    @torch.no_grad()
    def _added_rows(self, count: int) -> torch.Tensor:
        """The embeddings of the pieces beyond the base's own, (added pieces, hidden); not a copy."""
        assert self._encoder is not None
        return self._encoder.get_input_embeddings().weight[self._pieces :][: max(0, count)]


def _model_of(adapter: Adapter) -> PreTrainedModel:
    """A model of the adapter's kind, with random weights."""
    kind = model_type(adapter.folder)
    if kind == EncoderTaggerConfig.model_type:
        return new_tagger(EncoderTaggerConfig.from_pretrained(adapter.folder))
    config = (KBioXLMConfig if is_xlm_roberta_shaped(adapter.folder) else AutoConfig).from_pretrained(adapter.folder)
    return new_tagger(config) if adapter.task == "ner" else new_classifier(config)
