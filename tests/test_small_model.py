"""The models that the repository ships: whole, small, loadable by strangers, running the code of this checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors import safe_open
from transformers import AutoTokenizer, pipeline

from kbioxlm.modeling_kbioxlm import KBioXLMForPreTraining

ROOT = Path(__file__).parents[1]
SMALL = ROOT / "kbioxlm-small"
TAGGERS = ROOT / "spaces" / "models"
SHIPPED = (SMALL, TAGGERS / "bilingual", TAGGERS / "english")
PAIRS = [("Patients with diabetes have high blood <mask>.", "pressure"), ("患者患有<mask>，服用降压药。", "高血压")]


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_the_folder_is_whole_and_small(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md", "report.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]
    assert (folder / "model.safetensors").stat().st_size <= 60e6
    with safe_open(folder / "model.safetensors", "pt") as weights:
        dtypes = {weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118 - not a mapping
    assert dtypes <= {"F16", "I64"}


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
@pytest.mark.parametrize("path", sorted(ROOT.glob("*_kbioxlm.py")), ids=lambda path: path.name)
def test_its_code_is_that_of_the_checkout(path: Path, folder: Path) -> None:
    assert (folder / path.name).read_bytes() == path.read_bytes(), "run: make shipped-code"


def test_the_tagger_finds_what_it_was_trained_for_in_both_languages() -> None:
    ner = pipeline("biomedical-ner", model=str(TAGGERS / "bilingual"), trust_remote_code=True)
    english, chinese = ner(["Aspirin may cause gastric ulcer.", "阿司匹林可引起胃溃疡。"])
    assert [(entity["word"], entity["entity_group"]) for entity in english] == [
        ("Aspirin", "CHEM"),
        ("gastric ulcer", "DIS"),
    ]
    assert [(entity["word"], entity["entity_group"]) for entity in chinese] == [("阿司匹林", "CHEM"), ("胃溃疡", "DIS")]


def test_its_card_says_what_it_is_worth() -> None:
    text = (SMALL / "README.md").read_text(encoding="utf-8")
    card = yaml.safe_load(text.split("---\n")[1])
    assert card["license"] == "apache-2.0"
    assert card["language"] == ["en", "zh"]
    for section in ("## Data", "## Training", "## Metrics", "## Limits"):
        assert section in text
    assert "zero-shot, mean" in text


def test_it_loads_without_this_package_and_predicts() -> None:
    code = (
        "import sys; sys.modules['kbioxlm'] = None\n"
        "from transformers import AutoModelForMaskedLM, AutoTokenizer\n"
        f"model = AutoModelForMaskedLM.from_pretrained({str(SMALL)!r}, trust_remote_code=True)\n"
        f"tokenizer = AutoTokenizer.from_pretrained({str(SMALL)!r}, config=model.config)\n"
        "inputs = tokenizer('患者患有<mask>，服用降压药。', return_tensors='pt')\n"
        "where = (inputs['input_ids'] == tokenizer.mask_token_id)[0].nonzero()[0, 0]\n"
        "print(model.dtype, tokenizer.decode(model(**inputs).logits[0, where].argmax()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["torch.float32", "高血压"]


def test_it_tells_its_two_languages_right() -> None:
    """Random weights would get neither."""
    model = KBioXLMForPreTraining.from_pretrained(SMALL).eval()
    tokenizer = AutoTokenizer.from_pretrained(SMALL, config=model.config)
    for text, expected in PAIRS:
        inputs = tokenizer(text, return_tensors="pt")
        masked = inputs["input_ids"] == tokenizer.mask_token_id
        with torch.no_grad():
            hidden = model.roberta(**inputs).last_hidden_state
            logits = model.lm_head(hidden[masked])[0]
        best = tokenizer.batch_decode(logits.topk(10).indices.unsqueeze(1))
        assert expected in [piece.strip() for piece in best]
