"""The log of a pretraining run: means over positions, sums that interruptions leave alone, flops, trackers, card."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kbioxlm.common.errors import InputError
from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.modeling_kbioxlm import KBioXLMForPreTraining
from kbioxlm.training.pretraining import flops
from kbioxlm.training.pretraining.flops import peak_flops, step_flops
from kbioxlm.training.pretraining.masking import IGNORED
from kbioxlm.training.pretraining.model_card import model_card
from kbioxlm.training.pretraining.progress import Window, check_finite, labelled
from kbioxlm.training.pretraining.recipe import CardSection
from kbioxlm.training.pretraining.trackers import Trackers, require_trackers

SIZES = {"pieces": 80, "padded_pieces": 100, "seconds": 0.5, "flops": 3e12, "gradient_norm": 2.0}


def test_an_entry_is_a_mean_over_positions_not_over_steps() -> None:
    window = Window()
    window.add([2.0, 0.0, 1.0], [10, 0, 2], [5, 0, 2], **SIZES)
    window.add([4.0, 3.0, 0.0], [30, 4, 0], [3, 1, 0], **{**SIZES, "pieces": 40})
    entry = window.entry(12, peak=2e13)
    assert entry == {
        "step": 12, "steps": 2, "loss": 5.0, "entity_loss": 3.5, "entity_accuracy": 0.2, "relation_loss": 3.0,
        "relation_accuracy": 0.25, "passage_loss": 1.0, "passage_accuracy": 1.0, "gradient_norm": 2.0, "padding": 0.4,
        "pieces_per_second": 120.0, "model_tflops": 6.0, "model_flops_utilisation": 0.3,
    }  # fmt: skip
    assert "model_flops_utilisation" not in window.entry(12, peak=None)


def test_an_objective_without_labels_has_no_accuracy() -> None:
    window = Window()
    window.add([2.0, 0.0, 0.0], [10, 0, 0], [5, 0, 0], **SIZES)
    assert {name for name in window.entry(1, None) if name.endswith("accuracy")} == {"entity_accuracy"}


def test_what_is_counted_as_right() -> None:
    torch.manual_seed(0)
    model = KBioXLMForPreTraining(
        KBioXLMConfig(vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
                      max_position_embeddings=20, mlm_vocab_size=30)
    ).eval()  # fmt: skip
    model.lm_head.token_ids.copy_(torch.arange(10, 40))
    batch = {name: torch.full((4, 6), IGNORED) for name in ("labels", "relation_labels")}
    batch["input_ids"], batch["attention_mask"] = torch.randint(5, 60, (4, 6)), torch.ones(4, 6, dtype=torch.long)
    batch["labels"][:, 1:3] = torch.randint(10, 40, (4, 2))
    batch["relation_labels"][1, 4] = 20
    batch["passage_labels"] = torch.tensor([0, IGNORED, 2, 1])
    with torch.no_grad():
        outputs = model(**batch)
        best = model.lm_head.token_ids[model.lm_head(model.roberta(batch["input_ids"]).last_hidden_state).argmax(-1)]
    batch["labels"][2, 1:3] = best[2, 1:3]
    batch["relation_labels"][1, 4] = best[1, 4]
    expected = [(best == batch[name]).sum().item() for name in ("labels", "relation_labels")]
    expected.append((outputs.passage_logits.argmax(-1) == batch["passage_labels"]).sum().item())
    with torch.no_grad():
        assert model(**batch).correct.tolist() == expected
    assert expected[0] >= 2
    assert expected[1] == 1
    assert labelled(batch).tolist() == [8, 1, 3]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite(value: float) -> None:
    check_finite([1.0, 2.0, 0.0], 7, "x")
    message = r"step 7: the relation loss is (nan|inf); try a lower learning_rate, .* or bf16=false; x is kept"
    with pytest.raises(InputError, match=message):
        check_finite([1.0, value, 0.0], 7, "x is kept")


def test_flops_are_those_of_the_matrix_products() -> None:
    """Counted by torch itself over one forward pass, of which a step is worth three."""
    from torch.utils.flop_counter import FlopCounterMode

    config = KBioXLMConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=40,
        max_position_embeddings=20, mlm_vocab_size=30, attn_implementation="eager",
    )  # fmt: skip
    model = KBioXLMForPreTraining(config).eval()
    labels = torch.full((3, 8), IGNORED)
    labels[0, 2:6] = 7
    with FlopCounterMode(display=False) as counter:
        model(
            input_ids=torch.randint(5, 60, (3, 8)), attention_mask=torch.ones(3, 8, dtype=torch.long), labels=labels,
            passage_labels=torch.tensor([0, 1, 2]),
        )  # fmt: skip
    assert step_flops(config, 24, 3 * 64, 4, 3) == 3 * counter.get_total_flops()


def test_peaks_are_those_of_the_named_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert peak_flops(torch.device("cpu"), True) is None
    named = {
        "NVIDIA H100 80GB HBM3": (989.5e12, 67e12), "NVIDIA H100 PCIe": (756e12, 51e12),
        "NVIDIA H200": (989.5e12, 67e12), "NVIDIA A100-SXM4-80GB": (312e12, 19.5e12),
        "NVIDIA GeForce GTX 970": (None, None),
    }  # fmt: skip
    for name, peaks in named.items():
        monkeypatch.setattr(flops.torch.cuda, "get_device_name", lambda _, name=name: name)
        assert tuple(peak_flops(torch.device("cuda"), bf16) for bf16 in (True, False)) == peaks


def test_tensorboard_shows_no_step_twice_after_a_kill(tmp_path: Path) -> None:
    with Trackers(["tensorboard"], tmp_path, "run", {"steps": 9}, None) as trackers:
        for step in (3, 6, 9):
            trackers.log({"step": step, "loss": 10.0 - step})
    with Trackers(["tensorboard"], tmp_path, "run", {"steps": 9}, tmp_path / "checkpoint-6") as trackers:
        trackers.log({"step": 9, "loss": 0.5})
    shown = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in shown.Scalars("loss")] == [(3, 7.0), (6, 4.0), (9, 0.5)]


def test_trackio_is_told_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own package is large, so what stands in for it here only notes how it is called."""
    calls: list[Any] = []
    run = SimpleNamespace(
        log=lambda values, step: calls.append((step, values)), finish=lambda: calls.append("finished")
    )
    package = ModuleType("trackio")

    def init(**options: Any) -> SimpleNamespace:
        calls.append(options)
        return run

    package.init = init  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "trackio", package)
    with Trackers(["trackio"], tmp_path, "model", {"steps": 9}, None) as trackers:
        trackers.log({"step": 3, "loss": 7.0})
    assert calls == [
        {"project": "kbioxlm", "name": "model", "resume": "allow", "config": {"steps": 9}},
        (3, {"loss": 7.0}),
        "finished",
    ]


