"""Encoders that are not XLM-R-shaped, or not ours: offsets, taggers, classifiers, entity markers, pickles."""

from __future__ import annotations

import importlib.util
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from safetensors.torch import load_file
from transformers import (
    AlbertConfig,
    AlbertModel,
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForTokenClassification,
)

from kbioxlm.common.errors import InputError
from kbioxlm.modeling_kbioxlm import KBioXLMForSequenceClassification, KBioXLMForTokenClassification
from kbioxlm.training.evaluation.run import EvaluateRecipe, evaluate
from kbioxlm.training.finetuning.classifier import load_classifier, prepare_texts
from kbioxlm.training.finetuning.encoder_tagger import EncoderTagger
from kbioxlm.training.finetuning.encoders import encoder_of, freeze, longest_input
from kbioxlm.training.finetuning.labelled_texts import LabelledText, LabelledTexts
from kbioxlm.training.finetuning.ner import iob2_tags, load_ner
from kbioxlm.training.finetuning.run import FinetuneRecipe, finetune
from kbioxlm.training.finetuning.spans import inexpressible, pieces_of
from kbioxlm.training.finetuning.tagger import load_tagger, predict, prepare
from kbioxlm.training.finetuning.tagging import tag_texts
from kbioxlm.training.finetuning.tasks.ner import NerTask
from kbioxlm.training.models.checkpoints import check_checkpoint

_specification = importlib.util.spec_from_file_location("other_encoders", Path(__file__).with_name("other_encoders.py"))
assert _specification is not None
assert _specification.loader is not None
other_encoders = importlib.util.module_from_spec(_specification)
_specification.loader.exec_module(other_encoders)

KINDS = ["bert", "distilbert", "roberta", "xlm-roberta"]
MARKERS = ("@GENE$", "@DISEASE$")
FAST: dict[str, Any] = {
    "batch_size": 8, "learning_rate": 3e-3, "head_learning_rate": 1e-2, "max_length": 62, "allow_near_duplicates": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, ner_files: dict[str, Path]) -> dict[str, Path]:
    """A checkpoint of each kind."""
    folder = tmp_path_factory.mktemp("encoders")
    texts = [s.text for name in ("train_en", "test_zh") for s in load_ner(ner_files[name], "train").examples]
    return {kind: other_encoders.save_encoder(kind, texts, checkpoint, folder / kind) for kind in KINDS}


