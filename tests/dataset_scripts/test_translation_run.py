"""Asking translators for many texts: cache, batches, retries, lexicons, and the file that lists translators."""

from __future__ import annotations

import gzip
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.translation.cache import AnswerCache
from kbioxlm.dataset_scripts.translation.lexicon import LexiconSettings, LexiconTranslator
from kbioxlm.dataset_scripts.translation.protocol import Answer, TransientError, UnusableAnswerError, identity_of
from kbioxlm.dataset_scripts.translation.run import Patience, translate_all
from kbioxlm.dataset_scripts.translation.specification import read_translators

QUICK = Patience(attempts=3, first_wait=0.001, longest_wait=0.05)


class Upper:
    """Answers with capitals; fails as told; remembers what it was asked."""

    identity = "upper#1"

    def __init__(self, batch_size: int = 2, concurrent: int = 1, failures: Sequence[Exception] = ()):
        self.settings = {"kind": "upper"}
        self.batch_size = batch_size
        self.concurrent = concurrent
        self.failures = list(failures)
        self.asked: list[tuple[str, ...]] = []

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[Answer]:
        self.asked.append(tuple(texts))
        if self.failures:
            raise self.failures.pop(0)
        if len(texts) > 1 and "glued" in texts:
            raise UnusableAnswerError("one answer to all")
        if "hopeless" in texts:
            raise UnusableAnswerError("never")
        return [text.upper() for text in texts]


def ask(translator: Upper, texts: Sequence[str], cache: AnswerCache) -> list[Answer]:
    return translate_all(translator, texts, "en", "zh", cache, lambda number: None, QUICK)


@pytest.fixture
def cache(tmp_path: Path):
    with AnswerCache(tmp_path / "answers.sqlite") as opened:
        yield opened


def test_every_text_is_asked_once_and_answers_keep_their_order(cache: AnswerCache) -> None:
    translator = Upper()
    counted: list[int] = []
    texts = ["ccc", "a", "ccc", "bb", "a"]
    assert translate_all(translator, texts, "en", "zh", cache, counted.append, QUICK) == ["CCC", "A", "CCC", "BB", "A"]
    assert translator.asked == [("a", "bb"), ("ccc",)]
    assert sum(counted) == 3
    assert ask(translator, ["bb", "d"], cache) == ["BB", "D"]
    assert translator.asked[2:] == [("d",)]


def test_the_cache_knows_languages_and_translators_apart(cache: AnswerCache) -> None:
    cache.put("one", "en", "zh", {"a": "1", "none": None})
    cache.put("one", "en", "es", {"a": "2"})
    cache.put("two", "en", "zh", {"a": "3", "": ""})
    assert cache.get("one", "en", "zh", ["a", "none", "b"]) == {"a": "1", "none": None}
    assert cache.get("one", "en", "es", ["a", "none"]) == {"a": "2"}
    assert cache.get("two", "en", "zh", ["a", ""]) == {"a": "3", "": ""}
    assert cache.get("one", "e", "nzh", ["a"]) == {}


def test_thousands_of_texts_are_looked_up_at_once(cache: AnswerCache) -> None:
    answers = {f"text {number}": f"answer {number}" for number in range(2500)}
    cache.put("one", "en", "zh", answers)
    assert cache.get("one", "en", "zh", [*answers, "other"]) == answers


def test_another_process_reads_while_one_writes(cache: AnswerCache) -> None:
    cache.put("one", "en", "zh", {"a": "1"})
    cache._connection.execute("BEGIN IMMEDIATE")
    with AnswerCache(cache.path) as other:
        assert other.get("one", "en", "zh", ["a"]) == {"a": "1"}
    cache._connection.rollback()


def test_an_answer_without_text_is_not_asked_again(cache: AnswerCache) -> None:
    translator = Upper()
    assert ask(translator, ["hopeless"], cache) == [None]
    assert ask(translator, ["hopeless"], cache) == [None]
    assert translator.asked == [("hopeless",)]


