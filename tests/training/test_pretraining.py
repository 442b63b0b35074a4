"""Pretraining end to end on a tiny model, its resumption, its starting points, and what stops it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, TrainerCallback, XLMRobertaConfig, XLMRobertaForMaskedLM

from kbioxlm.common.errors import InputError
from kbioxlm.common.recipe import parse_recipe
from kbioxlm.dataset_scripts.corpora.rows import ROW
from kbioxlm.dataset_scripts.folder import ShardWriter
from kbioxlm.modeling_kbioxlm import KBioXLMForPreTraining
from kbioxlm.training import pretraining
from kbioxlm.training.examples import MaskedExamples, PaddingCollator
from kbioxlm.training.features import LEVELS, load_level
from kbioxlm.training.masking import IGNORED
from kbioxlm.training.pretraining import PretrainRecipe, masking_rule, pretrain
from kbioxlm.training.tokenizer import learn

SHAPE = {
    "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48,
    "max_position_embeddings": 66,
}  # fmt: skip
STEPS = 12


@pytest.fixture(scope="session")
def keys(sample_corpora: Path, sample_tokenizer: Path) -> dict[str, Any]:
    """Keys of a recipe of a second or two; `output` is to be added."""
    return {
        "corpora": sample_corpora,
        "tokenizer": str(sample_tokenizer),
        "shape": SHAPE,
        "shares": {"passage": 0.2, "fact": 0.2, "entity": 0.2, "monolingual": 0.4},
        "steps": STEPS,
        "batch_size": 8,
        "learning_rate": 5e-3,
        "warmup_steps": 2,
        "max_length": 48,
        "save_steps": 5,
        "bf16": False,
    }


def recipe_of(keys: dict[str, Any], output: Path, **changes: Any) -> PretrainRecipe:
    return parse_recipe(PretrainRecipe, {**keys, "output": output, **changes}, "recipe")


@pytest.fixture(scope="session")
def finished(keys: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Folder and report of one run that was never killed."""
    folder = tmp_path_factory.mktemp("pretrained") / "model"
    return folder, pretrain(recipe_of(keys, folder))