@pytest.fixture(scope="module")
def taggers(
    encoders: dict[str, Path], ner_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """A tagger on each: its report and folder; BERT's is trained until it knows the task."""
    folder = tmp_path_factory.mktemp("taggers")
    runs = {}
    for kind, encoder in encoders.items():
        recipe = FinetuneRecipe(
            **FAST,
            checkpoint=str(encoder),
            train=str(ner_files["train_en"]),
            dev=str(ner_files["dev_en"]),
            tests={"en": str(ner_files["test_en"]), "zh": str(ner_files["test_zh"])},
            output=folder / kind,
            epochs=8 if kind == "bert" else 1,
        )
        runs[kind] = {"report": finetune(recipe), "folder": folder / kind}
    return runs


@pytest.mark.parametrize("kind", KINDS)
def test_offsets_fit_the_text(kind: str, encoders: dict[str, Path], ner_files: dict[str, Path]) -> None:
    """Every character but spaces belongs to a piece, and no border of an entity is lost."""
    _, tokenizer = load_tagger(str(encoders[kind]), ["O"])
    texts = ["Nausea  after aspirin.", " 患者服用 aspirin 后 naïve。", "a\tb\n c"]
    for text, pieces in zip(texts, pieces_of(tokenizer, texts), strict=True):
        covered = {i for start, end in pieces.offsets for i in range(start, end)}
        assert covered == {i for i, character in enumerate(text) if not character.isspace()}
        assert all(text[start:end] == text[start:end].strip() for start, end in pieces.offsets)
    for name in ("test_en", "test_zh"):
        sentences = load_ner(ner_files[name], "test").examples
        lost = inexpressible(sentences, pieces_of(tokenizer, [sentence.text for sentence in sentences]))
        assert lost == 0


@pytest.mark.parametrize("kind", KINDS)
def test_taggers_are_saved_and_loaded(
    kind: str, taggers: dict[str, dict[str, Any]], ner_files: dict[str, Path]
) -> None:
    run = taggers[kind]
    files = {path.name for path in run["folder"].iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "report.json", "predictions"} <= files
    assert not any(name.endswith(".bin") for name in files)
    model, tokenizer = load_tagger(str(run["folder"]))
    assert isinstance(model, KBioXLMForTokenClassification if kind == "xlm-roberta" else EncoderTagger)
    for name in ("en", "zh"):
        prepared = prepare(load_ner(ner_files[f"test_{name}"], "test"), tokenizer, 62)
        figures = NerTask().evaluate(model, prepared, 7, False).figures
        assert figures == {key: value for key, value in run["report"]["tests"][name].items() if key != "source"}


def test_a_bert_learns_to_tag(taggers: dict[str, dict[str, Any]]) -> None:
    report = taggers["bert"]["report"]
    assert report["tests"]["en"]["f1"] > 90
    found = json.loads(tag_texts(str(taggers["bert"]["folder"]), ["The patient  took Aspirin and had nausea ."]))
    assert {"entity_group": "Drug", "word": "Aspirin", "start": 18, "end": 25} in found["entities"]


def test_long_text_is_windowed_for_every_encoder(taggers: dict[str, dict[str, Any]]) -> None:
    model, tokenizer = load_tagger(str(taggers["bert"]["folder"]))
    text = "the patient took aspirin and had nausea . " * 30
    found = json.loads(tag_texts(str(taggers["bert"]["folder"]), [text]))["entities"]
    assert len(tokenizer(text)["input_ids"]) > 3 * longest_input(model)
    assert sum(entity["word"] == "aspirin" for entity in found) >= 28
    assert max(entity["end"] for entity in found) > len(text) - 30


@pytest.mark.parametrize("kind", KINDS)
def test_the_encoder_is_the_checkpoints(kind: str, encoders: dict[str, Path]) -> None:
    plain = AutoModel.from_pretrained(encoders[kind]).eval()
    ids = torch.tensor([[5, 9, 12, 30, 7]])
    with torch.no_grad():
        expected = plain(input_ids=ids).last_hidden_state
        tagger, _ = load_tagger(str(encoders[kind]), iob2_tags(["X"]))
        classifier, _ = load_classifier(str(encoders[kind]), ["a", "b"])
        for model in (tagger, classifier):
            assert torch.allclose(encoder_of(model.eval())(input_ids=ids).last_hidden_state, expected, atol=1e-5)
    assert longest_input(tagger) == longest_input(classifier) == other_encoders.LONGEST[kind]
    longest = torch.full((1, longest_input(tagger)), 9)
    assert tagger(input_ids=longest).logits.shape == (1, longest.shape[1], 3)
    with pytest.raises((IndexError, RuntimeError)):
        tagger(input_ids=torch.full((1, longest_input(tagger) + 1), 9))


def test_the_loss_of_a_tagger_counts_labelled_pieces(encoders: dict[str, Path]) -> None:
    """Without transitions the CRF is a softmax over each labelled piece, and padding changes nothing."""
    losses = []
    for use_crf in (True, False):
        torch.manual_seed(5)
        model, _ = load_tagger(str(encoders["bert"]), iob2_tags(["X"]), use_crf)
        model.eval()
        ids, labels = torch.tensor([[2, 9, 12, 3, 0]]), torch.tensor([[-100, 1, 2, -100, -100]])
        loss = model(ids, (ids != 0).long(), labels).loss
        logits = model(ids[:, :4], torch.ones(1, 4)).logits
        expected = torch.nn.functional.cross_entropy(logits[0, 1:3], labels[0, 1:3])
        assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    nothing = model(ids, (ids != 0).long(), torch.full_like(ids, -100)).loss
    assert nothing.item() == 0


def test_a_tagger_gets_a_new_head_for_new_tags(taggers: dict[str, dict[str, Any]]) -> None:
    old, _ = load_tagger(str(taggers["bert"]["folder"]))
    new, _ = load_tagger(str(taggers["bert"]["folder"]), iob2_tags(["Gene"]))
    assert list(new.config.id2label.values()) == ["O", "B-Gene", "I-Gene"]
    pairs = zip(old.encoder.named_parameters(), new.encoder.named_parameters(), strict=True)
    assert all(torch.equal(first, second) for (_, first), (_, second) in pairs)
    classifier, _ = load_classifier(str(taggers["bert"]["folder"]), ["a", "b"])
    word = encoder_of(classifier).embeddings.word_embeddings.weight
    assert torch.equal(word, old.encoder.embeddings.word_embeddings.weight)


def test_a_sentencepiece_model_alone_is_a_tokenizer(encoders: dict[str, Path], tmp_path: Path) -> None:
    """InfoXLM and older copies of XLM-R come without tokenizer.json."""
    shutil.copytree(encoders["xlm-roberta"], tmp_path / "old")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "old" / name).unlink()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the patient took aspirin", "患者服用阿司匹林"] * 20),
        model_prefix=str(tmp_path / "old" / "spm"), vocab_size=40, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    (tmp_path / "old" / "spm.model").rename(tmp_path / "old" / "sentencepiece.bpe.model")
    _, tokenizer = load_tagger(str(tmp_path / "old"), ["O"])
    assert (tokenizer.is_fast, tokenizer.cls_token_id, tokenizer.pad_token_id) == (True, 0, 1)
    assert tokenizer.mask_token_id == len(tokenizer) - 1
    (pieces,) = pieces_of(tokenizer, ["took 患者"])
    assert {i for start, end in pieces.offsets for i in range(start, end)} == {0, 1, 2, 3, 5, 6}


