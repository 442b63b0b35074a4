"""KBioXLM: an XLM-R encoder with heads for knowledge-anchored pretraining, NER and text classification.

Flat file: it travels beside `config.json` to model repositories and is loaded there as remote code.
Encoder parameters carry XLM-R's own names, so that any XLM-R checkpoint loads by key.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import initialization as init
from transformers.modeling_outputs import (
    BaseModelOutputWithPoolingAndCrossAttentions,
    MaskedLMOutput,
    TokenClassifierOutput,
)
from transformers.models.xlm_roberta.modeling_xlm_roberta import (
    XLMRobertaForSequenceClassification,
    XLMRobertaModel,
    XLMRobertaPreTrainedModel,
)
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_kbioxlm import KBioXLMConfig
from .modeling_crf_kbioxlm import KBioXLMCRF
from .modeling_encoder_kbioxlm import KBioXLMAttention, KBioXLMDropout, PackedBatch, attention_kernel
from .modeling_lm_head_kbioxlm import IGNORED, KBioXLMLMHead


@dataclass
class KBioXLMForPreTrainingOutput(ModelOutput):
    """What `KBioXLMForPreTraining` returns.

    Attributes:
        loss: L = L_e + L_f + L_p (equation 4), over those of the three whose labels were given.
        entity_loss: L_e (equation 1), the mean over the positions labelled in `labels`.
        relation_loss: L_f (equation 2), the mean over the positions labelled in `relation_labels`.
        passage_loss: L_p (equation 3), the mean over the examples labelled in `passage_labels`.
        counted: (3,), int64, the positions (or examples) that each of the three losses is the mean over.
        correct: (3,), int64, those of them whose label scores highest.
        prediction_logits: (batch, sequence, rows) without labels; with `labels` or `relation_labels`
            (labelled positions, rows), in reading order, as nothing else is computed, and None in training, where
            nothing reads them.
        passage_logits: (batch, passage relations).
        hidden_states: on request, a tuple of (batch, sequence, hidden), embeddings first.
        attentions: on request, a tuple of (batch, heads, sequence, sequence).
    """

    loss: torch.Tensor | None = None
    entity_loss: torch.Tensor | None = None
    relation_loss: torch.Tensor | None = None
    passage_loss: torch.Tensor | None = None
    counted: torch.Tensor | None = None
    correct: torch.Tensor | None = None
    prediction_logits: torch.Tensor | None = None
    passage_logits: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


class KBioXLMPassageHead(nn.Module):
    """Relation of the two segments of an input, read from the first piece (section 3.1.4)."""

    def __init__(self, config: KBioXLMConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(_classifier_dropout(config))
        self.out_proj = nn.Linear(config.hidden_size, config.num_passage_relations)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(batch, sequence, hidden) to logits (batch, passage relations)."""
        first = self.dropout(hidden[:, 0])
        return self.out_proj(self.dropout(torch.tanh(self.dense(first))))


class KBioXLMPreTrainedModel(XLMRobertaPreTrainedModel):
    """What all models share: weight initialisation, and XLM-R's ways with attention, checkpointing and outputs."""

    config: KBioXLMConfig
    config_class = KBioXLMConfig
    # Losses are means over their own positions, not over the Trainer's count of labels; it has to divide them by
    # the number of accumulation steps itself.
    accepts_loss_kwargs = False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, KBioXLMLMHead):
            init.zeros_(module.bias)
            if module.token_ids is not None:
                init.copy_(module.token_ids, torch.arange(len(module.token_ids)))
        elif isinstance(module, KBioXLMCRF):
            for parameter in module.parameters():
                init.zeros_(parameter)


