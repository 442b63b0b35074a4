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
    XLMRobertaSelfAttention,
)
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_kbioxlm import KBioXLMConfig

IGNORED = -100  # the label of positions that carry none, as everywhere in transformers


@dataclass
class KBioXLMForPreTrainingOutput(ModelOutput):
    """What `KBioXLMForPreTraining` returns.

    Attributes:
        loss: L = L_e + L_f + L_p (equation 4), over those of the three whose labels were given.
        entity_loss: L_e (equation 1), the mean over the positions labelled in `labels`.
        relation_loss: L_f (equation 2), the mean over the positions labelled in `relation_labels`.
        passage_loss: L_p (equation 3), the mean over the examples labelled in `passage_labels`.
        prediction_logits: (batch, sequence, rows) without labels; with `labels` or `relation_labels`
            (labelled positions, rows), in reading order, as nothing else is computed.
        passage_logits: (batch, passage relations).
        hidden_states: on request, a tuple of (batch, sequence, hidden), embeddings first.
        attentions: on request, a tuple of (batch, heads, sequence, sequence).
    """

    loss: torch.Tensor | None = None
    entity_loss: torch.Tensor | None = None
    relation_loss: torch.Tensor | None = None
    passage_loss: torch.Tensor | None = None
    prediction_logits: torch.Tensor | None = None
    passage_logits: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


class KBioXLMLMHead(nn.Module):
    """XLM-R's head for masked pieces, over the whole vocabulary or a reduced one (appendix A.1).

    With `config.mlm_head_transform` false it is the decoder alone, as in the checkpoint of the paper's authors.
    `token_ids` (rows,), int64 and strictly increasing, holds the input id each row stands for; it is None for
    the whole vocabulary, where row and input id are the same.
    """

    token_ids: torch.Tensor | None

    def __init__(self, config: KBioXLMConfig):
        super().__init__()
        rows = config.vocab_size if config.mlm_vocab_size is None else config.mlm_vocab_size
        if config.mlm_head_transform:
            self.dense = nn.Linear(config.hidden_size, config.hidden_size)
            self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.transforms = config.mlm_head_transform
        self.decoder = nn.Linear(config.hidden_size, rows)
        self.bias = nn.Parameter(torch.zeros(rows))  # decoder.bias is tied to it: checkpoints hold this name
        self.register_buffer("token_ids", None if config.mlm_vocab_size is None else torch.arange(rows))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(…, hidden) to logits (…, rows)."""
        return self.decoder(self.layer_norm(F.gelu(self.dense(hidden))) if self.transforms else hidden)

    def rows(self, ids: torch.Tensor) -> torch.Tensor:
        """The row of each input id, in the shape of `ids`; -100 where there is none."""
        if self.token_ids is None:
            return ids
        # A search needs no table of the size of the vocabulary that would have to follow every load and resize.
        rows = torch.searchsorted(self.token_ids, ids.contiguous()).clamp_(max=len(self.token_ids) - 1)
        return torch.where(self.token_ids[rows] == ids, rows, IGNORED)


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


class KBioXLMCRF(nn.Module):
    """Linear-chain conditional random field over the labelled pieces of each sequence (Lafferty et al., 2001).

    The score of tags y_1 … y_n under emissions e is
    start[y_1] + Σ e_t[y_t] + Σ transitions[y_t-1, y_t] + end[y_n]; pieces outside the mask are left out, so that
    the labelled piece before and the one after a gap are neighbours. Everything is computed in float32 at least,
    under autocast too. All parameters start at 0, where the CRF is a plain softmax over each piece.
    """

    def __init__(self, num_tags: int):
        super().__init__()
        self.start = nn.Parameter(torch.zeros(num_tags))
        self.end = nn.Parameter(torch.zeros(num_tags))
        self.transitions = nn.Parameter(torch.zeros(num_tags, num_tags))  # [from, to]

    def forward(self, emissions: torch.Tensor, tags: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Negative log-likelihood of `tags`, (batch,); 0 for a sequence without a labelled piece.

        Args:
            emissions: (batch, sequence, tags).
            tags: (batch, sequence), read where `mask` is true.
            mask: (batch, sequence), bool, any pattern.
        """
        with torch.autocast(emissions.device.type, enabled=False):
            emissions, tags, mask = _pack(_at_least_float32(emissions), tags.masked_fill(~mask, 0), mask)
            start, end, transitions = (_at_least_float32(p) for p in (self.start, self.end, self.transitions))
            lengths = mask.sum(dim=1)

            # score of the given tags
            picked = emissions.gather(2, tags.unsqueeze(2)).squeeze(2)  # (batch, length)
            steps = transitions[tags[:, :-1], tags[:, 1:]]  # (batch, length - 1)
            last = tags.gather(1, (lengths - 1).clamp(min=0).unsqueeze(1)).squeeze(1)  # (batch,)
            score = start[tags[:, 0]] + (picked * mask).sum(1) + (steps * mask[:, 1:]).sum(1) + end[last]

            # log of the summed exponentials over all tags, by the forward recursion
            alpha = start + emissions[:, 0]  # (batch, tags)
            for t in range(1, emissions.shape[1]):
                following = torch.logsumexp(alpha.unsqueeze(2) + transitions, dim=1) + emissions[:, t]
                alpha = torch.where(mask[:, t, None], following, alpha)
            partition = torch.logsumexp(alpha + end, dim=1)  # (batch,)
            return torch.where(lengths > 0, partition - score, 0.0)

    @torch.no_grad()
    def decode(
        self,
        emissions: torch.Tensor,
        mask: torch.Tensor,
        forbidden_start: torch.Tensor | None = None,
        forbidden: torch.Tensor | None = None,
    ) -> list[list[int]]:
        """Best tags of each sequence (Viterbi), one for every true position of its `mask` row.

        Args:
            emissions: (batch, sequence, tags).
            mask: (batch, sequence), bool, any pattern.
            forbidden_start: (tags,), bool: tags no sequence may begin with.
            forbidden: (tags, tags), bool, [from, to]: transitions no sequence may make.
        """
        lengths = mask.sum(dim=1).tolist()
        with torch.autocast(emissions.device.type, enabled=False):
            emissions, mask = _pack(_at_least_float32(emissions), mask)
            start, end, transitions = (_at_least_float32(p) for p in (self.start, self.end, self.transitions))
            if forbidden_start is not None:
                start = start.masked_fill(forbidden_start.to(start.device), -torch.inf)
            if forbidden is not None:
                transitions = transitions.masked_fill(forbidden.to(start.device), -torch.inf)

            best = start + emissions[:, 0]  # (batch, tags)
            stay = torch.arange(best.shape[1], device=best.device)
            origins = []
            for t in range(1, emissions.shape[1]):
                following, origin = (best.unsqueeze(2) + transitions).max(dim=1)  # (batch, tags) each
                on = mask[:, t, None]
                best = torch.where(on, following + emissions[:, t], best)
                origins.append(torch.where(on, origin, stay))
            tag = (best + end).argmax(dim=1)  # (batch,)
            path = [tag]
            for origin in reversed(origins):
                tag = origin.gather(1, tag.unsqueeze(1)).squeeze(1)
                path.append(tag)
        tags = torch.stack(path[::-1], dim=1).tolist()
        return [row[:length] for row, length in zip(tags, lengths, strict=True)]


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


