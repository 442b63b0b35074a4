"""What a run may start from: XLM-R base and large, InfoXLM, bare encoders and the authors' pickle, weight by weight."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoTokenizer,
    PreTrainedModel,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
    XLMRobertaForTokenClassification,
    XLMRobertaModel,
)

from kbioxlm.common.errors import InputError
from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.modeling_kbioxlm import KBioXLMForPreTraining
from kbioxlm.training.models.conversion import ConvertRecipe, convert
from kbioxlm.training.models.starting_points import model_of_checkpoint
from kbioxlm.training.models.tokenizer import load_tokenizer

PIECES, LAYERS, HIDDEN, INNER, POSITIONS = 900, 2, 32, 48, 66
ROWS = [0, 1, 2, 3, 7, 20, 21, 300, 555, 700, 899]  # of the authors' head
ENCODER = 5 + 16 * LAYERS  # tensors: embeddings, layers
HEAD, PASSAGE_HEAD = 5, 4
FULL_SIZES = {  # of the published checkpoints
    "base": ({"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}, 278),
    "large": (
        {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096},
        560,
    ),
}
OF_XLM_R = {"vocab_size": 250_002, "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5}


def config(**changes: Any) -> XLMRobertaConfig:
    shape = {
        "vocab_size": PIECES, "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": 4,
        "intermediate_size": INNER, "max_position_embeddings": POSITIONS, "type_vocab_size": 1,
        "layer_norm_eps": 1e-5, "initializer_range": 0.3,
    }  # fmt: skip
    return XLMRobertaConfig(**{**shape, **changes})


def masked_lm() -> XLMRobertaForMaskedLM:
    torch.manual_seed(0)
    model = XLMRobertaForMaskedLM(config()).eval()
    torch.nn.init.normal_(model.lm_head.bias)
    return model


def pickled(model: PreTrainedModel, folder: Path, tokenizer: Path, **changes: Any) -> Path:
    """`model` as published in the days of pickles: with a buffer of positions, and tied weights twice."""
    folder.mkdir(parents=True)
    prefix = "" if isinstance(model, XLMRobertaModel) else "roberta."
    state = {**model.state_dict(), f"{prefix}embeddings.position_ids": torch.arange(POSITIONS)[None], **changes}
    torch.save({name: tensor for name, tensor in state.items() if tensor is not None}, folder / "pytorch_model.bin")
    model.config.save_pretrained(folder)
    load_tokenizer(tokenizer).save_pretrained(folder)
    return folder


def written(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def shapes_of_encoder() -> dict[str, tuple[int, ...]]:
    """By name, what an XLM-R encoder of this size consists of, without its pooler."""
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (PIECES, HIDDEN),
        "embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
        "embeddings.token_type_embeddings.weight": (1, HIDDEN),
        "embeddings.LayerNorm.weight": (HIDDEN,),
        "embeddings.LayerNorm.bias": (HIDDEN,),
    }
    linear = {
        "attention.self.query": (HIDDEN, HIDDEN), "attention.self.key": (HIDDEN, HIDDEN),
        "attention.self.value": (HIDDEN, HIDDEN), "attention.output.dense": (HIDDEN, HIDDEN),
        "intermediate.dense": (INNER, HIDDEN), "output.dense": (HIDDEN, INNER),
    }  # fmt: skip
    for layer in range(LAYERS):
        for name, (outer, inner) in linear.items():
            shapes[f"encoder.layer.{layer}.{name}.weight"] = (outer, inner)
            shapes[f"encoder.layer.{layer}.{name}.bias"] = (outer,)
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"encoder.layer.{layer}.{name}.{kind}": (HIDDEN,) for kind in ("weight", "bias")}
    return {f"roberta.{name}": shape for name, shape in shapes.items()}


def shapes(weights: dict[str, torch.Tensor], *prefixes: str) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in weights.items() if name.startswith(prefixes)}


HEAD_SHAPES = {
    "lm_head.bias": (PIECES,), "lm_head.dense.weight": (HIDDEN, HIDDEN), "lm_head.dense.bias": (HIDDEN,),
    "lm_head.layer_norm.weight": (HIDDEN,), "lm_head.layer_norm.bias": (HIDDEN,),
}  # fmt: skip


@pytest.mark.parametrize("with_pooler", [True, False], ids=["infoxlm", "xlm-r"])
def test_convert_a_masked_language_model(with_pooler: bool, sample_tokenizer: Path, tmp_path: Path) -> None:
    theirs = masked_lm()
    assert len(theirs.state_dict()) == ENCODER + HEAD + 2  # the decoder's two are tied
    pooler = {f"roberta.pooler.dense.{name}": torch.ones(HIDDEN) for name in ("weight", "bias")} if with_pooler else {}
    folder = pickled(theirs, tmp_path / "theirs", sample_tokenizer, **pooler)
    report = convert(ConvertRecipe(output=tmp_path / "ours", checkpoint=folder))
    assert (report["layout"], report["tensors"]) == ("masked language model", ENCODER + HEAD)
    assert (report["head_rows"], report["token_ids"], report["left_out"]) == (PIECES, None, [])
    weights = written(tmp_path / "ours")
    assert len(weights) == ENCODER + HEAD + PASSAGE_HEAD
    assert shapes(weights, "roberta.") == shapes_of_encoder()
    assert shapes(weights, "lm_head.") == HEAD_SHAPES
    for name, tensor in weights.items():
        if not name.startswith("passage_head."):
            torch.testing.assert_close(tensor, theirs.state_dict()[name], rtol=0, atol=0)
    ours = model_of_checkpoint(str(tmp_path / "ours")).eval()
    ids = torch.tensor([[0, 20, 300, 899, 5, 2]])
    hidden = ours.roberta(ids).last_hidden_state
    torch.testing.assert_close(ours.lm_head(hidden), theirs(input_ids=ids).logits, atol=1e-5, rtol=1e-5)
    assert len(AutoTokenizer.from_pretrained(tmp_path / "ours", config=XLMRobertaConfig())) == PIECES


@pytest.mark.parametrize("kind", [XLMRobertaModel, XLMRobertaForTokenClassification], ids=["bare", "prefixed"])
def test_convert_an_encoder_alone(kind: Any, sample_tokenizer: Path, tmp_path: Path) -> None:
    theirs = kind(config())
    left_out = {"classifier.weight": None, "classifier.bias": None} if kind is not XLMRobertaModel else {}
    folder = pickled(theirs, tmp_path / "theirs", sample_tokenizer, **left_out)
    report = convert(ConvertRecipe(output=tmp_path / "ours", checkpoint=folder))
    assert (report["layout"], report["tensors"], report["head_rows"]) == ("encoder", ENCODER, PIECES)
    weights = written(tmp_path / "ours")
    assert len(weights) == ENCODER + 1 + PASSAGE_HEAD  # a tied decoder has a bias alone
    assert shapes(weights, "roberta.") == shapes_of_encoder()
    assert shapes(weights, "lm_head.") == {"lm_head.bias": (PIECES,)}
    assert not weights["lm_head.bias"].any()
    encoder = theirs if kind is XLMRobertaModel else theirs.roberta
    for name, tensor in encoder.state_dict().items():
        if not name.startswith("pooler."):
            torch.testing.assert_close(weights[f"roberta.{name}"], tensor, rtol=0, atol=0)
    ours = model_of_checkpoint(str(tmp_path / "ours"))
    assert ours.lm_head.decoder.weight is ours.get_input_embeddings().weight
    ours(input_ids=torch.tensor([[0, 9, 2]]), labels=torch.tensor([[-100, 300, -100]])).loss.backward()
    assert ours.lm_head.bias.grad is not None
    assert ours.lm_head.bias.grad.abs().sum() > 0


def test_convert_the_authors_pickle(sample_tokenizer: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = XLMRobertaForTokenClassification(config(num_labels=len(ROWS)))
    with torch.no_grad():
        theirs.classifier.weight.copy_(theirs.roberta.embeddings.word_embeddings.weight[ROWS])
    folder = pickled(theirs, tmp_path / "theirs", sample_tokenizer)
    state = {f"model.{name}": tensor for name, tensor in theirs.state_dict().items()}
    state |= {"cls_classifier.weight": torch.zeros(4, HIDDEN), "cls_classifier.bias": torch.zeros(4)}
    torch.save(state, folder / "pytorch_model.bin")
    report = convert(ConvertRecipe(output=tmp_path / "ours", checkpoint=folder))
    assert (report["layout"], report["tensors"]) == ("the authors'", ENCODER + 2)
    weights = written(tmp_path / "ours")
    assert len(weights) == ENCODER + 3 + PASSAGE_HEAD
    assert shapes(weights, "roberta.") == shapes_of_encoder()
    assert shapes(weights, "lm_head.") == {
        "lm_head.decoder.weight": (len(ROWS), HIDDEN), "lm_head.bias": (len(ROWS),), "lm_head.token_ids": (len(ROWS),),
    }  # fmt: skip
    assert weights["lm_head.token_ids"].tolist() == ROWS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lm_head.dense.bias": None}, "no 'lm_head.dense.bias' beside 'lm_head.bias'; fetch it again"),
        ({"lm_head.decoder.weight": torch.zeros(PIECES, HIDDEN)}, "lm_head.decoder.weight is not the embedding"),
        ({"lm_head.bias": torch.zeros(3)}, r"lm_head.bias has shape \(3,\), config.json asks for \(900,\)"),
        ({"roberta.encoder.layer.0.output.dense.bias": None}, "1 tensors are missing, 'roberta.encoder.layer.0"),
    ],
)
def test_convert_refuses_what_is_not_whole(
    changes: dict[str, Any], message: str, sample_tokenizer: Path, tmp_path: Path
) -> None:
    folder = pickled(masked_lm(), tmp_path / "theirs", sample_tokenizer, **changes)
    with pytest.raises(InputError, match=message):
        convert(ConvertRecipe(output=tmp_path / "ours", checkpoint=folder))
    assert not (tmp_path / "ours").exists()


def test_convert_refuses_token_ids_of_a_whole_head(sample_tokenizer: Path, tmp_path: Path) -> None:
    folder = pickled(masked_lm(), tmp_path / "theirs", sample_tokenizer)
    (tmp_path / "ids.json").write_text("[1, 2]", encoding="utf-8")
    recipe = ConvertRecipe(output=tmp_path / "ours", checkpoint=folder, token_ids=tmp_path / "ids.json")
    with pytest.raises(InputError, match="has no reduced head"):
        convert(recipe)
    (folder / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"config\.json: not JSON"):
        convert(ConvertRecipe(output=tmp_path / "ours", checkpoint=folder))


def test_an_encoder_in_safetensors_is_a_starting_point_too(
    sample_tokenizer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = XLMRobertaModel(config())
    encoder.save_pretrained(tmp_path / "encoder")
    model = model_of_checkpoint(str(tmp_path / "encoder"))
    assert "encoder: no masked-language-model head; it begins as the embedding" in capsys.readouterr().err
    assert isinstance(model, KBioXLMForPreTraining)
    assert not model.lm_head.transforms
    ids = torch.tensor([[0, 20, 300, 2]])
    hidden = encoder.eval()(ids).last_hidden_state
    expected = hidden @ encoder.embeddings.word_embeddings.weight.T
    torch.testing.assert_close(model.eval().lm_head(model.roberta(ids).last_hidden_state), expected)
    model.reduce_mlm_head([5, 40, 60])
    model.save_pretrained(tmp_path / "reduced")
    weights = written(tmp_path / "reduced")
    assert len(weights) == ENCODER + 3 + PASSAGE_HEAD
    torch.testing.assert_close(
        weights["lm_head.decoder.weight"], encoder.embeddings.word_embeddings.weight[[5, 40, 60]].detach()
    )
    assert weights["lm_head.token_ids"].tolist() == [5, 40, 60]
    model_of_checkpoint(str(tmp_path / "reduced"))


def test_a_pickle_is_sent_to_convert(sample_tokenizer: Path, tmp_path: Path) -> None:
    folder = pickled(masked_lm(), tmp_path / "theirs", sample_tokenizer)
    with pytest.raises(InputError, match=r"theirs: cannot be loaded .*train\.py convert first"):
        model_of_checkpoint(str(folder))


@pytest.mark.parametrize("size", FULL_SIZES)
def test_convert_layouts_at_full_size(size: str) -> None:
    """XLM-R base and large, on the meta device: every tensor that they are published with has its place in ours."""
    shape, millions = FULL_SIZES[size]
    with torch.device("meta"):
        theirs = XLMRobertaForMaskedLM(XLMRobertaConfig(**OF_XLM_R, **shape))
        ours = KBioXLMForPreTraining(KBioXLMConfig(**OF_XLM_R, **shape))
    assert theirs.num_parameters() // 1_000_000 == millions
    expected = {name: tuple(tensor.shape) for name, tensor in theirs.state_dict().items()}
    assert len(expected) == 5 + 16 * shape["num_hidden_layers"] + HEAD + 2
    own = {name: tuple(tensor.shape) for name, tensor in ours.state_dict().items() if "passage_head" not in name}
    assert own == expected


def test_convert_reads_the_config_as_it_was_published(sample_tokenizer: Path, tmp_path: Path) -> None:
    """With keys of old versions in it, and none of new ones."""
    folder = pickled(masked_lm(), tmp_path / "theirs", sample_tokenizer)
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    old = {key: value for key, value in content.items() if not re.search(r"dtype|version|is_decoder|cross", key)}
    old |= {"model_type": "roberta", "output_past": True, "gradient_checkpointing": False}
    (folder / "config.json").write_text(json.dumps(old), encoding="utf-8")
    convert(ConvertRecipe(output=tmp_path / "ours", checkpoint=folder))
    read = KBioXLMConfig.from_pretrained(tmp_path / "ours")
    assert (read.vocab_size, read.hidden_size, read.num_hidden_layers) == (PIECES, HIDDEN, LAYERS)
    assert read.mlm_vocab_size is None
    assert read.mlm_head_transform
