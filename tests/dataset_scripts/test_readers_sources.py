"""What `--text` may name: files by suffix, folders, data sets; the same rows whatever the format."""

from __future__ import annotations

import bz2
import gzip
import json
import logging
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.readers import plain_text
from kbioxlm.dataset_scripts.readers.documents import Document, Withdrawal
from kbioxlm.dataset_scripts.readers.sources import parts

BOTH = ("en", "zh")
ROWS: list[dict[str, Any]] = [
    {"id": "a", "lang": "en", "text": "One."},
    {"id": 7, "language": "zh", "text": "二。"},
    {"text": "Three.", "other": [1]},
]


def read(specification: str | Path, language: str | None = "en", languages: tuple[str, ...] = BOTH) -> list[Any]:
    return [found for part in parts(specification, languages, language) for found in part.read()]


def json_lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".jsonl.gz", ".json.bz2", ".JSONL"])
def test_json_lines_by_suffix(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    data = json_lines(ROWS)
    path.write_bytes({"gz": gzip.compress(data), "bz2": bz2.compress(data)}.get(suffix.rpartition(".")[2], data))
    assert read(path) == [
        Document("a", "en", "One."),
        Document("7", "zh", "二。"),
        Document(f"a{suffix}:3", "en", "Three."),
    ]


def test_parts_are_picklable_and_named_without_their_folder(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "b.jsonl").write_bytes(json_lines(ROWS))
    (first,), (second,) = (parts(str(tmp_path / folder), BOTH, "en") for folder in ("x", "y"))
    assert first.name == second.name == "b.jsonl"
    assert list(pickle.loads(pickle.dumps(first)).read()) == list(second.read())


def test_a_folder_gives_its_own_supported_files_by_name(tmp_path: Path) -> None:
    for name in ("pubmed25n0010.xml.gz", "pubmed25n0009.xml.gz", "pubmed25n0009.xml.gz.md5", ".hidden.jsonl", "b.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "deep.jsonl").mkdir()
    (tmp_path / "deep.jsonl" / "c.jsonl").write_bytes(b"x")
    assert [part.name for part in parts(tmp_path, BOTH, "en")] == [
        "b.txt",
        "pubmed25n0009.xml.gz",
        "pubmed25n0010.xml.gz",
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.csv", r"a\.csv: unknown format '\.csv'; give \.jsonl, \.json, \.txt, \.xml \(each also"),
        ("a.parquet.gz", r"unknown format '\.parquet\.gz'"),
        ("a.gz", r"unknown format '\.gz'"),
        ("README", "unknown format 'without suffix'"),
    ],
)
def test_an_unknown_suffix_lists_the_known(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match=message):
        parts(tmp_path / name, BOTH, "en")


def test_missing_files_and_folders_without_texts(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    with pytest.raises(InputError, match=r"a\.jsonl: no such file"):
        parts(tmp_path / "a.jsonl", BOTH, "en")
    with pytest.raises(InputError, match=r"empty\.txt: the file is empty"):
        parts(tmp_path, BOTH, "en")
    (tmp_path / "empty.txt").unlink()
    with pytest.raises(InputError, match=r"no texts in the folder; put \.jsonl.* or write hub:.*:CONFIG"):
        parts(tmp_path, BOTH, "en")


@pytest.mark.parametrize(
    ("row", "language", "message"),
    [
        ({"text": "x"}, None, r":2: no 'lang' beside 'x'; add it, or say --language"),
        ({"text": "x", "lang": "fr"}, "en", r":2: language 'fr' is not one of en,zh; add it to --languages"),
        ({"text": "x", "lang": 5}, "en", ":2: 'lang' is not a string: 5"),
        ({"text": 5, "lang": "en"}, None, ":2: 'text' is not a text: 5"),
        ({"text": None, "lang": "en"}, None, ":2: 'text' is not a text: None"),
        ({"text": "x", "lang": "en", "id": [1]}, None, r":2: 'id' is neither a string nor a whole number: \[1\]"),
        ({"text": "x", "lang": "en", "id": 1.5}, None, ":2: 'id' is neither"),
        ({"text": "x", "lang": "en", "id": True}, None, ":2: 'id' is neither"),
        ({"lang": "en"}, None, ":2: no 'text' in"),
    ],
)
def test_rows_that_cannot_be_used_are_named(
    tmp_path: Path, row: dict[str, Any], language: str | None, message: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(json_lines([{"text": "fine", "lang": "en"}, row]))
    with pytest.raises(InputError, match=message):
        read(path, language)


def test_a_null_or_empty_id_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(json_lines([{"id": None, "text": "x"}, {"id": "", "text": "y"}]))
    assert [found.id for found in read(tmp_path / "a.jsonl")] == ["a.jsonl:1", "a.jsonl:2"]


def test_plain_text_is_cut_at_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"\n\n First line.\n  second\n \t\n\nNext.\r\nlast"))
    assert read(path) == [
        Document("a.txt.gz:3", "en", " First line.\n  second"),
        Document("a.txt.gz:7", "en", "Next.\nlast"),
    ]


@pytest.mark.parametrize(
    ("language", "message"),
    [(None, "plain text does not say its language; say --language with one of en,zh"), ("fr", "--language fr is not")],
)
def test_plain_text_needs_a_language(tmp_path: Path, language: str | None, message: str) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError, match=message):
        read(tmp_path / "a.txt", language)


def test_a_plain_text_document_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_text, "DOCUMENT_LIMIT", 100)
    (tmp_path / "a.txt").write_text("short\n\n" + "word\n" * 50)
    with pytest.raises(InputError, match=r"a\.txt:3: a document of more than 100 characters; put a blank line"):
        read(tmp_path / "a.txt")


