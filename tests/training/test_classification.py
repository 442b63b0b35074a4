"""Relation extraction and document classification: reading, training, scoring, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from kbioxlm.common.errors import InputError
from kbioxlm.common.recipe import parse_recipe
from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.training.evaluation.run import EvaluateRecipe, evaluate
from kbioxlm.training.finetuning.classifier import (
    PreparedTexts,
    TextWindow,
    load_classifier,
    predict_logits,
    prepare_texts,
)
from kbioxlm.training.finetuning.labelled_texts import LabelledText, LabelledTexts, load_labelled_texts
from kbioxlm.training.finetuning.run import FinetuneRecipe, finetune, load_sets, problems, task_of
from kbioxlm.training.finetuning.tasks.classification import DocumentTask, RelationTask

BASE: dict[str, Any] = {
    "batch_size": 8, "learning_rate": 3e-3, "head_learning_rate": 1e-2, "max_length": 62, "allow_near_duplicates": True,
    "bf16": False,
}  # fmt: skip


def keys_of(task: str, name: str, labelled_texts: Path, checkpoint: Path, output: Path) -> dict[str, Any]:
    """Keys of a recipe for the sources of one benchmark."""
    return {
        **BASE,
        "task": task,
        "checkpoint": str(checkpoint),
        "train": f"{labelled_texts}:{name}_en",
        "dev": f"{labelled_texts}:{name}_en",
        "tests": {"en": f"{labelled_texts}:{name}_en", "zh": f"{labelled_texts}:{name}_zh"},
        "output": output,
    }


@pytest.fixture(scope="module")
def relation(labelled_texts: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A relation extractor: its report and folder."""
    folder = tmp_path_factory.mktemp("relation") / "model"
    keys = keys_of("relation", "gad", labelled_texts, checkpoint, folder)
    report = finetune(FinetuneRecipe(**keys | {"learning_rate": 1e-2, "epochs": 6}))
    return {"report": report, "folder": folder}


