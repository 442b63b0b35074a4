from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.benchmarks.iob import Span, read_iob, spans_of_tags


def written(folder: Path, *lines: str) -> Path:
    path = folder / "file.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_english_words_are_joined_by_a_space(tmp_path: Path) -> None:
    path = written(
        tmp_path, "-DOCSTART-\t17", "", "Severe\tB-ADE", "bleeding\tI-ADE", "after\tO", "aspirin\tB-Drug", ".\tO", "",
        "It\tO", "stopped\tO", "", "-DOCSTART-\t4", "", "No\tO",
    )  # fmt: skip
    first, second, third = read_iob(path, language="en").sentences
    assert (first.id, second.id, third.id) == ("17/0", "17/1", "4/0")
    assert (first.document, third.document, first.language) == ("17", "4", "en")
    assert first.text == "Severe bleeding after aspirin ."
    assert first.entities == (Span(0, 15, "ADE"), Span(22, 29, "Drug"))
    assert [first.text[start:end] for start, end in first.units] == ["Severe", "bleeding", "after", "aspirin", "."]


def test_chinese_characters_are_joined_by_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, "-DOCSTART-\t1", "锂\tB-Drug", "5\tO", "mg\tO", "中\tB-ADE", "毒\tI-ADE", "。\tO")
    (only,) = read_iob(path).sentences
    assert only.text == "锂5mg中毒。"
    assert only.entities == (Span(0, 1, "Drug"), Span(4, 6, "ADE"))
    assert only.units == ((0, 1), (1, 2), (2, 4), (4, 5), (5, 6), (6, 7))
    assert read_iob(path, spaced=True).sentences[0].text == "锂 5 mg 中 毒 。"


def test_offsets_count_code_points(tmp_path: Path) -> None:
    path = written(tmp_path, "-DOCSTART-\t1", "𝛽-blocker\tB-Drug", "é\tO", "x\tB-Drug")
    (only,) = read_iob(path).sentences
    assert [only.text[entity.start : entity.end] for entity in only.entities] == ["𝛽-blocker", "x"]


def test_gzip_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "file.txt.gz"
    path.write_bytes(gzip.compress("\ufeff-DOCSTART-\t1\na\tO\n".encode()))
    assert read_iob(path).sentences[0].text == "a"


def test_neighbouring_entities_stay_apart(tmp_path: Path) -> None:
    path = written(tmp_path, "-DOCSTART-\t1", "a\tB-X", "b\tB-X", "c\tI-X")
    assert read_iob(path).sentences[0].entities == (Span(0, 1, "X"), Span(2, 5, "X"))


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["O", "I-X"], []),
        (["B-X", "I-Y"], [Span(0, 1, "X")]),
        (["B-X", "I-X"], [Span(0, 2, "X")]),
        (["I-X", "B-X"], [Span(1, 2, "X")]),
        (["B-X", "O"], [Span(0, 1, "X")]),
    ],
)
def test_spans_of_strict_tags(tags: list[str], expected: list[Span]) -> None:
    assert list(spans_of_tags(tags, [(0, 1), (1, 2)])) == expected


def test_orphan_tags_are_refused_or_repaired(tmp_path: Path) -> None:
    path = written(tmp_path, "-DOCSTART-\t1", "lithium\tB-Drug", "toxicity\tI-ADE", "syndrome\tI-ADE")
    with pytest.raises(InputError, match=r"file\.txt:3: tag 'I-ADE' after 'B-Drug' continues nothing; write B-ADE"):
        read_iob(path)
    read = read_iob(path, repair=True)
    assert read.repaired_lines == [3]
    assert read.sentences[0].entities == (Span(0, 7, "Drug"), Span(8, 25, "ADE"))
    assert read.sentences[0].repaired_units == (1,)


def test_a_sentence_end_ends_an_entity(tmp_path: Path) -> None:
    path = written(tmp_path, "-DOCSTART-\t1", "a\tB-X", "", "b\tI-X")
    with pytest.raises(InputError, match=r":4: tag 'I-X' after 'O' continues nothing"):
        read_iob(path)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["-DOCSTART-\t1", "word O"], r"file\.txt:2: 'word O' is not `unit<TAB>tag`"),
        (["-DOCSTART-\t1", "word\tNN\tO"], r"file\.txt:2: .* is not `unit<TAB>tag`"),
        (["-DOCSTART-\t1", "\tO"], r"file\.txt:2: .* is not `unit<TAB>tag`"),
        (["-DOCSTART-\t1", "word\tX"], r"file\.txt:2: tag 'X' is not IOB2; use O, B-LABEL or I-LABEL"),
        (["-DOCSTART-\t1", "word\tE-ADE"], r"file\.txt:2: tag 'E-ADE' is not IOB2"),
        (["-DOCSTART-\t1", "word\tB-"], r"file\.txt:2: tag 'B-' is not IOB2"),
        (["word\tO"], r"file\.txt:1: 'word' stands before any document; begin with a line `-DOCSTART-<TAB>id`"),
        (["-DOCSTART-\t1", "-DOCSTART-\t2", "a\tO"], r"file\.txt:1: document '1' has no units"),
        (["-DOCSTART-\t1", "a\tO", "-DOCSTART-\t2"], r"file\.txt:3: document '2' has no units"),
        (["-DOCSTART-\t1", "a\tO", "-DOCSTART-\t1", "b\tO"], r"file\.txt:3: document id '1' appears again"),
        (["", ""], r"file\.txt: no sentence in the file"),
    ],
)
def test_errors_name_file_line_value_and_remedy(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_iob(written(tmp_path, *lines))


def test_missing_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_iob(tmp_path / "none.txt")
    (tmp_path / "empty.txt").touch()
    with pytest.raises(InputError, match="the file is empty"):
        read_iob(tmp_path / "empty.txt")
