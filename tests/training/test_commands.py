"""train.py as a user meets it: helps, one-line errors with exit code 2, and what each command prints."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner, Result

from kbioxlm.common.cli import run
from kbioxlm.common.errors import InputError
from kbioxlm.training.commands import app
from kbioxlm.training.finetuning.ner import iob2_tags
from kbioxlm.training.finetuning.tagger import load_tagger

ROOT = Path(__file__).parents[2]
COMMANDS = [
    "tokenizer", "vocabulary", "convert", "trim-vocabulary", "pretrain", "package", "finetune", "evaluate",
    "experiment", "check-data",
]  # fmt: skip


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def error_of(result: Result) -> str:
    assert isinstance(result.exception, InputError), result.output
    return str(result.exception)


@pytest.fixture(scope="module")
def tagger(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tagger that calls every piece the begin of a drug."""
    torch.manual_seed(2)
    model, tokenizer = load_tagger(str(checkpoint), iob2_tags(["Drug"]), use_crf=False)
    torch.nn.init.zeros_(model.classifier.weight)
    with torch.no_grad():
        model.classifier.bias.copy_(torch.tensor([float(tag == "B-Drug") for tag in model.config.label2id]))
    folder = tmp_path_factory.mktemp("tagger")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_help_lists_every_command_with_its_purpose() -> None:
    result = call("--help")
    assert result.exit_code == 0
    for command in [*COMMANDS, "tag", "keys"]:
        assert command in result.output
    assert "key=value" in result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_keys(command: str) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0
    assert "RECIPE" in result.output
    assert "KEY=VALUE" in result.output
    listed = call("keys", command)
    assert listed.exit_code == 0
    assert listed.output.startswith(("output (Path, required)", "checkpoint (str, required)", "task ("))


