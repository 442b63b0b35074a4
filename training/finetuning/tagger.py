"""A NER tagger at work: loading one, preparing data for it, predicting spans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kbioxlm.common.errors import InputError
from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.dataset_scripts.benchmarks.iob import Span
from kbioxlm.modeling_kbioxlm import KBioXLMForTokenClassification
from kbioxlm.training.finetuning.adapters import is_adapter, merged, read_adapter
from kbioxlm.training.finetuning.batching import by_length, pad, padded_inputs
from kbioxlm.training.finetuning.encoder_tagger import EncoderTagger, EncoderTaggerConfig
from kbioxlm.training.finetuning.encoders import encoder_of, is_xlm_roberta_shaped, load_encoder, model_type
from kbioxlm.training.finetuning.ner import NerData
from kbioxlm.training.finetuning.spans import (
    Pieces,
    Window,
    inexpressible,
    merge_windows,
    pieces_of,
    spans_of_pieces,
    windows_of,
)
from kbioxlm.training.models.checkpoints import load_whole, weight_files

Tagger = KBioXLMForTokenClassification | EncoderTagger


@dataclass(frozen=True)
class Prepared:
    """NER data as a tagger takes it in."""

    data: NerData
    pieces: list[Pieces]
    windows: list[Window]
    inexpressible: int

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The windows as training rows."""
        return [{"input_ids": window.input_ids, "labels": window.labels} for window in self.windows]


def prepare(
    data: NerData, tokenizer: PreTrainedTokenizerBase, max_length: int, tag_ids: dict[str, int] | None = None
) -> Prepared:
    """Tokenise `data` and cut it into windows of at most `max_length` positions; with `tag_ids` they carry labels."""
    pieces = pieces_of(tokenizer, [sentence.text for sentence in data.examples])
    windows = windows_of(data.examples, pieces, tokenizer, max_length, tag_ids)
    return Prepared(data, pieces, windows, inexpressible(data.examples, pieces))


def load_tagger(
    checkpoint: str,
    tags: Sequence[str] | None = None,
    use_crf: bool = True,
    convert_pickle: bool = False,
    merge: bool = True,
) -> tuple[Tagger, PreTrainedTokenizerBase]:
    """A tagger and its tokenizer.

    Args:
        checkpoint: a folder, or an id on the Hub.
        tags: tags of a new head on the checkpoint's encoder; its parameters are drawn from torch's generator.
            None: the checkpoint is a tagger already.
        use_crf: whether a new head has a CRF.
        convert_pickle: read a pickle where there are no safetensors, without its code.
        merge: an adapter is merged into its base; otherwise it stays apart, as a `PeftModel`.

    Raises:
        InputError: nothing there, no tokenizer, no encoder weights, or no trained head where one is needed.
    """
    if tags is None and is_adapter(checkpoint):
        adapter = read_adapter(checkpoint)
        use_crf = adapter.config.get("use_crf", True)
        model, tokenizer = load_tagger(adapter.base, adapter.labels, use_crf, adapter.convert_pickle)
        adapted = adapter.put_on(model, trainable=not merge)
        return merged(adapted) if merge else adapted, tokenizer
    remedy = "name a fine-tuned tagger" if tags is None else "name an encoder whose weights are all there"

    def load() -> tuple[PreTrainedModel, set[str]]:
        ours = is_xlm_roberta_shaped(checkpoint)
        if tags is None:
            if not ours and model_type(checkpoint) != EncoderTaggerConfig.model_type:
                raise InputError(checkpoint, f"is no tagger of ours but a {model_type(checkpoint)}", remedy)
            kind = KBioXLMForTokenClassification if ours else EncoderTagger
            options: dict[str, Any] = {"output_loading_info": True, "dtype": torch.float32, "use_safetensors": True}
            model, info = kind.from_pretrained(checkpoint, **options)
            return model, set(info["missing_keys"])
        ids = dict(enumerate(tags))
        head = {"id2label": ids, "label2id": {tag: i for i, tag in ids.items()}, "use_crf": use_crf}
        # The encoder alone: a head the checkpoint has may be for other tags.
        encoder, missing = load_encoder(checkpoint, weight_files(convert_pickle))
        if ours:
            model = new_tagger(KBioXLMConfig.from_pretrained(checkpoint, **head))
        else:
            model = new_tagger(EncoderTaggerConfig(encoder=encoder.config.to_dict(), **head))
        setattr(model, model.base_model_prefix, encoder)
        return model, missing

    return load_whole(checkpoint, load, remedy, convert_pickle and tags is not None)


def new_tagger(config: KBioXLMConfig | EncoderTaggerConfig) -> Tagger:
    """A tagger of the kind that `config` is for, with random weights."""
    return KBioXLMForTokenClassification(config) if isinstance(config, KBioXLMConfig) else EncoderTagger(config)


def predict(model: Tagger, prepared: Prepared, batch_size: int = 64, bf16: bool = False) -> list[tuple[Span, ...]]:
    """The spans that `model` finds in each sentence of `prepared`, in code points of its text.

    Windows of like length share a batch. `bf16` runs the encoder under bfloat16 autocast.
    """
    windows = prepared.windows
    tags: list[list[str]] = [[] for _ in windows]
    was_training = model.training
    model.eval()
    device = model.device
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for chosen in by_length(windows, batch_size):
            inputs = padded_inputs([windows[i].input_ids for i in chosen], encoder_of(model).config.pad_token_id)
            labelled = pad([windows[i].labelled for i in chosen], 0).bool()  # (batch, sequence)
            logits = model(**{name: tensor.to(device) for name, tensor in inputs.items()}).logits
            for i, path in zip(chosen, model.decode(logits.float(), labelled.to(device)), strict=True):
                tags[i] = [model.config.id2label[int(tag)] for tag in path]
    model.train(was_training)
    merged = merge_windows(windows, tags, prepared.pieces)
    return [spans_of_pieces(piece.offsets, row) for piece, row in zip(prepared.pieces, merged, strict=True)]