def test_the_folder_holds_model_tokenizer_plot_and_report(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, report = finished
    names = {path.name for path in folder.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "loss.png", "report.json"} <= names
    assert {"modeling_kbioxlm.py", "configuration_kbioxlm.py"} <= names
    assert json.loads((folder / "report.json").read_text(encoding="utf-8")) == report
    assert [path.name for path in folder.parent.iterdir()] == ["model"]  # no work folder is left
    model = KBioXLMForPreTraining.from_pretrained(folder)
    assert model.num_parameters() == report["parameters"]
    assert len(AutoTokenizer.from_pretrained(folder)) == model.config.vocab_size


def test_the_report_says_what_was_done(finished: tuple[Path, dict[str, Any]], keys: dict[str, Any]) -> None:
    _, report = finished
    assert report["task"] == "pretraining"
    assert report["recipe"]["steps"] == STEPS
    assert list(report["recipe"]["shares"]) == list(LEVELS)
    assert set(report["inputs"]) == {"corpora", "tokenizer"}
    assert report["examples"] == {"monolingual": 38, "entity": 20, "fact": 19, "passage": 19}
    assert sum(report["examples"].values()) == STEPS * 8
    assert STEPS * 8 * 3 < report["pieces"] <= STEPS * 8 * 48
    assert report["seed"] == 13
    assert 0 < report["training_seconds"] <= report["seconds"] + 0.1


def test_the_losses_of_equation_4_are_logged_and_fall(finished: tuple[Path, dict[str, Any]]) -> None:
    logged = [entry for entry in finished[1]["history"] if "loss" in entry]
    assert [entry["step"] for entry in logged] == list(range(1, STEPS + 1))
    for entry in logged:
        parts = entry["entity_loss"] + entry["relation_loss"] + entry["passage_loss"]
        assert entry["loss"] == pytest.approx(parts, abs=2e-3)
    assert any(entry["relation_loss"] > 0 for entry in logged)
    assert any(entry["passage_loss"] > 0 for entry in logged)
    assert logged[-1]["entity_loss"] < logged[0]["entity_loss"]


class _KilledError(Exception):
    """Stands for a signal."""


class _KillAfterSave(TrainerCallback):
    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 10:
            raise _KilledError


def test_a_killed_run_goes_on_and_ends_bit_identical(
    finished: tuple[Path, dict[str, Any]], keys: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pretraining._PretrainTrainer

    class Mortal(whole):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **kwargs: Any):
            super().__init__(*args, **kwargs)
            self.add_callback(_KillAfterSave())

    recipe = recipe_of(keys, tmp_path / "model")
    monkeypatch.setattr(pretraining, "_PretrainTrainer", Mortal)
    with pytest.raises(_KilledError):
        pretrain(recipe)
    assert not recipe.output.exists()
    assert {path.name for path in (tmp_path / ".model.training").iterdir()} == {"checkpoint-10", "run.json"}
    monkeypatch.setattr(pretraining, "_PretrainTrainer", whole)
    report = pretrain(recipe)
    first, second = (load_file(folder / "model.safetensors") for folder in (finished[0], recipe.output))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert report["examples"] == finished[1]["examples"]
    assert report["pieces"] == finished[1]["pieces"]
    assert [entry["step"] for entry in report["history"] if "loss" in entry] == list(range(1, STEPS + 1))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_finished_run_is_not_run_again_but_a_changed_one_is(
    finished: tuple[Path, dict[str, Any]], keys: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(finished[0], folder)
    report = {**finished[1], "recipe": {**finished[1]["recipe"], "output": str(folder)}}
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert pretrain(recipe_of(keys, folder)) == report
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    assert pretrain(recipe_of(keys, folder, steps=1))["recipe"]["steps"] == 1
    assert (folder / "model.safetensors").stat().st_mtime_ns != before


def test_something_else_at_the_output_is_not_replaced(keys: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(InputError, match="so it is not a run of ours"):
        pretrain(recipe_of(keys, tmp_path / "mine"))
    assert (tmp_path / "mine" / "notes.txt").exists()


def test_stage_two_goes_on_from_stage_one_without_asking(
    finished: tuple[Path, dict[str, Any]], keys: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes: dict[str, Any] = {"checkpoint": str(finished[0]), "tokenizer": None, "shape": None}
    report = pretrain(recipe_of(keys, tmp_path / "b", **changes, steps=2, warmup_steps=0, learning_rate=1e-6))
    assert "custom code" not in capsys.readouterr().out  # transformers' question whether to run the saved code
    assert report["parameters"] == finished[1]["parameters"]
    before, after = (load_file(folder / "model.safetensors") for folder in (finished[0], tmp_path / "b"))
    assert all(torch.allclose(before[name], after[name], atol=1e-5) for name in before)
    assert any(not torch.equal(before[name], after[name]) for name in before)


@pytest.fixture
def xlm_r(sample_tokenizer: Path, tmp_path: Path) -> Path:
    """A tiny XLM-R with a masked-language-model head, with the sample's tokenizer."""
    folder = tmp_path / "xlm-r"
    shutil.copytree(sample_tokenizer, folder)
    torch.manual_seed(3)
    pieces = len(AutoTokenizer.from_pretrained(folder))
    XLMRobertaForMaskedLM(XLMRobertaConfig(vocab_size=pieces, **SHAPE)).save_pretrained(folder)
    return folder


def test_an_xlm_r_gets_a_head_of_the_most_frequent_pieces(xlm_r: Path, keys: dict[str, Any], tmp_path: Path) -> None:
    recipe = recipe_of(
        keys, tmp_path / "out", checkpoint=str(xlm_r), tokenizer=None, shape=None, mlm_vocab_size=100, steps=1,
        shares={"monolingual": 1.0}, learning_rate=1e-7,
    )  # fmt: skip
    pretrain(recipe)
    model = KBioXLMForPreTraining.from_pretrained(recipe.output)
    tokenizer = AutoTokenizer.from_pretrained(xlm_r)
    counts = np.zeros(len(tokenizer), dtype=int)
    for text in load_level(recipe.corpora, "monolingual")["text"]:
        np.add.at(counts, tokenizer(text, add_special_tokens=False)["input_ids"], 1)
    kept = model.lm_head.token_ids.numpy()
    assert len(kept) == len(set(kept.tolist())) == model.config.mlm_vocab_size == 100
    assert counts[kept].min() >= np.delete(counts, kept).max()
    weights = load_file(xlm_r / "model.safetensors")["roberta.embeddings.word_embeddings.weight"]
    torch.testing.assert_close(model.lm_head.decoder.weight.detach(), weights[kept], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": None}, "recipe: needs one of `checkpoint` and `shape`"),
        ({"checkpoint": "somewhere"}, "recipe: needs one of `checkpoint` and `shape`"),
        ({"tokenizer": None}, "recipe: key 'tokenizer' is missing; a model from scratch needs one"),
        ({"tokenizer": "/nowhere/t"}, "/nowhere/t: has no tokenizer that can be loaded"),
        ({"shape": None, "checkpoint": "/nowhere/m", "tokenizer": None}, "/nowhere/m: no such checkpoint folder"),
        ({"max_length": 65}, "recipe: max_length 65 exceeds the model's 64 positions; lower max_length"),
        ({"corpora": Path("/nowhere/c")}, "/nowhere/c: has no level 'monolingual'; build it with aligned_corpora"),
    ],
)
def test_what_stops_a_run_before_it_starts(
    keys: dict[str, Any], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        pretrain(recipe_of(keys, tmp_path / "out", **changes))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shares": {"monolingual": 1, "entiti": 1}}, "key 'shares' has .*levels among .*, not entiti"),
        ({"shares": {}}, "key 'shares' has {}; expected: .*levels among"),
        ({"shares": {"fact": 0}}, "key 'shares.fact' has 0; expected: .*greater than 0"),
        ({"mask_rate": 1.0}, "key 'mask_rate' has 1.0"),
        ({"shape": {**SHAPE, "hiden_size": 3}}, "unknown key 'shape.hiden_size' = 3; did you mean 'hidden_size'"),
        ({"max_length": 4}, "key 'max_length' has 4; expected: .*greater than or equal to 8"),
    ],
)
def test_values_the_recipe_refuses(keys: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        recipe_of(keys, Path("out"), **changes)


def test_a_missing_and_an_empty_level(keys: dict[str, Any], tmp_path: Path) -> None:
    corpora = tmp_path / "corpora"
    shutil.copytree(keys["corpora"], corpora)
    shutil.rmtree(corpora / "fact")
    with pytest.raises(InputError, match="corpora: has no level 'fact'"):
        pretrain(recipe_of(keys, tmp_path / "out", corpora=corpora))
    ShardWriter(corpora / "fact", ROW).close()
    with pytest.raises(InputError, match="fact: has no rows"):
        pretrain(recipe_of(keys, tmp_path / "out", corpora=corpora))


def test_checkpoints_that_do_not_fit(
    xlm_r: Path, finished: tuple[Path, dict[str, Any]], keys: dict[str, Any], tmp_path: Path
) -> None:
    start: dict[str, Any] = {"shape": None, "tokenizer": None}
    with pytest.raises(InputError, match="key 'tokenizer' stands beside `checkpoint`"):
        pretrain(recipe_of(keys, tmp_path / "o", shape=None, checkpoint=str(xlm_r)))
    reduced = tmp_path / "reduced"
    shutil.copytree(finished[0], reduced)
    model = KBioXLMForPreTraining.from_pretrained(reduced)
    model.reduce_mlm_head(list(range(50)))
    model.save_pretrained(reduced)
    with pytest.raises(InputError, match="mlm_vocab_size is 60, the checkpoint's head has 50 rows already"):
        pretrain(recipe_of(keys, tmp_path / "o", checkpoint=str(reduced), mlm_vocab_size=60, **start))
    small = learn(["患者 took aspirin"] * 9, 17)
    assert len(small) < 50
    small.add_tokens([f"word{i}" for i in range(1000)])
    small.save_pretrained(xlm_r)
    with pytest.raises(InputError, match=r"the tokenizer has 10\d\d pieces, the model 900"):
        pretrain(recipe_of(keys, tmp_path / "o", checkpoint=str(xlm_r), **start))
    (xlm_r / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="xlm-r: has no tokenizer with a vocabulary"):
        pretrain(recipe_of(keys, tmp_path / "o", checkpoint=str(xlm_r), **start))


def examples_of(recipe: PretrainRecipe, piece_ids: Any = None) -> MaskedExamples:
    tokenizer = AutoTokenizer.from_pretrained(recipe.tokenizer)
    levels = {level: load_level(recipe.corpora, level) for level in recipe.shares}
    rule = masking_rule(recipe, tokenizer, np.arange(len(tokenizer)) if piece_ids is None else piece_ids)
    return MaskedExamples(
        levels, recipe.shares, recipe.steps, recipe.batch_size, recipe.seed, rule, tokenizer, recipe.max_length
    )


def test_an_example_depends_on_the_seed_and_its_place_alone(keys: dict[str, Any]) -> None:
    recipe = recipe_of(keys, Path("out"))
    examples = examples_of(recipe)
    assert len(examples) == STEPS * 8
    together = examples.__getitems__([40, 3, 41])
    for place, one in zip([40, 3, 41], together, strict=True):
        alone = examples_of(recipe)[place]
        for name, value in alone.items():
            np.testing.assert_array_equal(one[name], value)
    other = examples_of(recipe_of(keys, Path("out"), seed=14))
    assert any(not np.array_equal(other[i]["input_ids"], examples[i]["input_ids"]) for i in range(5))


def test_random_pieces_come_from_the_reduced_vocabulary(keys: dict[str, Any]) -> None:
    allowed = np.array([0, 2, 30, 31])
    examples = examples_of(recipe_of(keys, Path("out"), mask_rate=0.9, aligned_mask_rate=0.9), allowed)
    replaced = set()
    for example in examples.__getitems__(list(range(len(examples)))):
        labels = np.maximum(example["labels"], example["relation_labels"])
        changed = (labels != IGNORED) & (example["input_ids"] != labels)
        replaced |= set(example["input_ids"][changed].tolist())
    assert replaced == {30, 31, 899}  # no special piece but the mask


def test_the_collator_pads_to_the_longest() -> None:
    def example(length: int, passage: int) -> dict[str, Any]:
        values = np.arange(length) + 5
        ignored = np.full(length, IGNORED)
        return {"input_ids": values, "labels": values, "relation_labels": ignored, "passage_labels": passage}

    batch = PaddingCollator(1)([example(2, 0), example(4, IGNORED)])
    assert batch["input_ids"].tolist() == [[5, 6, 1, 1], [5, 6, 7, 8]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert batch["labels"].tolist() == [[5, 6, IGNORED, IGNORED], [5, 6, 7, 8]]
    assert batch["relation_labels"].tolist() == [[IGNORED] * 4] * 2
    assert batch["passage_labels"].tolist() == [0, IGNORED]
    assert {value.dtype for value in batch.values()} == {torch.int64}
