"""`train.py push` against a stand-in of the Hub: what arrives, byte by byte, and what is refused before or there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import ModelCard
from typer.testing import CliRunner, Result

from kbioxlm.common.errors import InputError
from kbioxlm.training.commands import app
from kbioxlm.training.finetuning.adapters import LoraSettings, read_adapter
from kbioxlm.training.finetuning.recipe import FinetuneRecipe
from kbioxlm.training.finetuning.run import finetune
from kbioxlm.training.models.export import export
from kbioxlm.training.models.shareable import without_folders

from .hub_stand_in import TOKEN, HubStandIn

ROOT = Path(__file__).parents[2]
NAME = "lab/tagger"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    running = HubStandIn()
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", running.url)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)  # a protocol of its own, for chunks
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield running
    running.close()


@pytest.fixture(scope="module")
def finished(checkpoint: Path, ner_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tagger, an adapter of the same data, and an export of the tagger."""
    folder = tmp_path_factory.mktemp("finished")
    keys: dict[str, Any] = {
        "checkpoint": str(checkpoint), "train": str(ner_files["train_en"]), "dev": str(ner_files["dev_en"]),
        "tests": {"en": str(ner_files["test_en"]), "zh": str(ner_files["test_zh"])}, "epochs": 1, "max_length": 62,
        "allow_near_duplicates": True, "bf16": False,
    }  # fmt: skip
    finetune(FinetuneRecipe(output=folder / "tagger", **keys))
    finetune(FinetuneRecipe(output=folder / "adapter", lora=LoraSettings(r=2), **keys))
    export(str(folder / "tagger"), folder / "exported", [str(ner_files["test_en"])], threads=1)
    return folder


@pytest.fixture
def tagger(finished: Path, tmp_path: Path) -> Path:
    """A copy to change, with what a run may leave beside its model."""
    folder = tmp_path / "tagger"
    shutil.copytree(finished / "tagger", folder)
    torch.save({"step": 3}, folder / "optimizer.pt")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04")
    (folder / "runs").mkdir()
    (folder / "runs" / "events.out.tfevents.1").write_bytes(b"log")
    return folder


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["push", *map(str, arguments)])


def card_of(text: bytes) -> Any:
    """A card, whose front matter huggingface_hub reads."""
    return ModelCard(text.decode())


def error_of(result: Result) -> str:
    assert isinstance(result.exception, InputError), (result.output, result.exception)
    return str(result.exception)


SENT = {
    "README.md", "config.json", "loss.png", "model.safetensors", "report.json", "tokenizer.json",
    "tokenizer_config.json", *(path.name for path in ROOT.glob("*_kbioxlm.py")),
}  # fmt: skip


def test_every_byte_arrives_and_nothing_else(hub: HubStandIn, tagger: Path, tmp_path: Path) -> None:
    done = call(tagger, NAME, "--license", "apache-2.0", "--language", "en", "--language", "zh")
    assert done.exit_code == 0, (done.output, done.exception)
    assert done.stdout.splitlines()[-1] == f"uploaded to {hub.url}/{NAME}"
    repository = hub.repositories[NAME]
    assert (repository.private, repository.kind, repository.commits) == (True, "model", ["tagger: ner"])
    assert set(repository.files) == SENT
    assert repository.large == {"model.safetensors"}
    for name in SENT - {"README.md", "report.json"}:
        assert repository.files[name] == (tagger / name).read_bytes(), name
    report = json.loads(repository.files["report.json"])
    assert report == without_folders(json.loads((tagger / "report.json").read_text(encoding="utf-8")))
    for name in SENT:
        assert str(tmp_path.parent).encode() not in repository.files[name], name


def test_the_card_says_what_the_report_says(hub: HubStandIn, tagger: Path) -> None:
    call(tagger, NAME, "--license", "mit", "--language", "en", "--data", "Sentences of *ours*.", "--public")
    assert hub.repositories[NAME].private is False
    report = json.loads((tagger / "report.json").read_text(encoding="utf-8"))
    card = card_of(hub.repositories[NAME].files["README.md"])
    assert (card.data.license, card.data.language, card.data.pipeline_tag) == ("mit", ["en"], "token-classification")
    assert [result.dataset_name for result in card.data.eval_results] == ["en", "zh"]
    for result in card.data.eval_results:
        cell = report["tests"][result.dataset_name]
        assert result.metric_value == round(cell["f1"], 2)
        assert result.metric_args == {"n": 16, "counted": "sentences", "seed": 13}
        assert f"{cell['f1']:.2f}" in card.text
        assert f"{cell['precision']:.2f}" in card.text
    for heading in ("Training data", "Metrics", "Training", "Intended use", "Limits", "Licence and citation"):
        assert f"## {heading}\n" in card.text
    for words in (
        "Sentences of *ours*.",
        "Out of scope: diagnosis",
        "geng-etal-2023-kbioxlm",
        "learning_rate: 5.0e-05",
    ):
        assert words in card.text.replace("5e-05", "5.0e-05")
    assert f'pipeline("biomedical-ner", model="{NAME}", trust_remote_code=True)' in card.text


