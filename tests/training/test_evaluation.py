from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from kbioxlm.common.errors import InputError
from kbioxlm.modeling_kbioxlm import KBioXLMForTokenClassification
from kbioxlm.training.evaluation.run import EvaluateRecipe, Probes, evaluate, evaluate_tests, run_probes
from kbioxlm.training.finetuning.ner import iob2_tags
from kbioxlm.training.finetuning.tagger import load_tagger
from kbioxlm.training.finetuning.tasks.ner import NerTask


@pytest.fixture(scope="module")
def tagger(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tagger with a random head."""
    torch.manual_seed(2)
    model, tokenizer = load_tagger(str(checkpoint), iob2_tags(["Drug", "Effect"]), True)
    folder = tmp_path_factory.mktemp("tagger")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def corpora(tmp_path: Path) -> Path:
    """A corpora folder that holds out three names for test and two for dev."""
    pairs = [("aspirin", "阿司匹林"), ("heparin", "肝素"), ("lithium", "锂"), ("morphine", "吗啡"), ("nausea", "恶心")]
    rows = [
        {"concept": f"K{i}", "split": "test" if i < 3 else "dev", "source": source, "target": target}
        for i, (source, target) in enumerate(pairs)
    ]
    (tmp_path / "corpora" / "held_out").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "corpora" / "held_out" / "part.parquet")
    return tmp_path / "corpora"


def test_report_of_a_tagger(tagger: Path, ner_files: dict[str, Path], corpora: Path, tmp_path: Path) -> None:
    recipe = EvaluateRecipe(
        checkpoint=str(tagger),
        output=tmp_path / "report",
        tests={"zh": str(ner_files["test_zh"])},
        corpora=corpora,
        probes=Probes(parallel={"toy": (str(ner_files["test_en"]), str(ner_files["test_zh"]))}),
        max_length=62,
    )
    report = evaluate(recipe)
    assert report["tests"]["zh"]["n"] == 16
    assert 0 <= report["tests"]["zh"]["f1"] <= 100
    assert set(report["probes"]) == {"name_retrieval", "sentence_retrieval/toy"}  # a tagger predicts no pieces
    assert (report["probes"]["name_retrieval"]["n"], report["probes"]["sentence_retrieval/toy"]["n"]) == (3, 13)
    assert json.loads((tmp_path / "report" / "report.json").read_text()) == report
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"report.json", "f1.png"}


def test_probes_of_a_pretraining_checkpoint(checkpoint: Path, corpora: Path) -> None:
    results = run_probes(checkpoint, Probes(), None, corpora, ("en", "zh"), seed=1)
    assert set(results) == {"name_retrieval", "masked_names"}
    assert all({"value", "n", "chance"} <= set(result) for result in results.values())
    assert run_probes(checkpoint, Probes(), None, None, ("en", "zh"), seed=1) == {}


def test_seen_names_are_masked_too(checkpoint: Path, corpora: Path, tmp_path: Path) -> None:
    rows = [
        {"concept": "K9", "language": language, "name": name, "preferred": True}
        for language, name in (("en", "fever"), ("zh", "发热"))
    ]
    (tmp_path / "kb" / "names").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "kb" / "names" / "part.parquet")
    results = run_probes(checkpoint, Probes(seen_names=5), tmp_path / "kb", corpora, ("en", "zh"), seed=1)
    assert (results["masked_names_seen"]["n"], results["masked_names"]["n"]) == (1, 3)


def test_an_xlm_roberta_checkpoint_is_probed(
    xlm_roberta_folder: Path, checkpoint: Path, corpora: Path, tmp_path: Path
) -> None:
    for file in xlm_roberta_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((checkpoint / name).read_bytes())
    results = run_probes(tmp_path, Probes(), None, corpora, ("en", "zh"), seed=1)
    assert results["masked_names"]["chance"] == round(100 / 120, 4)


def test_scores_agree_with_the_model(tagger: Path, ner_files: dict[str, Path]) -> None:
    """Every unit tagged as the first label says gives F1 0; the report counts what was there."""
    model = KBioXLMForTokenClassification.from_pretrained(tagger)
    tokenizer = AutoTokenizer.from_pretrained(tagger, config=model.config)
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([5.0, 0, 0, 0, 0]))
    silent = tagger.with_name("silent")
    model.save_pretrained(silent)
    tokenizer.save_pretrained(silent)
    scores = evaluate_tests(NerTask(), str(silent), {"en": str(ner_files["test_en"])}, max_length=62)["en"]
    assert (scores["f1"], scores["recall"], scores["entities"], scores["n"]) == (0, 0, 32, 16)
    assert scores["types"]["Drug"]["entities"] == 16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tests": {}}, "names nothing to run; give tests, corpora or probes.parallel"),
        ({"tests": {"x": "none.txt"}}, "none.txt: no such file"),
        ({"max_length": 63}, "max_length 63 is longer than the model, which has 62 positions"),
    ],
)
def test_errors(tagger: Path, ner_files: dict[str, Path], tmp_path: Path, change: dict[str, Any], message: str) -> None:
    tests = {"zh": str(ner_files["test_zh"])}
    keys: dict[str, Any] = {"checkpoint": str(tagger), "output": tmp_path / "out", "tests": tests, "max_length": 62}
    with pytest.raises(InputError, match=message):
        evaluate(EvaluateRecipe(**keys | change))
    assert not (tmp_path / "out").exists()


def test_unknown_labels(tagger: Path, tmp_path: Path) -> None:
    (tmp_path / "gene.txt").write_text("-DOCSTART-\tx\nBRCA1\tB-Gene\n")
    with pytest.raises(InputError, match=r"gene\.txt: sentence x/0 has label 'Gene', .* it knows Drug, Effect"):
        evaluate_tests(NerTask(), str(tagger), {"g": str(tmp_path / "gene.txt")}, max_length=62)


def test_an_output_that_holds_a_model(tagger: Path, ner_files: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="is not a folder for reports; name a folder of its own"):
        evaluate(EvaluateRecipe(checkpoint=str(tagger), output=tagger, tests={"zh": str(ner_files["test_zh"])}))


def test_missing_encoder_weights(tagger: Path, corpora: Path, tmp_path: Path) -> None:
    for file in tagger.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    del weights["roberta.encoder.layer.0.output.dense.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"1 encoder weights are missing, such as roberta\.encoder\.layer\.0\.output"):
        run_probes(tmp_path, Probes(), None, corpora, ("en", "zh"), seed=1)
    with pytest.raises(InputError, match=r"1 weights are missing, such as .*; name an encoder whose weights"):
        load_tagger(str(tmp_path), ["O"])
    with pytest.raises(InputError, match=r"1 weights are missing, such as .*; name a fine-tuned tagger"):
        load_tagger(str(tmp_path))


def test_a_tagger_gets_a_new_head_for_new_tags(tagger: Path) -> None:
    old, _ = load_tagger(str(tagger))
    for tags in (["O", "B-Gene", "I-Gene"], iob2_tags(["Gene", "Drug"])):  # fewer tags, and as many but others
        model, _ = load_tagger(str(tagger), tags)
        assert list(model.config.id2label.values()) == tags
        assert model.classifier.weight.shape == (len(tags), 32)
        for name, parameter in old.roberta.named_parameters():
            assert torch.equal(parameter, dict(model.roberta.named_parameters())[name])
    assert not torch.equal(model.classifier.weight, old.classifier.weight)


def test_a_checkpoint_in_half_precision_is_read_in_float32(tagger: Path, tmp_path: Path) -> None:
    for file in tagger.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    model, _ = load_tagger(str(tagger))
    model.bfloat16().save_pretrained(tmp_path)
    for loaded in (load_tagger(str(tmp_path)), load_tagger(str(tmp_path), ["O", "B-X", "I-X"])):
        assert {parameter.dtype for parameter in loaded[0].parameters()} == {torch.float32}


def test_a_folder_without_tokenizer(tagger: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((tagger / name).read_bytes())
    with pytest.raises(InputError, match=r"has no tokenizer with a vocabulary; put the model's own tokenizer"):
        load_tagger(str(tmp_path))
    (tmp_path / "config.json").unlink()
    with pytest.raises(InputError, match=r"the folder has no config\.json; name the folder of a saved model"):
        load_tagger(str(tmp_path))