def test_a_batch_with_an_unusable_answer_is_asked_text_by_text(cache: AnswerCache) -> None:
    translator = Upper(batch_size=3)
    assert ask(translator, ["hopeless", "glued", "fine"], cache) == [None, "GLUED", "FINE"]
    assert translator.asked == [("fine", "glued", "hopeless"), ("fine",), ("glued",), ("hopeless",)]


def test_transient_failures_are_retried(cache: AnswerCache) -> None:
    translator = Upper(failures=[TransientError("busy"), TransientError("busy")])
    assert ask(translator, ["a", "b"], cache) == ["A", "B"]
    assert translator.asked == [("a", "b")] * 3


def test_a_server_is_given_the_time_it_asks_for_but_no_more_than_the_longest_wait(cache: AnswerCache) -> None:
    patience = Patience(attempts=3, first_wait=0.0, longest_wait=0.2)
    for asked, least, most in ((0.1, 0.1, 0.19), (1000.0, 0.2, 0.5)):
        translator = Upper(failures=[TransientError("busy", retry_after=asked)])
        start = time.monotonic()
        translate_all(translator, [f"a{asked}"], "en", "zh", cache, lambda number: None, patience)
        assert least <= time.monotonic() - start < most


@pytest.mark.parametrize("concurrent", [1, 3])
def test_a_batch_that_keeps_failing_stops_the_run_and_the_rest_is_kept(cache: AnswerCache, concurrent: int) -> None:
    class Moody(Upper):
        def translate(self, texts: Sequence[str], source: str, target: str) -> list[Answer]:
            if "bb" in texts:
                raise TransientError("status 503")
            return super().translate(texts, source, target)

    with pytest.raises(
        InputError, match=r"upper#1: no answer after 3 tries \(status 503\); .*what was answered is kept"
    ):
        ask(Moody(batch_size=1, concurrent=concurrent), ["a", "bb", "ccc", "dddd"], cache)
    kept = cache.get("upper#1", "en", "zh", ["a", "bb", "ccc", "dddd"])
    assert kept == ({"a": "A"} if concurrent == 1 else {"a": "A"} | {k: k.upper() for k in kept})
    assert "bb" not in kept
    translator = Upper(batch_size=1)
    assert ask(translator, ["a", "bb", "ccc", "dddd"], cache) == ["A", "BB", "CCC", "DDDD"]
    assert ("a",) not in translator.asked


def test_an_error_that_is_no_failure_of_the_moment_is_not_retried(cache: AnswerCache) -> None:
    translator = Upper(failures=[InputError("url", "status 401", "check the token")])
    with pytest.raises(InputError, match="status 401"):
        ask(translator, ["a"], cache)
    assert len(translator.asked) == 1


def test_as_many_batches_as_allowed_run_at_once(cache: AnswerCache) -> None:
    barrier = threading.Barrier(3, timeout=5)

    class Meeting(Upper):
        def translate(self, texts: Sequence[str], source: str, target: str) -> list[Answer]:
            barrier.wait()  # passes only if three calls are under way
            return super().translate(texts, source, target)

    assert ask(Meeting(batch_size=1, concurrent=3), list("abcdef"), cache) == list("ABCDEF")


def test_a_file_that_is_no_cache_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("this is a file of text, long enough to be looked at by anyone " * 20)
    with pytest.raises(
        InputError, match=r"text: a damaged cache of translations, or another kind of file .*move it away"
    ):
        AnswerCache(text)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE people (name TEXT)")
    connection.close()
    with pytest.raises(InputError, match="no cache of translations of this version; give another path"):
        AnswerCache(other)
    with pytest.raises(InputError, match="cannot be used"):
        AnswerCache(tmp_path)


def test_a_damaged_cache_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    with AnswerCache(path) as cache:
        cache.put("one", "en", "zh", {f"text {n}": "answer " * 20 for n in range(2000)})
    content = bytearray(path.read_bytes())
    content[4096:-4096] = os.urandom(len(content) - 8192)
    path.write_bytes(content)
    with (
        AnswerCache(path) as cache,
        pytest.raises(InputError, match=r"answers\.sqlite: a damaged cache .*restore a copy"),
    ):
        cache.get("one", "en", "zh", [f"text {n}" for n in range(2000)])


