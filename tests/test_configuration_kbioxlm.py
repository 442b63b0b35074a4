from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, XLMRobertaConfig

from kbioxlm.configuration_kbioxlm import AUTO_MAP, KBioXLMConfig
from kbioxlm.modeling_kbioxlm import KBioXLMForPreTraining

XLM_ROBERTA_BASE = {  # the config.json of xlm-roberta-base as it stands on the Hub
    "architectures": ["XLMRobertaForMaskedLM"],
    "attention_probs_dropout_prob": 0.1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 514,
    "model_type": "xlm-roberta",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "output_past": True,
    "pad_token_id": 1,
    "position_embedding_type": "absolute",
    "transformers_version": "4.17.0.dev0",
    "type_vocab_size": 1,
    "use_cache": True,
    "vocab_size": 250002,
}


def write_config(folder: Path, values: dict[str, Any]) -> Path:
    folder.joinpath("config.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def test_defaults_are_those_of_xlm_roberta_base() -> None:
    config = KBioXLMConfig()
    for key, value in XLM_ROBERTA_BASE.items():
        if key not in {"architectures", "model_type", "output_past", "position_embedding_type", "transformers_version"}:
            assert getattr(config, key) == value, key
    assert config.model_type == "kbioxlm"
    assert (config.mlm_vocab_size, config.num_passage_relations, config.use_crf) == (None, 3, True)


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("mlm_vocab_sise", "mlm_vocab_size"),
        ("use_crff", "use_crf"),
        ("num_passage_relation", "num_passage_relations"),
        ("hiden_size", "hidden_size"),
        ("num_label", "num_labels"),
    ],
)
def test_misspelt_keys_are_refused_with_the_closest_valid_one(key: str, hint: str) -> None:
    with pytest.raises(ValueError, match=rf"no such key: '{key}', did you mean '{hint}'\?"):
        KBioXLMConfig(**{key: 1})


def test_unknown_key_without_a_close_one_is_refused_too() -> None:
    with pytest.raises(ValueError, match=r"no such key: 'zebra'$"):
        KBioXLMConfig(zebra=1)


def test_misspelt_key_in_config_json_is_refused(tmp_path: Path) -> None:
    write_config(tmp_path, {"model_type": "kbioxlm", "use_crff": False})
    with pytest.raises(ValueError, match=r"'use_crff', did you mean 'use_crf'\?"):
        KBioXLMConfig.from_pretrained(tmp_path)


def test_misspelt_keyword_of_from_pretrained_is_refused(tmp_path: Path, xlm_roberta_folder: Path) -> None:
    KBioXLMConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"'use_crff', did you mean 'use_crf'\?"):
        KBioXLMConfig.from_pretrained(tmp_path, use_crff=False)
    with pytest.raises(ValueError, match=r"'mlm_vocabsize', did you mean 'mlm_vocab_size'\?"):
        KBioXLMForPreTraining.from_pretrained(xlm_roberta_folder, mlm_vocabsize=10)


def test_loading_keywords_of_transformers_are_not_taken_for_misspelt_keys(tmp_path: Path) -> None:
    KBioXLMConfig().save_pretrained(tmp_path)
    loading = dict.fromkeys(inspect.signature(PreTrainedModel.from_pretrained).parameters, None)
    loading |= dict.fromkeys(["output_loading_info", "device_map", "max_memory", "tp_plan", "code_revision"], None)
    for name in ("pretrained_model_name_or_path", "config", "model_args", "kwargs"):
        loading.pop(name, None)
    assert KBioXLMConfig.from_pretrained(tmp_path, **loading).model_type == "kbioxlm"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mlm_vocab_size": 0}, r"mlm_vocab_size=0: give a whole number from 1 to vocab_size \(250002\)"),
        ({"mlm_vocab_size": 101, "vocab_size": 100}, r"mlm_vocab_size=101: .* vocab_size \(100\)"),
        ({"mlm_vocab_size": 10.0}, "mlm_vocab_size=10.0"),
        ({"mlm_vocab_size": True}, "mlm_vocab_size=True"),
        ({"num_passage_relations": 1}, "num_passage_relations=1: give a whole number of at least 2"),
        ({"use_crf": "no"}, "use_crf='no': give true or false"),
        ({"hidden_size": 100}, "hidden_size=100 does not divide by num_attention_heads=12"),
        ({"num_attention_heads": 0}, "num_attention_heads=0"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type='relative_key': only 'absolute'"),
    ],
)
def test_values_that_make_no_sense_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KBioXLMConfig(**values)


def test_values_given_as_keywords_and_set_later_are_checked(tmp_path: Path) -> None:
    KBioXLMConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="num_passage_relations=0"):
        KBioXLMConfig.from_pretrained(tmp_path, num_passage_relations=0)
    config = KBioXLMConfig()
    config.mlm_vocab_size = -3
    with pytest.raises(ValueError, match="mlm_vocab_size=-3"):
        config.save_pretrained(tmp_path / "again")