class KBioXLMModel(KBioXLMPreTrainedModel, XLMRobertaModel):
    """The encoder alone; forward as in `transformers.XLMRobertaModel`, but nothing is computed for padding.

    Padding is taken out before the first layer and put back after the last: the hidden states of padding are 0 then.
    Layers see one long sequence of all pieces, and attention keeps the sequences apart. What computes it depends on
    `attn_implementation` and on the device:

    - `sdpa` (the default) on a CPU: one call of scaled dot-product attention for each run of sequences of one length.
      Inside `torch.compile` padding stays.
    - `sdpa` on CUDA: torch's kernels for nested tensors, one call for all sequences, in float32 and half precision,
      with dropout and without; a batch without padding is one call of scaled dot-product attention.
    - `flash_attention_2` and its like, from a package or the kernels of the Hub: their variable-length path, through
      transformers' own interface. The fastest on CUDA; needs half precision or autocast.
    - any other (`eager`, `flex_attention`), or another device: padding stays. It also stays while the model is
      exported, and where hidden states or attentions of every layer are asked for.
    """

    def __init__(self, config: KBioXLMConfig, add_pooling_layer: bool = True):
        super().__init__(config, add_pooling_layer)
        for index, layer in enumerate(self.encoder.layer):
            layer.attention = KBioXLMAttention(config, layer_idx=index)
        for parent in list(self.modules()):
            for name, module in parent.named_children():
                if type(module) is nn.Dropout:
                    setattr(parent, name, KBioXLMDropout(module.p))
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        wanted: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPoolingAndCrossAttentions:
        """Hidden states (batch, sequence, hidden), and the pooled first piece where there is a pooler.

        Args:
            input_ids: (batch, sequence); or `inputs_embeds`, (batch, sequence, hidden).
            attention_mask: (batch, sequence), 0 for padding.
            wanted: (batch, sequence), bool: the positions whose hidden states will be read, None for all. The
                feed-forward part of the last layer is computed for them alone; the others mean nothing.
        """
        inputs = {"token_type_ids": token_type_ids, "position_ids": position_ids, "inputs_embeds": inputs_embeds}
        template = input_ids if inputs_embeds is None else inputs_embeds
        kernel = self._kernel(template, attention_mask, kwargs)
        if kernel is None or template is None:
            return super().forward(input_ids, attention_mask, return_dict=True, **inputs, **kwargs)
        if position_ids is None and input_ids is not None:
            inputs["position_ids"] = self.embeddings.create_position_ids_from_input_ids(
                input_ids, self.embeddings.padding_idx
            )
        elif position_ids is None:
            inputs["position_ids"] = self.embeddings.create_position_ids_from_inputs_embeds(
                inputs_embeds, self.embeddings.padding_idx
            )
        if wanted is not None and self.pooler is not None:
            wanted = wanted.clone()
            wanted[:, 0] = True
        packed = PackedBatch.of(template, attention_mask, wanted, kernel, *self._arithmetic(template.device.type))
        flat = {
            name: None if tensor is None else packed.pack(tensor)
            for name, tensor in {"input_ids": input_ids, **inputs}.items()
        }
        hidden = packed.unpack(self.encoder(self.embeddings(**flat), packed=packed).last_hidden_state)
        return BaseModelOutputWithPoolingAndCrossAttentions(
            last_hidden_state=hidden, pooler_output=None if self.pooler is None else self.pooler(hidden)
        )

    def _arithmetic(self, device: str) -> tuple[torch.dtype, bool]:
        """In which dtype matrices are multiplied, and whether attention is faster explicitly than by torch's kernel."""
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else self.dtype
        drops = self.training and self.config.attention_probs_dropout_prob > 0
        slow = drops or (torch.is_grad_enabled() and self.training and dtype == torch.bfloat16)
        return dtype, device == "cpu" and slow

    def _kernel(
        self, template: torch.Tensor | None, attention_mask: torch.Tensor | None, kwargs: dict[str, Any]
    ) -> str | None:
        """What computes attention if the layers get pieces laid end to end; None if padding stays."""
        if template is None:
            return None
        on_request = ("output_hidden_states", "output_attentions")
        stays = (
            self.config.is_decoder
            or torch.jit.is_tracing()
            or torch.compiler.is_exporting()
            or any(kwargs.get(name, getattr(self.config, name)) for name in on_request)
            or not template.numel()
            or not (attention_mask is None or (attention_mask.dim() == 2 and bool(attention_mask.any())))
        )
        return None if stays else attention_kernel(self.config, template.device)


