from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch import nn
from transformers import (
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
    XLMRobertaForSequenceClassification,
    XLMRobertaForTokenClassification,
    XLMRobertaModel,
    pipeline,
)
from transformers.utils import ModelOutput

from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.modeling_kbioxlm import (
    KBioXLMForMaskedLM,
    KBioXLMForPreTraining,
    KBioXLMForSequenceClassification,
    KBioXLMForTokenClassification,
    KBioXLMModel,
)

ALL_CLASSES = [
    KBioXLMModel,
    KBioXLMForPreTraining,
    KBioXLMForMaskedLM,
    KBioXLMForTokenClassification,
    KBioXLMForSequenceClassification,
]
LM_CLASSES = [KBioXLMForPreTraining, KBioXLMForMaskedLM]
NER_LABELS = {0: "O", 1: "B-Drug", 2: "I-Drug"}
KEPT = [7, 110, 5, 64, 3, 119, 8, 30, 31, 32]  # input ids of the reduced head, in no order


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    """Input ids and attention mask (3, 9), two of the rows padded."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(4, 119, (3, 9), generator=generator)
    ids[:, 0] = 0
    mask = torch.ones_like(ids)
    for row, length in ((1, 6), (2, 4)):
        ids[row, length:], mask[row, length:] = 1, 0
    return {"input_ids": ids, "attention_mask": mask}


@pytest.fixture
def labels(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Labels of five positions, two of them pieces that `KEPT` has no row for."""
    labels = torch.full_like(batch["input_ids"], -100)
    for row, column, piece in ((0, 1, 110), (0, 4, 5), (1, 2, 6), (1, 3, 32), (2, 3, 118)):
        labels[row, column] = piece
    return labels


@pytest.fixture
def config(tiny_sizes: dict[str, Any]) -> KBioXLMConfig:
    return KBioXLMConfig(**tiny_sizes, initializer_range=0.3, id2label=NER_LABELS)