def test_pubmed_files_are_known_by_their_suffix(tmp_path: Path) -> None:
    path = tmp_path / "pubmed25n0001.xml"
    path.write_text("<PubmedArticleSet><DeleteCitation><PMID>5</PMID></DeleteCitation></PubmedArticleSet>")
    assert read(path) == [Withdrawal("pubmed:5")]


def test_parquet_is_read_like_json_lines(tmp_path: Path) -> None:
    table = pa.table(
        {
            "n": list(range(3000)),
            "text": pa.array([f"text {n}" for n in range(3000)], pa.large_string()),
            "id": [None if n == 1500 else f"i{n}" for n in range(3000)],
            "lang": pa.array(["zh" if n % 2 else None for n in range(3000)]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=700)
    found = read(tmp_path / "a.parquet")
    assert len(found) == 3000
    assert found[1] == Document("i1", "zh", "text 1")
    assert found[1500] == Document("a.parquet:1501", "en", "text 1500")
    assert found[2999] == Document("i2999", "zh", "text 2999")


def test_parquet_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 is no Parquet")
    with pytest.raises(InputError, match=r"a\.parquet: not whole Parquet after row 0 .*; write or fetch"):
        read(path)
    pq.write_table(pa.table({"Text": ["x"]}), path)
    with pytest.raises(InputError, match=r"no column 'text' among \['Text'\]"):
        read(path)
    pq.write_table(pa.table({"text": [1]}), path)
    with pytest.raises(InputError, match=r"a\.parquet:1: 'text' is not a text: 1"):
        read(path)
    pq.write_table(pa.table({"text": ["x", "y"], "lang": ["en", "fr"]}), path)
    with pytest.raises(InputError, match=r"a\.parquet:2: language 'fr' is not one of en,zh"):
        read(path)
    pq.write_table(pa.table({"text": [f"text {n * 7919}" for n in range(9000)]}), path, row_group_size=3000)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="not whole Parquet after row 0"):
        read(path)
    path.write_bytes(data[:20000] + bytes(10000) + data[30000:])
    with pytest.raises(InputError, match="not whole Parquet after row"):
        read(path)


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    folder = tmp_path / "my-data"
    (folder / "mono").mkdir(parents=True)
    for shard in range(3):
        rows = [{"id": f"{shard}{row}", "text": f"t{shard}{row}", "lang": ("en", "zh", "fr")[row]} for row in range(3)]
        pq.write_table(pa.Table.from_pylist(rows), folder / "mono" / f"train-{shard:05d}-of-00003.parquet")
    pq.write_table(pa.table({"title": ["t"], "body": ["b"]}), folder / "articles.parquet")
    pq.write_table(pa.table({"id": ["x"], "lang": ["en"], "abstract": ["b"]}), folder / "one.parquet")
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: mono\n  data_files: mono/*.parquet\n"
        "- config_name: articles\n  data_files: articles.parquet\n- config_name: one\n  data_files: one.parquet\n---\n"
    )
    return folder


def test_a_data_set_is_read_by_shards(data_set: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = parts(f"hub:{data_set}:mono", BOTH, None)
    assert [part.name for part in found] == [f"my-data:mono:train#{shard}" for shard in range(3)]
    with caplog.at_level(logging.INFO, "kbioxlm"):
        rows = [list(pickle.loads(pickle.dumps(part)).read()) for part in found]
    assert rows[2] == [Document("20", "en", "t20"), Document("21", "zh", "t21")]
    assert [len(shard) for shard in rows] == [2, 2, 2]
    assert "hub:my-data:mono:train#2: texts in languages not asked for: {'fr': 1}" in caplog.text


def test_the_only_column_of_strings_is_the_text(data_set: Path) -> None:
    assert read(f"hub:{data_set}:one:train") == [Document("x", "en", "b")]
    with pytest.raises(InputError, match=r"no column 'text', and several columns of strings \(title, body\)"):
        parts(f"hub:{data_set}:articles", BOTH, "en")


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        (":nothing", r"cannot be opened .*'nothing' not found"),
        (":mono:test", r"cannot be opened .*test"),
        ("", r"cannot be opened .*[Cc]onfig"),
        (":a:b:c", "write hub:owner/name"),
    ],
)
def test_data_sets_that_cannot_be_opened(data_set: Path, rest: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parts(f"hub:{data_set}{rest}", BOTH, "en")


def test_a_data_set_that_is_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"hub:/no/where:train: cannot be opened"):
        parts("hub:/no/where", BOTH, "en")


def test_a_damaged_shard_is_named(data_set: Path) -> None:
    found = parts(f"hub:{data_set}:mono", BOTH, None)
    (data_set / "mono" / "train-00001-of-00003.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(InputError, match=r"hub:my-data:mono:train#1: cannot be (read|opened)"):
        list(found[1].read())