class KBioXLMWithLMHead(KBioXLMPreTrainedModel):
    """Encoder and masked-language-model head, the common part of the two models that predict pieces."""

    _tied_weights_keys = {  # noqa: RUF012 - read by transformers from class or instance
        "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    }
    _keys_to_ignore_on_load_unexpected = [r"pooler"]  # noqa: RUF012

    def __init__(self, config: KBioXLMConfig):
        super().__init__(config)
        self.roberta = KBioXLMModel(config, add_pooling_layer=False)
        self._set_lm_head(KBioXLMLMHead(config))

    @classmethod
    def from_xlm_roberta(
        cls, folder_or_id: str | os.PathLike, token_ids: torch.Tensor | Sequence[int] | None = None, **kwargs: Any
    ) -> Any:
        """Start from an XLM-R checkpoint with its masked-language-model head (`XLMRobertaForMaskedLM`).

        Only safetensors files are read, never pickles.

        Args:
            folder_or_id: a folder or a Hub repository.
            token_ids: input ids to keep in the head (appendix A.1), see `reduce_mlm_head`; None keeps all.
            kwargs: as for `from_pretrained`.

        Raises:
            ValueError: the checkpoint lacks the encoder or the head, or `token_ids` cannot be used.
        """
        model: Any
        loading: Any
        model, loading = cls.from_pretrained(  # a pair, when the loading information is asked for
            folder_or_id, use_safetensors=True, output_loading_info=True, **kwargs
        )
        absent = sorted(key for key in loading["missing_keys"] if key.startswith(("roberta.", "lm_head.")))
        if absent:
            raise ValueError(
                f"{folder_or_id}: {len(absent)} weights are missing, {absent[0]!r} among them; give a checkpoint saved "
                "by XLMRobertaForMaskedLM, or use from_pretrained to begin with a random head"
            )
        if token_ids is not None:
            model.reduce_mlm_head(token_ids)
        return model

    def reduce_mlm_head(self, token_ids: torch.Tensor | Sequence[int]) -> None:
        """Keep only the rows of the masked-language-model head that stand for `token_ids` (appendix A.1).

        The rows are copied: from here on they are trained apart from the word embeddings.

        Args:
            token_ids: (rows,) input ids in any order; stored in increasing order.

        Raises:
            ValueError: no ids, repeated ids, ids outside the vocabulary or that the head no longer has.
        """
        ids = torch.as_tensor(token_ids)
        if ids.dim() != 1 or not len(ids) or ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
            raise ValueError(f"token_ids of shape {tuple(ids.shape)} and {ids.dtype}: give a list of whole numbers")
        ids, counts = ids.long().to(self.lm_head.bias.device).unique(return_counts=True)  # sorted
        if (counts > 1).any():
            raise ValueError(f"token_ids holds {_some(ids[counts > 1])} more than once: give every id once")
        outside = ids[(ids < 0) | (ids >= self.config.vocab_size)]
        if len(outside):
            raise ValueError(f"token_ids holds {_some(outside)}: give ids from 0 to {self.config.vocab_size - 1}")
        absent = ids[self.lm_head.rows(ids) == IGNORED]
        if len(absent):
            raise ValueError(f"token_ids holds {_some(absent)}, which the head, reduced before, no longer has")
        self._keep_rows(ids)

    def _piece_losses(
        self, hidden: torch.Tensor, labelled: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Of each task its loss, right predictions and targets, (tasks,) each; and logits, unless in training.

        Args:
            hidden: (batch, sequence, hidden).
            labelled: (batch, sequence), bool.
            targets: (tasks, labelled positions), rows of the head, -100 where there is none.
        """
        hidden = hidden[labelled.to(hidden.device)]  # (labelled positions, hidden)
        counted = (targets != IGNORED).sum(dim=1)
        if self.training:
            return (*self.lm_head.losses(hidden, targets), counted, None)
        logits = self.lm_head(hidden)
        losses = torch.stack([_mean_cross_entropy(logits, rows) for rows in targets])
        return losses, (logits.argmax(dim=-1) == targets).sum(dim=1), counted, logits

    def get_output_embeddings(self) -> nn.Linear | None:
        """The decoder, if it covers the whole vocabulary; a reduced one has no row for each embedding."""
        return self.lm_head.decoder if self.lm_head.token_ids is None else None

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        self.lm_head.decoder = new_embeddings

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Embedding:
        """As in transformers. A reduced head keeps its rows, and loses those of input ids that are cut off."""
        embeddings = super().resize_token_embeddings(*args, **kwargs)
        ids = self.lm_head.token_ids
        if ids is not None and (ids >= self.config.vocab_size).any():
            self._keep_rows(ids[ids < self.config.vocab_size])
        return embeddings

    @torch.no_grad()
    def _keep_rows(self, ids: torch.Tensor) -> None:
        old, rows = self.lm_head, self.lm_head.rows(ids)
        self.config.mlm_vocab_size = len(ids)
        head = KBioXLMLMHead(self.config).to(old.bias)
        if head.transforms:
            head.dense, head.layer_norm = old.dense, old.layer_norm
        head.decoder.weight.copy_(old.decoder.weight[rows])
        head.decoder.bias.copy_(old.decoder.bias[rows])
        head.bias.copy_(head.decoder.bias)
        head.token_ids = ids
        head.train(old.training)
        self._set_lm_head(head)
        self.all_tied_weights_keys = self.get_expanded_tied_weights_keys(all_submodels=True)
        self.tie_weights()

    def _set_lm_head(self, head: KBioXLMLMHead) -> None:
        self.lm_head = head
        if head.token_ids is not None:
            self._tied_weights_keys = {"lm_head.decoder.bias": "lm_head.bias"}


class KBioXLMForPreTraining(KBioXLMWithLMHead):
    """Encoder with the three pretraining tasks of the paper: masked entities, masked relations, passage relation."""

    def __init__(self, config: KBioXLMConfig):
        super().__init__(config)
        self.passage_head = KBioXLMPassageHead(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        relation_labels: torch.Tensor | None = None,
        passage_labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> KBioXLMForPreTrainingOutput:
        """Losses of equations 1 to 4; each is the mean over its own positions, and 0 where there are none.

        A `Trainer` reports an evaluation loss only for batches that hold all three kinds of labels: give -100 for
        those that do not apply, or name the others in its `label_names`.

        Args:
            input_ids: (batch, sequence); or `inputs_embeds`, (batch, sequence, hidden).
            attention_mask: (batch, sequence), 0 for padding.
            labels: (batch, sequence), input ids of masked pieces of words and entities, -100 elsewhere. Pieces
                that a reduced head has no row for are left out of the loss.
            relation_labels: (batch, sequence), the same for masked pieces of relations.
            passage_labels: (batch,), 0 positive, 1 random, 2 context, -100 for input that is no pair of passages.
        """
        given = [tensor for tensor in (labels, relation_labels) if tensor is not None]
        labelled, wanted = None, None
        if given:
            labelled = torch.stack([tensor != IGNORED for tensor in given]).any(dim=0)  # (batch, sequence)
            wanted = labelled.clone()
            wanted[:, 0] = True  # the passage head reads the first piece
        outputs = self.roberta(
            input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            wanted=wanted,
            return_dict=True,
            **kwargs,
        )
        hidden = outputs.last_hidden_state  # (batch, sequence, hidden)
        tasks = [task for task, tensor in enumerate((labels, relation_labels)) if tensor is not None]
        losses: list[torch.Tensor | None] = [None, None, None]
        counted = torch.zeros(3, dtype=torch.long, device=hidden.device)
        correct = torch.zeros_like(counted)
        logits: torch.Tensor | None
        if labelled is not None:
            targets = self.lm_head.rows(torch.stack([tensor[labelled] for tensor in given]).to(hidden.device))
            piece_losses, correct[tasks], counted[tasks], logits = self._piece_losses(hidden, labelled, targets)
            for task, loss in zip(tasks, piece_losses, strict=True):
                losses[task] = loss
        else:
            logits = self.lm_head(hidden)
        passage_logits = self.passage_head(hidden)
        if passage_labels is not None:
            passage_labels = passage_labels.to(hidden.device)
            losses[2] = _mean_cross_entropy(passage_logits, passage_labels)
            counted[2] = (passage_labels != IGNORED).sum()
            correct[2] = (passage_logits.argmax(dim=-1) == passage_labels).sum()
        computed = [loss for loss in losses if loss is not None]
        return KBioXLMForPreTrainingOutput(
            loss=torch.stack(computed).sum() if computed else None,
            entity_loss=losses[0],
            relation_loss=losses[1],
            passage_loss=losses[2],
            counted=counted if computed else None,
            correct=correct if computed else None,
            prediction_logits=logits,
            passage_logits=passage_logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class KBioXLMForMaskedLM(KBioXLMWithLMHead):
    """Encoder that predicts masked pieces."""

    def __init__(self, config: KBioXLMConfig):
        super().__init__(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> MaskedLMOutput:
        """Logits over the vocabulary, or the loss of masked pieces.

        Without `labels` the logits are (batch, sequence, vocabulary), -inf for pieces that a reduced head has no
        row for. With `labels` nothing but the labelled positions is computed: the logits are
        (labelled positions, rows of the head), in reading order, or None in training, where nothing reads them; the
        loss is their mean, 0 where there are none.

        Args:
            input_ids: (batch, sequence); or `inputs_embeds`, (batch, sequence, hidden).
            attention_mask: (batch, sequence), 0 for padding.
            labels: (batch, sequence), input ids of masked pieces, -100 elsewhere.
        """
        outputs = self.roberta(
            input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            wanted=None if labels is None else labels != IGNORED,
            return_dict=True,
            **kwargs,
        )
        hidden = outputs.last_hidden_state  # (batch, sequence, hidden)
        loss: torch.Tensor | None = None
        logits: torch.Tensor | None
        if labels is None:
            logits = self._over_vocabulary(self.lm_head(hidden))
        else:
            labelled = labels != IGNORED
            targets = self.lm_head.rows(labels[labelled].to(hidden.device))
            losses, _, _, logits = self._piece_losses(hidden, labelled, targets.unsqueeze(0))
            loss = losses[0]
        return MaskedLMOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )

    def _over_vocabulary(self, logits: torch.Tensor) -> torch.Tensor:
        if self.lm_head.token_ids is None:
            return logits
        full = logits.new_full((*logits.shape[:-1], self.config.vocab_size), -torch.inf)
        return full.index_copy(-1, self.lm_head.token_ids, logits)


class KBioXLMForTokenClassification(KBioXLMPreTrainedModel):
    """Encoder that labels pieces, with a CRF over the labels or (`config.use_crf` false) each by itself."""

    _keys_to_ignore_on_load_unexpected = [r"pooler"]  # noqa: RUF012

    def __init__(self, config: KBioXLMConfig):
        super().__init__(config)
        self.num_labels = len(_label_names(config))
        self.roberta = KBioXLMModel(config, add_pooling_layer=False)
        self.dropout = nn.Dropout(_classifier_dropout(config))
        self.classifier = nn.Linear(config.hidden_size, self.num_labels)
        self.crf = KBioXLMCRF(self.num_labels) if config.use_crf else None
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> TokenClassifierOutput:
        """Logits (batch, sequence, labels), the emissions of the CRF where there is one.

        The loss is the negative log-likelihood of the labels, per labelled piece; 0 where there are none.

        Args:
            input_ids: (batch, sequence); or `inputs_embeds`, (batch, sequence, hidden).
            attention_mask: (batch, sequence), 0 for padding.
            labels: (batch, sequence), label ids, -100 for padding and pieces that carry no label.
        """
        outputs = self.roberta(
            input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            return_dict=True,
            **kwargs,
        )
        logits = self.classifier(self.dropout(outputs.last_hidden_state))
        loss = None
        if labels is not None:
            labels = labels.to(logits.device)
            if self.crf is None:
                loss = _mean_cross_entropy(logits.flatten(0, 1), labels.flatten())
            else:
                labelled = labels != IGNORED
                loss = self.crf(logits, labels, labelled).sum() / labelled.sum().clamp(min=1)
        return TokenClassifierOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )

    def decode(self, logits: torch.Tensor, label_mask: torch.Tensor) -> list[list[int]]:
        """Label ids of each sequence, one for every true position of its `label_mask` row.

        With a CRF, the best sequence that is well-formed IOB2 by `config.id2label`: I-X follows only B-X or I-X.
        (Training leaves all transitions open, so that the likelihood is that of a plain CRF.) Without one, the
        best label of each piece.

        Args:
            logits: (batch, sequence, labels), as returned by `forward`.
            label_mask: (batch, sequence), true or non-zero for pieces that carry a label.
        """
        mask = label_mask.to(device=logits.device, dtype=torch.bool)
        if self.crf is None:
            best = logits.argmax(dim=-1)
            return [row[on].tolist() for row, on in zip(best, mask, strict=True)]
        return self.crf.decode(logits, mask, *iob2_forbidden(_label_names(self.config)))


class KBioXLMForSequenceClassification(KBioXLMPreTrainedModel, XLMRobertaForSequenceClassification):
    """Encoder that labels whole inputs; single-label, multi-label or regression by `config.problem_type`.

    Forward as in `transformers.XLMRobertaForSequenceClassification`.
    """

    _keys_to_ignore_on_load_unexpected = [r"pooler"]  # noqa: RUF012

    def __init__(self, config: KBioXLMConfig):
        super().__init__(config)
        self.roberta = KBioXLMModel(config, add_pooling_layer=False)
        self.post_init()


def iob2_forbidden(labels: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """What IOB2 rules out: (labels,) as the first label, and (labels, labels) as the transition [from, to].

    I-X may follow B-X and I-X alone. Labels without a prefix, and I-X where there is no B-X, stand free.
    """
    inside = [label.startswith("I-") and f"B-{label[2:]}" in labels for label in labels]
    forbidden = [
        [inside[to] and before not in (f"B-{label[2:]}", label) for to, label in enumerate(labels)] for before in labels
    ]
    return torch.tensor(inside), torch.tensor(forbidden)


def _label_names(config: KBioXLMConfig) -> list[str]:
    return [str(name) for _, name in sorted((int(key), name) for key, name in (config.id2label or {}).items())]


def _classifier_dropout(config: KBioXLMConfig) -> float:
    return config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout


def _mean_cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean over the targets that are not -100; 0, and still differentiable, where there are none.

    logits: (n, classes), targets: (n,).
    """
    total = F.cross_entropy(_at_least_float32(logits), targets, ignore_index=IGNORED, reduction="sum")
    return total / (targets != IGNORED).sum().clamp(min=1)


def _at_least_float32(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _some(ids: torch.Tensor) -> str:
    shown = ", ".join(str(i) for i in ids[:5].tolist())
    return shown + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")


KBioXLMModel.register_for_auto_class("AutoModel")
KBioXLMForPreTraining.register_for_auto_class("AutoModelForPreTraining")
KBioXLMForMaskedLM.register_for_auto_class("AutoModelForMaskedLM")
KBioXLMForTokenClassification.register_for_auto_class("AutoModelForTokenClassification")
KBioXLMForSequenceClassification.register_for_auto_class("AutoModelForSequenceClassification")

__all__ = [
    "KBioXLMForMaskedLM",
    "KBioXLMForPreTraining",
    "KBioXLMForPreTrainingOutput",
    "KBioXLMForSequenceClassification",
    "KBioXLMForTokenClassification",
    "KBioXLMModel",
    "KBioXLMPreTrainedModel",
]