def test_running_again_changes_nothing(hub: HubStandIn, tagger: Path) -> None:
    for _ in range(2):
        assert call(tagger, NAME, "--license", "mit").exit_code == 0
    assert hub.repositories[NAME].commits == ["tagger: ner"]
    assert hub.puts == 1
    before = dict(hub.repositories[NAME].files)
    assert call(tagger, NAME, "--license", "cc0-1.0").exit_code == 0
    after = hub.repositories[NAME].files
    assert {name for name in after if after[name] != before[name]} == {"README.md"}
    assert hub.puts == 1


def test_a_dry_run_shows_all_and_asks_for_nothing(hub: HubStandIn, tagger: Path) -> None:
    done = call(tagger, NAME, "--license", "mit", "--dry-run")
    assert done.exit_code == 0, done.exception
    assert hub.requests == []
    size = (tagger / "model.safetensors").stat().st_size
    assert f"{NAME} (private where it is made), nothing is sent:" in done.stdout
    assert any(line.split() == ["model.safetensors", f"{size:,}", "bytes"] for line in done.stdout.splitlines())
    assert "stays here: optimizer.pt, predictions/, pytorch_model.bin, runs/" in done.stdout
    assert "model-index:" in done.stdout
    card = done.stdout.partition("README.md:\n\n")[2].rstrip("\n") + "\n"
    call(tagger, NAME, "--license", "mit")
    assert hub.repositories[NAME].files["README.md"].decode() == card


def test_an_export_and_its_parity(hub: HubStandIn, finished: Path) -> None:
    done = call(finished / "exported", "lab/onnx", "--license", "mit")
    assert done.exit_code == 0, (done.output, done.exception)
    repository = hub.repositories["lab/onnx"]
    assert repository.large == {"model.onnx", "model_int8.onnx"}
    for name in ("model.onnx", "model_int8.onnx", "decoder.json", "tokenizer.json"):
        assert repository.files[name] == (finished / "exported" / name).read_bytes()
    card = card_of(repository.files["README.md"])
    assert (card.data.library_name, card.data.license) == ("onnx", "mit")
    names = [result.metric_name for result in card.data.eval_results]
    assert "strict entity-level micro-F1 (ONNX, int8)" in names
    assert "### Parity" in card.text
    assert "### Latency" in card.text
    assert 'OnnxTagger("lab/onnx")' in card.text


def test_an_adapter_names_its_base_on_the_hub(hub: HubStandIn, finished: Path, tmp_path: Path) -> None:
    folder = finished / "adapter"
    assert "push it first, and name it with --base-model" in error_of(call(folder, "lab/lora", "--license", "mit"))
    done = call(folder, "lab/lora", "--license", "mit", "--base-model", "lab/base")
    assert done.exit_code == 0, (done.output, done.exception)
    files = hub.repositories["lab/lora"].files
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == "lab/base"
    assert card_of(files["README.md"]).data.base_model == "lab/base"
    assert not any(str(finished.parent).encode() in content for content in files.values())
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert read_adapter(str(tmp_path)).base == "lab/base"  # as the Hub's copy is opened


def test_a_card_that_somebody_wrote_is_kept_and_completed(hub: HubStandIn, tagger: Path) -> None:
    body = "# Ours\n\nA tagger for *our* notes.\n"
    (tagger / "README.md").write_text(f"---\nlicense: cc-by-4.0\ntags: [notes]\n---\n{body}", encoding="utf-8")
    assert call(tagger, NAME).exit_code == 0
    card = card_of(hub.repositories[NAME].files["README.md"])
    assert (card.data.license, card.data.tags) == ("cc-by-4.0", ["notes"])
    assert len(card.data.eval_results) == 2
    assert card.text.strip() == body.strip()


