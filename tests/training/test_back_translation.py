"""The level of the baseline XLM-R+BT: what is translated and kept, how a run goes on, and that it is trained on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer
from typer.testing import CliRunner, Result

from kbioxlm.common.errors import InputError
from kbioxlm.common.recipe import parse_recipe
from kbioxlm.dataset_scripts.aligned_corpora import app
from kbioxlm.dataset_scripts.corpora.back_translation import BackTranslationSettings, Direction, back_translate
from kbioxlm.dataset_scripts.corpora.rows import ROW, Row, to_table
from kbioxlm.dataset_scripts.folder import ShardWriter, write_card, write_statistics
from kbioxlm.dataset_scripts.translation.protocol import Answer
from kbioxlm.training.pretraining.features import encode_rows, load_level
from kbioxlm.training.pretraining.masking import Kind
from kbioxlm.training.pretraining.recipe import PretrainRecipe
from kbioxlm.training.pretraining.run import pretrain

TEXTS = [
    ("a/0", "en", "Aspirin at 1.5 mg vs. placebo. It caused nausea."),
    ("a/1", "en", "It caused nausea. Nobody knows. Fever fell."),
    ("b/0", "zh", "患者服用肝素。体温下降。"),
    ("c/0", "en", "Nobody knows."),
]
LEXICON = [
    ("en", "zh", "Aspirin at 1.5 mg vs. placebo.", "1.5毫克阿司匹林与安慰剂。"),
    ("en", "zh", "It caused nausea.", "引起恶心。"),
    ("en", "zh", "Fever fell.", "退热。"),
    ("en", "zh", "Nobody knows.", "Nobody knows."),  # as it was: no translation
    ("zh", "en", "患者服用肝素。", "The patient took heparin."),
    ("zh", "en", "体温下降。", "Temperature fell."),
]


@dataclass
class Spy:
    """A translator that remembers what it was asked, and breaks down after some calls."""

    breaks_at: int | None = None
    batch_size: int = 1
    concurrent: int = 1
    identity: str = "spy"
    settings: dict[str, Any] = field(default_factory=lambda: {"kind": "spy"})
    asked: list[str] = field(default_factory=list)

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[Answer]:
        if len(self.asked) == self.breaks_at:
            raise InputError(self.identity, "broken", "mend it")
        self.asked += texts
        return [f"<{text}>" for text in texts]


@pytest.fixture
def corpora(tmp_path: Path) -> Path:
    """A folder as `aligned_corpora.py build` writes it, with one level."""
    folder = tmp_path / "corpora"
    writer = ShardWriter(folder / "monolingual", ROW)
    writer.write(to_table([Row(id_, "monolingual", language, text) for id_, language, text in TEXTS]))
    writer.close()
    write_statistics(folder, {"documents": {"en": 2, "zh": 1}})
    write_card(folder, {"license": "other"}, ["monolingual"], "# Corpora")
    return folder


@pytest.fixture
def lexicon(tmp_path: Path) -> Path:
    path = tmp_path / "lexicon.tsv"
    lines = [("source_language", "target_language", "source", "target"), *LEXICON]
    path.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")
    translators = tmp_path / "lexicon.yaml"
    translators.write_text(f"translators: [{{kind: lexicon, file: {path}}}]\n", encoding="utf-8")
    return translators


def call(corpora: Path, output: Path, *arguments: str) -> Result:
    fixed = ("back-translate", "--corpora", str(corpora), "--output", str(output))
    return CliRunner().invoke(app, [*fixed, *arguments])


def both(lexicon: Path) -> tuple[str, ...]:
    return ("--translator", f"en-zh={lexicon}", "--translator", f"zh-en={lexicon}")


def test_sentences_stand_beside_their_translations(corpora: Path, lexicon: Path, tmp_path: Path) -> None:
    result = call(corpora, tmp_path / "out", *both(lexicon))
    assert result.exit_code == 0, result.output
    rows = pq.read_table(tmp_path / "out" / "back_translation").to_pylist()
    assert [(row["id"], row["language"], row["text"], row["text_pair"]) for row in rows] == [
        ("a/0", "en", TEXTS[0][2], "1.5毫克阿司匹林与安慰剂。引起恶心。"),
        ("a/1", "en", "It caused nausea. Fever fell.", "引起恶心。退热。"),
        ("b/0", "zh", TEXTS[2][2], "The patient took heparin. Temperature fell."),
    ]
    assert {row["level"] for row in rows} == {"back_translation"}
    assert not any(row["entities"] or row["relations"] or row["passage_relation"] for row in rows)


def test_the_folder_has_all_configs_and_says_what_was_done(corpora: Path, lexicon: Path, tmp_path: Path) -> None:
    call(corpora, tmp_path / "out", *both(lexicon))
    shard = Path("monolingual") / "part-00000.parquet"
    assert (tmp_path / "out" / shard).read_bytes() == (corpora / shard).read_bytes()
    names = datasets.get_dataset_config_names(str(tmp_path / "out"))
    assert names == ["monolingual", "back_translation"]
    statistics = json.loads((tmp_path / "out" / "stats.json").read_text(encoding="utf-8"))
    assert statistics["documents"] == {"en": 2, "zh": 1}
    english, chinese = statistics["back_translation"]
    counted = ("segments", "rows", "sentences", "translated")
    assert [english[key] for key in counted] == [3, 2, 6, 4]
    assert [chinese[key] for key in counted] == [1, 1, 2, 2]
    assert english["settings"]["kind"] == "lexicon"
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert f"| English → Chinese | {english['translator']} | 3 | 2 | 6 | 4 |" in card
    # done again on its own output, the level is replaced and the card has one section of it
    assert call(tmp_path / "out", tmp_path / "again", "--translator", f"zh-en={lexicon}").exit_code == 0
    assert pq.read_table(tmp_path / "again" / "back_translation").num_rows == 1
    card = (tmp_path / "again" / "README.md").read_text(encoding="utf-8")
    assert card.count("## Back-translation") == card.count("config_name: back_translation") == 1
    assert "# Corpora" in card


def settings_of(corpora: Path, output: Path, spy: Spy, **changes: Any) -> BackTranslationSettings:
    settings = BackTranslationSettings(
        corpora, output, (Direction("en", "zh", spy),), output.with_name("answers.sqlite")
    )
    return replace(settings, **changes)


def test_a_run_that_broke_goes_on_and_no_sentence_is_asked_twice(corpora: Path, tmp_path: Path) -> None:
    whole, broken, rest = Spy(), Spy(breaks_at=2), Spy()
    back_translate(settings_of(corpora, tmp_path / "whole", whole, cache=tmp_path / "other.sqlite"))
    assert sorted(whole.asked) == sorted({sentence for _, _, sentence, _ in LEXICON[:4]})
    with pytest.raises(InputError, match="spy: broken"):
        back_translate(settings_of(corpora, tmp_path / "out", broken))
    assert not (tmp_path / "out").exists()
    back_translate(settings_of(corpora, tmp_path / "out", rest))
    assert sorted(broken.asked + rest.asked) == sorted(whole.asked)
    for name in ("back_translation/part-00000.parquet", "stats.json", "README.md"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_the_seed_draws_what_a_limit_keeps(corpora: Path, tmp_path: Path) -> None:
    drawn = set()
    for seed in range(12):
        settings = settings_of(corpora, tmp_path / "out", Spy(), limit=1, seed=seed)
        (counts,) = back_translate(settings)
        assert (counts.segments, counts.rows) == (1, 1)
        rows = pq.read_table(tmp_path / "out" / "back_translation")["id"].to_pylist()
        back_translate(settings)
        assert pq.read_table(tmp_path / "out" / "back_translation")["id"].to_pylist() == rows
        drawn |= set(rows)
    assert drawn == {"a/0", "a/1", "c/0"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--translator", "en=zh"], r"--translator: cannot use 'en=zh'; write en-zh=FILE"),
        (["--translator", "en-xx=LEXICON"], r"--translator: unknown language 'xx'"),
        (["--translator", "en-en=LEXICON"], r"--translator: a language is given twice"),
        (["--translator", "en-zh=LEXICON", "--translator", "en-es=LEXICON"], r"texts in en are to be translated twice"),
        (["--translator", "de-zh=LEXICON"], r"corpora: no monolingual rows in language 'de'"),
        (["--translator", "en-es=LEXICON"], r"lexicon#\w+: no answer for any of 6 sentences in en; choose a"),
        (["--translator", "en-zh=LEXICON", "--corpora", "/nowhere"], r"/nowhere: no stats\.json in it"),
        (["--translator", "en-zh=LEXICON", "--output", "CORPORA"], r"is the corpora folder that is read"),
    ],
)
def test_what_cannot_be_translated(
    arguments: list[str], message: str, corpora: Path, lexicon: Path, tmp_path: Path
) -> None:
    given = [value.replace("LEXICON", str(lexicon)).replace("CORPORA", str(corpora)) for value in arguments]
    result = call(corpora, tmp_path / "out", *given)
    assert isinstance(result.exception, InputError), result.output
    with pytest.raises(InputError, match=message):
        raise result.exception
    assert not (tmp_path / "out").exists()
    assert sorted(path.name for path in corpora.iterdir()) == ["README.md", "monolingual", "stats.json"]


def test_pretraining_masks_words_on_both_sides(sample_corpora: Path, sample_tokenizer: Path, tmp_path: Path) -> None:
    back_translate(settings_of(sample_corpora, tmp_path / "out", Spy(batch_size=100), limit=30))
    tokenizer = AutoTokenizer.from_pretrained(sample_tokenizer)
    rows = load_level(tmp_path / "out", "back_translation")
    for one in encode_rows([rows[i] for i in range(len(rows))], tokenizer, 64):
        middle = one.input_ids.tolist().index(tokenizer.eos_token_id)
        assert set(one.kinds) == {Kind.SPECIAL, Kind.WORD}
        for side in (one.units[:middle], one.units[middle:]):
            assert np.unique(side[side >= 0]).size > 3
    keys = {
        "output": tmp_path / "model", "corpora": tmp_path / "out", "tokenizer": str(sample_tokenizer),
        "shape": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16},
        "shares": {"monolingual": 1, "back_translation": 1}, "steps": 2, "batch_size": 4, "learning_rate": 1e-3,
        "warmup_steps": 0, "max_length": 64, "bf16": False, "least_coverage": 0.5,
    }  # fmt: skip
    report = pretrain(parse_recipe(PretrainRecipe, keys, "recipe"))
    assert sum(report["examples"].values()) == 8
    assert report["examples"]["back_translation"] >= 1
    assert np.isfinite(report["history"][-1]["loss"])
