"""Reading fails with one line that says where; writing is whole or not at all."""

from __future__ import annotations

import bz2
import gzip
import json
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kbioxlm.common.errors import InputError
from kbioxlm.common.files import (
    read_blocks,
    read_json_lines,
    read_lines,
    require_file,
    write_json,
    written_beside,
)


def test_lines_are_numbered_and_lose_only_their_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("one\r\n二\u2028二 \n\nlast\x85".encode())
    assert list(read_lines(path)) == [(1, "one"), (2, "二\u2028二 "), (3, ""), (4, "last\x85")]


def test_a_gzip_reads_like_its_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress("α\nβ\n".encode()))
    assert list(read_lines(path)) == [(1, "α"), (2, "β")]


def test_a_truncated_gzip_names_the_last_good_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    data = gzip.compress("".join(f"line {i * 7919}\n" for i in range(5000)).encode())
    path.write_bytes(data[: len(data) // 2])
    read: list[tuple[int, str]] = []
    with pytest.raises(InputError, match="breaks off or is damaged after line") as caught:
        read.extend(read_lines(path))
    assert read
    assert f"after line {len(read)} " in str(caught.value)


@pytest.mark.parametrize("whole", [False, True])
def test_a_truncated_or_damaged_bzip2_names_the_last_good_line(tmp_path: Path, whole: bool) -> None:
    path = tmp_path / "a.txt.bz2"
    text = "".join(f"line {i * 7919}\n" for i in range(200_000)).encode()
    data = bz2.compress(text, 1)
    path.write_bytes(data)
    assert [line for _, line in read_lines(path)] == text.decode().splitlines()
    half = len(data) // 2
    path.write_bytes(data[:half] + bytes(100) + data[half + 100 :] if whole else data[:half])
    read: list[tuple[int, str]] = []
    with pytest.raises(InputError, match="the bzip2 data breaks off or is damaged after line") as caught:
        read.extend(read_lines(path))
    assert len(read) > 50_000
    assert f"after line {len(read)} " in str(caught.value)


def test_blocks_count_their_bytes_in_the_message(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(bytes(range(256)) * 4000))
    blocks = list(read_blocks(path, 1000))
    assert b"".join(blocks) == bytes(range(256)) * 4000
    assert max(map(len, blocks)) == 1000
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(InputError, match="damaged after 1,024,000 bytes of content"):
        list(read_blocks(path))


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
@given(lines=st.lists(st.text("aé中\r\u2028 ", max_size=12), min_size=1, max_size=30), ended=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_lines_do_not_depend_on_the_blocks_they_come_in(
    tmp_path_factory: pytest.TempPathFactory, size: int, lines: list[str], ended: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "blocks.txt"
    lines = [*lines, "last"]
    path.write_text("\n".join(lines) + "\n" * ended, encoding="utf-8", newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kbioxlm.common.files._BLOCK", size)
        found = list(read_lines(path))
    assert found == [(number, line.rstrip("\r")) for number, line in enumerate(lines, 1)]


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_a_line_without_end_is_named_before_it_fills_the_memory(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    data = b"good\n" * 3 + b"x" * 60_000_000
    path.write_bytes(gzip.compress(data, 1) if name.endswith("gz") else data)
    del data
    tracemalloc.start()
    with pytest.raises(InputError, match=r":4: a line of more than 16,777,216 bytes, which begins with b'xxx"):
        list(read_lines(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24_000_000


def test_the_limit_counts_the_bytes_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"x\n" + b"y" * 10 + b"\n" + "中".encode() * 3 + b"\nz")
    assert len(list(read_lines(path, limit=10))) == 4
    with pytest.raises(InputError, match=r"a\.txt:2: a line of more than 9 bytes"):
        list(read_lines(path, limit=9))


def test_a_mark_at_the_start_is_dropped_and_utf16_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffα\n\ufeffβ\n".encode())
    assert list(read_lines(path)) == [(1, "α"), (2, "\ufeffβ")]
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        path.write_bytes("ab\n".encode(encoding))
        with pytest.raises(InputError, match=r"UTF-16 or UTF-32 text \(it begins with .*convert the file to UTF-8"):
            list(read_lines(path))


@pytest.mark.parametrize("data", [b"plain text", b"\x1f\x8b\x08\x00garbage that is no deflate stream"])
def test_what_is_no_gzip_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.gz: the gzip data breaks off or is damaged after line 0"):
        list(read_lines(path))


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_bytes_that_are_not_utf8_are_named_by_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    data = b"good\n" * 3000 + "中\n".encode() + b"caf\xe9 au lait\n" + b"good\n"
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    with pytest.raises(InputError, match=r"a\.txt.*:3002: not UTF-8 text .*caf\\xe9.*convert the file to UTF-8"):
        list(read_lines(path))


@pytest.mark.parametrize("reader", [read_lines, read_json_lines])
def test_missing_empty_and_folder_are_told_apart(tmp_path: Path, reader) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    for name, found in (("missing", "no such file"), ("empty", "the file is empty"), ("folder", "is a folder")):
        with pytest.raises(InputError, match=f"{name}: {found}"):
            list(reader(tmp_path / name))
        with pytest.raises(InputError, match=found):
            require_file(str(tmp_path / name))


def test_json_lines_pass_over_blank_lines_and_keep_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n\n  \n{"text": "乙", "n": 1}\n', encoding="utf-8")
    assert list(read_json_lines(path, required=("text",))) == [(1, {"text": "a"}), (4, {"text": "乙", "n": 1})]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": ', r"a\.jsonl:3: not JSON: .*write one JSON object on each line"),
        ('["text"]', r"a\.jsonl:3: not a JSON object: \['text'\]"),
        ("3.5", r"a\.jsonl:3: not a JSON object: 3\.5"),
        ('{"Text": "a"}', r"a\.jsonl:3: no 'text' in \{'Text': 'a'\}; give every object 'text'"),
    ],
)
def test_json_errors_name_line_and_value(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"text": "a"}}\n\n{line}\n', encoding="utf-8")
    with pytest.raises(InputError, match=message):
        list(read_json_lines(path, required=("text",)))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": NaN}', r"a\.jsonl:1: not JSON: .*\(NaN is no JSON number\)"),
        ('{"text": "a", "x": [-Infinity]}', r"-Infinity is no JSON number"),
        ('{"text": "a", "x": {"k": 1, "k": 2}}', r"a\.jsonl:1: not JSON: .*the key 'k' is given twice"),
        (
            r'{"text": "a \ud83d b"}',
            r"a\.jsonl:1: \\ud83d is half of a surrogate pair, no character; write the whole pair",
        ),
        (r'{"text": "a", "x": ["\uDC00"]}', r"\\udc00 is half of a surrogate pair"),
        ('{"text": ' + "[" * 200_000, r"a\.jsonl:1: nested too deeply: .*; write one JSON object"),
        ('{"text": ' + "9" * 5000 + "}", r"a\.jsonl:1: not JSON: .*digits"),
    ],
)
def test_json_that_python_would_take_is_refused(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        list(read_json_lines(path))
    assert len(str(caught.value)) < 400 + len(str(path))


def test_whole_surrogate_pairs_and_long_texts_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(rb'{"text": "\ud83d\ude00", "x": "\\ud83d"}' + b"\n" + b'{"text": "' + b"x" * 50_000_000 + b'"}')
    first, second = (record for _, record in read_json_lines(path))
    assert first == {"text": "😀", "x": "\\ud83d"}
    assert len(second["text"]) == 50_000_000
    with pytest.raises(InputError, match=r"a\.jsonl:2: a line of more than 1,000,000 bytes"):
        list(read_json_lines(path, limit=1_000_000))


def test_a_long_value_is_shortened_in_the_message(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("x" * 5000, encoding="utf-8")
    with pytest.raises(InputError, match="…") as caught:
        list(read_json_lines(path))
    assert len(str(caught.value)) < 300 + len(str(path))


def test_a_file_is_replaced_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "a.txt"
    with written_beside(target) as draft:
        draft.write_text("one")
        assert draft.parent == target.parent
        assert not target.exists()
    with written_beside(target) as draft:
        draft.write_text("two")
        assert target.read_text() == "one"
    assert target.read_text() == "two"
    assert [path.name for path in target.parent.iterdir()] == ["a.txt"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "out"
    for name in ("old", "new"):
        with written_beside(target) as draft:
            draft.mkdir()
            (draft / name).write_text(name)
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_failure_leaves_what_stood_there_and_nothing_else(tmp_path: Path, is_folder: bool) -> None:
    target = tmp_path / "out"
    target.write_text("kept")

    def write(draft: Path) -> None:
        if is_folder:
            draft.mkdir()
            (draft / "part").write_text("half")
        else:
            draft.write_text("half")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"), written_beside(target) as draft:
        write(draft)
    assert target.read_text() == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_block_that_writes_nothing_is_an_error_and_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_text("kept")
    with pytest.raises(FileNotFoundError), written_beside(target):
        pass
    assert target.read_text() == "kept"


def test_a_block_that_writes_nothing_keeps_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "kept").touch()
    with pytest.raises(FileNotFoundError), written_beside(target):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (target / "kept").exists()


def test_json_is_written_readably_and_the_same_each_time(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"名": [1, 2.5, None]})
    first = (tmp_path / "a.json").read_bytes()
    time.sleep(0.01)
    write_json(tmp_path / "a.json", {"名": [1, 2.5, None]})
    assert (tmp_path / "a.json").read_bytes() == first
    assert "名".encode() in first
    assert first.endswith(b"}\n")
    assert json.loads(first) == {"名": [1, 2.5, None]}


def test_json_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"x": object()})
    assert not list(tmp_path.iterdir())
