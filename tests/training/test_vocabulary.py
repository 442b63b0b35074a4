"""The reduced vocabulary: what is counted, what is kept, what it says of itself, and how pretraining reads it."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase, XLMRobertaConfig, XLMRobertaForMaskedLM

from kbioxlm.common.errors import InputError
from kbioxlm.common.recipe import parse_recipe
from kbioxlm.dataset_scripts.corpora.rows import LEVELS, ROW, Row, to_table
from kbioxlm.dataset_scripts.folder import ShardWriter
from kbioxlm.modeling_kbioxlm import KBioXLMForPreTraining
from kbioxlm.training.models.vocabulary import VocabularyRecipe, make_vocabulary, read_vocabulary, use_vocabulary
from kbioxlm.training.pretraining.features import encode_rows, load_level
from kbioxlm.training.pretraining.masking import Kind
from kbioxlm.training.pretraining.recipe import PretrainRecipe
from kbioxlm.training.pretraining.run import pretrain

SIZE = 400
LENGTH = 48
UNK = 3
PNG = b"\x89PNG"


def recipe_of(texts: Path, model: Path, folder: Path, **changes: Any) -> VocabularyRecipe:
    keys = {"output": folder, "corpora": texts, "tokenizer": str(model), "size": SIZE, "max_length": LENGTH}
    return parse_recipe(VocabularyRecipe, {**keys, **changes}, "recipe")


@pytest.fixture(scope="module")
def tokenizer(sample_tokenizer: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(sample_tokenizer)


@pytest.fixture(scope="module")
def made(
    sample_corpora: Path, sample_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("vocabulary") / "vocabulary"
    return folder, make_vocabulary(recipe_of(sample_corpora, sample_tokenizer, folder))


@pytest.fixture(scope="module")
def counted(sample_corpora: Path, tokenizer: PreTrainedTokenizerBase) -> dict[str, Counter[int]]:
    """Pieces of the sample's rows by language, counted one by one; of the special ones `<unk>` alone."""
    left_out = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    counts: dict[str, Counter[int]] = {"en": Counter(), "zh": Counter()}
    for level in LEVELS:
        for row in load_level(sample_corpora, level):
            ids = tokenizer(row["text"], row["text_pair"], truncation="longest_first", max_length=LENGTH)["input_ids"]
            counts[row["language"]].update(one for one in ids if one not in left_out)
    return counts


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "pieces.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_most_frequent_pieces_are_kept_with_their_counts(
    made: tuple[Path, dict[str, Any]], counted: dict[str, Counter[int]], tokenizer: PreTrainedTokenizerBase
) -> None:
    rows = lines_of(made[0])
    total = counted["en"] + counted["zh"]
    ids = [row["id"] for row in rows]
    assert ids == sorted(set(ids))
    assert len(ids) == SIZE
    assert not set(ids) & set(tokenizer.all_special_ids)
    assert {row["id"]: row["count"] for row in rows} == {one: total[one] for one in ids}
    assert min(total[one] for one in ids) >= max(
        count for one, count in total.items() if one not in {*ids, tokenizer.unk_token_id}
    )
    assert [row["piece"] for row in rows] == tokenizer.convert_ids_to_tokens(ids)


def test_the_coverage_is_that_of_the_rows(
    made: tuple[Path, dict[str, Any]], counted: dict[str, Counter[int]], sample_corpora: Path
) -> None:
    folder, report = made
    kept = {row["id"] for row in lines_of(folder)}
    assert list(report["coverage"]) == list(LEVELS)
    for language, counts in counted.items():
        cells = [by_language[language] for by_language in report["coverage"].values()]
        assert sum(cell["pieces"] for cell in cells) == counts.total()
        covered = sum(count for piece, count in counts.items() if piece in kept)
        assert sum(cell["covered"] for cell in cells) == covered
        assert report["coverage_by_size"][str(SIZE)][language] == pytest.approx(covered / counts.total(), abs=1e-6)
    assert report["pieces"] == {"tokenizer": 900, "in_corpora": len(counted["en"] | counted["zh"]), "kept": SIZE}
    first = report["left_out"][0]
    assert first["id"] not in kept
    total = counted["en"] + counted["zh"]
    assert first["count"] == max(count for piece, count in total.items() if piece not in {*kept, UNK})
    assert first["by_language"] == {language: counts[first["id"]] for language, counts in counted.items()}


