"""A tagger on an encoder that is not XLM-R-shaped: any `AutoModel` of transformers, under the same CRF.

Checkpoints in XLM-R's shape are fine-tuned as `KBioXLMForTokenClassification` and travel with their code. This class
stays here: what it saves is opened by `tagger.load_tagger`, in safetensors like everything else.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import MODEL_MAPPING, AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import TokenClassifierOutput

from kbioxlm.modeling_crf_kbioxlm import KBioXLMCRF
from kbioxlm.modeling_kbioxlm import KBioXLMForTokenClassification
from kbioxlm.training.finetuning.spans import IGNORED


class EncoderTaggerConfig(PretrainedConfig):
    """The encoder's own configuration, and whether a CRF stands above it.

    Args:
        encoder: the configuration as a dict, with its `model_type`.
        use_crf: as in `KBioXLMConfig`.
    """

    model_type = "encoder-tagger"

    encoder: dict[str, Any] | None = None
    use_crf: bool = True

    def encoder_config(self) -> PretrainedConfig:
        """The encoder's configuration as transformers knows it."""
        return AutoConfig.for_model(**(self.encoder or {}))


class EncoderTagger(PreTrainedModel):
    """Encoder, dropout, linear layer, CRF: as `KBioXLMForTokenClassification`, for any encoder."""

    config_class = EncoderTaggerConfig
    base_model_prefix = "encoder"
    supports_gradient_checkpointing = True
    # The loss is a mean over labelled pieces; the Trainer has to divide it by the number of accumulation steps.
    accepts_loss_kwargs = False

    def __init__(self, config: EncoderTaggerConfig):
        super().__init__(config)
        inner = config.encoder_config()
        self.encoder = AutoModel.from_config(inner, **without_pooler(inner))
        dropout = getattr(inner, "classifier_dropout", None)
        self.dropout = nn.Dropout(getattr(inner, "hidden_dropout_prob", 0.1) if dropout is None else dropout)
        self.classifier = nn.Linear(inner.hidden_size, config.num_labels)
        self.crf = KBioXLMCRF(config.num_labels) if config.use_crf else None
        self.post_init()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
    ) -> TokenClassifierOutput:
        """Logits (batch, sequence, labels), and with labels their negative log-likelihood per labelled piece.

        Args:
            input_ids: (batch, sequence).
            attention_mask: (batch, sequence), 0 for padding.
            labels: (batch, sequence), label ids, -100 for padding and pieces that carry no label.
        """
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        logits = self.classifier(self.dropout(hidden))
        loss = None
        if labels is not None:
            labelled = labels != IGNORED
            if self.crf is None:
                total = F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), reduction="sum")
            else:
                total = self.crf(logits, labels, labelled).sum()
            loss = total / labelled.sum().clamp(min=1)
        return TokenClassifierOutput(loss=loss, logits=logits)

    decode = KBioXLMForTokenClassification.decode


def without_pooler(config: PretrainedConfig) -> dict[str, bool]:
    """The argument that leaves an encoder's pooler out, where its class has one."""
    takes = inspect.signature(MODEL_MAPPING[type(config)].__init__).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in takes else {}
