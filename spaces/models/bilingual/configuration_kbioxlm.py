"""Configuration of the KBioXLM models.

Flat file: it travels beside `config.json` to model repositories and is loaded there as remote code.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from transformers import GenerationConfig, XLMRobertaConfig

if TYPE_CHECKING:
    # The remote-code loader follows relative imports by text. These lines make every saved folder hold the files that
    # its `auto_map` and `custom_pipelines` point to.
    from .modeling_kbioxlm import KBioXLMModel  # noqa: F401
    from .pipeline_kbioxlm import BiomedicalNerPipeline  # noqa: F401

AUTO_MAP = {
    "AutoConfig": "configuration_kbioxlm.KBioXLMConfig",
    "AutoModel": "modeling_kbioxlm.KBioXLMModel",
    "AutoModelForPreTraining": "modeling_kbioxlm.KBioXLMForPreTraining",
    "AutoModelForMaskedLM": "modeling_kbioxlm.KBioXLMForMaskedLM",
    "AutoModelForTokenClassification": "modeling_kbioxlm.KBioXLMForTokenClassification",
    "AutoModelForSequenceClassification": "modeling_kbioxlm.KBioXLMForSequenceClassification",
}


def custom_pipelines() -> dict[str, dict[str, Any]]:
    """The pipelines of a token classifier, as `config.json` holds them."""
    return {
        "biomedical-ner": {
            "impl": "pipeline_kbioxlm.BiomedicalNerPipeline", "pt": ["AutoModelForTokenClassification"], "type": "text",
        }
    }  # fmt: skip


# What transformers (versions 3 to 5) accepts in, or writes to, a config.json beyond declared fields.
# Names with a leading underscore are its private ones and always pass.
TRANSFORMERS_KEYS = frozenset(GenerationConfig().to_dict()) | {
    "attn_implementation",
    "auto_map",
    "cross_attention_hidden_size",
    "custom_pipelines",
    "decoder_start_token_id",
    "distributed_config",
    "experts_implementation",
    "finetuning_task",
    "fusion_config",
    "gradient_checkpointing",
    "is_composition",
    "model_type",
    "name_or_path",
    "num_labels",
    "output_attentions",
    "output_past",
    "per_layer_config",
    "position_embedding_type",
    "prefix",
    "pruned_heads",
    "quantization_config",
    "sep_token_id",
    "task_specific_params",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tie_last_hidden_states",
    "tokenizer_class",
    "torch_dtype",
    "torchscript",
    "transformers_weights",
    "use_bfloat16",
}


class KBioXLMConfig(XLMRobertaConfig):
    """Hyper-parameters of XLM-R with the values of xlm-roberta-base as defaults, and those of our heads.

    Args:
        mlm_vocab_size: rows of the reduced masked-language-model head (37,030 in appendix A.1 of the paper).
            `None` keeps the whole vocabulary, with the decoder tied to the word embeddings. Which input id a
            row stands for is a tensor of the checkpoint, see `KBioXLMForPreTraining.reduce_mlm_head`.
        mlm_head_transform: whether the masked-language-model head has XLM-R's dense layer, GELU and layer norm before
            its decoder. The checkpoint that the paper's authors published has the decoder alone.
        num_passage_relations: classes of the passage relation head (section 3.1.4: positive, random, context).
        use_crf: whether `KBioXLMForTokenClassification` scores label sequences with a CRF; otherwise every
            piece is classified by itself.

    All other arguments are those of `transformers.XLMRobertaConfig`. The `config.json` of any XLM-R checkpoint
    can be loaded as it is.

    Raises:
        ValueError: a key that neither this class nor transformers knows, or a value that makes no sense.
    """

    model_type = "kbioxlm"

    vocab_size: int = 250002
    max_position_embeddings: int = 514
    type_vocab_size: int = 1
    layer_norm_eps: float = 1e-5
    mlm_vocab_size: int | None = None
    mlm_head_transform: bool = True
    num_passage_relations: int = 3
    use_crf: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        unknown = [key for key in kwargs if not self._knows(key)]
        if unknown:
            raise ValueError(self._refusal(unknown))
        super().__post_init__(**kwargs)
        self.validate()

    def validate(self) -> None:
        """Check the values; also runs before the configuration is saved.

        Raises:
            ValueError: names the key, the value and what it should be.
        """
        super().validate()  # a decorator of the base class adds it
        rows = self.mlm_vocab_size
        if rows is not None and not (_is_int(rows) and 0 < rows <= self.vocab_size):
            raise ValueError(
                f"mlm_vocab_size={rows!r}: give a whole number from 1 to vocab_size ({self.vocab_size}), or None to "
                "predict the whole vocabulary"
            )
        if not (_is_int(self.num_passage_relations) and self.num_passage_relations >= 2):
            raise ValueError(f"num_passage_relations={self.num_passage_relations!r}: give a whole number of at least 2")
        for key in ("mlm_head_transform", "use_crf"):
            if not isinstance(getattr(self, key), bool):
                raise ValueError(f"{key}={getattr(self, key)!r}: give true or false")
        if self.num_attention_heads < 1 or self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size={self.hidden_size} does not divide by num_attention_heads={self.num_attention_heads}: "
                "give a multiple"
            )
        if getattr(self, "position_embedding_type", "absolute") != "absolute":
            raise ValueError(
                f"position_embedding_type={self.position_embedding_type!r}: only 'absolute' is computed by this model"
            )

    def save_pretrained(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs: Any) -> None:
        """Save `config.json` with an `auto_map` for every class, and the code files it points to.

        transformers alone records only the class that is being saved, so that a saved token classifier could not
        be opened with `AutoModel`.
        """
        saved = getattr(self, "auto_map", None) or {}
        # An entry with "--" points to the repository this was loaded from; the code now lies beside the config.
        ours = {key: value for key, value in AUTO_MAP.items() if "--" in str(saved.get(key, "--"))}
        self.auto_map = {**saved, **ours}
        if getattr(self, "architectures", None) == ["KBioXLMForTokenClassification"]:
            self.custom_pipelines = custom_pipelines()
        elif hasattr(self, "custom_pipelines"):
            del self.custom_pipelines
        super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)

    @classmethod
    def get_config_dict(
        cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """As in transformers; the configuration of an XLM-R checkpoint is taken over, less what means nothing here."""
        config, kwargs = super().get_config_dict(pretrained_model_name_or_path, **kwargs)
        if config.get("model_type") == XLMRobertaConfig.model_type:
            config = {key: value for key, value in config.items() if cls._knows(key)}
            config.pop("auto_map", None)
            config["model_type"] = cls.model_type
            for key in ("vocab_size", "max_position_embeddings", "type_vocab_size", "layer_norm_eps"):
                config.setdefault(key, getattr(XLMRobertaConfig, key))  # the defaults that differ from ours
        return config, kwargs

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """As in transformers, but a keyword that nearly is one of our keys is refused, not passed over.

        Raises:
            ValueError: such a keyword, or one whose value makes no sense.
        """
        return_unused = kwargs.pop("return_unused_kwargs", False)
        config, unused = super().from_dict(config_dict, return_unused_kwargs=True, **kwargs)
        config.validate()
        misspelt = [key for key in unused if not cls._knows(key) and cls._closest(key, cutoff=0.8)]
        if misspelt:
            raise ValueError(cls._refusal(misspelt))
        return (config, unused) if return_unused else config

    @classmethod
    def _knows(cls, key: str) -> bool:
        return key.startswith("_") or key in TRANSFORMERS_KEYS or key in {field.name for field in fields(cls)}

    @classmethod
    def _closest(cls, key: str, cutoff: float = 0.6) -> str | None:
        valid = sorted({field.name for field in fields(cls)} | {"num_labels", "attn_implementation"})
        return next(iter(difflib.get_close_matches(key, valid, n=1, cutoff=cutoff)), None)

    @classmethod
    def _refusal(cls, keys: Iterable[str]) -> str:
        hints = {key: cls._closest(key) for key in keys}
        found = "; ".join(f"{key!r}" + (f", did you mean {hint!r}?" if hint else "") for key, hint in hints.items())
        return f"KBioXLMConfig has no such key: {found}"


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


KBioXLMConfig.register_for_auto_class()

__all__ = ["KBioXLMConfig"]
