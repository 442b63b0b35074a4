"""The leakage guard, and fine-tuning on samples: what may be learnt from before a test set is scored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kbioxlm.common.errors import InputError
from kbioxlm.common.recipe import parse_recipe
from kbioxlm.training.finetuning.labelled_texts import LabelledText, LabelledTexts
from kbioxlm.training.finetuning.overlap import overlap_problems, overlap_report, overlaps
from kbioxlm.training.finetuning.recipe import FinetuneRecipe, task_of
from kbioxlm.training.finetuning.run import finetune
from kbioxlm.training.finetuning.sets import load_sets, problems

LONG = "Losartan lowers the pressure of the blood in patients with hypertension and kidney disease number"


def texts(name: str, benchmark: str, *rows: tuple[str, str, str]) -> LabelledTexts:
    """Rows of document, language, text."""
    examples = tuple(LabelledText(f"{i}", document, lang, text, ()) for i, (document, lang, text) in enumerate(rows))
    return LabelledTexts(name, benchmark, examples)


def test_ids_count_in_any_language_and_texts_in_any_benchmark() -> None:
    train = texts("train", "x", ("1", "en", f"{LONG} one"), ("2", "en", "nausea after heparin"))
    dev = texts("dev", "x", ("3", "en", "morphine and fever"))
    chinese = texts("zh", "x", ("2", "zh", "肝素后恶心"), ("4", "zh", "吗啡"))
    other = texts("other", "y", ("2", "en", f"{LONG.upper()}, two."), ("9", "en", "lithium"))
    found = overlaps({"train": train}, dev, {"zh": chinese, "other": other})
    assert [one.names for one in found] == [
        ("train", "dev"), ("train", "tests.zh"), ("train", "tests.other"), ("dev", "tests.zh"), ("dev", "tests.other"),
    ]  # fmt: skip
    assert [one.documents for one in found] == [(), ("2",), (), (), ()]
    assert [one.near_duplicates for one in found] == [(), (), (("1", "2"),), (), ()]
    assert [(row["shared_documents"], row["near_duplicates"]) for row in overlap_report(found)] == [
        (0, 0), (1, 0), (None, 1), (0, 0), (None, 0),
    ]  # fmt: skip
    messages = [str(problem) for problem in overlap_problems(found)]
    assert messages[0].startswith("zh: shares 1 document ids with train, such as '2'; use other splits")
    assert messages[1].startswith("other: 1 documents say nearly the same as one of train, such as '2' and '1'; use")
    assert len(list(overlap_problems(found, allow_shared_documents=True))) == 1
    assert list(overlap_problems(found, allow_shared_documents=True, allow_near_duplicates=True)) == []


def test_documents_are_compared_and_not_their_sentences() -> None:
    heading = "Statistical analysis was performed as usual"
    train = texts("train", "x", ("1", "en", heading), ("1", "en", f"{LONG} one"), ("2", "en", "  "))
    test = texts("test", "x", ("5", "en", heading), ("5", "en", "something else entirely was found in mice"))
    assert overlaps({"train": train}, texts("dev", "x", ("3", "en", "")), {"t": test})[1].near_duplicates == ()


@pytest.fixture
def keys(base: dict[str, Any], checkpoint: Path, ner_files: dict[str, Path], tmp_path: Path) -> dict[str, Any]:
    return {
        **base, "checkpoint": str(checkpoint), "train": str(ner_files["train_en"]), "epochs": 1,
        "tests": {"zh": str(ner_files["test_zh"])}, "output": tmp_path / "m",
    }  # fmt: skip


def test_near_duplicates_are_refused_unless_told_otherwise(keys: dict[str, Any], ner_files: dict[str, Path]) -> None:
    keys |= {"dev": str(ner_files["dev_en"])}
    with pytest.raises(InputError, match=r"dev_en\.txt: 16 documents say nearly the same as one of .*train_en\.txt"):
        finetune(FinetuneRecipe(**keys | {"allow_near_duplicates": False}))
    report = finetune(FinetuneRecipe(**keys))
    assert report["overlap"][0] == {
        "sets": ["train", "dev"], "shared_documents": 0, "near_duplicates": 16, "threshold": 0.8,
    }  # fmt: skip


def test_training_on_a_sample(keys: dict[str, Any]) -> None:
    """Dev is carved before the sample is drawn; ids are saved; the sample depends on the seed."""
    reports = [
        finetune(FinetuneRecipe(**keys | {"shots": 10, "seed": seed, "output": keys["output"].with_name(f"m{seed}")}))
        for seed in (1, 2)
    ]
    ids = []
    for seed, report in zip((1, 2), reports, strict=True):
        record = json.loads((keys["output"].with_name(f"m{seed}") / "shots.json").read_text(encoding="utf-8"))
        assert (record["source"], record["shots"], record["seed"]) == (keys["train"], 10, seed)
        assert (report["train"]["documents"], report["dev"]["n"]) == (10, 5)
        sets = load_sets(task_of(recipe := FinetuneRecipe(**report["recipe"])), recipe)
        assert record["documents"] == sorted(sets.train.documents)
        assert not set(record["documents"]) & sets.dev.documents
        ids.append(record["documents"])
    assert ids[0] != ids[1]


def test_dev_of_another_language_is_carved_as_it_was_there(
    keys: dict[str, Any], ner_files: dict[str, Path], tmp_path: Path
) -> None:
    """A run that goes on with a sample of the other language has the dev set of the run before, in its language."""
    first = FinetuneRecipe(**keys)
    further = FinetuneRecipe(
        **keys
        | {"train": str(ner_files["test_zh"]), "carve_from": keys["train"], "tests": {}, "shots": 4, "keep_head": True}
    )
    task = task_of(first)
    before, after = load_sets(task, first), load_sets(task, further)
    assert after.dev.examples == before.dev.examples
    assert len(after.train.documents) == 4
    same = FinetuneRecipe(**keys | {"carve_from": keys["train"]})
    assert load_sets(task, same).train.examples == before.train.examples
    with pytest.raises(InputError, match=r"recipe: key 'carve_from' has .*no dev beside it, or dev alone"):
        parse_recipe(FinetuneRecipe, keys | {"dev": "x", "carve_from": "y"}, "recipe")
    elsewhere = tmp_path / "elsewhere.txt"
    elsewhere.write_bytes(ner_files["train_en"].read_bytes())
    with pytest.raises(InputError, match=r"elsewhere\.txt: is of another benchmark than .*; carve dev from a source"):
        load_sets(task, FinetuneRecipe(**keys | {"carve_from": str(elsewhere)}))


def test_a_checkpoint_does_not_forget_what_it_was_trained_on(keys: dict[str, Any], ner_files: dict[str, Path]) -> None:
    finetune(FinetuneRecipe(**keys))
    further = keys | {
        "checkpoint": str(keys["output"]), "keep_head": True, "train": str(ner_files["test_zh"]),
        "dev": str(ner_files["dev_en"]), "tests": {"leak": str(ner_files["train_en"])},
        "output": keys["output"].with_name("further"),
    }  # fmt: skip
    recipe = FinetuneRecipe(**further)
    task = task_of(recipe)
    found = [str(problem) for problem in problems(task, load_sets(task, recipe), recipe)]
    assert len(found) == 1
    assert "train_en.txt: shares 43 document ids with" in found[0]