def test_answers_outlive_a_kill(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from kbioxlm.dataset_scripts.translation.cache import AnswerCache\n"
        "cache = AnswerCache(sys.argv[1])\n"
        "cache.put('one', 'en', 'zh', {'a': '1'})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "answers.sqlite"
    assert subprocess.run([sys.executable, "-c", program, str(path)]).returncode == -9
    with AnswerCache(path) as cache:
        assert cache.get("one", "en", "zh", ["a"]) == {"a": "1"}


def lexicon(path: Path, *rows: str) -> Path:
    lines = ["source_language\ttarget_language\tsource\ttarget", *rows]
    content = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


def of(path: Path) -> LexiconTranslator:
    return LexiconTranslator(LexiconSettings(kind="lexicon", file=path))


@pytest.mark.parametrize("name", ["lexicon.tsv", "lexicon.tsv.gz"])
def test_a_lexicon_answers_by_exact_match_then_without_case(tmp_path: Path, name: str) -> None:
    rows = (
        "en\tzh\tALL\t急性淋巴细胞白血病",
        "en\tzh\tall\t全部",
        "en\tzh\tFever\t发热",
        "en\tzh\tFever\t发烧",
        "en\tes\tFever\tfiebre",
    )
    translator = of(lexicon(tmp_path / name, *rows))
    assert translator.translate(["ALL", "all", "All", "fever", "cough"], "en", "zh") == [
        "急性淋巴细胞白血病", "全部", "急性淋巴细胞白血病", "发热", None,
    ]  # fmt: skip
    assert translator.translate(["Fever"], "en", "es") == ["fiebre"]
    assert translator.translate(["Fever"], "zh", "en") == [None]


def test_the_identity_of_a_lexicon_is_its_content(tmp_path: Path) -> None:
    one = of(lexicon(tmp_path / "a.tsv", "en\tzh\tfever\t发热")).identity
    assert one.startswith("a#")
    assert of(lexicon(tmp_path / "a.tsv", "en\tzh\tfever\t发热")).identity == one
    assert of(lexicon(tmp_path / "a.tsv", "en\tzh\tfever\t发烧")).identity != one


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("en\tzh\tfever", r"lexicon\.tsv:2: not four filled columns: 'en\\tzh\\tfever'"),
        ("en\tzh\tfever\t ", r"lexicon\.tsv:2: not four filled columns"),
        ("en\txx\tfever\t发热", r"lexicon\.tsv:2: unknown language 'xx'"),
    ],
)
def test_a_malformed_lexicon_is_an_error(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        of(lexicon(tmp_path / "lexicon.tsv", row))


def test_a_lexicon_needs_its_header(tmp_path: Path) -> None:
    (tmp_path / "bare.tsv").write_text("en\tzh\tfever\t发热\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"bare\.tsv:1: header 'en.*begin with the columns source_language"):
        of(tmp_path / "bare.tsv")


def test_an_identity_is_a_name_and_a_digest_of_all_settings() -> None:
    one = identity_of("m", {"model": "m", "beams": 4})
    assert one == identity_of("m", {"beams": 4, "model": "m"})
    assert one != identity_of("m", {"model": "m", "beams": 5})
    assert one.startswith("m#")


def test_translators_are_read_from_a_file(tmp_path: Path) -> None:
    path = lexicon(tmp_path / "names.tsv", "en\tzh\tfever\t发热")
    file = tmp_path / "translators.yaml"
    file.write_text(
        f"translators:\n- {{kind: lexicon, file: {path}}}\n"
        "- {kind: chat, url: 'http://localhost:1/v1', model: org/some-model, texts_per_request: 7}\n"
    )
    first, second = read_translators(file)
    assert first.translate(["fever"], "en", "zh") == ["发热"]
    assert second.identity.startswith("some-model#")
    assert second.batch_size == 7
    file.write_text("translators:\n- {kind: chat, url: 'http://localhost:1/v1', modle: some-model}\n")
    with pytest.raises(InputError, match=r"translators\.yaml: unknown key 'translators.0.chat.modle'"):
        read_translators(file)
    file.write_text("translators:\n- {kind: oracle}\n")
    with pytest.raises(InputError, match=r"translators\.0.*'lexicon'"):
        read_translators(file)
