"""Exported models: their graphs give the model's logits, and a tagger without torch the pipeline's entities."""

from __future__ import annotations

import builtins
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import pipeline
from typer.testing import CliRunner

from kbioxlm.common.errors import InputError
from kbioxlm.modeling_crf_kbioxlm import KBioXLMCRF
from kbioxlm.modeling_kbioxlm import iob2_forbidden
from kbioxlm.training.commands import app
from kbioxlm.training.finetuning.adapters import LoraSettings
from kbioxlm.training.finetuning.recipe import FinetuneRecipe
from kbioxlm.training.finetuning.run import finetune
from kbioxlm.training.finetuning.tagger import load_tagger
from kbioxlm.training.finetuning.tagging import tag_texts
from kbioxlm.training.models import parity
from kbioxlm.training.models.export import export
from kbioxlm.training.models.onnx_tagger import PADDING, Crf, OnnxTagger, batches, run, session_of

from .other_encoders import save_encoder

ENGLISH = "the patient took aspirin and had severe bleeding ."
CHINESE = "患者服用阿司匹林后出现严重出血。"
TEXTS = [ENGLISH, CHINESE, "", " \n", f"{CHINESE} {ENGLISH}", "a\ud800b 𝛼 aspirin", " ".join([ENGLISH] * 12), "。" * 90]
LEARN: dict[str, Any] = {
    "epochs": 12, "batch_size": 4, "learning_rate": 3e-3, "head_learning_rate": 1e-2, "max_length": 62, "bf16": False,
    "allow_near_duplicates": True, "allow_shared_documents": True, "dev_share": 0.2,
}  # fmt: skip


