"""The authors' pickle becomes a checkpoint of ours, tensor by tensor."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForMaskedLM, XLMRobertaConfig, XLMRobertaForTokenClassification

from kbioxlm.common.errors import InputError
from kbioxlm.modeling_kbioxlm import KBioXLMForMaskedLM, KBioXLMForPreTraining
from kbioxlm.training.models.conversion import ConvertRecipe, convert, recovered_token_ids
from kbioxlm.training.models.tokenizer import load_tokenizer

KEPT = [0, 1, 2, 3, 7, 20, 21, 300, 555, 700, 899]
SHAPE = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 64, "type_vocab_size": 1, "layer_norm_eps": 1e-5,
}  # fmt: skip
Writer = Callable[..., Path]


@pytest.fixture
def theirs(tmp_path: Path, sample_tokenizer: Path) -> XLMRobertaForTokenClassification:
    """A token classifier whose labels are pieces: rows began as copies of the embedding and were trained on."""
    torch.manual_seed(0)
    config = XLMRobertaConfig(vocab_size=900, **SHAPE, num_labels=len(KEPT), initializer_range=0.3)
    model = XLMRobertaForTokenClassification(config).eval()
    with torch.no_grad():
        rows = model.roberta.embeddings.word_embeddings.weight[KEPT]
        model.classifier.weight.copy_(rows + 0.1 * torch.randn_like(rows))
        model.classifier.bias.normal_()
    return model


@pytest.fixture
def written(tmp_path: Path, theirs: XLMRobertaForTokenClassification, sample_tokenizer: Path) -> Writer:
    """Writes their checkpoint in the layout in which they publish it."""

    def write(prefix: str = "model.", **changes: Any) -> Path:
        folder = tmp_path / "theirs"
        folder.mkdir()
        state = {f"{prefix}{name}": tensor for name, tensor in theirs.state_dict().items()}
        state[f"{prefix}roberta.embeddings.position_ids"] = torch.arange(64)[None]
        state["cls_classifier.weight"], state["cls_classifier.bias"] = torch.zeros(4, 32), torch.zeros(4)
        state = {name: tensor for name, tensor in (state | changes).items() if tensor is not None}
        torch.save(state, folder / "pytorch_model.bin")
        theirs.config.save_pretrained(folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        (folder / "config.json").write_text(json.dumps(config | {"model_type": "roberta"}), encoding="utf-8")
        load_tokenizer(sample_tokenizer).save_pretrained(folder)
        return folder

    return write


@pytest.mark.parametrize("prefix", ["model.", ""])
def test_every_prediction_is_theirs(
    prefix: str, written: Writer, theirs: XLMRobertaForTokenClassification, tmp_path: Path
) -> None:
    report = convert(ConvertRecipe(output=tmp_path / "ours", checkpoint=written(prefix)))
    encoder = list(theirs.roberta.state_dict())
    assert report["tensors"] == len(encoder) + 2
    assert report["head_rows"] == len(KEPT)
    assert report["token_ids"] == "recovered"
    assert report["left_out"] == ["cls_classifier.bias", "cls_classifier.weight"]
    ours = KBioXLMForMaskedLM.from_pretrained(tmp_path / "ours").eval()
    assert ours.lm_head.token_ids.tolist() == KEPT
    ids = torch.tensor([[0, 20, 300, 899, 5, 2]])
    expected = theirs(input_ids=ids).logits
    torch.testing.assert_close(ours(input_ids=ids).logits[..., KEPT], expected, atol=1e-6, rtol=1e-5)
    assert torch.isinf(ours(input_ids=ids).logits).sum() == 6 * (900 - len(KEPT))


def test_the_folder_is_whole(written: Writer, tmp_path: Path) -> None:
    convert(ConvertRecipe(output=tmp_path / "ours", checkpoint=written()))
    names = {path.name for path in (tmp_path / "ours").iterdir()}
    assert {"model.safetensors", "config.json", "modeling_kbioxlm.py", "tokenizer.json", "report.json"} <= names
    assert not [name for name in names if name.endswith(".bin")]
    config = json.loads((tmp_path / "ours" / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == "kbioxlm"
    assert config["mlm_vocab_size"] == len(KEPT)
    assert not config["mlm_head_transform"]
    loaded = AutoModelForMaskedLM.from_pretrained(tmp_path / "ours", trust_remote_code=True)
    assert loaded.lm_head.token_ids.tolist() == KEPT
    trained = KBioXLMForPreTraining.from_pretrained(tmp_path / "ours")
    trained(input_ids=torch.tensor([[0, 899, 2]]), labels=torch.tensor([[-100, 300, -100]])).loss.backward()
    assert trained.lm_head.decoder.weight.grad.abs().sum() > 0


def test_token_ids_may_be_given(written: Writer, tmp_path: Path) -> None:
    ids = tmp_path / "ids.json"
    ids.write_text(json.dumps(KEPT[::-1]), encoding="utf-8")
    report = convert(ConvertRecipe(output=tmp_path / "ours", checkpoint=written(), token_ids=ids))
    assert report["token_ids"] == "given"
    assert KBioXLMForPreTraining.from_pretrained(tmp_path / "ours").lm_head.token_ids.tolist() == KEPT
    ids.write_text(json.dumps(KEPT[:-1]), encoding="utf-8")
    with pytest.raises(InputError, match="write a list of 11 different input ids"):
        convert(ConvertRecipe(output=tmp_path / "other", checkpoint=tmp_path / "theirs", token_ids=ids))


def test_rows_that_resemble_nothing_are_not_guessed() -> None:
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randn(50, 16, generator=generator)
    rows = [0, 1, 2, 3, 9, 40, 49]
    assert recovered_token_ids(embedding[rows] * 2, embedding).tolist() == rows
    with pytest.raises(InputError, match="rows 4 and 5 resemble pieces 40 and 9, which are not in order"):
        recovered_token_ids(embedding[[0, 1, 2, 3, 40, 9, 49]], embedding)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.classifier.weight": None}, "has no reduced head, `classifier.*`; leave token_ids out"),
        (
            {"model.roberta.embeddings.word_embeddings.weight": None},
            r"no 'roberta.embeddings.word_embeddings.weight' among its \d+ tensors",
        ),
        ({"model.roberta.encoder.layer.1.output.dense.bias": None}, "1 tensors are missing, 'roberta.encoder.layer.1"),
        ({"model.roberta.extra": torch.zeros(1)}, "unknown tensor 'roberta.extra'"),
        (
            {"model.roberta.encoder.layer.1.output.dense.bias": torch.zeros(31)},
            r"output.dense.bias has shape \(31,\), config.json asks for \(32,\)",
        ),
        ({"epoch": 3}, "holds more than tensors by name"),
        ({"model.roberta.embeddings.word_embeddings.weight": torch.zeros(30, 32)}, "vocab_size is 900, the embedding"),
    ],
)
def test_other_layouts_are_refused(changes: dict[str, Any], message: str, written: Writer, tmp_path: Path) -> None:
    ids = tmp_path / "ids.json"
    ids.write_text(json.dumps(KEPT), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        convert(ConvertRecipe(output=tmp_path / "ours", checkpoint=written(**changes), token_ids=ids))
    assert not (tmp_path / "ours").exists()


class _Attack:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return print, ("code of the pickle ran",)


def test_code_in_a_pickle_is_not_run(written: Writer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = written()
    with (folder / "pytorch_model.bin").open("wb") as stream:
        pickle.dump({"model.classifier.weight": _Attack()}, stream)
    with pytest.raises(InputError, match="not a pickle of tensors alone"):
        convert(ConvertRecipe(output=tmp_path / "ours", checkpoint=folder))
    assert "code of the pickle ran" not in capsys.readouterr().out