@pytest.fixture(scope="module")
def document(labelled_texts: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A document classifier: its report and folder."""
    folder = tmp_path_factory.mktemp("document") / "model"
    keys = keys_of("document", "hoc", labelled_texts, checkpoint, folder)
    report = finetune(FinetuneRecipe(**keys | {"epochs": 40, "seed": 3}))
    return {"report": report, "folder": folder}


def predictions(folder: Path, name: str) -> list[dict[str, Any]]:
    lines = (folder / "predictions" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def data_of(*texts: tuple[str, str, tuple[str, ...]]) -> LabelledTexts:
    """Texts as `(document, text, labels)`."""
    rows = [LabelledText(f"{d}/{i}", d, "en", text, labels) for i, (d, text, labels) in enumerate(texts)]
    return LabelledTexts("s", "b", tuple(rows))


def test_a_relation_is_learnt(relation: dict[str, Any]) -> None:
    report = relation["report"]
    assert report["task"] == "relation"
    assert report["labels"] == ["0", "1"]
    assert report["train"]["labels"] == {"0": 32, "1": 64}
    assert report["dev"]["f1"] > 95
    assert (report["tests"]["en"]["n"], report["tests"]["en"]["positives"]) == (32, 21)
    assert report["metric"] == "micro-F1 of the labels but the negative one"


def test_document_labels_are_learnt(document: dict[str, Any]) -> None:
    report = document["report"]
    assert report["labels"] == ["had", "took"]
    assert report["dev"]["f1"] > 80  # every label for every document gives 67
    assert report["tests"]["en"]["f1"] > 80
    assert set(report["tests"]["en"]["types"]) == set(report["labels"])
    assert report["tests"]["zh"]["n"] == 32
    assert json.loads((document["folder"] / "report.json").read_text()) == report


@pytest.mark.parametrize("task", ["relation", "document"])
def test_predictions_give_the_score(task: str, request: pytest.FixtureRequest) -> None:
    """F1 = 2 TP / (|gold| + |predicted|), from the files alone."""
    run = request.getfixturevalue(task)
    for name, figures in {"dev": run["report"]["dev"], **run["report"]["tests"]}.items():
        rows = predictions(run["folder"], name)
        assert len(rows) == figures["n"]
        right = sum(len(set(row["gold"]) & set(row["predicted"])) for row in rows)
        total = sum(len(row["gold"]) + len(row["predicted"]) for row in rows)
        assert 200 * right / max(1, total) == pytest.approx(figures["f1"], abs=1e-3)
    assert {name.name for name in (run["folder"] / "predictions").iterdir()} == {"dev.jsonl", "en.jsonl", "zh.jsonl"}


def test_the_best_epoch_is_kept(document: dict[str, Any]) -> None:
    by_epoch = [row["eval_f1"] for row in document["report"]["history"] if "eval_f1" in row]
    assert document["report"]["dev"]["f1"] == max(by_epoch)
    assert by_epoch[document["report"]["best_epoch"] - 1] == max(by_epoch)


@pytest.mark.parametrize(("task", "name"), [("relation", "gad"), ("document", "hoc")])
def test_a_saved_model_scores_the_same(
    task: str, name: str, request: pytest.FixtureRequest, labelled_texts: Path, tmp_path: Path
) -> None:
    run = request.getfixturevalue(task)
    tests = {"en": f"{labelled_texts}:{name}_en", "zh": f"{labelled_texts}:{name}_zh"}
    keys = {"task": task, "checkpoint": str(run["folder"]), "output": tmp_path / "out", "tests": tests}
    recipe = parse_recipe(EvaluateRecipe, keys | {"max_length": 62, "batch_size": 5}, "recipe")
    assert evaluate(recipe)["tests"] == run["report"]["tests"]


class _Votes(torch.nn.Module):
    """A model whose logits are written in the pieces: id 10 + i votes for label i with strength `strength[i]`."""

    def __init__(self, strength: list[float]):
        super().__init__()
        self.strength = torch.tensor(strength)
        ids = {i: f"L{i}" for i in range(len(strength))}
        self.config = KBioXLMConfig(
            id2label=ids, label2id={name: i for i, name in ids.items()}, hidden_size=8, num_attention_heads=2
        )
        self.device = torch.device("cpu")

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        votes = torch.stack([(input_ids == 10 + i).sum(1) for i in range(len(self.strength))], dim=1)

        class Output:
            logits = votes * self.strength - 1.0

        return Output


def test_windows_of_a_document_are_joined_by_the_greatest_logit() -> None:
    data = data_of(("d1", "x", ("L0",)), ("d2", "x", ()), ("d3", "x", ("L1", "L2")))
    windows = [TextWindow(0, [10, 0], None), TextWindow(0, [0, 0], None), TextWindow(1, [0], None)]
    windows += [TextWindow(2, [11], None), TextWindow(2, [12, 5, 5], None)]
    scored = DocumentTask().evaluate(_Votes([2.0, 2.0, 2.0]), PreparedTexts(data, windows), 2, False)
    assert [row["predicted"] for row in scored.predictions] == [["L0"], [], ["L1", "L2"]]
    assert (scored.figures["f1"], scored.figures["accuracy"], scored.figures["n"]) == (100, 100, 3)


def test_windows_of_a_relation_are_joined_by_the_mean_logit() -> None:
    data = data_of(("d1", "x", ("L0",)))
    # one window says L1 loudly, three say L0: means are 0.5 - 1 and 0.375 * 4 / 4 - 1
    windows = [TextWindow(0, [10], None)] * 3 + [TextWindow(0, [11], None)]
    model, prepared = _Votes([1.0, 2.5]), PreparedTexts(data, windows)
    logits = predict_logits(model, prepared, lambda part: part.mean(dim=0), batch_size=3)
    assert torch.allclose(logits, torch.tensor([[-0.25, -0.375]]))
    (row,) = RelationTask(negative_label=None).evaluate(model, prepared, 3, False).predictions
    assert row == {"id": "d1/0", "document": "d1", "gold": ["L0"], "predicted": ["L0"]}


def test_parts_of_a_document_are_scored_together() -> None:
    data = data_of(("d1", "x", ("L0",)), ("d2", "x", ("L1",)), ("d1", "x", ("L1",)))
    windows = [TextWindow(0, [11], None), TextWindow(1, [11], None), TextWindow(2, [10], None)]
    scored = DocumentTask().evaluate(_Votes([2.0, 2.0]), PreparedTexts(data, windows), 4, False)
    assert scored.predictions == [
        {"id": "d1/0", "document": "d1", "gold": ["L0", "L1"], "predicted": ["L0", "L1"]},
        {"id": "d2/1", "document": "d2", "gold": ["L1"], "predicted": ["L1"]},
    ]
    assert scored.figures["n"] == 2


def test_the_negative_label_does_not_count() -> None:
    data = data_of(*[(f"d{i}", "x", (label,)) for i, label in enumerate(["L0", "L0", "L1", "L1", "L2"])])
    windows = [TextWindow(i, [piece], None) for i, piece in enumerate([10, 11, 11, 10, 12])]
    scored = RelationTask(negative_label="L0").evaluate(_Votes([1.0, 1.0, 1.0]), PreparedTexts(data, windows), 8, False)
    # of 3 predicted 2 are right, of 3 in gold 2 are found
    assert scored.figures["f1"] == pytest.approx(200 / 3, abs=1e-3)
    assert scored.predictions[0]["gold"] == scored.predictions[0]["predicted"] == []
    assert scored.figures["types"].keys() == {"L1", "L2"}


def test_a_text_longer_than_the_model_is_windowed_without_loss(checkpoint: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(checkpoint, config=KBioXLMConfig.from_pretrained(checkpoint))
    text = "the patient took aspirin and had nausea . " * 30
    data = data_of(("d1", text, ("a",)), ("d2", "took aspirin", ()))
    prepared = prepare_texts(data, tokenizer, 20, [[1.0], [0.0]])
    long = [window for window in prepared.windows if window.text == 0]
    assert len(long) > 20
    assert max(len(window.input_ids) for window in prepared.windows) <= 20
    assert all(window.input_ids[0] == 0 and window.input_ids[-1] == 2 for window in prepared.windows)
    assert all(window.labels == [1.0] for window in long)
    # the windows cover all pieces, in order and with overlap
    whole = tokenizer(text, add_special_tokens=False)["input_ids"]
    covered = 0
    for window in long:
        pieces = window.input_ids[1:-1]
        start = next(i for i in range(covered, -1, -1) if whole[i : i + len(pieces)] == pieces)
        assert start <= covered
        covered = max(covered, start + len(pieces))
    assert covered == len(whole)


def test_every_window_of_a_long_document_is_heard(document: dict[str, Any]) -> None:
    """The word that makes the label stands far behind the model's 62 positions."""
    model, tokenizer = load_classifier(str(document["folder"]), multi_label=True)
    text = "the patient " * 60 + "took"
    prepared = DocumentTask().prepare(data_of(("d1", text, ("took",))), tokenizer, 30)
    alone = [replace(window, text=i) for i, window in enumerate(prepared.windows)]
    parts = data_of(*[(f"w{i}", "x", ()) for i in range(len(alone))])

    def greatest(windows: torch.Tensor) -> torch.Tensor:
        return windows.amax(dim=0)

    whole = predict_logits(model, prepared, greatest, 4)
    single = predict_logits(model, PreparedTexts(parts, alone), greatest, 4)
    assert len(alone) > 4
    assert torch.allclose(whole[0], single.amax(dim=0), atol=1e-5)
    assert not torch.allclose(single[-1], single[:-1], atol=1e-3)  # the word is heard in the last window


def test_training_reads_windows_too(labelled_texts: Path, checkpoint: Path, tmp_path: Path) -> None:
    keys = keys_of("relation", "gad", labelled_texts, checkpoint, tmp_path / "m")
    report = finetune(FinetuneRecipe(**keys | {"max_length": 16, "epochs": 1, "tests": {}}))
    assert report["train"]["windows"] > report["train"]["n"] == 96


@pytest.mark.parametrize(("embeddings", "layers"), [(True, 0), (False, 1), (True, 2)])
def test_frozen_parts_stay(
    embeddings: bool, layers: int, labelled_texts: Path, checkpoint: Path, tmp_path: Path
) -> None:
    keys = keys_of("relation", "gad", labelled_texts, checkpoint, tmp_path / "m")
    frozen = {"freeze_embeddings": embeddings, "freeze_layers": layers}
    report = finetune(FinetuneRecipe(**keys | {"epochs": 1, "tests": {}} | frozen))
    before, after = load_file(checkpoint / "model.safetensors"), load_file(tmp_path / "m" / "model.safetensors")
    same = {name for name, tensor in after.items() if name in before and torch.equal(tensor, before[name])}
    expected = {
        name
        for name in after
        if (embeddings and name.startswith("roberta.embeddings."))
        or any(name.startswith(f"roberta.encoder.layer.{i}.") for i in range(layers))
    }
    trained = {name for name in after if name.startswith("roberta.") and name not in expected}
    assert expected <= same
    assert all(name not in same for name in trained if name.endswith("weight") and "LayerNorm" not in name)
    assert report["parameters"]["frozen"] == sum(after[name].numel() for name in expected)


def test_more_layers_than_there_are(labelled_texts: Path, checkpoint: Path, tmp_path: Path) -> None:
    keys = keys_of("relation", "gad", labelled_texts, checkpoint, tmp_path / "m")
    with pytest.raises(InputError, match="freeze_layers is 3, the encoder has 2 layers; freeze fewer"):
        finetune(FinetuneRecipe(**keys, freeze_layers=3))


# what is refused, before any training


def replaced(folder: Path, config: str, split: str, **columns: Any) -> None:
    """Rewrite the first row of a split."""
    path = folder / config / split / "part-00000.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[0] |= columns
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


@pytest.fixture
def own_texts(labelled_texts: Path, tmp_path: Path) -> Path:
    """A copy of the data that a test may spoil."""
    copy = tmp_path / "texts"
    for file in labelled_texts.rglob("*"):
        if file.is_file():
            (copy / file.relative_to(labelled_texts)).parent.mkdir(parents=True, exist_ok=True)
            (copy / file.relative_to(labelled_texts)).write_bytes(file.read_bytes())
    return copy


@pytest.mark.parametrize(
    ("task", "name", "split", "columns", "message"),
    [
        ("relation", "gad", "test", {"labels": ["2"]}, "text r128 has label '2', which the model does not know"),
        ("relation", "gad", "train", {"labels": []}, r"text r0 has 0 labels \(\[\]\), a relation has exactly one;"),
        ("relation", "gad", "validation", {"labels": ["0", "1"]}, r"text r96 has 2 labels \(\['0', '1'\]\), a"),
        ("relation", "gad", "test", {"text": " "}, "text r128 has no text; fill it or take it out"),
        ("document", "hoc", "validation", {"text": ""}, "text d96 has no text; fill it or take it out"),
        ("document", "hoc", "train", {"labels": ["had", "had"]}, r"row 0 \(d0\): a label is given twice"),
        ("document", "hoc", "train", {"labels": [None]}, r"row 0 \(d0\): labels are \[None\]; give a list of names"),
        ("document", "hoc", "test", {"text": None}, "row 0: text is None; make it a string"),
        ("document", "hoc", "test", {"document": "d3"}, "shares 1 document ids with .*hoc_en, such as 'd3'"),
    ],
)  # fmt: skip
def test_bad_rows(
    task: str, name: str, split: str, columns: dict[str, Any], message: str, own_texts: Path, checkpoint: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    replaced(own_texts, f"{name}_en", split, **columns)
    with pytest.raises(InputError, match=message):
        finetune(FinetuneRecipe(**keys_of(task, name, own_texts, checkpoint, tmp_path / "m")))
    assert not (tmp_path / "m").exists()


def test_everything_that_is_wrong_is_listed(own_texts: Path, checkpoint: Path, tmp_path: Path) -> None:
    replaced(own_texts, "gad_en", "train", labels=[])
    replaced(own_texts, "gad_en", "test", text="", labels=["9"])
    recipe = FinetuneRecipe(**keys_of("relation", "gad", own_texts, checkpoint, tmp_path / "m"))
    task = task_of(recipe)
    found = [str(problem) for problem in problems(task, load_sets(task, recipe), recipe)]
    assert [text.partition("gad_en: ")[2][:22] for text in found] == [
        "text r0 has 0 labels (", "text r128 has no text;", "text r128 has label '9",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"negative_label": "none"}, "no text has the negative label 'none'; set negative_label to the one of 0, 1"),
        ({"dev": "FOLDER:gad_zh"}, "no split 'validation' in gad_zh; choose from test"),
        ({"dev": "FOLDER:gad_zh:test"}, "the dev set is in zh, training is in en"),
        ({"tests": {"x": "FOLDER:gad_fr"}}, "no configuration 'gad_fr'; choose from gad_en"),
        ({"tests": {"x": "FOLDER"}}, "is a folder; name a configuration"),
        ({"tests": {"x": "texts.txt"}}, "texts.txt: not a source; write folder:config or folder:config:split"),
        ({"max_length": 63}, "max_length 63 is longer than the model"),
        ({"task": "ner"}, "no column entities, units; set task: relation or document for this source"),
    ],
)
def test_recipes_that_do_not_fit(
    change: dict[str, Any], message: str, labelled_texts: Path, checkpoint: Path, tmp_path: Path
) -> None:
    def placed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: placed(item) for key, item in value.items()}
        return value.replace("FOLDER", str(labelled_texts)) if isinstance(value, str) else value

    keys = keys_of("relation", "gad", labelled_texts, checkpoint, tmp_path / "m")
    with pytest.raises(InputError, match=message):
        finetune(FinetuneRecipe(**keys | placed(change)))