def test_keys_of_what_has_no_recipe() -> None:
    assert error_of(call("keys", "tag")) == (
        "command line: 'tag' has no recipe; name one of tokenizer, vocabulary, convert, trim-vocabulary, pretrain, "
        "package, finetune, evaluate, experiment, check-data, reproduce"
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_bad_recipes_are_one_line_each(command: str, tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("ouptut: x\n", encoding="utf-8")
    assert "r.yaml: " in error_of(call(command, recipe))
    assert error_of(call(command, tmp_path / "none.yaml")) == f"{tmp_path / 'none.yaml'}: no such file; check the path"
    recipe.write_text("output: [\n", encoding="utf-8")
    assert "r.yaml:2: not YAML" in error_of(call(command, recipe))
    assert not [path for path in tmp_path.iterdir() if path != recipe]


def test_tokenizer_and_pretrain_by_recipe_and_override(
    sample_texts: list[Path], sample_corpora: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "t.yaml"
    recipe.write_text(
        yaml.safe_dump({"output": "nowhere", "texts": [str(path) for path in sample_texts], "vocab_size": 100}),
        encoding="utf-8",
    )
    done = call("tokenizer", recipe, f"output={tmp_path / 'tokenizer'}", "vocab_size=1100")
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, f"{tmp_path / 'tokenizer'}: 1,100 pieces")
    recipe = tmp_path / "p.yaml"
    keys = {
        "output": str(tmp_path / "model"), "corpora": str(sample_corpora), "tokenizer": str(tmp_path / "tokenizer"),
        "shape": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16},
        "shares": {"monolingual": 1}, "steps": 2, "batch_size": 2, "learning_rate": 1e-3, "warmup_steps": 0,
    }  # fmt: skip
    recipe.write_text(yaml.safe_dump(keys), encoding="utf-8")
    done = call("pretrain", recipe, "steps=1", "shape.hidden_size=8", "max_length=32")
    assert done.exit_code == 0, done.output
    assert "see README.md and loss.png" in done.output
    report = json.loads((tmp_path / "model" / "report.json").read_text(encoding="utf-8"))
    assert (report["recipe"]["steps"], report["recipe"]["shape"]["hidden_size"]) == (1, 8)


def test_finetune_and_evaluate_print_scores(checkpoint: Path, ner_files: dict[str, Path], tmp_path: Path) -> None:
    recipe = tmp_path / "f.yaml"
    keys = {
        "output": str(tmp_path / "tagger"), "checkpoint": str(checkpoint), "train": str(ner_files["train_en"]),
        "dev": str(ner_files["dev_en"]), "tests": {"zh": str(ner_files["test_zh"])}, "epochs": 1, "max_length": 62,
        "allow_near_duplicates": True,
    }  # fmt: skip
    recipe.write_text(yaml.safe_dump(keys), encoding="utf-8")
    done = call("finetune", recipe)
    assert done.exit_code == 0, done.output
    assert "zh: strict entity-level micro-F1 " in done.output
    assert "(n=16 sentences)" in done.output
    assert "best epoch 1, seed 13; see report.json and loss.png" in done.output
    recipe.write_text(
        yaml.safe_dump(
            {
                "output": str(tmp_path / "scores"), "checkpoint": str(tmp_path / "tagger"), "max_length": 62,
                "tests": {"en": str(ner_files["test_en"])},
            }
        ),
        encoding="utf-8",
    )  # fmt: skip
    done = call("evaluate", recipe)
    assert done.exit_code == 0, done.output
    assert "en: strict entity-level micro-F1 " in done.output
    assert (tmp_path / "scores" / "report.json").is_file()


def test_tag_prints_json_with_offsets_of_the_original_text(tagger: Path) -> None:
    texts = ["the  patient took aspirin.", "患者服用阿司匹林。", "𝛼 aspirin", " "]
    done = call("tag", tagger, *texts)
    assert done.exit_code == 0, done.output
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["text"] for one in found] == texts
    for one in found:
        for entity in one["entities"]:
            assert set(entity) == {"entity_group", "word", "start", "end"}
            assert one["text"][entity["start"] : entity["end"]] == entity["word"]
            assert entity["word"].strip()
            assert entity["entity_group"] == "Drug"
    assert "".join(entity["word"] for entity in found[1]["entities"]) == texts[1]
    assert "aspirin" in "".join(entity["word"] for entity in found[0]["entities"])
    assert found[3]["entities"] == []


def test_tag_writes_the_formats_of_the_field(tagger: Path, tmp_path: Path) -> None:
    done = call("tag", tagger, "the patient took aspirin.", "--format", "pubtator")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("1|t|the patient took aspirin.\n1|a|\n1\t")
    output = tmp_path / "out.zip"
    assert call("tag", tagger, "aspirin", "--format", "brat", "--output", output).exit_code == 0
    assert zipfile.ZipFile(output).namelist() == ["1.txt", "1.ann"]
    assert "'xml' is no format; choose from jsonl, pubtator" in error_of(call("tag", tagger, "a", "--format", "xml"))


def test_tag_needs_a_tagger(checkpoint: Path, tmp_path: Path) -> None:
    assert "weights are missing" in error_of(call("tag", checkpoint, "a"))
    assert "no such checkpoint folder" in error_of(call("tag", tmp_path / "none", "a"))
    result = call("tag", tmp_path)
    assert result.exit_code == 2
    assert "Missing argument 'texts'" in result.output


def test_the_script_ends_with_one_line_and_exit_code_two(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("output: o\nvocab_sise: 9\ntexts: []\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", "tokenizer", "r.yaml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "error: r.yaml: unknown key 'vocab_sise' = 9; did you mean 'vocab_size'?\n"
    assert [path.name for path in tmp_path.iterdir()] == ["r.yaml"]


def test_errors_pass_through_run_as_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.argv", ["train.py", "evaluate", str(tmp_path / "gone.yaml")])
    with pytest.raises(SystemExit) as caught:
        run(app)
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'gone.yaml'}: no such file; check the path\n"
