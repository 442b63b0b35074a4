from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import Trainer

from kbioxlm.common.errors import InputError
from kbioxlm.common.recipe import parse_recipe
from kbioxlm.modeling_kbioxlm import KBioXLMForTokenClassification
from kbioxlm.training.finetuning.data_check import check_data
from kbioxlm.training.finetuning.ner import load_ner
from kbioxlm.training.finetuning.run import FinetuneRecipe, finetune
from kbioxlm.training.finetuning.tagger import load_tagger, predict, prepare
from kbioxlm.training.finetuning.task_trainer import TaskTrainer
from kbioxlm.training.finetuning.tasks import ner
from kbioxlm.training.finetuning.tasks.ner import NerTask

BASE: dict[str, Any] = {
    "epochs": 12,
    "batch_size": 8,
    "learning_rate": 3e-3,
    "head_learning_rate": 1e-2,
    "max_length": 62,
    "allow_near_duplicates": True,
}


@pytest.fixture
def recipe(tmp_path: Path, checkpoint: Path, ner_files: dict[str, Path]) -> dict[str, Any]:
    """Keys of a recipe that learns the toy task in seconds."""
    return {
        **BASE,
        "checkpoint": str(checkpoint),
        "train": str(ner_files["train_en"]),
        "dev": str(ner_files["dev_en"]),
        "tests": {"en": str(ner_files["test_en"]), "zh": str(ner_files["test_zh"])},
        "output": tmp_path / "tagger",
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, ner_files: dict[str, Path]) -> dict[str, Any]:
    """One fine-tuned tagger: its recipe, report and folder."""
    folder = tmp_path_factory.mktemp("finetuned") / "tagger"
    recipe = FinetuneRecipe(
        **BASE,
        checkpoint=str(checkpoint),
        train=str(ner_files["train_en"]),
        dev=str(ner_files["dev_en"]),
        tests={"en": str(ner_files["test_en"]), "zh": str(ner_files["test_zh"])},
        output=folder,
    )
    return {"recipe": recipe, "report": finetune(recipe), "folder": folder}


def test_the_toy_task_is_learnt(finished: dict[str, Any]) -> None:
    report = finished["report"]
    assert report["dev"]["f1"] > 90
    assert report["tests"]["en"]["f1"] > 90
    assert (report["tests"]["zh"]["n"], report["tests"]["zh"]["entities"]) == (16, 32)
    assert report["labels"] == ["Drug", "Effect"]
    assert report["train"] == {
        "source": finished["recipe"].train, "n": 48, "documents": 48, "entities": 96, "inexpressible": 0,
    }  # fmt: skip


def test_everything_is_in_the_folder_and_nothing_beside_it(finished: dict[str, Any]) -> None:
    folder = finished["folder"]
    assert {path.name for path in folder.iterdir()} >= {
        "config.json", "model.safetensors", "modeling_kbioxlm.py", "configuration_kbioxlm.py", "tokenizer.json",
        "report.json", "loss.png",
    }  # fmt: skip
    assert [path.name for path in folder.parent.iterdir()] == ["tagger"]
    assert json.loads((folder / "report.json").read_text()) == finished["report"]
    assert json.loads((folder / "config.json").read_text())["label2id"]["I-Effect"] == 4