class KBioXLMSelfAttention(XLMRobertaSelfAttention):
    """XLM-R's, which also works on sequences laid end to end, each attending to itself alone."""

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        runs: list[tuple[int, int]] | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """As in transformers, but for `runs`.

        Args:
            hidden_states: (batch, sequence, hidden); with `runs` (1, pieces, hidden).
            runs: (sequences, length) of each run of sequences that have one length, in their order.
        """
        if runs is None:
            return super().forward(hidden_states, attention_mask, **kwargs)
        heads = (self.num_attention_heads, self.attention_head_size)
        sizes = [count * length for count, length in runs]
        projected = [
            projection(hidden_states[0]).view(-1, *heads).split(sizes)
            for projection in (self.query, self.key, self.value)
        ]
        contexts = []
        for (count, length), *parts in zip(runs, *projected, strict=True):
            query, key, value = (part.view(count, length, *heads).transpose(1, 2) for part in parts)
            context = F.scaled_dot_product_attention(  # (count, heads, length, head size)
                query, key, value, dropout_p=self.dropout.p if self.training else 0.0, scale=self.scaling
            )
            contexts.append(context.transpose(1, 2).reshape(count * length, -1))
        return torch.cat(contexts).unsqueeze(0), None


class KBioXLMModel(KBioXLMPreTrainedModel, XLMRobertaModel):
    """The encoder alone; forward as in `transformers.XLMRobertaModel`.

    On a CPU, padding is taken out before the first layer and put back after the last, so that nothing is computed
    for it: the hidden states of padding are 0 then. Layers see one long sequence of all pieces, and attention works
    sequence by sequence. Where hidden states or attentions of every layer are asked for, or the model is being
    exported or compiled, padding stays.
    """

    def __init__(self, config: KBioXLMConfig, add_pooling_layer: bool = True):
        super().__init__(config, add_pooling_layer)
        for index, layer in enumerate(self.encoder.layer):
            layer.attention.self = KBioXLMSelfAttention(config, layer_idx=index)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPoolingAndCrossAttentions:
        """Hidden states (batch, sequence, hidden), and the pooled first piece where there is a pooler.

        Args:
            input_ids: (batch, sequence); or `inputs_embeds`, (batch, sequence, hidden).
            attention_mask: (batch, sequence), 0 for padding.
        """
        inputs = {"token_type_ids": token_type_ids, "position_ids": position_ids, "inputs_embeds": inputs_embeds}
        if attention_mask is None or not self._takes_padding_out(attention_mask, kwargs):
            return super().forward(input_ids, attention_mask, return_dict=True, **inputs, **kwargs)
        if position_ids is None and input_ids is not None:
            inputs["position_ids"] = self.embeddings.create_position_ids_from_input_ids(
                input_ids, self.embeddings.padding_idx
            )
        elif position_ids is None:
            inputs["position_ids"] = self.embeddings.create_position_ids_from_inputs_embeds(
                inputs_embeds, self.embeddings.padding_idx
            )
        kept = attention_mask.bool()  # (batch, sequence)
        sizes, order = kept.sum(dim=1).sort(stable=True)  # sequences of one length become neighbours: one run
        lengths, counts = (tensor.tolist() for tensor in sizes.unique_consecutive(return_counts=True))
        runs = [(count, length) for count, length in zip(counts, lengths, strict=True) if length]
        rows, columns = kept[order].nonzero(as_tuple=True)  # (pieces,) each
        rows = order[rows]
        flat = {
            name: None if tensor is None else tensor.expand(kept.shape + tensor.shape[2:])[rows, columns].unsqueeze(0)
            for name, tensor in {"input_ids": input_ids, **inputs}.items()
        }
        outputs = super().forward(**flat, runs=runs, return_dict=True, **kwargs)
        hidden = outputs.last_hidden_state.new_zeros(*kept.shape, self.config.hidden_size)
        hidden = hidden.index_put((rows, columns), outputs.last_hidden_state[0])
        return BaseModelOutputWithPoolingAndCrossAttentions(
            last_hidden_state=hidden, pooler_output=None if self.pooler is None else self.pooler(hidden)
        )

    def _takes_padding_out(self, attention_mask: torch.Tensor, kwargs: dict[str, Any]) -> bool:
        on_request = ("output_hidden_states", "output_attentions")
        return (
            attention_mask.dim() == 2
            and attention_mask.device.type == "cpu"
            and self.config._attn_implementation == "sdpa"
            and not self.config.is_decoder
            and not torch.compiler.is_compiling()
            and not torch.jit.is_tracing()
            and not any(kwargs.get(name, getattr(self.config, name)) for name in on_request)
            and bool(attention_mask.any())
            and not bool(attention_mask.all())
        )


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
        outputs = self.roberta(
            input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            return_dict=True,
            **kwargs,
        )
        hidden = outputs.last_hidden_state  # (batch, sequence, hidden)
        piece_labels = [None if tensor is None else tensor.to(hidden.device) for tensor in (labels, relation_labels)]
        given = [tensor for tensor in piece_labels if tensor is not None]
        losses: list[torch.Tensor | None] = [None, None, None]
        if given:
            labelled = torch.stack([tensor != IGNORED for tensor in given]).any(dim=0)  # (batch, sequence)
            logits = self.lm_head(hidden[labelled])  # (labelled, rows)
            for task, tensor in enumerate(piece_labels):
                if tensor is not None:
                    losses[task] = _mean_cross_entropy(logits, self.lm_head.rows(tensor[labelled]))
        else:
            logits = self.lm_head(hidden)
        passage_logits = self.passage_head(hidden)
        if passage_labels is not None:
            losses[2] = _mean_cross_entropy(passage_logits, passage_labels.to(hidden.device))
        computed = [loss for loss in losses if loss is not None]
        return KBioXLMForPreTrainingOutput(
            loss=torch.stack(computed).sum() if computed else None,
            entity_loss=losses[0],
            relation_loss=losses[1],
            passage_loss=losses[2],
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
        (labelled positions, rows of the head), in reading order, and the loss is their mean, 0 where there are none.

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
            return_dict=True,
            **kwargs,
        )
        hidden = outputs.last_hidden_state  # (batch, sequence, hidden)
        loss = None
        if labels is None:
            logits = self._over_vocabulary(self.lm_head(hidden))
        else:
            labels = labels.to(hidden.device)
            labelled = labels != IGNORED
            logits = self.lm_head(hidden[labelled])  # (labelled, rows)
            loss = _mean_cross_entropy(logits, self.lm_head.rows(labels[labelled]))
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


def _pack(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Move the positions where the last of `tensors`, the mask, is true to the left, in order, and cut the rest off.

    (batch, sequence, …) each, to (batch, longest, …), where longest is at least 1.
    """
    mask = tensors[-1]
    order = mask.to(torch.uint8).argsort(dim=1, descending=True, stable=True)
    order = order[:, : max(1, int(mask.sum(dim=1).max()))]
    batch = torch.arange(len(mask), device=mask.device).unsqueeze(1)
    return tuple(tensor[batch, order] for tensor in tensors)


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
