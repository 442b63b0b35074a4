"""A model made ready to give away: what is in the folder, what rounding costs, what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, pipeline

from kbioxlm.common.errors import InputError
from kbioxlm.common.recipe import parse_recipe
from kbioxlm.modeling_kbioxlm import KBioXLMForPreTraining
from kbioxlm.training.finetuning.recipe import FinetuneRecipe
from kbioxlm.training.finetuning.run import finetune
from kbioxlm.training.models.packaging import PackageRecipe, package
from kbioxlm.training.pretraining.recipe import PretrainRecipe
from kbioxlm.training.pretraining.run import pretrain

SCORE = {"f1": 61.25, "spread": 1.5, "by_seed": [60, 62.5], "n": 1234, "counted": "sentences"}


@pytest.fixture(scope="module")
def experiment(sample_corpora: Path, sample_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one pretrained arm and the report of an experiment."""
    folder = tmp_path_factory.mktemp("experiment")
    keys = {
        "output": folder / "rich", "corpora": sample_corpora, "tokenizer": str(sample_tokenizer),
        "shape": {
            "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48,
            "max_position_embeddings": 66,
        },
        "shares": {"monolingual": 1}, "steps": 3, "batch_size": 4, "learning_rate": 5e-3, "warmup_steps": 0,
        "max_length": 48, "bf16": False,
    }  # fmt: skip
    pretrain(parse_recipe(PretrainRecipe, keys, "recipe"))
    arm = {"zero_shot_f1": 61.25, "spread": 1.5, "n": 1234, "scores": {"ade/zh": SCORE}, "probes": [{}]}
    report = {
        "task": "experiment", "arms": {"plain": arm, "rich": arm}, "seed": 13, "pretraining_seeds": [14, 15],
        "finetuning_seeds": [13], "seconds": 60, "commit": "abc1234", "command": "python train.py experiment x.yaml",
        "recipe": {"languages": ["en", "zh"]},
    }  # fmt: skip
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    return folder


def recipe_of(folder: Path, output: Path, **changes: Any) -> PackageRecipe:
    keys = {"checkpoint": folder / "rich", "output": output, "card": {"license": "apache-2.0"}}
    return parse_recipe(PackageRecipe, keys | changes, "recipe")


def test_weights_take_half_and_load_as_float32(experiment: Path, tmp_path: Path) -> None:
    done = package(recipe_of(experiment, tmp_path / "given"))
    saved = load_file(tmp_path / "given" / "model.safetensors")
    assert {tensor.dtype for tensor in saved.values() if tensor.is_floating_point()} == {torch.float16}
    before = (experiment / "rich" / "model.safetensors").stat().st_size
    after = (tmp_path / "given" / "model.safetensors").stat().st_size
    assert 0.45 < after / before < 0.6
    assert done["megabytes"] == round(after / 1e6, 1)
    assert 0 < done["rounding"] < 2**-11  # half of the last bit of a weight below 2
    given, original = (
        KBioXLMForPreTraining.from_pretrained(folder).eval() for folder in (tmp_path / "given", experiment / "rich")
    )
    assert given.dtype == torch.float32
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "given", config=given.config)
    inputs = tokenizer("The patient had fever. 患者出现发热。", return_tensors="pt")
    with torch.no_grad():
        ours, theirs = given(**inputs).prediction_logits, original(**inputs).prediction_logits
    assert not torch.equal(ours, theirs)
    torch.testing.assert_close(ours, theirs, atol=5e-3, rtol=5e-3)