def test_units_that_are_never_masked_are_counted(
    made: tuple[Path, dict[str, Any]], sample_corpora: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    folder, report = made
    kept = np.zeros(900, dtype=bool)
    kept[[row["id"] for row in lines_of(folder)]] = True
    rows = load_level(sample_corpora, "fact")
    units: Counter[str] = Counter()
    outside: Counter[str] = Counter()
    for one in encode_rows([rows[i] for i in range(len(rows))], tokenizer, LENGTH):
        for unit in set(one.units.tolist()) - {-1}:
            name = Kind(one.kinds[one.units == unit][0]).name.lower()
            units[name] += 1
            outside[name] += not kept[one.input_ids[one.units == unit]].all()
    assert report["units_never_masked"]["fact"] == {
        name: {"units": units[name], "never_masked": outside[name]} for name in units
    }
    assert 0 < outside["word"] < units["word"]


def test_the_folder_explains_itself(made: tuple[Path, dict[str, Any]]) -> None:
    folder, report = made
    assert {path.name for path in folder.iterdir()} == {"pieces.jsonl", "report.json", "coverage.png", "README.md"}
    assert (folder / "coverage.png").read_bytes().startswith(PNG)
    assert json.loads((folder / "report.json").read_text(encoding="utf-8")) == report
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"The {SIZE} most frequent of 900 pieces" in card
    cell = report["coverage"]["entity"]["zh"]
    assert f"| entity | zh | {cell['pieces']:,} | {100 * cell['covered'] / cell['pieces']:.3f}% |" in card
    assert f"| ` {report['left_out'][0]['piece']} ` | {report['left_out'][0]['id']} |" in card


def test_the_same_command_gives_the_same_bytes_and_a_finished_one_is_not_done_again(
    made: tuple[Path, dict[str, Any]], sample_corpora: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    folder = tmp_path / made[0].name
    shutil.copytree(made[0], folder)
    recipe = recipe_of(sample_corpora, sample_tokenizer, folder)
    report = {**made[1], "recipe": {**made[1]["recipe"], "output": str(folder)}}
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    before = (folder / "pieces.jsonl").stat().st_mtime_ns
    assert make_vocabulary(recipe) == report
    assert (folder / "pieces.jsonl").stat().st_mtime_ns == before
    again = tmp_path / "again"
    make_vocabulary(recipe_of(sample_corpora, sample_tokenizer, again))
    for name in ("pieces.jsonl", "coverage.png", "README.md"):
        assert (again / name).read_bytes() == (made[0] / name).read_bytes()


def test_levels_may_be_chosen_and_empty_ones_are_passed_over(
    sample_corpora: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    corpora = tmp_path / "corpora"
    for level, texts in (("monolingual", ["the patient took aspirin"] * 3), ("passage", [])):
        writer = ShardWriter(corpora / level, ROW)
        if texts:
            writer.write(to_table([Row(str(i), level, "en", text) for i, text in enumerate(texts)]))
        writer.close()
    report = make_vocabulary(recipe_of(corpora, sample_tokenizer, tmp_path / "all", size=3))
    assert list(report["coverage"]) == ["monolingual"]
    report = make_vocabulary(recipe_of(sample_corpora, sample_tokenizer, tmp_path / "one", levels=["fact", "entity"]))
    assert list(report["coverage"]) == ["entity", "fact"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 900}, r"a vocabulary of 900 pieces was asked for, the corpora hold \d+ different ones; ask for at"),
        ({"levels": ["facts"]}, "key 'levels' has .*levels among monolingual, .*, not facts"),
        ({"levels": ["back_translation"]}, "corpora: has no level 'back_translation'"),
        ({"corpora": Path("/nowhere/c")}, "/nowhere/c: has no level 'monolingual'; build it"),
        ({"tokenizer": "/nowhere/t"}, "/nowhere/t: no such checkpoint folder"),
    ],
)
def test_what_cannot_be_counted(
    sample_corpora: Path, sample_tokenizer: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make_vocabulary(recipe_of(sample_corpora, sample_tokenizer, tmp_path / "out", **changes))
    assert not (tmp_path / "out").exists()


@pytest.fixture
def xlm_r(sample_tokenizer: Path, tmp_path: Path) -> Path:
    """A tiny XLM-R of transformers with the sample's tokenizer."""
    folder = tmp_path / "xlm-r"
    shutil.copytree(sample_tokenizer, folder)
    torch.manual_seed(3)
    shape = {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
        "max_position_embeddings": 66, "type_vocab_size": 1,
    }  # fmt: skip
    XLMRobertaForMaskedLM(XLMRobertaConfig(vocab_size=900, **shape)).save_pretrained(folder)
    return folder


def pretraining(corpora: Path, checkpoint: Path, output: Path, **changes: Any) -> PretrainRecipe:
    keys = {
        "output": output, "corpora": corpora, "checkpoint": str(checkpoint), "shares": {"monolingual": 1}, "steps": 1,
        "batch_size": 2, "learning_rate": 1e-9, "warmup_steps": 0, "max_length": LENGTH, "bf16": False,
        "least_coverage": 0.5,
    }  # fmt: skip
    return parse_recipe(PretrainRecipe, {**keys, **changes}, "recipe")


def test_pretraining_reads_it_and_says_what_it_covers(
    made: tuple[Path, dict[str, Any]], sample_corpora: Path, xlm_r: Path, tmp_path: Path
) -> None:
    folder, report = made
    done = pretrain(pretraining(sample_corpora, xlm_r, tmp_path / "out", mlm_vocabulary=folder))
    assert done["coverage"] == {"monolingual": report["coverage"]["monolingual"]}
    assert set(done["inputs"]) == {"corpora", "checkpoint", "mlm_vocabulary"}
    model = KBioXLMForPreTraining.from_pretrained(tmp_path / "out")
    ids = [row["id"] for row in lines_of(folder)]
    assert model.lm_head.token_ids.tolist() == ids
    # stage 2 may name the same vocabulary again, but not another one
    pretrain(pretraining(sample_corpora, tmp_path / "out", tmp_path / "two", mlm_vocabulary=folder))
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps(row) + "\n" for row in lines_of(folder)[1:]), encoding="utf-8")
    with pytest.raises(InputError, match=r"holds 399 pieces, and the checkpoint's head has 400 rows for other ones"):
        pretrain(pretraining(sample_corpora, tmp_path / "out", tmp_path / "three", mlm_vocabulary=other))
    with pytest.raises(InputError, match="one of mlm_vocab_size and mlm_vocabulary"):
        pretraining(sample_corpora, xlm_r, tmp_path / "four", mlm_vocabulary=folder, mlm_vocab_size=9)