def test_a_relation_of_one_label(own_texts: Path, checkpoint: Path, tmp_path: Path) -> None:
    path = own_texts / "gad_en" / "train" / "part-00000.parquet"
    table = pq.read_table(path)
    rows = [row for row in table.to_pylist() if row["labels"] == ["1"]]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    with pytest.raises(InputError, match="1 label in all; give data with at least two"):
        finetune(FinetuneRecipe(**keys_of("relation", "gad", own_texts, checkpoint, tmp_path / "m")))


def test_named_entities_are_no_labels(own_texts: Path) -> None:
    path = own_texts / "gad_en" / "train" / "part-00000.parquet"
    table = pq.read_table(path)
    pq.write_table(table.rename_columns(["id", "document", "language", "text", "entities"]), path)
    with pytest.raises(InputError, match="no column labels; set task: ner for this source"):
        load_labelled_texts(f"{own_texts}:gad_en", "train")


def test_a_model_of_another_task(relation: dict[str, Any], document: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"was fine-tuned for single_label_.*, not multi_.*; set task: relation"):
        load_classifier(str(relation["folder"]), multi_label=True)
    with pytest.raises(InputError, match=r"was fine-tuned for multi_label_.*; set task: document"):
        load_classifier(str(document["folder"]))


@pytest.mark.parametrize("name", ["dev", "a/b", "", "a b"])
def test_names_of_tests_are_names_of_files(name: str, tmp_path: Path) -> None:
    keys = {"checkpoint": "c", "train": "t", "output": tmp_path, "tests": {name: "t"}}
    with pytest.raises(InputError, match=r"key 'tests' has .*names of letters, digits"):
        parse_recipe(FinetuneRecipe, keys, "recipe.yaml")