def test_it_loads_in_a_fresh_process_without_this_package(experiment: Path, tmp_path: Path) -> None:
    package(recipe_of(experiment, tmp_path / "given"))
    code = (
        "import sys; sys.modules['kbioxlm'] = None\n"
        "from transformers import AutoModelForMaskedLM, AutoTokenizer\n"
        "model = AutoModelForMaskedLM.from_pretrained('given', trust_remote_code=True)\n"
        "tokenizer = AutoTokenizer.from_pretrained('given', config=model.config)\n"
        "print(model.dtype, model(**tokenizer('发热 <mask>', return_tensors='pt')).logits.isfinite().all().item())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={"HF_MODULES_CACHE": str(tmp_path / "modules"), "PATH": "/usr/bin", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout.split() == ["torch.float32", "True"]


def test_the_card_has_the_figures_of_the_experiment(experiment: Path, tmp_path: Path) -> None:
    package(recipe_of(experiment, tmp_path / "given", experiment=experiment))
    card = (tmp_path / "given" / "README.md").read_text(encoding="utf-8")
    header = yaml.safe_load(card.split("---\n")[1])
    assert header["license"] == "apache-2.0"
    assert "61.25 ± 1.50" in card
    assert "column *rich* (seeds of stage 2: 14, 15)" in card
    assert "commit abc1234" in card
    assert card.index("## Training") < card.index("## Metrics") < card.index("## Limits")
    assert str(experiment) not in card
    assert str(experiment) not in (tmp_path / "given" / "report.json").read_text(encoding="utf-8")


def test_a_tagger(checkpoint: Path, ner_files: dict[str, Path], tmp_path: Path) -> None:
    finetune(FinetuneRecipe(
        checkpoint=str(checkpoint), train=str(ner_files["train_en"]), dev=str(ner_files["dev_en"]),
        tests={"en": str(ner_files["test_en"])}, output=tmp_path / "tagger", epochs=1, max_length=62, bf16=False,
        allow_near_duplicates=True,
    ))  # fmt: skip
    package(recipe_of(tmp_path, tmp_path / "given", checkpoint=tmp_path / "tagger"))
    saved = load_file(tmp_path / "given" / "model.safetensors")
    assert saved["crf.transitions"].dtype == torch.float16
    card = (tmp_path / "given" / "README.md").read_text(encoding="utf-8")
    assert yaml.safe_load(card.split("---\n")[1])["model-index"][0]["results"][0]["metrics"][0]["type"] == "f1"
    assert "stored in float16" in card
    ner = pipeline("biomedical-ner", model=str(tmp_path / "given"), trust_remote_code=True)
    assert ner.model.dtype == torch.float32
    assert isinstance(ner("The patient took aspirin."), list)


def test_what_is_refused(experiment: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(experiment / "rich", other)
    output = tmp_path / "given"
    with pytest.raises(InputError, match=r"no such file"):
        package(recipe_of(experiment, output, checkpoint=tmp_path / "nowhere"))
    with pytest.raises(
        InputError, match=r"is the report of 'experiment', not of pretraining, ner, .*; name the folder of"
    ):
        package(recipe_of(experiment, output, checkpoint=experiment))
    with pytest.raises(InputError, match=r"is no arm of it; name one of plain, rich"):
        package(recipe_of(experiment, output, checkpoint=other, experiment=experiment))
    with pytest.raises(InputError, match=r"would replace the checkpoint"):
        package(recipe_of(experiment, experiment / "rich"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(InputError, match=r"mine: exists and holds no report\.json"):
        package(recipe_of(experiment, tmp_path / "mine"))
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "all of it"
    shutil.copytree(experiment / "rich", tmp_path / "broken")
    (tmp_path / "broken" / "report.json").write_text('{"task": ')
    with pytest.raises(InputError, match=r"broken/report\.json: is no report of a run .*; name the folder of"):
        package(recipe_of(experiment, output, checkpoint=tmp_path / "broken"))
    weights = load_file(other / "model.safetensors")
    weights["roberta.embeddings.word_embeddings.weight"][5, 3] = 7e4
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"word_embeddings\.weight holds weights beyond 65,504"):
        package(recipe_of(experiment, output, checkpoint=other))
    assert not output.exists()


def test_weights_that_are_too_large_are_not_written(
    experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kbioxlm.training.models.packaging.MEGABYTE", 100)
    with pytest.raises(InputError, match=r"in half precision; raise most_megabytes, which is 60"):
        package(recipe_of(experiment, tmp_path / "given"))
    assert not (tmp_path / "given").exists()