def test_predictions_give_the_score(finished: dict[str, Any], ner_files: dict[str, Path]) -> None:
    """F1 = 2 TP / (|gold| + |predicted|) over the lines of the files is seqeval's strict F1."""
    for name, figures in {"dev": finished["report"]["dev"], **finished["report"]["tests"]}.items():
        lines = (finished["folder"] / "predictions" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        sets = [[{tuple(e.values()) for e in row[key]} for row in rows] for key in ("gold", "predicted")]
        right = sum(len(g & p) for g, p in zip(*sets, strict=True))
        assert 200 * right / sum(len(s) for side in sets for s in side) == pytest.approx(figures["f1"], abs=1e-3)
        file = ner_files["dev_en" if name == "dev" else f"test_{name}"]
        examples = load_ner(file, "test").examples
        assert [(row["id"], row["document"]) for row in rows] == [(s.id, s.document) for s in examples]
        assert [row["gold"] for row in rows] == [[e._asdict() for e in s.entities] for s in examples]


def test_the_best_epoch_is_kept(finished: dict[str, Any]) -> None:
    report = finished["report"]
    by_epoch = [row["eval_f1"] for row in report["history"] if "eval_f1" in row]
    assert len(by_epoch) == BASE["epochs"]
    assert report["dev"]["f1"] == max(by_epoch)
    assert by_epoch[report["best_epoch"] - 1] == max(by_epoch)


def test_a_finished_run_is_not_run_again(finished: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NerTask, "new_model", lambda *_: pytest.fail("ran again"))
    assert finetune(finished["recipe"]) == finished["report"]


def test_spans_are_characters_of_the_text(finished: dict[str, Any], ner_files: dict[str, Path]) -> None:
    model, tokenizer = load_tagger(str(finished["folder"]))
    data = load_ner(ner_files["test_en"], "test")
    found = predict(model, prepare(data, tokenizer, 62))
    right = sum(spans == sentence.entities for spans, sentence in zip(found, data.examples, strict=True))
    assert right >= 10


def test_windows_change_nothing_that_matters(finished: dict[str, Any], ner_files: dict[str, Path]) -> None:
    model, tokenizer = load_tagger(str(finished["folder"]))
    data = load_ner(ner_files["test_en"], "test")
    windowed = prepare(data, tokenizer, 16)
    assert len(windowed.windows) > len(data.examples)
    spans = predict(model, windowed, batch_size=3)
    for found, sentence in zip(spans, data.examples, strict=True):
        assert all(0 <= span.start < span.end <= len(sentence.text) for span in found)
    assert sum(map(len, spans)) > 0


def test_batch_size_changes_no_prediction(finished: dict[str, Any], ner_files: dict[str, Path]) -> None:
    model, tokenizer = load_tagger(str(finished["folder"]))
    prepared = prepare(load_ner(ner_files["test_zh"], "test"), tokenizer, 62)
    assert predict(model, prepared, batch_size=1) == predict(model, prepared, batch_size=7)


def test_same_seed_same_weights(recipe: dict[str, Any], tmp_path: Path) -> None:
    weights = []
    for name in ("a", "b"):
        finetune(FinetuneRecipe(**recipe | {"epochs": 1, "output": tmp_path / name}))
        weights.append(load_file(tmp_path / name / "model.safetensors"))
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_a_killed_run_goes_on_where_it_was(recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = FinetuneRecipe(**recipe | {"epochs": 3, "use_crf": False, "dev": None, "dev_share": 0.25})
    uninterrupted = finetune(settings.model_copy(update={"output": recipe["output"].with_name("whole")}))
    steps: list[int] = []
    plain_step = Trainer.training_step

    def counted(trainer: Trainer, *arguments: Any, **options: Any) -> torch.Tensor:
        if len(steps) == 12:  # in the third epoch of five steps each
            steps.append(-1)
            raise KeyboardInterrupt
        steps.append(trainer.state.global_step)
        return plain_step(trainer, *arguments, **options)

    monkeypatch.setattr(Trainer, "training_step", counted)
    with pytest.raises(KeyboardInterrupt):
        finetune(settings)
    assert not settings.output.exists()
    report = finetune(settings)
    assert steps[steps.index(-1) + 1 :] == [10, 11, 12, 13, 14]
    assert report["dev"] == uninterrupted["dev"]
    assert report["train"]["documents"] == 36
    assert report["dev"]["n"] == 12
    assert "share 0.25 of the documents" in report["dev"]["source"]
    folders = (settings.output, settings.output.with_name("whole"))
    first, second = (load_file(folder / "model.safetensors") for folder in folders)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not any(path.name.startswith(".") for path in settings.output.parent.iterdir())


def test_the_head_has_its_own_learning_rate(recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[tuple[float, float, int]] = []
    create = TaskTrainer.create_optimizer

    def seen(trainer: Any, model: Any = None) -> torch.optim.Optimizer:
        optimizer = create(trainer, model)
        groups.extend((g["lr"], g["weight_decay"], sum(p.numel() for p in g["params"])) for g in optimizer.param_groups)
        return optimizer

    monkeypatch.setattr(TaskTrainer, "create_optimizer", seen)
    finetune(FinetuneRecipe(**recipe | {"epochs": 1, "weight_decay": 0.1, "warmup_ratio": 0.0}))
    model = KBioXLMForTokenClassification.from_pretrained(recipe["output"])
    head = sum(p.numel() for name, p in model.named_parameters() if not name.startswith("roberta."))
    assert sum(count for *_, count in groups) == model.num_parameters()
    assert [(rate, decay) for rate, decay, _ in groups] == [(3e-3, 0.1), (3e-3, 0.0), (1e-2, 0.0)]
    assert groups[2][2] == head


def test_another_recipe_replaces_the_model(recipe: dict[str, Any]) -> None:
    finetune(FinetuneRecipe(**recipe | {"epochs": 1}))
    report = finetune(FinetuneRecipe(**recipe | {"epochs": 1, "seed": 14}))
    assert report["seed"] == 14
    assert json.loads((recipe["output"] / "report.json").read_text())["seed"] == 14


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"checkpoint": "/none/such"}, "/none/such: no such checkpoint folder; train it first"),
        ({"max_length": 63}, "max_length 63 is longer than the model, which has 62 positions; set max_length to"),
        ({"tests": {"zh": "none.txt"}}, "none.txt: no such file"),
        ({"dev": "none:ade_en"}, "no folder none"),
    ],
)
def test_errors_before_training(recipe: dict[str, Any], change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        finetune(FinetuneRecipe(**recipe | change))
    assert not recipe["output"].exists()


def test_labels_that_training_lacks(recipe: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "gene.txt").write_text("-DOCSTART-\tx\nBRCA1\tB-Gene\n")
    with pytest.raises(InputError, match=r"gene\.txt: sentence x/0 has label 'Gene', .* it knows Drug, Effect"):
        finetune(FinetuneRecipe(**recipe | {"tests": {"g": str(tmp_path / "gene.txt")}}))
    (tmp_path / "o.txt").write_text("-DOCSTART-\tx\nBRCA1\tO\n")
    with pytest.raises(InputError, match=r"o\.txt: no sentence has a label; give annotated data"):
        finetune(FinetuneRecipe(**recipe | {"train": str(tmp_path / "o.txt")}))


def test_shared_documents(recipe: dict[str, Any]) -> None:
    leaking = recipe | {"dev": recipe["tests"]["en"], "epochs": 1}
    with pytest.raises(InputError, match=r"test_en\.txt: shares 16 document ids with .*test_en\.txt"):
        finetune(FinetuneRecipe(**leaking))
    assert finetune(FinetuneRecipe(**leaking, allow_shared_documents=True))["dev"]["n"] == 16


def test_dev_in_another_language(recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def with_language(source: str, split: str, report: Any) -> Any:
        data = load_ner(source, split, report)
        language = "zh" if "zh" in source else "en"
        return replace(data, examples=tuple(replace(s, language=language) for s in data.examples))

    monkeypatch.setattr(ner, "load_ner", with_language)
    with pytest.raises(InputError, match="the dev set is in zh, training is in en; choose the checkpoint on data in"):
        finetune(FinetuneRecipe(**recipe | {"dev": recipe["tests"]["zh"]}))


def test_an_output_that_holds_something_else(recipe: dict[str, Any]) -> None:
    recipe["output"].mkdir()
    (recipe["output"] / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="so it is not a run of ours; name a new folder"):
        finetune(FinetuneRecipe(**recipe))
    assert (recipe["output"] / "thesis.txt").read_text() == "precious"


def test_the_checkpoint_is_not_overwritten(recipe: dict[str, Any], finished: dict[str, Any]) -> None:
    for output in (finished["folder"], finished["folder"].parent):
        with pytest.raises(InputError, match="would replace the checkpoint it starts from; name another folder"):
            finetune(FinetuneRecipe(**recipe | {"checkpoint": str(finished["folder"]), "output": output}))


def test_unknown_keys_are_refused(recipe: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"unknown key 'learning_rat' = 1; did you mean 'learning_rate'\?"):
        parse_recipe(FinetuneRecipe, recipe | {"learning_rat": 1}, "recipe.yaml")


def test_an_encoder_without_a_head_is_no_tagger(checkpoint: Path) -> None:
    with pytest.raises(InputError, match=r"weights are missing, such as classifier\.bias; name a fine-tuned tagger"):
        load_tagger(str(checkpoint))


def test_a_tokenizer_of_another_model(checkpoint: Path, tmp_path: Path) -> None:
    for file in checkpoint.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    settings = json.loads((tmp_path / "tokenizer.json").read_text())
    settings["model"]["vocab"] += [[f"new{i}", -9.0] for i in range(5)]
    (tmp_path / "tokenizer.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match=r"the tokenizer has \d+ pieces, the model \d+; put the model's own tokenizer"):
        load_tagger(str(tmp_path), ["O"], True)


def test_the_saved_tagger_loads_elsewhere(finished: dict[str, Any], tmp_path: Path) -> None:
    code = (
        "from transformers import AutoModelForTokenClassification as A, AutoTokenizer as T; import sys;"
        "m = A.from_pretrained(sys.argv[1], trust_remote_code=True);"
        "t = T.from_pretrained(sys.argv[1], trust_remote_code=True);"
        "x = t('took aspirin', return_tensors='pt'); print(type(m).__name__, tuple(m(**x).logits.shape)[2])"
    )
    environment = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, finished["folder"]], capture_output=True, text=True, cwd=tmp_path, env=environment,
        check=False,
    )  # fmt: skip
    assert done.stdout == "KBioXLMForTokenClassification 5\n", done.stderr


def test_several_sources_are_read_as_one(recipe: dict[str, Any], ner_files: dict[str, Path], tmp_path: Path) -> None:
    english, more = load_ner(ner_files["train_en"], "train"), tmp_path / "elsewhere" / "more.txt"
    both = f"{ner_files['train_en']} + {ner_files['test_zh']}"
    alone = recipe | {"tests": {"en": str(ner_files["test_en"])}, "epochs": 1}
    report = finetune(FinetuneRecipe(**alone | {"train": both, "allow_shared_documents": True}))
    chinese = load_ner(ner_files["test_zh"], "test")
    assert report["train"]["source"] == both
    assert report["train"]["n"] == len(english.examples) + len(chinese.examples)
    assert not [finding for finding in check_data(FinetuneRecipe(**alone | {"train": both}))
                if "no such file" in str(finding)]  # fmt: skip
    more.parent.mkdir()
    more.write_text(ner_files["test_zh"].read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(InputError, match=r"more\.txt is of another benchmark than .*train_en\.txt; join"):
        finetune(FinetuneRecipe(**alone | {"train": f"{ner_files['train_en']} + {more}"}))
