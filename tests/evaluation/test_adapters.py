"""LoRA: trained, saved, loaded, merged, trained further, and several adapters on one encoder."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForTokenClassification, Trainer

from kbioxlm.common.errors import InputError
from kbioxlm.common.recipe import parse_recipe
from kbioxlm.training.evaluation.run import EvaluateRecipe, evaluate
from kbioxlm.training.finetuning.adapter_bank import AdapterBank
from kbioxlm.training.finetuning.adapters import LoraSettings, add_adapter, read_adapter
from kbioxlm.training.finetuning.recipe import FinetuneRecipe
from kbioxlm.training.finetuning.run import finetune
from kbioxlm.training.finetuning.tagger import load_tagger
from kbioxlm.training.finetuning.tagging import tag_texts
from kbioxlm.training.finetuning.tasks.classification import RelationTask
from kbioxlm.training.finetuning.tasks.ner import NerTask

LORA: dict[str, Any] = {"r": 4, "alpha": 8, "dropout": 0.0}


def other_encoders() -> ModuleType:
    path = Path(__file__).parents[1] / "training" / "other_encoders.py"
    specification = importlib.util.spec_from_file_location("other_encoders", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def keys(base: dict[str, Any], checkpoint: Path, ner_files: dict[str, Path]) -> dict[str, Any]:
    """Keys of a NER recipe with LoRA, but for its output."""
    return {
        **base,
        "checkpoint": str(checkpoint),
        "train": str(ner_files["train_en"]),
        "dev": str(ner_files["dev_en"]),
        "tests": {"en": str(ner_files["test_en"])},
        "epochs": 8,
        "learning_rate": 2e-2,
        "lora": LORA,
    }


@pytest.fixture(scope="module")
def adapter(keys: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """An adapter for NER: its report and folder."""
    folder = tmp_path_factory.mktemp("lora") / "ner"
    return {"report": finetune(FinetuneRecipe(**keys, output=folder)), "folder": folder}


@pytest.fixture(scope="module")
def relation(
    base: dict[str, Any], checkpoint: Path, labelled_texts: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """An adapter for relations on the same base, with entity markers."""
    folder = tmp_path_factory.mktemp("lora") / "gad"
    source = f"{labelled_texts}:gad_en"
    recipe = FinetuneRecipe(
        **base, task="relation", checkpoint=str(checkpoint), train=source, dev=source, tests={"en": source},
        output=folder, epochs=2, entity_markers=["@GENE$", "@DISEASE$"],
        lora=LoraSettings(**LORA, targets=["query", "value"]),
    )  # fmt: skip
    return {"report": finetune(recipe), "folder": folder}


def inputs(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "input_ids": torch.randint(5, 60, (3, 20), generator=generator),
        "attention_mask": torch.tensor([[1] * 20, [1] * 12 + [0] * 8, [1] * 7 + [0] * 13]),
    }


def logits(model: Any, given: dict[str, torch.Tensor]) -> torch.Tensor:
    """Of the real pieces alone: those of padding mean nothing."""
    with torch.no_grad():
        found = model.eval()(**given).logits
    return found[given["attention_mask"].bool()] if found.dim() == 3 else found


def test_the_toy_task_is_learnt(adapter: dict[str, Any]) -> None:
    report = adapter["report"]
    assert report["dev"]["f1"] > 80
    assert report["tests"]["en"]["f1"] > 80
    assert report["recipe"]["lora"] == {**LORA, "alpha": 8.0, "targets": None}


def test_the_encoder_stays_as_it_is(adapter: dict[str, Any], keys: dict[str, Any], checkpoint: Path) -> None:
    model, _ = load_tagger(str(adapter["folder"]), merge=False)
    before = load_file(checkpoint / "model.safetensors")
    kept = 0
    for name, parameter in model.get_base_model().roberta.named_parameters():
        if "lora_" not in name:
            assert torch.equal(parameter, before[f"roberta.{name.replace('.base_layer', '')}"])
            kept += 1
    assert kept > 30


def test_the_folder_is_small(adapter: dict[str, Any], checkpoint: Path) -> None:
    folder = adapter["folder"]
    names = {path.name for path in folder.iterdir()}
    assert names >= {"adapter_config.json", "adapter_model.safetensors", "config.json", "tokenizer.json", "report.json"}
    assert not names & {"model.safetensors", "modeling_kbioxlm.py", "README.md"}
    weights = load_file(folder / "adapter_model.safetensors")
    kinds = {name.split(".")[2] for name in weights}
    assert kinds == {"roberta", "classifier", "crf"}
    assert all("lora_" in name for name in weights if ".roberta." in name)
    assert sum(w.numel() for w in weights.values()) == adapter["report"]["adapter"]["parameters"]
    parameters = adapter["report"]["parameters"]
    assert parameters["all"] - parameters["frozen"] == adapter["report"]["adapter"]["parameters"]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert adapter["report"]["adapter"]["base"] == str(checkpoint)


def test_it_loads_and_scores_the_same(adapter: dict[str, Any], keys: dict[str, Any], tmp_path: Path) -> None:
    recipe = EvaluateRecipe(
        checkpoint=str(adapter["folder"]), output=tmp_path, tests=keys["tests"], max_length=62, bf16=False
    )
    assert evaluate(recipe)["tests"] == adapter["report"]["tests"]
    line = tag_texts(str(adapter["folder"]), ["the patient took aspirin and had nausea ."])
    assert json.loads(line)["entities"]


def test_merged_it_gives_the_same_logits(adapter: dict[str, Any]) -> None:
    apart, _ = load_tagger(str(adapter["folder"]), merge=False)
    merged, _ = load_tagger(str(adapter["folder"]))
    assert isinstance(apart, PeftModel)
    assert not any("lora_" in name for name, _ in merged.named_parameters())
    assert torch.allclose(logits(apart, inputs()), logits(merged, inputs()), atol=1e-5)
    with apart.disable_adapter():
        assert not torch.allclose(logits(apart, inputs()), logits(merged, inputs()), atol=1e-2)


def test_two_adapters_on_one_base(
    adapter: dict[str, Any], relation: dict[str, Any], keys: dict[str, Any], tmp_path: Path
) -> None:
    """Whatever was asked before, each gives the logits of its merged model."""
    finetune(FinetuneRecipe(**keys | {"seed": 14, "epochs": 2, "output": tmp_path / "other"}))
    folders = {"first": adapter["folder"], "second": tmp_path / "other", "relation": relation["folder"]}
    bank = AdapterBank()
    for name, folder in folders.items():
        bank.add(name, str(folder))
    assert bank.names == list(folders)
    merged = {name: load_tagger(str(folders[name]))[0] for name in ("first", "second")}
    merged["relation"], _ = RelationTask().load_model(str(relation["folder"]))
    given = inputs()
    marked = inputs() | {"input_ids": inputs()["input_ids"].clone()}
    marked["input_ids"][:, 3] = merged["relation"].config.vocab_size - 1  # an entity marker
    for name in ("first", "relation", "second", "first", "second", "relation", "first"):
        model, tokenizer = bank.use(name)
        now = marked if name == "relation" else given
        assert torch.allclose(logits(model, now), logits(merged[name], now), atol=1e-5), name
        assert ("@GENE$" in tokenizer.get_vocab()) == (name == "relation")
    difference = logits(merged["first"], given) - logits(merged["second"], given)
    assert difference.abs().max() > 1e-2
    encoders = {id(bank.use(name)[0].get_base_model().roberta) for name in folders}
    assert len(encoders) == 1


def test_a_bank_takes_adapters_of_one_base_and_different_names(adapter: dict[str, Any], tmp_path: Path) -> None:
    bank = AdapterBank()
    bank.add("a", str(adapter["folder"]))
    for name in ("a", "b.c", ""):
        with pytest.raises(InputError, match="give each adapter a name of its own, without dots"):
            bank.add(name, str(adapter["folder"]))
    with pytest.raises(InputError, match="none is called 'b'; name one of a"):
        bank.use("b")
    other = moved(adapter["folder"], tmp_path / "moved")
    with pytest.raises(InputError, match=r"is for .*base, the others are for .*; open another bank for this base"):
        bank.add("b", str(other))


def moved(folder: Path, target: Path) -> Path:
    """A copy of an adapter on a copy of its base."""
    shutil.copytree(folder, target)
    config = json.loads((folder / "adapter_config.json").read_text())
    shutil.copytree(config["base_model_name_or_path"], target.with_name("base"))
    config["base_model_name_or_path"] = str(target.with_name("base"))
    (target / "adapter_config.json").write_text(json.dumps(config))
    return target


@pytest.mark.parametrize("damage", ["base", "base gone", "weights", "shape", "report", "no weights"])
def test_adapters_that_do_not_fit(adapter: dict[str, Any], tmp_path: Path, damage: str) -> None:
    folder = moved(adapter["folder"], tmp_path / "adapter")
    load_tagger(str(folder))
    weights = load_file(folder / "adapter_model.safetensors")
    lora = next(name for name in weights if "lora_A" in name)
    if damage == "base":
        (tmp_path / "base" / "config.json").write_text("{}")
        message = "was trained on .*base when its fingerprint was .*; it is .* now; put that checkpoint back"
    elif damage == "base gone":
        shutil.rmtree(tmp_path / "base")
        message = "was trained on .*base when its fingerprint was"
    elif damage == "weights":
        save_file({name: w for name, w in weights.items() if name != lora}, folder / "adapter_model.safetensors")
        message = "1 weights are missing or unknown, such as .*lora_A"
    elif damage == "shape":
        save_file(weights | {lora: weights[lora][:2]}, folder / "adapter_model.safetensors")
        message = "does not fit .*base"
    elif damage == "report":
        (folder / "report.json").unlink()
        message = "is no adapter of `train.py finetune` .*; keep its adapter_config.json and report.json together"
    else:
        (folder / "adapter_model.safetensors").unlink()
        message = r"the folder has no adapter_model\.safetensors"
    with pytest.raises(InputError, match=message):
        load_tagger(str(folder))


def test_same_seed_same_bytes(keys: dict[str, Any], tmp_path: Path) -> None:
    for name in ("a", "b"):
        finetune(FinetuneRecipe(**keys | {"epochs": 1, "output": tmp_path / name}))
    for file in ("adapter_model.safetensors", "adapter_config.json", "config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_killed_run_goes_on_where_it_was(
    keys: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = FinetuneRecipe(**keys | {"epochs": 3, "output": tmp_path / "killed"})
    whole = finetune(settings.model_copy(update={"output": tmp_path / "whole"}))
    steps: list[int] = []
    plain_step = Trainer.training_step

    def counted(trainer: Trainer, *arguments: Any, **options: Any) -> torch.Tensor:
        if len(steps) == 14:  # in the third epoch of six steps each
            steps.append(-1)
            raise KeyboardInterrupt
        steps.append(trainer.state.global_step)
        return plain_step(trainer, *arguments, **options)

    monkeypatch.setattr(Trainer, "training_step", counted)
    with pytest.raises(KeyboardInterrupt):
        finetune(settings)
    report = finetune(settings)
    assert steps[steps.index(-1) + 1 :] == [12, 13, 14, 15, 16, 17]
    assert (report["dev"], report["tests"]) == (whole["dev"], whole["tests"])
    first, second = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("killed", "whole"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_an_adapter_is_trained_further(adapter: dict[str, Any], keys: dict[str, Any], tmp_path: Path) -> None:
    """On the same base, from where it was; without `lora`, the merged model is."""
    further = keys | {"checkpoint": str(adapter["folder"]), "keep_head": True, "shots": 10, "epochs": 1}
    report = finetune(FinetuneRecipe(**further | {"learning_rate": 1e-6, "output": tmp_path / "further"}))
    assert report["adapter"]["base"] == keys["checkpoint"]
    assert report["tests"]["en"]["f1"] == pytest.approx(adapter["report"]["tests"]["en"]["f1"], abs=15)
    model, _ = load_tagger(str(tmp_path / "further"))
    assert torch.allclose(logits(model, inputs()), logits(load_tagger(str(adapter["folder"]))[0], inputs()), atol=1.0)
    report = finetune(FinetuneRecipe(**further | {"lora": None, "output": tmp_path / "whole"}))
    assert "adapter" not in report
    assert (tmp_path / "whole" / "model.safetensors").is_file()


def test_another_rank_than_the_adapters(adapter: dict[str, Any], keys: dict[str, Any], tmp_path: Path) -> None:
    further = keys | {"checkpoint": str(adapter["folder"]), "keep_head": True, "output": tmp_path / "m"}
    with pytest.raises(InputError, match=r"recipe: lora differs from that of the adapter .* in r \(2, not 4\)"):
        finetune(FinetuneRecipe(**further | {"lora": LORA | {"r": 2}}))
    with pytest.raises(InputError, match=r"is an adapter, not an encoder; make a model of it first \(train.py merge-"):
        finetune(FinetuneRecipe(**further | {"keep_head": False}))


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "xlm-roberta"])
@pytest.mark.parametrize("task", ["ner", "relation"])
def test_other_encoders(
    kind: str, task: Any, base: dict[str, Any], checkpoint: Path, ner_files: dict[str, Path], labelled_texts: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    texts = ["the patient took aspirin and had nausea . @GENE$ @DISEASE$ heparin skin rash fever lithium morphine 患者"]
    encoder = other_encoders().save_encoder(kind, texts, checkpoint, tmp_path / "encoder")
    source = f"{labelled_texts}:gad_en"
    data: dict[str, Any] = {"train": source, "dev": source, "tests": {"en": source}}
    if task == "ner":
        data = {
            "train": str(ner_files["train_en"]), "dev": str(ner_files["dev_en"]),
            "tests": {"en": str(ner_files["test_en"])},
        }  # fmt: skip
    recipe = FinetuneRecipe(
        **base | data, task=task, checkpoint=str(encoder), output=tmp_path / "m", epochs=1,
        lora=LoraSettings(**LORA),
    )  # fmt: skip
    report = finetune(recipe)
    again = EvaluateRecipe(
        task=task, checkpoint=str(tmp_path / "m"), output=tmp_path / "out", tests=data["tests"], max_length=62,
        bf16=False,
    )  # fmt: skip
    assert evaluate(again)["tests"] == report["tests"]
    bank = AdapterBank()
    bank.add("only", str(tmp_path / "m"))
    merged, _ = (NerTask() if task == "ner" else RelationTask()).load_model(str(tmp_path / "m"))
    assert torch.allclose(logits(bank.use("only")[0], inputs()), logits(merged, inputs()), atol=1e-5)
    with pytest.raises(InputError, match=r"lora\.targets has 'no_such', no layer's name ends in it; .*(query|q_lin)"):
        finetune(recipe.model_copy(update={"lora": LoraSettings(targets=["no_such"]), "output": tmp_path / "n"}))


def test_targets_are_ends_of_names(checkpoint: Path) -> None:
    model, _ = load_tagger(str(checkpoint), ["O", "B-X", "I-X"])
    adapted = add_adapter(model, LoraSettings(targets=["self.query", "intermediate.dense"]))
    changed = {name.rpartition(".lora_A")[0] for name, _ in adapted.named_parameters() if "lora_A" in name}
    assert {name.partition("layer.")[2] for name in changed} == {
        "0.attention.self.query", "0.intermediate.dense", "1.attention.self.query", "1.intermediate.dense",
    }  # fmt: skip


def test_lora_beside_frozen_layers(keys: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"key 'lora' has .*; expected: .* no freeze_embeddings or freeze_layers beside"
    ):
        parse_recipe(FinetuneRecipe, keys | {"output": tmp_path, "freeze_layers": 1}, "recipe.yaml")


def test_a_merged_folder_stands_alone(adapter: dict[str, Any], tmp_path: Path) -> None:
    from kbioxlm.training.finetuning.adapters import merge_adapter

    merge_adapter(str(adapter["folder"]), tmp_path / "merged")
    model = AutoModelForTokenClassification.from_pretrained(tmp_path / "merged", trust_remote_code=True)
    assert torch.allclose(logits(model, inputs()), logits(load_tagger(str(adapter["folder"]))[0], inputs()), atol=1e-6)
    assert (tmp_path / "merged" / "tokenizer.json").is_file()
    assert load_tagger(str(tmp_path / "merged"))[0].config.label2id["I-Effect"] == 4
    with pytest.raises(InputError, match="would replace the checkpoint"):
        merge_adapter(str(adapter["folder"]), adapter["folder"])
    with pytest.raises(InputError, match="is no adapter of"):
        merge_adapter(str(tmp_path / "merged"), tmp_path / "again")
    assert read_adapter(str(adapter["folder"])).task == "ner"
