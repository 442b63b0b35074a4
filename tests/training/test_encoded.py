"""Encoded levels: the same pieces as tokenizing at each visit, made once, resumable, never stale."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts import folder as folders
from kbioxlm.dataset_scripts.corpora.rows import LEVELS
from kbioxlm.training.pretraining import encoding
from kbioxlm.training.pretraining.encoded import EncodedLevel, encoded_level
from kbioxlm.training.pretraining.features import encode_rows, load_level
from kbioxlm.training.pretraining.masking import Kind

MAX_LENGTH = 48


@pytest.fixture(scope="module")
def tokenizer(sample_tokenizer: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(sample_tokenizer)


@pytest.fixture(scope="module")
def corpora(sample_corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's corpora with row groups of 300 rows, so that a level has several."""
    folder = tmp_path_factory.mktemp("grouped") / "corpora"
    for level in LEVELS:
        table = folders.read_table(sample_corpora, level, encoding._COLUMNS)
        (folder / level).mkdir(parents=True)
        folders.pq.write_table(table, folder / level / "part-00000.parquet", row_group_size=300)
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def only_cache(cache: Path) -> Path:
    (folder,) = (path for path in cache.iterdir() if path.is_dir())
    return folder


@pytest.mark.parametrize("level", LEVELS)
def test_rows_are_those_of_the_tokenizer(
    corpora: Path, tokenizer: PreTrainedTokenizerBase, level: str, tmp_path: Path
) -> None:
    encoded = encoded_level(corpora, level, tokenizer, MAX_LENGTH, tmp_path)
    rows = load_level(corpora, level)
    expected = encode_rows([rows[i] for i in range(len(rows))], tokenizer, MAX_LENGTH)
    assert len(encoded.ends) == len(rows)
    assert encoded.pieces.dtype == np.uint16
    np.testing.assert_array_equal(encoded.pieces, np.concatenate([one.input_ids for one in expected]))
    np.testing.assert_array_equal(encoded.passage_labels, [one.passage_label for one in expected])
    kinds, begins = EncodedLevel.read_marks(encoded.marks)
    np.testing.assert_array_equal(kinds, np.concatenate([one.kinds for one in expected]))
    numbers = np.arange(len(rows))
    np.testing.assert_array_equal(encoded.lengths(numbers), [len(one.input_ids) for one in expected])
    for row, one in zip(numbers[:50], expected, strict=False):
        part = slice(int(encoded.starts(numbers)[row]), int(encoded.ends[row]))
        np.testing.assert_array_equal(begins[part], np.diff(one.units, prepend=-2) != 0)
    for language, chosen in encoded.rows_of.items():
        assert set(np.asarray(rows["language"])[chosen]) == {language}
        assert encoded.mean_length[language] == pytest.approx(encoded.lengths(chosen).mean())
        counts = np.bincount(np.concatenate([expected[row].input_ids for row in chosen]), minlength=len(tokenizer))
        np.testing.assert_array_equal(encoded.piece_counts[language], counts)
    assert sum(len(chosen) for chosen in encoded.rows_of.values()) == len(rows)
    units = np.sum(
        [np.bincount(one.kinds[np.diff(one.units, prepend=-2) != 0], minlength=5) for one in expected], axis=0
    )
    assert encoded.units == {kind: units[kind] for kind in Kind if kind is not Kind.SPECIAL}


def test_workers_write_the_same_bytes(corpora: Path, tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    for name, workers in (("one", 0), ("two", 2)):
        encoded_level(corpora, "passage", tokenizer, MAX_LENGTH, tmp_path / name, workers)
    assert files_of(only_cache(tmp_path / "one")) == files_of(only_cache(tmp_path / "two"))


def test_an_encoding_that_was_killed_goes_on(
    corpora: Path, tokenizer: PreTrainedTokenizerBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded_level(corpora, "fact", tokenizer, MAX_LENGTH, tmp_path / "whole")
    encode, groups = encoding._Encoder.__call__, []

    def killed(self: Any, file: Path, group: int) -> Any:
        groups.append(group)
        if group == 3:
            raise KeyboardInterrupt
        return encode(self, file, group)

    monkeypatch.setattr(encoding._Encoder, "__call__", killed)
    with pytest.raises(KeyboardInterrupt):
        encoded_level(corpora, "fact", tokenizer, MAX_LENGTH, tmp_path / "killed")
    with (only_cache(tmp_path / "killed") / "pieces").open("ab") as stream:
        stream.write(b"half of the next group")

    def counted(*call: Any) -> Any:
        groups.append(call[2])
        return encode(*call)

    monkeypatch.setattr(encoding._Encoder, "__call__", counted)
    encoded_level(corpora, "fact", tokenizer, MAX_LENGTH, tmp_path / "killed")
    assert groups[:5] == [0, 1, 2, 3, 3]
    assert files_of(only_cache(tmp_path / "killed")) == files_of(only_cache(tmp_path / "whole"))


def test_equal_inputs_share_what_was_encoded_and_others_do_not(
    corpora: Path, tokenizer: PreTrainedTokenizerBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "corpora"
    shutil.copytree(corpora, copy)
    encoded_level(copy, "entity", tokenizer, MAX_LENGTH)
    cache = tmp_path / ".corpora.pieces"
    made = only_cache(cache)
    with monkeypatch.context() as patch:
        patch.setattr(encoding, "encode_rows", lambda *_: pytest.fail("encoded again"))
        tokenizer("a text", truncation=True, max_length=7)  # leaves its traces in the tokenizer
        encoded_level(copy, "entity", tokenizer, MAX_LENGTH)
    encoded_level(copy, "entity", tokenizer, MAX_LENGTH + 1)
    more = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
    more.add_tokens(["aspirin"])
    encoded_level(copy, "entity", more, MAX_LENGTH)
    file = copy / "entity" / "part-00000.parquet"
    folders.pq.write_table(folders.pq.read_table(file).slice(1), file)
    assert len(encoded_level(copy, "entity", tokenizer, MAX_LENGTH).ends) == len(load_level(corpora, "entity")) - 1
    assert len([path for path in cache.iterdir() if path.is_dir()]) == 4
    assert made.is_dir()


def test_one_process_encodes_and_others_wait(
    workers: Any, sample_corpora: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    """Three runs that start together; all of them finish, and what they encoded stands once."""
    corpora = tmp_path / "corpora"
    shutil.copytree(sample_corpora, corpora)
    recipes = []
    for name in "abc":
        recipes.append(tmp_path / f"{name}.yaml")
        recipes[-1].write_text(
            f"output: {tmp_path / name}\ncorpora: {corpora}\ntokenizer: {sample_tokenizer}\n"
            "shape: {hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 16}\n"
            "shares: {fact: 1}\nsteps: 1\nbatch_size: 2\nlearning_rate: 0.001\nwarmup_steps: 0\nbf16: false\n",
            encoding="utf-8",
        )
    started = [workers.start(recipe, tmp_path / f"errors-{i}") for i, recipe in enumerate(recipes)]
    assert [workers.finish(worker) for worker in started] == [0, 0, 0]
    assert len([path for path in (tmp_path / ".corpora.pieces").iterdir() if path.is_dir()]) == 1
    assert sum("encoding fact" in (tmp_path / f"errors-{i}").read_text(encoding="utf-8") for i in range(3)) == 1


def test_a_cache_that_cannot_be_written(
    corpora: Path, tokenizer: PreTrainedTokenizerBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(InputError, match=r"cannot be written, and encoded texts are kept there; .* the key `cache`"):
        encoded_level(corpora, "fact", tokenizer, MAX_LENGTH, tmp_path / "new")
