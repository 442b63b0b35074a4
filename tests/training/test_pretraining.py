"""Pretraining end to end on a tiny model, its resumption, its starting points, and what stops it."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, XLMRobertaConfig, XLMRobertaForMaskedLM

from kbioxlm.common.errors import InputError
from kbioxlm.common.recipe import parse_recipe
from kbioxlm.dataset_scripts import hub
from kbioxlm.dataset_scripts.corpora.rows import ROW
from kbioxlm.dataset_scripts.folder import ShardWriter
from kbioxlm.modeling_kbioxlm import KBioXLMForPreTraining
from kbioxlm.training.models.tokenizer import learn
from kbioxlm.training.pretraining import run as pretraining
from kbioxlm.training.pretraining.encoded import encoded_level
from kbioxlm.training.pretraining.examples import MaskedSteps, strata_of
from kbioxlm.training.pretraining.features import LEVELS, load_level
from kbioxlm.training.pretraining.masking import IGNORED
from kbioxlm.training.pretraining.recipe import PretrainRecipe
from kbioxlm.training.pretraining.run import masking_rule, pretrain
from kbioxlm.training.pretraining.schedule import Plan

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
    assert list(report["recipe"]["shares"]) == list(LEVELS[:4])
    assert set(report["inputs"]) == {"corpora", "tokenizer"}
    assert list(report["examples"]) == list(LEVELS[:4])
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
        shares={"monolingual": 1.0}, learning_rate=1e-7, least_coverage=0,
    )  # fmt: skip
    pretrain(recipe)
    model = KBioXLMForPreTraining.from_pretrained(recipe.output)
    tokenizer = AutoTokenizer.from_pretrained(xlm_r)
    counts = np.zeros(len(tokenizer), dtype=int)
    for text in load_level(recipe.corpora, "monolingual")["text"]:
        np.add.at(counts, tokenizer(text, truncation=True, max_length=48)["input_ids"][1:-1], 1)
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
        ({"batch_size": None}, "key 'batch_pieces' has None; expected: .*one of batch_size and batch_pieces"),
        ({"batch_pieces": 100}, "key 'batch_pieces' has 100; expected: .*one of batch_size and batch_pieces"),
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


def test_a_checkpoint_whose_weights_do_not_fill_its_shape(
    finished: tuple[Path, dict[str, Any]], keys: dict[str, Any], tmp_path: Path
) -> None:
    start: dict[str, Any] = {"shape": None, "tokenizer": None, "checkpoint": str(tmp_path / "m")}
    shutil.copytree(finished[0], tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "m" / "config.json").write_text(json.dumps({**config, "intermediate_size": 64}), encoding="utf-8")
    with pytest.raises(InputError, match=r"m: its weights and its config\.json are of different shapes .*; restore"):
        pretrain(recipe_of(keys, tmp_path / "o", **start))
    (tmp_path / "m" / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 2}), encoding="utf-8")
    with pytest.raises(InputError, match=r"m: 16 weights are missing, 'roberta\.encoder\.layer\.1.* among them;"):
        pretrain(recipe_of(keys, tmp_path / "o", **start))


def test_a_loss_that_is_no_number_stops_the_run(keys: dict[str, Any], tmp_path: Path) -> None:
    recipe = recipe_of(
        keys, tmp_path / "o", learning_rate=1e30, warmup_steps=8, save_steps=1, logging_steps=4, max_gradient_norm=1e9
    )
    with pytest.raises(
        InputError, match=r"step \d+: the entity loss is (nan|inf); try a lower learning_rate"
    ) as caught:
        pretrain(recipe)
    step = int(str(caught.value).split()[1].rstrip(":"))
    assert f"the last checkpoint is in {tmp_path / '.o.training'}" in str(caught.value)
    # the weights of the checkpoint gave a finite loss in the step before
    assert [path.name for path in (tmp_path / ".o.training").glob("checkpoint-*")] == [f"checkpoint-{step - 1}"]
    assert not recipe.output.exists()


def test_ways_to_compute_change_no_loss(
    finished: tuple[Path, dict[str, Any]], keys: dict[str, Any], tmp_path: Path
) -> None:
    shape = {**SHAPE, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    ways: dict[str, dict[str, Any]] = {
        "plain": {}, "checkpointing": {"gradient_checkpointing": True}, "eager": {"attn_implementation": "eager"},
    }  # fmt: skip
    losses = {
        name: [entry["loss"] for entry in pretrain(recipe_of(keys, tmp_path / name, shape=shape, **way))["history"]]
        for name, way in ways.items()
    }
    for name in ("checkpointing", "eager"):
        assert losses[name] == pytest.approx(losses["plain"], abs=1e-5)
    with pytest.raises(InputError, match=r"recipe: attn_implementation 'fast' cannot be used here .*; leave it out"):
        pretrain(recipe_of(keys, tmp_path / "o", attn_implementation="fast"))


def test_a_finished_run_gets_a_new_card_and_is_uploaded(
    finished: tuple[Path, dict[str, Any]], keys: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Any, ...]] = []

    def uploaded(*given: Any, **named: Any) -> str:
        calls.append((*given, named))
        return "https://hub/lab/model"

    monkeypatch.setattr(hub, "push_to_hub", uploaded)
    monkeypatch.setattr(pretraining, "_run", lambda *_: pytest.fail("trained again"))
    folder = tmp_path / "model"
    shutil.copytree(finished[0], folder)
    report = {**finished[1], "recipe": {**finished[1]["recipe"], "output": str(folder)}}
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    changes: dict[str, Any] = {"push_to_hub": "lab/model", "card": {"license": "cc-by-4.0"}, "workers": 1}
    pretrain(recipe_of(keys, folder, **changes))
    named = {"kind": "model", "outdated": None, "place": "recipe, push_to_hub"}
    assert calls == [(folder, "lab/model", True, "12 steps of pretraining", named)]
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlicense: cc-by-4.0\n")
    assert 'from_pretrained("lab/model"' in card
    with pytest.raises(InputError, match=r"recipe, push_to_hub: .*; write owner/name"):
        pretrain(recipe_of(keys, folder, push_to_hub="no name"))


def steps_of(recipe: PretrainRecipe, predictable: Any = None, **options: Any) -> MaskedSteps:
    tokenizer = AutoTokenizer.from_pretrained(recipe.tokenizer)
    levels = [encoded_level(recipe.corpora, level, tokenizer, recipe.max_length) for level in recipe.shares]
    if predictable is None:
        predictable = np.ones(len(tokenizer), dtype=bool)
    plan = Plan(strata_of(levels, recipe.shares), recipe.steps, recipe.batch_size or 0, recipe.seed)
    rule = masking_rule(recipe, tokenizer, predictable)
    return MaskedSteps(levels, plan, rule, recipe.seed, tokenizer.pad_token_id, **options)


def examples_of(micro_batches: list[dict[str, torch.Tensor]]) -> set[tuple[tuple[int, ...], ...]]:
    """The examples of some micro-batches without their padding, as what can be compared."""
    return {
        tuple(tuple(batch[name][row][batch["attention_mask"][row] > 0].tolist()) for name in ("input_ids", "labels"))
        for batch in micro_batches
        for row in range(len(batch["input_ids"]))
    }


def test_an_example_depends_on_the_seed_and_its_place_alone(keys: dict[str, Any]) -> None:
    recipe = recipe_of(keys, Path("out"))
    steps = steps_of(recipe)
    assert len(steps) == STEPS
    for step in (7, 3):
        whole = examples_of(steps[step])
        assert len(whole) == 8
        assert examples_of(steps_of(recipe, micro_batch=3)[step]) == whole
        shared = [examples_of(steps_of(recipe, micro_batch=2, processes=2, process=rank)[step]) for rank in (0, 1)]
        assert shared[0] | shared[1] == whole
        assert not shared[0] & shared[1]
    assert examples_of(steps_of(recipe_of(keys, Path("out"), seed=14))[3]) != examples_of(steps[3])


def test_micro_batches_hold_examples_of_similar_length(keys: dict[str, Any]) -> None:
    recipe = recipe_of(keys, Path("out"), batch_size=24)
    for rank in (0, 1):
        lengths = [
            batch["attention_mask"].sum(dim=1)
            for batch in steps_of(recipe, micro_batch=4, processes=2, process=rank)[0]
        ]
        assert [len(one) for one in lengths] == [4, 4, 4]
        assert all(one.min() >= next.max() for one, next in itertools.pairwise(lengths))


def test_a_batch_that_cannot_be_dealt_out(keys: dict[str, Any]) -> None:
    recipe = recipe_of(keys, Path("out"), batch_size=5)
    with pytest.raises(
        InputError, match="a batch of 5 examples cannot be dealt out to 2 processes in micro-batches of 1"
    ):
        steps_of(recipe, micro_batch=1, processes=2)
    with pytest.raises(InputError, match="a batch of 5 examples cannot be dealt out to 6 processes; raise batch_size"):
        steps_of(recipe, processes=6)


def test_a_batch_of_pieces(keys: dict[str, Any], tmp_path: Path) -> None:
    report = pretrain(recipe_of(keys, tmp_path / "out", batch_size=None, batch_pieces=400, steps=30))
    assert report["pieces"] / 30 == pytest.approx(400, rel=0.1)
    assert report["batch"]["pieces"] == pytest.approx(report["pieces"] / 30, abs=0.1)
    assert sum(report["examples"].values()) == 30 * report["batch"]["examples"]


def test_random_pieces_and_labels_come_from_the_reduced_vocabulary(keys: dict[str, Any]) -> None:
    recipe = recipe_of(keys, Path("out"), mask_rate=0.9, aligned_mask_rate=0.9)
    allowed = np.arange(900) % 3 > 0
    reduced, free = steps_of(recipe, allowed), steps_of(recipe)
    replaced, labelled, anywhere = set(), set(), set()
    for step in range(STEPS):
        for batch, whole in zip(reduced[step], free[step], strict=True):
            labels = torch.maximum(batch["labels"], batch["relation_labels"])
            changed = (labels != IGNORED) & (batch["input_ids"] != labels)
            replaced |= set(batch["input_ids"][changed].tolist())
            labelled |= set(labels.unique().tolist()) - {IGNORED}
            originals = torch.maximum(whole["labels"], whole["relation_labels"])
            anywhere |= set(originals.unique().tolist())
            hidden = (batch["input_ids"] == 899) & (labels == IGNORED)
            assert not hidden.any()  # nothing is masked that is not asked for
    assert 899 in replaced
    assert all(allowed[list(replaced | labelled)] | (np.array(list(replaced | labelled)) == 899))
    assert not replaced & {0, 1, 2, 3}
    assert len(replaced) > 20
    assert len(labelled) > 20
    assert not allowed[sorted(anywhere - {IGNORED})].all()  # without a reduction, other pieces are labels too


def test_the_batches_are_padded_to_their_longest(keys: dict[str, Any]) -> None:
    (batch,) = steps_of(recipe_of(keys, Path("out")))[0]
    lengths = batch["attention_mask"].sum(dim=1)
    assert batch["input_ids"].shape == (8, int(lengths.max()))
    padding = batch["attention_mask"] == 0
    assert padding.any()
    assert (batch["input_ids"][padding] == 1).all()
    assert (batch["labels"][padding] == IGNORED).all()
    assert (batch["input_ids"][:, 0] == 0).all()  # <s>
    assert batch["passage_labels"].shape == (8,)
    assert {value.dtype for value in batch.values()} == {torch.int64}