def test_a_tagger_of_others_is_refused(encoders: dict[str, Path], tmp_path: Path) -> None:
    model = BertForTokenClassification(BertConfig.from_pretrained(encoders["bert"]))
    model.save_pretrained(tmp_path)
    shutil.copy(encoders["bert"] / "vocab.txt", tmp_path)
    with pytest.raises(InputError, match="is no tagger of ours but a bert; name a fine-tuned tagger"):
        load_tagger(str(tmp_path))


# classifiers and entity markers


@pytest.mark.parametrize("kind", KINDS)
def test_classifiers_are_saved_and_loaded(
    kind: str, encoders: dict[str, Path], labelled_texts: Path, tmp_path: Path
) -> None:
    sources = {"en": f"{labelled_texts}:gad_en", "zh": f"{labelled_texts}:gad_zh"}
    report = finetune(
        FinetuneRecipe(
            **FAST,
            task="relation",
            checkpoint=str(encoders[kind]),
            train=sources["en"],
            dev=sources["en"],
            tests=sources,
            output=tmp_path / "model",
            epochs=1,
            entity_markers=list(MARKERS),
        )
    )
    again = EvaluateRecipe(
        task="relation", checkpoint=str(tmp_path / "model"), tests=sources, output=tmp_path / "out", max_length=62
    )
    assert evaluate(again)["tests"] == report["tests"]
    model, tokenizer = load_classifier(str(tmp_path / "model"))
    ours = isinstance(model, KBioXLMForSequenceClassification)
    assert ours == (kind == "xlm-roberta")
    if not ours:  # any program opens it
        assert AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").num_labels == 2
    ids = [tokenizer.convert_tokens_to_ids(marker) for marker in MARKERS]
    for text in ("@GENE$ and @DISEASE$ .", "患者@GENE$服用@DISEASE$。"):
        (pieces,) = pieces_of(tokenizer, [text])
        found = [text[slice(*pieces.offsets[pieces.ids.index(i)])] for i in ids]
        assert found == list(MARKERS)
    assert len(tokenizer) == model.get_input_embeddings().num_embeddings