@pytest.fixture(scope="module")
def tagger(checkpoint: Path, ner_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tagger that has learnt its sentences by heart."""
    output = tmp_path_factory.mktemp("tagger") / "ner"
    tests = {"en": str(ner_files["test_en"])}
    finetune(
        FinetuneRecipe(
            checkpoint=str(checkpoint), train=str(ner_files["train_en"]), tests=tests, output=output, **LEARN
        )
    )
    return output


@pytest.fixture(scope="module")
def exported(tagger: Path, ner_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("exported") / "ner"
    arguments = [str(tagger), str(output), "--onnx", "--threads", "1"]
    tests = [argument for name in ("test_en", "test_zh") for argument in ("--test", str(ner_files[name]))]
    done = CliRunner().invoke(app, ["export", *arguments, *tests])
    assert done.exit_code == 0, done.output
    assert "test_en: F1 100.00, ONNX 100.00, int8 100.00 (n=16)" in done.output
    return output


def report_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def test_the_report_holds_parity_f1_and_latency(exported: Path, tagger: Path) -> None:
    report = report_of(exported)
    assert {path.name for path in exported.iterdir()} == {
        "model.onnx", "model_int8.onnx", "config.json", "decoder.json", "tokenizer.json", "tokenizer_config.json",
        "report.json", "README.md",
    }  # fmt: skip
    assert report["parity"]["onnx"]["mean"] <= report["parity"]["onnx"]["largest"] < 1e-4
    assert 1e-4 < report["parity"]["int8"]["largest"] < 0.2 * report["parity"]["greatest_logit"]
    assert report["tests"]["test_en"]["f1"] == {"pytorch": 100, "onnx": 100, "int8": 100}
    assert report["tests"]["test_zh"]["same"]["onnx"] == report["tests"]["test_zh"]["n"] == 16
    assert set(report["latency"]["milliseconds"]) == {"pytorch", "onnx", "int8"}
    assert all(0 < cell["1"] < cell["32"] for cell in report["latency"]["milliseconds"].values())
    assert report["latency"]["threads"] == 1
    assert report["run"]["tests"] == report_of(tagger)["tests"]
    card = (exported / "README.md").read_text(encoding="utf-8")
    for figure in (report["parity"]["int8"]["largest"], report["parity"]["onnx"]["mean"]):
        assert f"{figure:.2e}" in card
    assert f"{report['latency']['milliseconds']['int8']['32']:.2f}" in card
    assert str(tagger.parent) not in card


@pytest.mark.parametrize(("batch", "length"), [(1, 1), (1, 62), (3, 2), (5, 31), (2, 62)])
def test_any_shape_gives_the_logits_of_the_model(exported: Path, tagger: Path, batch: int, length: int) -> None:
    model, _ = load_tagger(str(tagger))
    model.eval()
    random = np.random.default_rng(length)
    sizes = [length, *random.integers(1, length + 1, batch - 1).tolist()]
    rows = [random.integers(4, model.config.vocab_size, size).tolist() for size in sizes]
    found = run(session_of(exported / "model.onnx", 1), rows, model.config.pad_token_id)
    assert found.shape == (batch, length, model.num_labels)
    for row, logits in zip(rows, found, strict=True):  # each by itself, where the model sees no padding
        alone = model(input_ids=torch.tensor([row])).logits[0].detach().numpy()
        np.testing.assert_allclose(logits[: len(row)], alone, atol=2e-5)


def test_weights_are_8_bit_but_for_the_last_layer(exported: Path) -> None:
    whole, small = (onnx.load(exported / name).graph for name in ("model.onnx", "model_int8.onnx"))
    kinds = [node.op_type for node in small.node]
    assert kinds.count("MatMulInteger") == 2 * 6  # of each of two layers: query, key, value and three dense ones
    assert kinds.count("MatMul") == 2 * 2 + 1  # attention twice, and the last layer
    large = [tensor for tensor in small.initializer if np.prod(tensor.dims) >= 32 * 32]
    assert len(large) > 12
    assert {tensor.data_type for tensor in large} <= {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}
    assert not [node for graph in (whole, small) for node in graph.node if node.domain not in ("", "ai.onnx")]


def test_the_tagger_finds_what_the_pipeline_finds(exported: Path, tagger: Path) -> None:
    expected = pipeline("biomedical-ner", model=str(tagger), trust_remote_code=True)(TEXTS)
    assert sum(map(len, expected)) > 20
    found = OnnxTagger(exported, threads=1, int8=False).predict(TEXTS)
    for ours, theirs in zip(found, expected, strict=True):
        scores = [[entity.pop("score") for entity in entities] for entities in (ours, theirs)]
        assert ours == theirs
        np.testing.assert_allclose(scores[0], scores[1], atol=1e-4)


def test_int8_finds_entities_in_what_was_learnt(exported: Path) -> None:
    found = OnnxTagger(exported, threads=1).predict([ENGLISH])
    assert [(entity["entity_group"], entity["word"]) for entity in found[0]] == [
        ("Drug", "aspirin"), ("Effect", "severe bleeding"),
    ]  # fmt: skip
    assert OnnxTagger(exported, threads=1).predict([]) == []


_ALONE = """
import json, sys
for name in ("torch", "transformers", "safetensors", "typer"):
    sys.modules[name] = None
from kbioxlm.training.models.onnx_tagger import OnnxTagger
print(json.dumps(OnnxTagger(sys.argv[1], 1, int8=False).predict(json.loads(sys.argv[2]))))
"""


def test_the_tagger_needs_no_torch(exported: Path) -> None:
    command = [sys.executable, "-c", _ALONE, str(exported), json.dumps([ENGLISH, CHINESE])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == OnnxTagger(exported, 1, int8=False).predict([ENGLISH, CHINESE])


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_decoding_is_that_of_the_crf(seed: int) -> None:
    torch.manual_seed(seed)
    labels = ["O", "B-X", "I-X", "B-Y", "I-Y"]
    crf = KBioXLMCRF(len(labels))
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter, std=2)
    lengths = torch.randint(0, 7, (4,))
    emissions = 3 * torch.randn(4, 7, len(labels))
    mask = torch.arange(7) < lengths.unsqueeze(1)
    values = {name: getattr(crf, name).tolist() for name in ("start", "end", "transitions")}
    first, following = iob2_forbidden(labels)
    ours = Crf.of({**values, "forbidden_start": first.tolist(), "forbidden": following.tolist()})
    steps = emissions.permute(1, 2, 0).contiguous().numpy()
    assert ours.decode(steps, lengths.tolist()) == crf.decode(emissions, mask, first, following)
    expected = crf.marginals(emissions, mask)
    found = torch.from_numpy(ours.marginals(steps, lengths.tolist())).permute(2, 0, 1).float()
    torch.testing.assert_close(found[mask], expected[mask], atol=1e-5, rtol=1e-4)


@given(st.lists(st.integers(1, 200), max_size=80), st.integers(1, 9))
def test_batches_hold_everything_once_and_hardly_any_padding(lengths: list[int], size: int) -> None:
    found = list(batches(lengths, size))
    assert sorted(place for chosen in found for place in chosen) == list(range(len(lengths)))
    for chosen in found:
        longest = max(lengths[place] for place in chosen)
        assert len(chosen) <= size
        assert sum(longest - lengths[place] for place in chosen) <= PADDING * longest * len(chosen)


def tagger_without_crf(checkpoint: Path, ner_files: dict[str, Path], folder: Path) -> tuple[Path, list[str]]:
    keys = {"train": str(ner_files["train_en"]), **LEARN, "use_crf": False}
    finetune(FinetuneRecipe(checkpoint=str(checkpoint), output=folder / "model", **keys))
    return folder / "model", [str(ner_files["test_en"])]


def adapter(checkpoint: Path, ner_files: dict[str, Path], folder: Path) -> tuple[Path, list[str]]:
    keys = {"train": str(ner_files["train_en"]), **LEARN, "epochs": 2, "lora": LoraSettings(r=2)}
    finetune(FinetuneRecipe(checkpoint=str(checkpoint), output=folder / "model", **keys))
    return folder / "model", [str(ner_files["test_en"])]


@pytest.mark.parametrize("make", [tagger_without_crf, adapter])
def test_other_taggers(
    make: Callable[..., tuple[Path, list[str]]], checkpoint: Path, ner_files: dict[str, Path], tmp_path: Path
) -> None:
    model, tests = make(checkpoint, ner_files, tmp_path)
    report = export(str(model), tmp_path / "out", tests, threads=1)
    assert report["parity"]["onnx"]["largest"] < 1e-4
    assert report["tests"]["test_en"]["same"]["onnx"] == 16
    texts = [ENGLISH, CHINESE]
    found = OnnxTagger(tmp_path / "out", 1, int8=False).predict(texts)
    if make is adapter:
        assert CliRunner().invoke(app, ["merge-adapter", str(model), str(tmp_path / "whole")]).exit_code == 0
        model = tmp_path / "whole"
    expected = pipeline("biomedical-ner", model=str(model), trust_remote_code=True)(texts)
    for ours, theirs in zip(found, expected, strict=True):
        assert [{**entity, "score": round(entity["score"], 3)} for entity in ours] == [
            {**entity, "score": round(entity["score"], 3)} for entity in theirs
        ]


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_encoders_of_other_shapes(kind: str, checkpoint: Path, ner_files: dict[str, Path], tmp_path: Path) -> None:
    encoder = save_encoder(kind, [ENGLISH, CHINESE], checkpoint, tmp_path / kind)
    model, tests = tagger_without_crf(encoder, ner_files, tmp_path)
    report = export(str(model), tmp_path / "out", tests, threads=1)
    assert report["parity"]["onnx"]["largest"] < 1e-4
    assert report["tests"]["test_en"]["same"]["onnx"] == 16
    (found,) = OnnxTagger(tmp_path / "out", 1, int8=False).predict([ENGLISH])
    expected = json.loads(tag_texts(str(model), [ENGLISH]))["entities"]
    assert [(one["start"], one["end"]) for one in found] == [(one["start"], one["end"]) for one in expected]


@pytest.mark.parametrize(("task", "source"), [("relation", "gad"), ("document", "hoc")])
def test_classifiers(task: Any, source: str, checkpoint: Path, labelled_texts: Path, tmp_path: Path) -> None:
    data = f"{labelled_texts}:{source}_en"
    keys = {**LEARN, "task": task, "train": data, "dev": data, "epochs": 2}
    del keys["dev_share"]
    finetune(FinetuneRecipe(checkpoint=str(checkpoint), output=tmp_path / "model", **keys))
    report = export(str(tmp_path / "model"), tmp_path / "out", [data, f"{labelled_texts}:{source}_zh"], threads=1)
    assert report["parity"]["onnx"]["largest"] < 1e-4
    for name in (f"{source}_en", f"{source}_zh"):
        cell = report["tests"][name]
        assert cell["same"]["onnx"] == cell["n"] == 32
        assert cell["f1"]["onnx"] == cell["f1"]["pytorch"]
    with pytest.raises(InputError, match=f"was exported from a model of task '{task}'"):
        OnnxTagger(tmp_path / "out")
    assert "## Metrics" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_without_a_test_set_random_pieces_are_compared(tagger: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    for path in tagger.iterdir():
        if path.is_file() and path.name != "report.json":
            (folder / path.name).symlink_to(path)
    report = export(str(folder), tmp_path / "out", threads=1)
    assert report["parity"]["windows"] == 64
    assert report["parity"]["onnx"]["largest"] < 1e-4
    assert report["tests"] == report["run"] == {}


def test_what_cannot_be_exported(
    checkpoint: Path, tagger: Path, ner_files: dict[str, Path], labelled_texts: Path, tmp_path: Path
) -> None:
    done = CliRunner().invoke(app, ["export", str(tagger), str(tmp_path / "out")])
    assert str(done.exception) == "command line: no format is named; add --onnx"
    with pytest.raises(InputError, match="name a fine-tuned model"):
        export(str(checkpoint), tmp_path / "out")
    with pytest.raises(InputError, match="no such checkpoint folder"):
        export(str(tmp_path / "none"), tmp_path / "out")
    with pytest.raises(InputError, match="would replace the checkpoint"):
        export(str(tagger), tagger.parent)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("all of it", encoding="utf-8")
    with pytest.raises(InputError, match=r"no report\.json, so it is not a run of ours"):
        export(str(tagger), tmp_path / "full")
    with pytest.raises(InputError, match="two sources are both called test_en"):
        export(str(tagger), tmp_path / "out", [str(ner_files["test_en"])] * 2)
    with pytest.raises(InputError, match="set task: relation or document"):
        export(str(tagger), tmp_path / "out", [f"{labelled_texts}:gad_en"])
    foreign = tmp_path / "foreign.txt"
    foreign.write_text("-DOCSTART-\td1\n\naspirin\tB-Gene\n", encoding="utf-8")
    with pytest.raises(InputError, match="label 'Gene', which the model does not know"):
        export(str(tagger), tmp_path / "out", [str(foreign)])
    assert not (tmp_path / "out").exists()


def test_packages_that_are_missing_are_named(tagger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def absent(name: str, *arguments: Any, **named: Any) -> Any:
        if name.partition(".")[0] in ("onnxscript", "onnxruntime"):
            raise ImportError(f"No module named {name!r}", name=name)
        return imported(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(InputError, match=r"is not installed; pip install 'kbioxlm\[onnx\]'"):
        export(str(tagger), tmp_path / "out")
    with pytest.raises(InputError, match="onnxruntime: is not installed"):
        session_of(tmp_path / "model.onnx")


def test_a_folder_that_is_damaged(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"decoder\.json: no such file"):
        OnnxTagger(tmp_path)
    for name in ("decoder.json", "tokenizer.json", "model_int8.onnx"):
        folder = tmp_path / name
        folder.mkdir()
        for path in exported.iterdir():
            (folder / path.name).write_bytes(path.read_bytes()[: 40 if path.name == name else None])
        with pytest.raises(InputError, match=f"{name}: .*; export the model again"):
            OnnxTagger(folder, threads=1)


def test_timings_end(monkeypatch: pytest.MonkeyPatch, exported: Path, tagger: Path) -> None:
    monkeypatch.setattr(parity, "_TIMED_SECONDS", 0.0)
    model, _ = load_tagger(str(tagger))
    found = parity.latency(model.eval(), {"onnx": session_of(exported / "model.onnx", 1)}, 1, 8, 1)
    assert set(found["milliseconds"]) == {"pytorch", "onnx"}
