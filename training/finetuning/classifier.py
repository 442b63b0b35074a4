"""A classifier of whole texts at work: loading one, preparing texts for it, its logits for each text.

A text that is longer than the model is read in overlapping windows, each of which the model answers; what they
say is combined, and nothing is left out.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from kbioxlm.common.errors import InputError
from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.modeling_kbioxlm import KBioXLMForSequenceClassification
from kbioxlm.training.finetuning.adapters import is_adapter, merged, read_adapter
from kbioxlm.training.finetuning.batching import by_length, padded_inputs
from kbioxlm.training.finetuning.encoders import encoder_of, is_xlm_roberta_shaped, load_encoder
from kbioxlm.training.finetuning.labelled_texts import LabelledTexts
from kbioxlm.training.finetuning.markers import add_markers, marker_ids
from kbioxlm.training.finetuning.spans import cuts, pieces_of
from kbioxlm.training.models.checkpoints import load_whole, weight_files
from kbioxlm.training.pretraining.features import word_spans


@dataclass(frozen=True)
class TextWindow:
    """A stretch of a text as model input.

    Attributes:
        text: index of the text.
        input_ids: `<s>`, the pieces, `</s>`.
        labels: what the window is trained on, that of its text; None where it is not.
    """

    text: int
    input_ids: list[int]
    labels: Any


@dataclass(frozen=True)
class PreparedTexts:
    """Texts as a classifier takes them in."""

    data: LabelledTexts
    windows: list[TextWindow]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The windows as training rows."""
        return [{"input_ids": window.input_ids, "labels": window.labels} for window in self.windows]


def prepare_texts(
    data: LabelledTexts,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    targets: Sequence[Any] | None = None,
    marked: bool = False,
) -> PreparedTexts:
    """Tokenise `data` and cut it into windows of at most `max_length` positions, special tokens included.

    Windows begin and end between words and overlap by about a quarter.

    Args:
        targets: what the windows of each text are trained on.
        marked: keep those of a text's windows that hold most of the entity markers; it is between them that
            something is asked.
    """
    windows = []
    room = max_length - 2
    markers = marker_ids(tokenizer) if marked else set()
    for index, piece in enumerate(pieces_of(tokenizer, [example.text for example in data.examples])):
        words = word_spans(data.examples[index].text) if len(piece.ids) > room else []
        parts = [piece.ids[first:last] for first, last in cuts(piece.offsets, words, room)]
        most = max(len(markers.intersection(part)) for part in parts)
        target = None if targets is None else targets[index]
        windows += [
            TextWindow(index, [tokenizer.cls_token_id, *part, tokenizer.sep_token_id], target)
            for part in parts
            if len(markers.intersection(part)) == most
        ]
    return PreparedTexts(data, windows)


def load_classifier(
    checkpoint: str,
    labels: Sequence[str] | None = None,
    multi_label: bool = False,
    markers: Sequence[str] = (),
    convert_pickle: bool = False,
    merge: bool = True,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A classifier and its tokenizer.

    Args:
        checkpoint: a folder, or an id on the Hub.
        labels: labels of a new head on the checkpoint's encoder; its parameters are drawn from torch's generator.
            None: the checkpoint is a classifier already.
        multi_label: whether a text may have any number of labels; otherwise it has one.
        markers: with a new head, see `markers.add_markers`.
        convert_pickle: read a pickle where there are no safetensors, without its code.
        merge: an adapter is merged into its base; otherwise it stays apart, as a `PeftModel`.

    Raises:
        InputError: nothing there, no tokenizer, no encoder weights, or no trained head where one is needed.
    """
    if labels is None and is_adapter(checkpoint):
        adapter = read_adapter(checkpoint)
        _check_problem(checkpoint, adapter.config["problem_type"], multi_label)
        model, tokenizer = load_classifier(
            adapter.base, adapter.labels, multi_label, adapter.markers, adapter.convert_pickle
        )
        adapted = adapter.put_on(model, trainable=not merge)
        return merged(adapted) if merge else adapted, tokenizer
    remedy = "name a fine-tuned classifier" if labels is None else "name an encoder whose weights are all there"
    problem = _problem_type(multi_label)

    def load() -> tuple[PreTrainedModel, set[str]]:
        ours = is_xlm_roberta_shaped(checkpoint)
        if labels is None:
            options: dict[str, Any] = {"output_loading_info": True, "dtype": torch.float32, "use_safetensors": True}
            kind = KBioXLMForSequenceClassification if ours else AutoModelForSequenceClassification
            model, info = kind.from_pretrained(checkpoint, **options)
            return model, set(info["missing_keys"])
        ids = dict(enumerate(labels))
        head = {"id2label": ids, "label2id": {label: i for i, label in ids.items()}, "problem_type": problem}
        # The encoder alone: a head the checkpoint has may be for other labels.
        encoder, missing = load_encoder(checkpoint, weight_files(convert_pickle), pooler=True)
        if ours:
            config = KBioXLMConfig.from_pretrained(checkpoint, **head)
        else:
            config = copy.deepcopy(encoder.config)
            config.update(head)
        model = new_classifier(config)
        # A pooler that this head does without is left behind.
        encoder_of(model).load_state_dict(encoder.state_dict(), strict=False)
        return model, missing

    model, tokenizer = load_whole(checkpoint, load, remedy, convert_pickle and labels is not None)
    if labels is not None:
        add_markers(model, tokenizer, markers)
    if labels is None:
        _check_problem(checkpoint, model.config.problem_type, multi_label)
    return model, tokenizer


def new_classifier(config: PretrainedConfig) -> PreTrainedModel:
    """A classifier of the kind that `config` is for, with random weights."""
    if isinstance(config, KBioXLMConfig):
        return KBioXLMForSequenceClassification(config)
    return AutoModelForSequenceClassification.from_config(config)


def _problem_type(multi_label: bool) -> str:
    return "multi_label_classification" if multi_label else "single_label_classification"


def _check_problem(checkpoint: str, found: str | None, multi_label: bool) -> None:
    if found != _problem_type(multi_label):
        raise InputError(
            checkpoint, f"was fine-tuned for {found}, not {_problem_type(multi_label)}",
            f"set task: {'relation' if multi_label else 'document'}, or name another checkpoint",
        )  # fmt: skip


def predict_logits(
    model: PreTrainedModel,
    prepared: PreparedTexts,
    combine: Callable[[torch.Tensor], torch.Tensor],
    batch_size: int = 64,
    bf16: bool = False,
) -> torch.Tensor:
    """The logits of each text, (texts, labels), float32, on the CPU.

    Args:
        combine: the logits of a text's windows (windows, labels) as those of the text (labels,).
        bf16: run the encoder under bfloat16 autocast.
    """
    windows = prepared.windows
    logits = torch.empty(len(windows), model.config.num_labels)
    was_training = model.training
    model.eval()
    device = model.device
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for chosen in by_length(windows, batch_size):
            inputs = padded_inputs([windows[i].input_ids for i in chosen], model.config.pad_token_id)
            inputs = {name: tensor.to(device) for name, tensor in inputs.items()}
            logits[chosen] = model(**inputs).logits.float().cpu()  # (batch, labels)
    model.train(was_training)
    counts = torch.bincount(torch.tensor([window.text for window in windows]), minlength=len(prepared.data.examples))
    return torch.stack([combine(part) for part in logits.split(counts.tolist())])