@pytest.mark.parametrize("kind", KINDS)
def test_markers_start_as_the_mean_of_their_pieces(kind: str, encoders: dict[str, Path]) -> None:
    before, plain = load_classifier(str(encoders[kind]), ["a", "b"])
    rows = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        model, tokenizer = load_classifier(str(encoders[kind]), ["a", "b"], markers=MARKERS)
        weight = model.get_input_embeddings().weight
        rows.append(weight[tokenizer.convert_tokens_to_ids(list(MARKERS))].detach())
    assert torch.equal(rows[0], rows[1])
    old = before.get_input_embeddings().weight
    assert torch.equal(weight[: len(old)], old)
    for row, marker in zip(rows[0], MARKERS, strict=True):
        pieces = plain(marker, add_special_tokens=False)["input_ids"]
        assert len(pieces) > 1
        assert torch.allclose(row, old[pieces].mean(dim=0))
    assert model.config.vocab_size == encoder_of(model).config.vocab_size == len(weight)


def test_markers_that_are_there_are_left_alone(encoders: dict[str, Path], tmp_path: Path) -> None:
    model, tokenizer = load_classifier(str(encoders["bert"]), ["a", "b"], markers=MARKERS)
    torch.nn.init.normal_(model.get_input_embeddings().weight)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again, same = load_classifier(str(tmp_path), ["c", "d"], markers=MARKERS)
    assert len(same) == len(tokenizer)
    assert torch.equal(again.get_input_embeddings().weight, model.get_input_embeddings().weight)


def test_windows_of_a_relation_hold_its_markers(encoders: dict[str, Path]) -> None:
    _, tokenizer = load_classifier(str(encoders["bert"]), ["a", "b"], markers=MARKERS)
    filler = "the patient took . " * 30
    texts = [f"{filler}@GENE$ and @DISEASE$ {filler}", f"@GENE$ {filler} @DISEASE$", filler]
    rows = tuple(LabelledText(str(i), str(i), "en", text, ("a",)) for i, text in enumerate(texts))
    data = LabelledTexts("s", "b", rows)
    ids = set(tokenizer.convert_tokens_to_ids(list(MARKERS)))
    everything = prepare_texts(data, tokenizer, 30)
    kept = prepare_texts(data, tokenizer, 30, marked=True)
    held = [[len(ids.intersection(w.input_ids)) for w in kept.windows if w.text == i] for i in range(3)]
    assert set(held[0]) == {2}  # between the two it is decided
    assert held[1] == [1, 1]  # too far apart for one window: those that hold one of them
    assert len(held[2]) == sum(window.text == 2 for window in everything.windows) > 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"entity_markers": ["@GENE$", "@DRUG$"]}, r"no text holds the entity marker '@DRUG\$'; name those that"),
        ({"entity_markers": ["@GENE$", "@GENE$"]}, r"entity_markers holds '@GENE\$', empty, with a space in it or"),
        ({"entity_markers": ["and asp"]}, "entity_markers holds 'and asp'"),
        (
            {"task": "ner", "entity_markers": ["@GENE$"]},
            "entity_markers for task: ner; leave them out, or set task: rel",
        ),
        ({"max_length": 65}, "max_length 65 is longer than the model, which has 64 positions"),
    ],
)
def test_recipes_that_do_not_fit(
    change: dict[str, Any], message: str, encoders: dict[str, Path], labelled_texts: Path, tmp_path: Path
) -> None:
    source = f"{labelled_texts}:gad_en"
    keys = {**FAST, "task": "relation", "checkpoint": str(encoders["bert"]), "train": source, "dev": source}
    with pytest.raises(InputError, match=message):
        finetune(FinetuneRecipe(**keys | change, output=tmp_path / "m"))
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_frozen_parts_of_any_encoder(kind: str, encoders: dict[str, Path]) -> None:
    model, _ = load_classifier(str(encoders[kind]), ["a", "b"])
    count = freeze(model, embeddings=True, layers=1)
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {name for name, _ in model.named_parameters() if ".embeddings." in name or ".layer.0." in name}
    assert count == sum(parameter.numel() for parameter in model.parameters() if not parameter.requires_grad) > 0