def test_counted_in_place_it_is_the_same(
    made: tuple[Path, dict[str, Any]], sample_corpora: Path, sample_tokenizer: Path, xlm_r: Path, tmp_path: Path
) -> None:
    one = make_vocabulary(recipe_of(sample_corpora, sample_tokenizer, tmp_path / "v", levels=["monolingual"]))
    pretrain(pretraining(sample_corpora, xlm_r, tmp_path / "out", mlm_vocab_size=SIZE))
    model = KBioXLMForPreTraining.from_pretrained(tmp_path / "out")
    assert model.lm_head.token_ids.tolist() == [row["id"] for row in lines_of(tmp_path / "v")]
    assert one["pieces"]["kept"] == SIZE


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['{"id": 4}'], r"v\.jsonl:1: no 'piece' in"),
        (['{"id": true, "piece": "a"}'], r"v\.jsonl:1: cannot use .*give every piece its own input id"),
        (["FIRST", "FIRST"], r"v\.jsonl:2: cannot use"),
        (
            ['{"id": 9, "piece": "nothing like it"}'],
            r"v\.jsonl:1: piece 9 is 'nothing like it', that of the tokenizer is",
        ),
        (['{"id": 5000, "piece": "a"}'], r"v\.jsonl:1: piece 5000 is 'a', that of the tokenizer is None"),
        (["", " "], r"v\.jsonl: no pieces; make it with train\.py vocabulary"),
    ],
)
def test_other_files_are_refused(
    lines: list[str],
    message: str,
    made: tuple[Path, dict[str, Any]],
    tokenizer: PreTrainedTokenizerBase,
    tmp_path: Path,
) -> None:
    first = json.dumps(lines_of(made[0])[0])
    path = tmp_path / "v.jsonl"
    path.write_text("".join(f"{first if line == 'FIRST' else line}\n" for line in lines), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_vocabulary(path, tokenizer)


def test_a_whole_head_is_reduced_to_it(
    made: tuple[Path, dict[str, Any]], xlm_r: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    model = KBioXLMForPreTraining.from_xlm_roberta(xlm_r)
    rows = model.lm_head.decoder.weight.detach().clone()
    use_vocabulary(model, made[0], tokenizer)
    ids = model.lm_head.token_ids
    torch.testing.assert_close(model.lm_head.decoder.weight.detach(), rows[ids])
    assert (model.config.mlm_vocab_size, len(ids)) == (SIZE, SIZE)