def build(cls: Any, config: KBioXLMConfig, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return cls(config).eval()


def logits_of(output: Any) -> torch.Tensor:
    """The main tensor of any of our outputs."""
    names = ("logits", "prediction_logits", "last_hidden_state")
    return next(output[name] for name in names if name in output)


def assert_equal_but_for_padding(ours: torch.Tensor, theirs: torch.Tensor, batch: dict[str, torch.Tensor]) -> None:
    """(batch, sequence, …) each: what is computed for padding means nothing."""
    real = batch["attention_mask"].bool()
    torch.testing.assert_close(ours[real], theirs[real], atol=1e-5, rtol=1e-5)


def targets(cls: Any, batch: dict[str, torch.Tensor], labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """Labels to train `cls` with."""
    rows = len(labels)
    if cls is KBioXLMForPreTraining:
        return {"labels": labels, "relation_labels": labels.roll(1, 1), "passage_labels": torch.arange(rows) % 3}
    if cls is KBioXLMForMaskedLM:
        return {"labels": labels}
    if cls is KBioXLMForTokenClassification:
        return {"labels": (batch["input_ids"] % 3).masked_fill(batch["attention_mask"] == 0, -100)}
    return {"labels": torch.arange(rows) % 3}


@contextmanager
def seen_by(module: nn.Module) -> Iterator[list[tuple[int, ...]]]:
    """The shapes of what `module` is given while the block runs."""
    shapes: list[tuple[int, ...]] = []
    handle = module.register_forward_hook(lambda _, inputs, __: shapes.append(tuple(inputs[0].shape)))
    yield shapes
    handle.remove()


# the encoder, by key from XLM-R


@pytest.mark.parametrize("cls", ALL_CLASSES)
@pytest.mark.parametrize("bare", [True, False], ids=["XLMRobertaModel", "XLMRobertaForMaskedLM"])
def test_encoder_loads_from_xlm_roberta_by_key(
    cls: Any, bare: bool, tmp_path: Path, xlm_roberta_folder: Path, batch: dict[str, torch.Tensor]
) -> None:
    folder = xlm_roberta_folder
    if bare:
        XLMRobertaModel.from_pretrained(folder).save_pretrained(folder := tmp_path)
    model, loading = cls.from_pretrained(folder, output_loading_info=True)
    encoder = model if cls is KBioXLMModel else model.roberta
    expected_missing = ("pooler.", "passage_head.", "classifier.", "crf.") + (("lm_head.",) if bare else ())
    assert [key for key in loading["missing_keys"] if not key.startswith(expected_missing)] == []
    assert not loading["mismatched_keys"]
    expected = XLMRobertaModel.from_pretrained(folder)(**batch, output_hidden_states=True)
    found = encoder(**batch, output_hidden_states=True)
    assert len(found.hidden_states) == 3
    for ours, theirs in zip(found.hidden_states, expected.hidden_states, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    if bare and cls is KBioXLMModel:
        torch.testing.assert_close(found.pooler_output, expected.pooler_output, atol=1e-5, rtol=0)


def test_masked_lm_equals_that_of_xlm_roberta(
    xlm_roberta_folder: Path, batch: dict[str, torch.Tensor], labels: torch.Tensor
) -> None:
    ours, loading = KBioXLMForMaskedLM.from_pretrained(xlm_roberta_folder, output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    expected = XLMRobertaForMaskedLM.from_pretrained(xlm_roberta_folder)(**batch, labels=labels)
    assert_equal_but_for_padding(ours(**batch).logits, expected.logits, batch)
    found = ours(**batch, labels=labels)
    torch.testing.assert_close(found.loss, expected.loss)
    torch.testing.assert_close(found.logits, expected.logits[labels != -100], atol=1e-5, rtol=1e-5)


# the reduced head


@pytest.mark.parametrize("cls", LM_CLASSES)
def test_rows_of_the_reduced_head_are_those_of_xlm_roberta(
    cls: Any, xlm_roberta_folder: Path, batch: dict[str, torch.Tensor]
) -> None:
    model = cls.from_xlm_roberta(xlm_roberta_folder, token_ids=torch.tensor(KEPT))
    assert model.config.mlm_vocab_size == len(KEPT)
    assert model.lm_head.token_ids.tolist() == sorted(KEPT)
    assert model.lm_head.decoder.weight.shape == (len(KEPT), 32)
    expected = XLMRobertaForMaskedLM.from_pretrained(xlm_roberta_folder)(**batch).logits
    logits = logits_of(model(**batch))
    if cls is KBioXLMForMaskedLM:
        assert logits.shape == expected.shape
        left_out = [i for i in range(120) if i not in KEPT]
        assert (logits[..., left_out] == -torch.inf).all()
        logits = logits[..., sorted(KEPT)]
    assert_equal_but_for_padding(logits, expected[..., sorted(KEPT)], batch)


@pytest.mark.parametrize("cls", LM_CLASSES)
def test_reduced_loss_is_the_cross_entropy_over_its_rows(
    cls: Any, xlm_roberta_folder: Path, batch: dict[str, torch.Tensor], labels: torch.Tensor
) -> None:
    model = cls.from_xlm_roberta(xlm_roberta_folder, token_ids=KEPT)
    kept = sorted(KEPT)
    full = XLMRobertaForMaskedLM.from_pretrained(xlm_roberta_folder)(**batch).logits[..., kept]
    rows = torch.tensor([kept.index(i) if i in kept else -100 for i in labels.flatten().tolist()])
    assert (rows != -100).sum() == 3  # of five labelled pieces two have no row
    expected = F.cross_entropy(full.flatten(0, 1), rows)
    torch.testing.assert_close(model(**batch, labels=labels).loss, expected)


@pytest.mark.parametrize("cls", LM_CLASSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_reduced_head_survives_saving_and_loading(
    cls: Any, dtype: torch.dtype, tmp_path: Path, xlm_roberta_folder: Path, batch: dict[str, torch.Tensor]
) -> None:
    model = cls.from_xlm_roberta(xlm_roberta_folder, token_ids=KEPT, dtype=dtype)
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    assert weights["lm_head.token_ids"].dtype == torch.int64
    assert weights["lm_head.token_ids"].tolist() == sorted(KEPT)
    assert weights["lm_head.decoder.weight"].shape == (len(KEPT), 32)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["mlm_vocab_size"] == len(KEPT)
    assert not [value for value in saved.values() if isinstance(value, list) and len(value) == len(KEPT)]

    loaded, loading = cls.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(loading.values()), loading
    assert loaded.lm_head.token_ids.dtype == torch.int64
    assert loaded.dtype == dtype
    assert torch.equal(loaded.lm_head.token_ids, model.lm_head.token_ids)
    assert torch.equal(logits_of(loaded(**batch)), logits_of(model(**batch)))
    assert loaded.lm_head.decoder.bias is loaded.lm_head.bias


def test_each_labelled_id_is_mapped_to_its_row(config: KBioXLMConfig) -> None:
    model = build(KBioXLMForMaskedLM, config)
    every = torch.arange(120)
    assert torch.equal(model.lm_head.rows(every), every)
    model.reduce_mlm_head(KEPT)
    rows = model.lm_head.rows(torch.tensor([[-100, 3, 4], [119, 110, 0]]))
    assert rows.tolist() == [[-100, 0, -100], [9, 8, -100]]


def test_reduced_head_is_trained_apart_from_the_embeddings(
    config: KBioXLMConfig, batch: dict[str, torch.Tensor], labels: torch.Tensor
) -> None:
    model = build(KBioXLMForMaskedLM, config)
    model.reduce_mlm_head(KEPT)
    decoder, embeddings = model.lm_head.decoder.weight, model.get_input_embeddings().weight
    assert decoder.data_ptr() != embeddings.data_ptr()
    assert torch.equal(decoder, embeddings[sorted(KEPT)])
    model(**batch, labels=labels).loss.backward()
    assert decoder.grad.abs().sum() > 0
    assert model.lm_head.bias.grad.abs().sum() > 0


def test_head_reduced_twice_keeps_the_rows_left(config: KBioXLMConfig, batch: dict[str, torch.Tensor]) -> None:
    model = build(KBioXLMForMaskedLM, config)
    nn.init.normal_(model.lm_head.bias)
    expected = model(**batch).logits[..., [5, 64]]
    model.reduce_mlm_head(KEPT)
    model.reduce_mlm_head([64, 5])
    torch.testing.assert_close(model(**batch).logits[..., [5, 64]], expected)
    with pytest.raises(ValueError, match="token_ids holds 7, which the head, reduced before, no longer has"):
        model.reduce_mlm_head([5, 7])


@pytest.mark.parametrize(
    ("token_ids", "message"),
    [
        ([3, 5, 120, 121], "token_ids holds 120, 121: give ids from 0 to 119"),
        ([-1, 5], "token_ids holds -1: give ids from 0 to 119"),
        ([5, 3, 5, 4, 4], "token_ids holds 4, 5 more than once"),
        (list(range(500, 510)), "token_ids holds 500, 501, 502, 503, 504 and 5 more: give ids"),
        ([], r"token_ids of shape \(0,\)"),
        (torch.ones(2, 2).long(), r"token_ids of shape \(2, 2\)"),
        (torch.ones(2), "torch.float32: give a list of whole numbers"),
    ],
)
def test_token_ids_that_cannot_be_used(token_ids: Any, message: str, xlm_roberta_folder: Path) -> None:
    with pytest.raises(ValueError, match=message):
        KBioXLMForPreTraining.from_xlm_roberta(xlm_roberta_folder, token_ids=token_ids)


def test_checkpoint_without_lm_head_or_encoder(tmp_path: Path, xlm_roberta_folder: Path) -> None:
    XLMRobertaModel.from_pretrained(xlm_roberta_folder).save_pretrained(tmp_path)
    with pytest.raises(
        ValueError, match=r"6 weights are missing, 'lm_head.bias' among them; give a checkpoint saved by"
    ):
        KBioXLMForPreTraining.from_xlm_roberta(tmp_path)
    model = KBioXLMForPreTraining.from_pretrained(tmp_path)
    model.reduce_mlm_head(KEPT)
    assert model.lm_head.decoder.out_features == len(KEPT)


def test_pickles_are_not_read(tmp_path: Path, xlm_roberta_folder: Path) -> None:
    tmp_path.joinpath("config.json").write_bytes(xlm_roberta_folder.joinpath("config.json").read_bytes())
    torch.save(load_file(xlm_roberta_folder / "model.safetensors"), tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match=r"model\.safetensors"):
        KBioXLMForPreTraining.from_xlm_roberta(tmp_path)


def test_reduced_size_without_ids_does_not_load_a_full_head(xlm_roberta_folder: Path) -> None:
    with pytest.raises(RuntimeError, match="size"):
        KBioXLMForPreTraining.from_pretrained(xlm_roberta_folder, mlm_vocab_size=10)


def test_new_reduced_model_predicts_the_first_ids(
    config: KBioXLMConfig, tmp_path: Path, batch: dict[str, torch.Tensor]
) -> None:
    build(KBioXLMModel, config).save_pretrained(tmp_path)
    config.mlm_vocab_size = 4
    assert build(KBioXLMForPreTraining, config).lm_head.token_ids.tolist() == [0, 1, 2, 3]
    loaded = KBioXLMForPreTraining.from_pretrained(tmp_path, mlm_vocab_size=4)  # built without memory, then filled
    assert loaded.lm_head.token_ids.tolist() == [0, 1, 2, 3]
    assert loaded(**batch).prediction_logits.shape == (3, 9, 4)


def test_fill_mask_pipeline_proposes_pieces_of_the_reduced_head(config: KBioXLMConfig) -> None:
    model = build(KBioXLMForMaskedLM, config)
    model.reduce_mlm_head(KEPT)
    vocabulary = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3} | {f"w{i}": i for i in range(4, 119)} | {"<mask>": 119}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(vocabulary, "<unk>")), pad_token="<pad>", mask_token="<mask>"
    )
    tokenizer.backend_tokenizer.pre_tokenizer = WhitespaceSplit()
    proposals = pipeline("fill-mask", model=model, tokenizer=tokenizer, device="cpu")("w9 <mask> w5", top_k=10)
    assert {proposal["token"] for proposal in proposals} == set(KEPT)
    assert math.isclose(sum(proposal["score"] for proposal in proposals), 1, rel_tol=1e-5)


# the whole vocabulary, tied to the embeddings


@pytest.mark.parametrize("cls", LM_CLASSES)
def test_full_head_stays_tied(
    cls: Any, tmp_path: Path, config: KBioXLMConfig, batch: dict[str, torch.Tensor], labels: torch.Tensor
) -> None:
    def check(model: Any, size: int) -> None:
        assert model.lm_head.decoder.weight is model.get_input_embeddings().weight
        assert model.lm_head.decoder.bias is model.lm_head.bias
        assert model.lm_head.decoder.weight.shape == (size, 32)
        assert model.lm_head.bias.shape == (size,)
        assert model.config.vocab_size == size
        assert logits_of(model(**batch)).shape == (3, 9, size)
        assert torch.isfinite(model(**batch, labels=labels).loss)

    model = build(cls, config)
    check(model, 120)
    expected = logits_of(model(**batch))
    model.save_pretrained(tmp_path)
    assert "lm_head.decoder.weight" not in load_file(tmp_path / "model.safetensors")
    model = cls.from_pretrained(tmp_path)
    check(model, 120)
    assert torch.equal(logits_of(model(**batch)), expected)
    model.resize_token_embeddings(131)
    check(model, 131)
    torch.testing.assert_close(logits_of(model(**batch))[..., :120], expected)
    model.save_pretrained(tmp_path)
    model = cls.from_pretrained(tmp_path)
    check(model, 131)
    model.resize_token_embeddings(119)
    check(model, 119)
    torch.testing.assert_close(logits_of(model(**batch)), expected[..., :119])


@pytest.mark.parametrize("cls", LM_CLASSES)
def test_reduced_head_stays_right_when_embeddings_are_resized(
    cls: Any, tmp_path: Path, config: KBioXLMConfig, batch: dict[str, torch.Tensor], labels: torch.Tensor
) -> None:
    model = build(cls, config)
    model.reduce_mlm_head(KEPT)
    expected, loss = logits_of(model(**batch)), model(**batch, labels=labels).loss

    model.resize_token_embeddings(140)
    assert model.get_input_embeddings().weight.shape == (140, 32)
    assert model.lm_head.token_ids.tolist() == sorted(KEPT)
    torch.testing.assert_close(logits_of(model(**batch))[..., : expected.shape[-1]], expected)
    torch.testing.assert_close(model(**batch, labels=labels).loss, loss)

    model.resize_token_embeddings(119)  # id 119 falls away
    assert model.lm_head.token_ids.tolist() == sorted(KEPT)[:-1]
    assert model.config.mlm_vocab_size == len(KEPT) - 1
    rows = slice(0, -1)  # the last row, or the last column of the vocabulary
    torch.testing.assert_close(logits_of(model(**batch)), expected[..., rows])
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(logits_of(cls.from_pretrained(tmp_path)(**batch)), expected[..., rows])


def test_untied_checkpoint_of_xlm_roberta(
    tmp_path: Path, tiny_sizes: dict[str, Any], batch: dict[str, torch.Tensor]
) -> None:
    torch.manual_seed(0)
    theirs = XLMRobertaForMaskedLM(XLMRobertaConfig(**tiny_sizes, tie_word_embeddings=False)).eval()
    nn.init.normal_(theirs.lm_head.decoder.bias)
    theirs.save_pretrained(tmp_path)
    expected = theirs(**batch).logits
    assert_equal_but_for_padding(KBioXLMForMaskedLM.from_xlm_roberta(tmp_path)(**batch).logits, expected, batch)
    reduced = KBioXLMForPreTraining.from_xlm_roberta(tmp_path, token_ids=KEPT)
    assert_equal_but_for_padding(reduced(**batch).prediction_logits, expected[..., sorted(KEPT)], batch)


# pretraining


@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize("cls", LM_CLASSES)
def test_decoder_sees_labelled_positions_alone(
    cls: Any, reduced: bool, config: KBioXLMConfig, batch: dict[str, torch.Tensor], labels: torch.Tensor
) -> None:
    model = build(cls, config)
    if reduced:
        model.reduce_mlm_head(KEPT)
    with seen_by(model.lm_head.decoder) as shapes:
        output = model(**batch, labels=labels)
    assert shapes == [(5, 32)]
    assert logits_of(output).shape == (5, len(KEPT) if reduced else 120)
    with seen_by(model.lm_head.decoder) as shapes:
        model(**batch)
    assert shapes == [(3, 9, 32)]


def test_entities_and_relations_share_one_pass_of_the_head(
    config: KBioXLMConfig, batch: dict[str, torch.Tensor], labels: torch.Tensor
) -> None:
    model = build(KBioXLMForPreTraining, config)
    relations = torch.full_like(labels, -100)
    relations[0, 1], relations[0, 7], relations[1, 5] = 12, 13, 14  # the first is labelled as an entity too
    with seen_by(model.lm_head.decoder) as shapes:
        output = model(**batch, labels=labels, relation_labels=relations)
    assert shapes == [(7, 32)]
    everywhere = model(**batch).prediction_logits
    entity = F.cross_entropy(everywhere.flatten(0, 1), labels.flatten())
    relation = F.cross_entropy(everywhere.flatten(0, 1), relations.flatten())
    torch.testing.assert_close(output.entity_loss, entity)
    torch.testing.assert_close(output.relation_loss, relation)
    torch.testing.assert_close(output.loss, entity + relation)
    assert output.passage_loss is None
    torch.testing.assert_close(output.prediction_logits, everywhere[(labels != -100) | (relations != -100)])


def test_loss_is_the_sum_of_the_three(
    config: KBioXLMConfig, batch: dict[str, torch.Tensor], labels: torch.Tensor
) -> None:
    model = build(KBioXLMForPreTraining, config)
    passages = torch.tensor([2, -100, 0])
    output = model(**batch, labels=labels, relation_labels=labels.flip(0), passage_labels=passages)
    torch.testing.assert_close(output.loss, output.entity_loss + output.relation_loss + output.passage_loss)
    assert output.passage_logits.shape == (3, 3)
    torch.testing.assert_close(output.passage_loss, F.cross_entropy(output.passage_logits, passages))
    alone = model(**batch, passage_labels=passages)
    assert (alone.entity_loss, alone.relation_loss) == (None, None)
    torch.testing.assert_close(alone.loss, output.passage_loss)
    nothing = model(**batch)
    assert nothing.loss is None
    assert nothing.prediction_logits.shape == (3, 9, 120)


@pytest.mark.parametrize("reduced", [False, True])
def test_batch_without_a_labelled_position_costs_nothing(
    reduced: bool, config: KBioXLMConfig, batch: dict[str, torch.Tensor]
) -> None:
    model = build(KBioXLMForPreTraining, config)
    if reduced:
        model.reduce_mlm_head(KEPT)
    none = torch.full_like(batch["input_ids"], -100)
    output = model(**batch, labels=none, relation_labels=none, passage_labels=none[:, 0])
    assert [output[key].item() for key in ("loss", "entity_loss", "relation_loss", "passage_loss")] == [0, 0, 0, 0]
    output.loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name  # as distributed training needs
        assert (parameter.grad == 0).all(), name


def test_number_of_passage_relations_follows_the_config(
    tiny_sizes: dict[str, Any], batch: dict[str, torch.Tensor]
) -> None:
    model = build(KBioXLMForPreTraining, KBioXLMConfig(**tiny_sizes, num_passage_relations=4))
    assert model(**batch).passage_logits.shape == (3, 4)


# token classification


def test_crf_loss_is_per_labelled_piece(config: KBioXLMConfig, batch: dict[str, torch.Tensor]) -> None:
    model = build(KBioXLMForTokenClassification, config)
    for parameter in model.crf.parameters():
        nn.init.normal_(parameter)
    labels = batch["input_ids"] % 3
    labels[:, 0] = labels[0, 3:5] = labels[2] = -100
    output = model(**batch, labels=labels)
    on = labels != -100
    expected = model.crf(output.logits, labels, on).sum() / on.sum()
    torch.testing.assert_close(output.loss, expected)
    assert output.logits.shape == (3, 9, 3)
    output.loss.backward()
    assert model.crf.transitions.grad.abs().sum() > 0


@pytest.mark.parametrize("use_crf", [True, False])
def test_untrained_crf_and_softmax_have_the_loss_of_xlm_roberta(
    use_crf: bool, tmp_path: Path, tiny_sizes: dict[str, Any], batch: dict[str, torch.Tensor]
) -> None:
    torch.manual_seed(0)
    theirs = XLMRobertaForTokenClassification(XLMRobertaConfig(**tiny_sizes, id2label=NER_LABELS)).eval()
    theirs.save_pretrained(tmp_path)
    labels = targets(KBioXLMForTokenClassification, batch, batch["input_ids"])["labels"]
    expected = theirs(**batch, labels=labels)
    ours, loading = KBioXLMForTokenClassification.from_pretrained(tmp_path, use_crf=use_crf, output_loading_info=True)
    crf_keys = {"crf.start", "crf.end", "crf.transitions"}
    assert set(loading["missing_keys"]) == (crf_keys if use_crf else set())
    found = ours(**batch, labels=labels)
    assert_equal_but_for_padding(found.logits, expected.logits, batch)
    torch.testing.assert_close(found.loss, expected.loss)


def test_decode_gives_one_well_formed_label_for_every_labelled_piece(config: KBioXLMConfig) -> None:
    model = build(KBioXLMForTokenClassification, config)
    logits = torch.zeros(2, 5, 3)
    logits[..., 2] = 4.0  # I-Drug everywhere
    mask = torch.tensor([[0, 1, 0, 1, 1], [0, 0, 0, 0, 0]])
    assert model.decode(logits, mask) == [[1, 2, 2], []]
    assert model.decode(logits, mask.bool()) == [[1, 2, 2], []]
    model.config.id2label = {0: "a", 1: "b", 2: "c"}
    assert model.decode(logits, mask) == [[2, 2, 2], []]


def test_decode_without_a_crf_takes_the_best_of_each_piece(config: KBioXLMConfig) -> None:
    config.use_crf = False
    model = build(KBioXLMForTokenClassification, config)
    assert not [name for name, _ in model.named_parameters() if "crf" in name]
    logits = torch.eye(3)[torch.tensor([[2, 0, 1, 2], [1, 1, 0, 2]])]
    mask = torch.tensor([[1, 0, 1, 1], [0, 0, 0, 1]])
    assert model.decode(logits, mask) == [[2, 1, 2], [2]]


@pytest.mark.parametrize("use_crf", [True, False])
def test_batch_without_labels_costs_nothing(
    use_crf: bool, config: KBioXLMConfig, batch: dict[str, torch.Tensor]
) -> None:
    config.use_crf = use_crf
    model = build(KBioXLMForTokenClassification, config)
    output = model(**batch, labels=torch.full_like(batch["input_ids"], -100))
    assert output.loss.item() == 0
    output.loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_crf_survives_saving_and_loading(tmp_path: Path, config: KBioXLMConfig, batch: dict[str, torch.Tensor]) -> None:
    model = build(KBioXLMForTokenClassification, config)
    for parameter in model.crf.parameters():
        nn.init.normal_(parameter)
    model.save_pretrained(tmp_path)
    loaded = KBioXLMForTokenClassification.from_pretrained(tmp_path)
    inputs = {**batch, **targets(KBioXLMForTokenClassification, batch, batch["input_ids"])}
    assert torch.equal(loaded(**inputs).loss, model(**inputs).loss)
    assert loaded.config.id2label == NER_LABELS
    logits = model(**batch).logits
    assert loaded.decode(logits, batch["attention_mask"]) == model.decode(logits, batch["attention_mask"])


def test_pretrained_encoder_goes_on_to_token_classification(
    tmp_path: Path, config: KBioXLMConfig, batch: dict[str, torch.Tensor]
) -> None:
    pretrained = build(KBioXLMForPreTraining, config)
    pretrained.reduce_mlm_head(KEPT)
    pretrained.save_pretrained(tmp_path)
    model, loading = KBioXLMForTokenClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert {key.split(".")[0] for key in loading["missing_keys"]} == {"classifier", "crf"}
    expected = pretrained.roberta(**batch).last_hidden_state
    torch.testing.assert_close(model.roberta(**batch).last_hidden_state, expected)
    assert all((parameter == 0).all() for parameter in model.crf.parameters())
    masked, loading = KBioXLMForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not loading["missing_keys"]
    assert masked.lm_head.token_ids.tolist() == sorted(KEPT)


# sequence classification


@pytest.mark.parametrize(
    ("problem_type", "labels"),
    [
        ("single_label_classification", torch.tensor([0, 2, 1])),
        ("multi_label_classification", torch.tensor([[0.0, 1, 1], [1, 0, 0], [0, 0, 0]])),
        ("regression", torch.tensor([[0.5, 1, 2], [1, 0, 0], [0, -1, 0]])),
        (None, torch.tensor([0, 2, 1])),
        (None, torch.tensor([[0.0, 1, 1], [1, 0, 0], [0, 0, 0]])),
    ],
)
def test_sequence_classification_equals_that_of_xlm_roberta(
    problem_type: Any, labels: torch.Tensor, tmp_path: Path, tiny_sizes: dict[str, Any], batch: dict[str, torch.Tensor]
) -> None:
    torch.manual_seed(0)
    settings = XLMRobertaConfig(**tiny_sizes, problem_type=problem_type, id2label={0: "a", 1: "b", 2: "c"})
    theirs = XLMRobertaForSequenceClassification(settings).eval()
    theirs.save_pretrained(tmp_path)
    ours, loading = KBioXLMForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not loading["missing_keys"]
    expected, found = theirs(**batch, labels=labels), ours(**batch, labels=labels)
    assert found.logits.shape == (3, 3)
    torch.testing.assert_close(found.logits, expected.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.loss, expected.loss)
    assert ours.config.problem_type == theirs.config.problem_type


# everything else as in transformers


@pytest.mark.parametrize("cls", ALL_CLASSES)
def test_attention_implementations_agree(cls: Any, config: KBioXLMConfig, batch: dict[str, torch.Tensor]) -> None:
    model = build(cls, config)
    assert model.config._attn_implementation == "sdpa"
    sdpa = logits_of(model(**batch))
    model.set_attn_implementation("eager")
    assert model.config._attn_implementation == "eager"
    seen = batch["attention_mask"].bool()  # what padding itself is turned into does not matter
    eager = logits_of(model(**batch))
    if eager.dim() == 3:
        eager, sdpa = eager[seen], sdpa[seen]
    torch.testing.assert_close(eager, sdpa, atol=1e-5, rtol=1e-5)
    assert model._supports_flash_attn
    assert model._supports_sdpa
    assert model._supports_flex_attn


def test_attention_implementation_is_chosen_on_loading(tmp_path: Path, config: KBioXLMConfig) -> None:
    build(KBioXLMForTokenClassification, config).save_pretrained(tmp_path)
    model = KBioXLMForTokenClassification.from_pretrained(tmp_path, attn_implementation="eager")
    assert model.roberta.config._attn_implementation == "eager"


@pytest.mark.parametrize("cls", ALL_CLASSES)
def test_hidden_states_and_attentions_on_request(
    cls: Any, config: KBioXLMConfig, batch: dict[str, torch.Tensor]
) -> None:
    model = build(cls, config)
    model.set_attn_implementation("eager")
    plain = model(**batch)
    assert issubclass(type(plain), ModelOutput)
    assert plain.hidden_states is None
    assert plain.attentions is None
    output = model(**batch, output_hidden_states=True, output_attentions=True)
    assert [tuple(h.shape) for h in output.hidden_states] == [(3, 9, 32)] * 3
    assert [tuple(a.shape) for a in output.attentions] == [(3, 4, 9, 9)] * 2
    torch.testing.assert_close(output.attentions[0].sum(-1), torch.ones(3, 4, 9))
    model.config.output_hidden_states = True
    assert len(model(**batch).hidden_states) == 3


@pytest.mark.parametrize("cls", ALL_CLASSES)
def test_outputs_as_tuples(
    cls: Any, config: KBioXLMConfig, batch: dict[str, torch.Tensor], labels: torch.Tensor
) -> None:
    model = build(cls, config)
    inputs = batch if cls is KBioXLMModel else {**batch, **targets(cls, batch, labels)}
    expected = model(**inputs).to_tuple()
    found = model(**inputs, return_dict=False)
    assert isinstance(found, tuple)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    model.config.return_dict = False
    assert isinstance(model(**inputs), tuple)


@pytest.mark.parametrize("cls", ALL_CLASSES)
def test_embeddings_may_be_given_instead_of_ids(
    cls: Any, config: KBioXLMConfig, batch: dict[str, torch.Tensor]
) -> None:
    model = build(cls, config)
    ids = batch["input_ids"][:1]
    embedded = model(inputs_embeds=model.get_input_embeddings()(ids))
    torch.testing.assert_close(logits_of(embedded), logits_of(model(ids)))


@pytest.mark.parametrize("cls", ALL_CLASSES[1:])
def test_gradient_checkpointing_leaves_gradients_alone(
    cls: Any, config: KBioXLMConfig, batch: dict[str, torch.Tensor], labels: torch.Tensor
) -> None:
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    model = build(cls, config).train()
    inputs = {**batch, **targets(cls, batch, labels)}
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            model.activation_checkpointing_enable()
        assert model.is_activation_checkpointing == checkpointing
        model.zero_grad()
        with seen_by(model.roberta.encoder.layer[0].intermediate.dense) as shapes:
            model(**inputs).loss.backward()
        assert len(shapes) == (2 if checkpointing else 1)  # computed again on the way back
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


@pytest.mark.parametrize("cls", ALL_CLASSES)
def test_embeddings_can_be_resized(cls: Any, config: KBioXLMConfig, batch: dict[str, torch.Tensor]) -> None:
    model = build(cls, config)
    expected = logits_of(model(**batch))
    model.resize_token_embeddings(121, pad_to_multiple_of=8)
    assert model.config.vocab_size == 128
    assert model.get_input_embeddings().weight.shape == (128, 32)
    torch.testing.assert_close(logits_of(model(**batch))[..., : expected.shape[-1]], expected)


@pytest.mark.parametrize("cls", ALL_CLASSES[1:])
@pytest.mark.parametrize("how", ["autocast", "bfloat16"])
def test_bfloat16(
    cls: Any, how: str, tiny_sizes: dict[str, Any], batch: dict[str, torch.Tensor], labels: torch.Tensor
) -> None:
    model = build(cls, KBioXLMConfig(**tiny_sizes, id2label=NER_LABELS))
    inputs = {**batch, **targets(cls, batch, labels)}
    expected = model(**inputs).loss.item()
    if how == "bfloat16":
        model.to(torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=how == "autocast"):
        output = model(**inputs)
    assert logits_of(output).dtype == torch.bfloat16
    if cls is not KBioXLMForSequenceClassification:  # transformers' own code, in the dtype of the weights
        assert output.loss.dtype == torch.float32
    assert math.isclose(output.loss.item(), expected, rel_tol=0.02)
    output.loss.backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("cls", ALL_CLASSES)
def test_every_class_survives_saving_and_loading(
    cls: Any, tmp_path: Path, config: KBioXLMConfig, batch: dict[str, torch.Tensor]
) -> None:
    model = build(cls, config)
    model.save_pretrained(tmp_path)
    loaded, loading = cls.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(loading.values()), loading
    assert torch.equal(logits_of(loaded(**batch)), logits_of(model(**batch)))


@pytest.mark.parametrize("cls", [KBioXLMForPreTraining, KBioXLMForTokenClassification])
def test_accumulated_steps_of_the_trainer_equal_one_large_step(cls: Any, tmp_path: Path, config: KBioXLMConfig) -> None:
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    generator = torch.Generator().manual_seed(0)
    rows = [{"input_ids": torch.randint(4, 119, (8,), generator=generator)} for _ in range(4)]
    for number, row in enumerate(rows):  # as many labels in every row, so that the means agree
        row["labels"] = row["input_ids"] if cls is KBioXLMForPreTraining else row["input_ids"] % 3
        if cls is KBioXLMForPreTraining:
            row |= {"relation_labels": row["input_ids"].flip(0), "passage_labels": torch.tensor(number % 3)}
    trained = []
    for size in (4, 1):
        model = build(cls, config)
        settings = TrainingArguments(
            output_dir=str(tmp_path),
            per_device_train_batch_size=size,
            gradient_accumulation_steps=4 // size,
            max_steps=2,
            learning_rate=0.1,
            max_grad_norm=0.0,
            lr_scheduler_type="constant",
            optim="sgd",
            use_cpu=True,
            report_to="none",
            disable_tqdm=True,
            save_strategy="no",
        )
        trainer = Trainer(model, settings, train_dataset=rows, eval_dataset=rows)
        trainer.train()
        trained.append((model.state_dict(), trainer.evaluate()["eval_loss"]))
    (once, loss), (accumulated, other_loss) = trained
    assert math.isclose(loss, other_loss, rel_tol=1e-4)
    for name, weights in once.items():
        torch.testing.assert_close(accumulated[name], weights, atol=1e-5, rtol=1e-4, msg=name)