def test_layers_that_are_shared_cannot_be_frozen() -> None:
    model = AlbertModel(
        AlbertConfig(
            vocab_size=20, embedding_size=8, hidden_size=16, num_attention_heads=2, intermediate_size=16,
            num_hidden_layers=3,
        )
    )  # fmt: skip
    with pytest.raises(InputError, match=r"freeze_layers is 1, the encoder has no layers of its own"):
        freeze(model, embeddings=False, layers=1)
    assert freeze(model, embeddings=True, layers=0) > 0


# what a checkpoint may be made of


@pytest.fixture
def pickled(encoders: dict[str, Path], tmp_path: Path) -> Path:
    """BERT's checkpoint as it was published before there were safetensors, `model_type` left out of the config."""
    folder = tmp_path / "pickled"
    shutil.copytree(encoders["bert"], folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    config = json.loads((folder / "config.json").read_text())
    del config["model_type"], config["architectures"]
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_pickles_are_refused_and_converted(
    pickled: Path, encoders: dict[str, Path], ner_files: dict[str, Path]
) -> None:
    keys = {**FAST, "checkpoint": str(pickled), "train": str(ner_files["train_en"]), "dev": str(ner_files["dev_en"])}
    output = pickled.with_name("tagger")
    message = (
        r"holds its weights as a pickle alone \(pytorch_model\.bin\); set convert_pickle: true .*use_safetensors=True"
    )
    for load in (lambda: load_tagger(str(pickled), ["O"]), lambda: load_classifier(str(pickled), ["a", "b"])):
        with pytest.raises(InputError, match=message):
            load()
    with pytest.raises(InputError, match=message):
        finetune(FinetuneRecipe(**keys, output=output, epochs=1))
    finetune(FinetuneRecipe(**keys, output=output, epochs=1, convert_pickle=True))
    assert (output / "model.safetensors").is_file()
    assert not list(output.glob("*.bin"))
    converted, _ = load_tagger(str(pickled), ["O"], convert_pickle=True)
    original, _ = load_tagger(str(encoders["bert"]), ["O"])
    pairs = zip(converted.encoder.parameters(), original.encoder.parameters(), strict=True)
    assert all(torch.equal(first, second) for first, second in pairs)


class _Dangerous:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, ("import pathlib; pathlib.Path('ran').touch()",)


def test_code_in_a_pickle_does_not_run(pickled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pickled.parent)
    with (pickled / "pytorch_model.bin").open("wb") as stream:
        pickle.dump({"bert.pooler.dense.weight": _Dangerous()}, stream, protocol=2)
    with pytest.raises(InputError, match="cannot be loaded"):
        load_tagger(str(pickled), ["O"], convert_pickle=True)
    assert not Path("ran").exists()


def test_missing_weights_of_any_encoder(encoders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(encoders["bert"], tmp_path / "half")
    config = json.loads((tmp_path / "half" / "config.json").read_text())
    (tmp_path / "half" / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(
        InputError, match=r"16 weights are missing, such as .*layer\.2.*; name an encoder whose weights"
    ):
        load_tagger(str(tmp_path / "half"), ["O"])
    with pytest.raises(
        InputError, match=r"16 weights are missing, such as .*layer\.2.*; name an encoder whose weights"
    ):
        load_classifier(str(tmp_path / "half"), ["a", "b"])


def test_no_such_checkpoint() -> None:
    with pytest.raises(InputError, match="no such checkpoint folder; train it first"):
        check_checkpoint("/none/such")


def test_predictions_do_not_depend_on_the_batch(taggers: dict[str, dict[str, Any]], ner_files: dict[str, Path]) -> None:
    model, tokenizer = load_tagger(str(taggers["bert"]["folder"]))
    prepared = prepare(load_ner(ner_files["test_en"], "test"), tokenizer, 62)
    assert predict(model, prepared, batch_size=1) == predict(model, prepared, batch_size=9)