def test_the_packaged_model(hub: HubStandIn) -> None:
    done = call(ROOT / "kbioxlm-small", "lab/small")
    assert done.exit_code == 0, (done.output, done.exception)
    files = hub.repositories["lab/small"].files
    assert set(files) == {path.name for path in (ROOT / "kbioxlm-small").iterdir()}
    theirs, ours = (card_of(text) for text in (files["README.md"], (ROOT / "kbioxlm-small/README.md").read_bytes()))
    assert theirs.text.strip() == ours.text.strip()
    assert theirs.data.to_dict() == ours.data.to_dict()


def test_a_refused_token_and_no_token(hub: HubStandIn, tagger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    message = error_of(call(tagger, NAME, "--license", "mit"))
    assert message.startswith("push: the Hub refuses: ")
    assert "401" in message
    assert message.endswith(f"run the same command again; the model is in {tagger}")
    assert hub.repositories == {}


def test_a_large_file_that_is_refused(hub: HubStandIn, tagger: Path) -> None:
    hub.refuses_large = True
    message = error_of(call(tagger, NAME, "--license", "mit"))
    assert message.startswith("push: the Hub refuses: ")
    assert "403" in message
    assert hub.repositories[NAME].files == {}
    hub.refuses_large = False
    assert call(tagger, NAME, "--license", "mit").exit_code == 0
    assert set(hub.repositories[NAME].files) == SENT


def test_a_server_that_is_not_there(hub: HubStandIn, tagger: Path) -> None:
    hub.close()
    message = error_of(call(tagger, NAME, "--license", "mit"))
    assert message.startswith("push: the Hub cannot be reached (")
    assert message.endswith(f"the model is in {tagger}")


def test_what_is_refused_before_anything_is_sent(hub: HubStandIn, tagger: Path, tmp_path: Path) -> None:
    assert "give --license" in error_of(call(tagger, NAME))
    assert "write owner/name" in error_of(call(tagger, "a b/c", "--license", "mit"))
    assert "'alone' has no owner" in error_of(call(tagger, "alone", "--license", "mit"))
    assert "no such folder" in error_of(call(tmp_path / "none", NAME, "--license", "mit"))
    (tmp_path / "empty").mkdir()
    assert "has no report.json" in error_of(call(tmp_path / "empty", NAME, "--license", "mit"))
    (tmp_path / "empty" / "report.json").write_text('{"task": "evaluation"}', encoding="utf-8")
    assert "is the report of 'evaluation'" in error_of(call(tmp_path / "empty", NAME, "--license", "mit"))
    (tmp_path / "empty" / "report.json").write_text("[]", encoding="utf-8")
    assert "is no report of a run" in error_of(call(tmp_path / "empty", NAME, "--license", "mit"))
    for name in ("tokenizer.json", "config.json", "model.safetensors"):
        copy = tmp_path / f"without-{name}"
        shutil.copytree(tagger, copy)
        (copy / name).unlink()
        assert f"has no {name}" in error_of(call(copy, NAME, "--license", "mit"))
    weights = tagger / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "model.safetensors: is damaged" in error_of(call(tagger, NAME, "--license", "mit"))
    assert hub.requests == []


def test_a_card_that_names_a_folder_of_this_machine(hub: HubStandIn, tagger: Path) -> None:
    (tagger / "README.md").write_text(f"---\nlicense: mit\n---\nSee {Path.cwd()}/notes.\n", encoding="utf-8")
    assert "names " in error_of(call(tagger, NAME))
    assert hub.requests == []


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("/srv/someone/runs/tagger", "tagger"),
        ("/data/bm:bc5cdr_en", "bm:bc5cdr_en"),
        ("~/runs/x", "x"),
        ("C:\\Users\\someone\\tagger", "tagger"),
        ("https://huggingface.co/lab/model", "https://huggingface.co/lab/model"),
        ("lab/model", "lab/model"),
        ("a and/or b, 5 mg/kg/day", "a and/or b, 5 mg/kg/day"),
        ("runs/benchmarks:ade_en", "runs/benchmarks:ade_en"),
        ("read '/srv/a/b.txt' twice", "read 'b.txt' twice"),
    ],
)
def test_folders_are_shortened_to_their_names(said: str, told: str) -> None:
    assert without_folders({"a": [said, 1], "b": None}) == {"a": [told, 1], "b": None}