def test_a_tracker_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kbioxlm.training.pretraining.trackers.find_spec", lambda name: None)
    with pytest.raises(InputError, match="recipe, report_to: 'trackio' is not installed; pip install trackio"):
        require_trackers(["trackio"])


REPORT: dict[str, Any] = {
    "recipe": {
        "output": "/srv/someone/runs/base", "corpora": "/srv/someone/corpora", "checkpoint": "org/xlm-r",
        "tokenizer": None, "shares": {"monolingual": 3.0, "fact": 1.0}, "steps": 500,
    },
    "inputs": {"corpora": "0a1b", "checkpoint": "org/xlm-r"},
    "seed": 13, "languages": ["en", "zh"], "parameters": 1234567, "pieces": 3_600_000, "training_seconds": 7200.0,
    "hardware": {"device": "NVIDIA H200", "processes": 2, "precision": "bfloat16"},
    "batch": {"examples": 128, "pieces": 7200.0}, "examples": {"monolingual": 3000, "fact": 61_000},
    "history": [
        {"step": 500, "steps": 5, "entity_loss": 2.5, "entity_accuracy": 0.51, "relation_loss": 1.25,
         "relation_accuracy": 0.75, "passage_loss": 0.0, "model_flops_utilisation": 0.47},
    ],
}  # fmt: skip


def test_the_card_says_what_was_done_and_what_nobody_stated() -> None:
    card = model_card(REPORT, CardSection())
    header = yaml.safe_load(card.split("---\n")[1])
    assert header["language"] == ["en", "zh"]
    assert header["base_model"] == "org/xlm-r"
    assert "license" not in header
    for text in (
        "# base", "1,234,567 parameters", "from `org/xlm-r`", "predict masked words and entities, masked relations.",
        "3,600,000 pieces in 500 steps; a batch has 128 examples, 7,200 pieces on average",
        "| monolingual | 75.0% | 3,000 |", "| fact | 25.0% | 61,000 |", "2.00 hours on 2 × NVIDIA H200",
        "500 pieces a second", "model-flops utilisation 47.0%", "| relation | 1.250 | 0.750 |",
        "Over the last 5 of the", "Not stated in the recipe (key `card.data`)",
        "Not stated in the recipe (key `card.license`)", "corpora: corpora", "arxiv.org/abs/2311.11564",
    ):  # fmt: skip
        assert text in " ".join(card.split("\n")) or text in card, text
    assert "/srv/someone" not in card
    assert "passage" not in card.split("## Data")[1]


def test_the_card_holds_what_the_recipe_states() -> None:
    section = CardSection(license="other", data="PubMed 2026.", limits="None known.", citation="Doe, 2026.")
    local = {**REPORT, "recipe": {**REPORT["recipe"], "checkpoint": "/srv/someone/stage1"},
             "inputs": {"checkpoint": "77aa"}}  # fmt: skip
    card = model_card(local, section, "lab/model")
    header = yaml.safe_load(card.split("---\n")[1])
    assert header["license"] == "other"
    assert "base_model" not in header
    for text in ("PubMed 2026.", "None known.", "Doe, 2026.", "Licence: other", "from `stage1`", '("lab/model", trust'):
        assert text in card
    assert "/srv/someone" not in card