def test_round_trip_through_dict_and_folder(tmp_path: Path) -> None:
    names = {0: "O", 1: "B-Drug", 2: "I-Drug"}
    config = KBioXLMConfig(
        hidden_size=24,
        mlm_vocab_size=37030,
        use_crf=False,
        id2label=names,
        label2id={name: i for i, name in names.items()},
        problem_type="multi_label_classification",
        dtype="bfloat16",
        classifier_dropout=0.2,
        attn_implementation="eager",
        output_attentions=True,
        output_hidden_states=True,
        name_or_path="somewhere",
    )
    assert KBioXLMConfig(**config.to_dict()).to_dict() == config.to_dict()
    config.save_pretrained(tmp_path)
    loaded = KBioXLMConfig.from_pretrained(tmp_path)
    expected = config.to_dict()
    for values in (read := loaded.to_dict()), expected:
        values.pop("_name_or_path")  # the folder, and never saved
    assert read == expected
    assert (loaded.id2label, loaded.dtype, loaded.mlm_vocab_size) == (names, torch.bfloat16, 37030)


def test_keywords_of_from_pretrained(tmp_path: Path) -> None:
    KBioXLMConfig(hidden_size=24).save_pretrained(tmp_path)
    config, unused = KBioXLMConfig.from_pretrained(
        tmp_path,
        num_labels=5,
        problem_type="single_label_classification",
        dtype=torch.float16,
        use_crf=False,
        attn_implementation="eager",
        device_map="cpu",
        return_unused_kwargs=True,
    )
    assert (config.num_labels, config.dtype, config.use_crf) == (5, torch.float16, False)
    assert config.problem_type == "single_label_classification"
    assert config._attn_implementation == "eager"
    assert unused["device_map"] == "cpu"


def test_config_of_xlm_roberta_is_taken_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    legacy = {"gradient_checkpointing": False, "adapters": {"x": 1}, "auto_map": {"AutoModel": "somewhere.Else"}}
    write_config(tmp_path, XLM_ROBERTA_BASE | legacy)
    config = KBioXLMConfig.from_pretrained(tmp_path, mlm_vocab_size=37030)
    assert (config.vocab_size, config.hidden_size, config.mlm_vocab_size) == (250002, 768, 37030)
    assert not hasattr(config, "adapters")
    assert not hasattr(config, "auto_map")
    assert "model of type" not in caplog.text
    config.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "kbioxlm"


def test_keys_missing_from_an_xlm_roberta_config_mean_what_they_mean_there(tmp_path: Path) -> None:
    write_config(tmp_path, {"model_type": "xlm-roberta"})
    ours, theirs = KBioXLMConfig.from_pretrained(tmp_path), XLMRobertaConfig.from_pretrained(tmp_path)
    for key in ("vocab_size", "max_position_embeddings", "type_vocab_size", "layer_norm_eps", "hidden_size"):
        assert getattr(ours, key) == getattr(theirs, key), key


def test_legacy_keys_pass_in_our_own_config(tmp_path: Path) -> None:
    legacy = {"output_past": True, "position_embedding_type": "absolute", "gradient_checkpointing": False}
    legacy |= {"_commit_hash": "0", "torchscript": False, "max_length": 20, "use_bfloat16": False, "num_beams": 1}
    write_config(tmp_path, XLM_ROBERTA_BASE | legacy | {"model_type": "kbioxlm"})
    assert KBioXLMConfig.from_pretrained(tmp_path).vocab_size == 250002


def test_saving_writes_the_whole_auto_map_and_the_code(tmp_path: Path) -> None:
    config = KBioXLMConfig()
    assert not hasattr(config, "auto_map")
    config.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["auto_map"] == AUTO_MAP
    names = {"configuration", "modeling", "modeling_crf", "modeling_encoder", "modeling_lm_head", "pipeline"}
    names |= {"formats", "viterbi", "windows"}
    assert {path.name for path in tmp_path.glob("*.py")} == {f"{name}_kbioxlm.py" for name in names}


def test_references_to_a_repository_become_local_when_saved(tmp_path: Path) -> None:
    config = KBioXLMConfig()
    tokenizer = ["owner/repository--tokenization.Slow", None]
    config.auto_map = {key: f"owner/repository--{value}" for key, value in AUTO_MAP.items()}
    config.auto_map |= {"AutoTokenizer": tokenizer, "AutoModelForMaskedLM": "mine.MyMaskedLM"}
    config.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())["auto_map"]
    assert saved == AUTO_MAP | {"AutoTokenizer": tokenizer, "AutoModelForMaskedLM": "mine.MyMaskedLM"}
