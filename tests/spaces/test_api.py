"""The Space's API: what programs get, and what is refused."""

from __future__ import annotations

import gzip
import io
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from kbioxlm.tests.spaces.conftest import CHINESE, ENGLISH, RunningSpace

FORMATS = {"jsonl": ".jsonl", "pubtator": ".pubtator", "bioc": ".bioc.json", "brat": ".zip", "conll": ".conll"}


@pytest.fixture(scope="module")
def client(space: RunningSpace, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(space.url, verbose=False, download_files=str(tmp_path_factory.mktemp("downloads")))


def called(space: RunningSpace, endpoint: str, body: bytes) -> tuple[int, str]:
    """Status, and the data of the last event, of a call whose JSON is written by hand."""
    url = f"{space.url}/gradio_api/call/{endpoint}"
    answer = httpx.post(url, content=body, headers={"content-type": "application/json"}, timeout=60)
    if answer.status_code != 200:
        return answer.status_code, answer.text
    events = httpx.get(f"{url}/{answer.json()['event_id']}", timeout=60).text
    return 200, events


def uploaded(space: RunningSpace, name: str, content: bytes) -> httpx.Response:
    return httpx.post(f"{space.url}/gradio_api/upload", files={"files": (name, content)}, timeout=60)


def batch_of(space: RunningSpace, path: str) -> str:
    """What `/batch` says of an uploaded file."""
    data = [{"path": path, "meta": {"_type": "gradio.FileData"}}, "jsonl", "en"]
    return called(space, "batch", json.dumps({"data": data}).encode())[1]


def test_entities_are_found_aligned_and_known(client: Client) -> None:
    result = client.predict(ENGLISH, CHINESE, api_name="/ner")
    assert result["text"] == ENGLISH
    assert result["parallel"] == CHINESE
    for text, entities in ((ENGLISH, result["entities"]), (CHINESE, result["parallel_entities"])):
        assert entities
        for entity in entities:
            assert text[entity["start"] : entity["end"]] == entity["word"]
            assert 0 < entity["score"] <= 1
    nausea = next(entity for entity in result["entities"] if entity["word"] == "nausea")
    [concept] = nausea["concepts"]
    assert concept["names"] == {"en": "nausea", "zh": "恶心"}
    assert concept["sources"] == [{"source": "babelon:kbioxlm-sample", "license": "Apache-2.0"}]
    counterparts = {
        result["entities"][pair["first"]]["word"]: (result["parallel_entities"][pair["second"]]["word"], pair["by"])
        for pair in result["pairs"]
    }
    assert counterparts["nausea"] == ("恶心", "concept")
    assert result["knowledge_base"]["versions"] == ["2026-11-26"]


def test_one_text_needs_no_other(client: Client) -> None:
    alone = client.predict(ENGLISH, api_name="/ner")
    assert alone["pairs"] == alone["parallel_entities"] == []
    together = client.predict(ENGLISH, CHINESE, api_name="/ner")
    places = [(entity["start"], entity["end"]) for entity in alone["entities"]]
    assert places == [(entity["start"], entity["end"]) for entity in together["entities"]]


def test_two_models_are_compared(client: Client) -> None:
    result = client.predict(ENGLISH, api_name="/compare")
    first, second = ({(e["start"], e["end"], e["entity_group"]) for e in result[side]} for side in ("first", "second"))
    assert first
    for side, other in (("first", second), ("second", first)):
        for entity in result[side]:
            assert entity["shared"] == ((entity["start"], entity["end"], entity["entity_group"]) in other)
    assert result["first_model"] != result["second_model"]


def test_every_endpoint_is_described(client: Client, space: RunningSpace) -> None:
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {"/ner", "/compare", "/batch", "/about"}
    described = httpx.get(space.url + "/gradio_api/openapi.json").text
    for words in ("Entities of a text", "What two models find", "Entities of all documents of a file", "The models"):
        assert words in described
    about = client.predict(api_name="/about")
    assert about["formats"] == FORMATS
    assert about["limits"]["characters"] == 20_000


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_comes_back_in_every_format(client: Client, space: RunningSpace, format: str, tmp_path: Path) -> None:
    source = tmp_path / "texts.jsonl"
    rows = [{"id": "a", "text": ENGLISH}, {"id": 7, "text": CHINESE + format}]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    written = Path(client.predict(handle_file(source), format, api_name="/batch"))
    assert written.name == "entities" + FORMATS[format]
    if format == "brat":
        with zipfile.ZipFile(written) as archive:
            assert {"a.txt", "a.ann", "7.txt", "7.ann"} <= set(archive.namelist())
            assert archive.read("a.txt").decode() == ENGLISH
            assert "nausea" in archive.read("a.ann").decode()
    else:
        content = written.read_text(encoding="utf-8")
        assert "nausea" in content
        assert "恶" in content
    if format == "jsonl":
        documents = [json.loads(line) for line in written.read_text(encoding="utf-8").splitlines()]
        assert [document["id"] for document in documents] == ["a", "7"]
        [nausea] = [entity for entity in documents[0]["entities"] if entity["word"] == "nausea"]
        assert nausea["concept"] == "K0000127"
    assert not [path for path in space.files() if path.name == "texts.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("", "", "en"), "Enter a text first."),
        ((" \n", "", "zh"), "请先输入文本。"),
        (("a" * 20_001, "", "en"), "20,001 characters; at most 20,000"),
        (("a", "b" * 20_001, "en"), "20,001 characters"),
        (("a" * 10_000_000, "", "zh"), "10,000,000 个字符"),
        ((5, "", "en"), "Give text, not int."),
        (("a", ["b"], "en"), "Give text, not list."),
        ((None, None, "en"), "Give text, not NoneType."),
    ],
)
def test_texts_that_are_refused(client: Client, arguments: tuple[Any, ...], said: str) -> None:
    with pytest.raises(AppError, match=said):
        client.predict(*arguments, api_name="/ner")


def test_a_request_that_is_larger_than_anything_that_makes_sense(space: RunningSpace) -> None:
    status, text = called(space, "ner", b'{"data": ["' + b"a" * 13_000_000 + b'", "", "en"]}')
    assert status == 413
    assert "at most 12,000,000 bytes" in text

    def endless() -> Any:
        for _ in range(20):
            yield b"a" * 1_000_000

    try:
        answer = httpx.post(f"{space.url}/gradio_api/call/ner", content=endless(), timeout=60)
        assert answer.status_code == 413
    except httpx.TransportError:
        pass  # it hangs up on a body that does not end
    assert httpx.get(space.url + "/config").status_code == 200


ODD = (
    "\\ud83d aspirin",
    "aspirin \\u202e nirips",
    "😀 aspirin 👩‍👧",
    "<script>1</script>aspirin",
    "\\u0000aspirin",
    "${1} {{2}} aspirin",
)


@pytest.mark.parametrize("text", ODD)
def test_characters_that_break_other_programs(space: RunningSpace, text: str) -> None:
    status, events = called(space, "ner", f'{{"data": ["{text}", "", "en"]}}'.encode())
    assert status == 200
    assert "event: complete" in events
    [result] = json.loads(events.split("data: ")[-1])
    expected = json.loads(f'"{text}"').replace("\ud83d", "\ufffd")
    assert result["text"] == expected
    for entity in result["entities"]:
        assert expected[entity["start"] : entity["end"]] == entity["word"]


def bomb() -> bytes:
    """A zip of a few kilobytes that would unpack to 5 MB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../bomb.txt", b"0" * 5_000_000)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("bomb.zip", bomb(), "Files of this kind are not read"),
        ("bomb.txt", bomb(), "This is a packed file under another name"),
        ("texts.txt.gz", gzip.compress(b"a"), "Files of this kind are not read"),
        ("texts.jsonl", gzip.compress(b"a"), "This is a packed file under another name"),
        ("program.txt", b"first line\n\x7fELF\x00\x01", "line 2: this is not a text file"),
        ("latin.txt", b"one\ncaf\xe9\n", "line 2: not UTF-8"),
        ("wide.txt", "aspirin".encode("utf-16"), "line 1"),
        ("lines.jsonl", b'{"id": "1", "text": "a"}\n\n{"id": "2"}\n', 'line 3: no \\"text\\"'),
        ("empty.txt", b"\n \n", "There is no document in the file"),
        ("deep.jsonl", b"[" * 100_000, "line 1: not a JSON object"),
    ],
)
def test_files_that_are_refused(space: RunningSpace, name: str, content: bytes, said: str) -> None:
    [path] = uploaded(space, name, content).json()
    assert said in batch_of(space, path)
    assert not Path(path).exists()
    if name.endswith((".txt", ".jsonl")):
        assert "The file is not there any more" in batch_of(space, path)


@pytest.mark.parametrize(
    "name", ["../../../evil.txt", "/etc/evil.txt", "..\\evil.txt", "evil\n<b>.txt", "a" * 300 + ".txt"]
)
def test_names_of_files_lead_nowhere(space: RunningSpace, name: str) -> None:
    answer = uploaded(space, name, b"aspirin caused nausea")
    if answer.status_code == 200:
        [path] = answer.json()
        [folder] = space.temporary.iterdir()
        assert Path(path).resolve().is_relative_to(folder)
        assert "event: complete" in batch_of(space, path)
        assert not Path(path).exists()
    else:
        assert answer.status_code in (400, 500)
    assert len(list(space.temporary.iterdir())) == 1
    assert not Path("/etc/evil.txt").exists()


def test_files_of_the_machine_cannot_be_read(space: RunningSpace) -> None:
    for path in ("/etc/passwd", "file:///etc/passwd", str(Path(__file__)), "../app.py"):
        answer = batch_of(space, path)
        assert "event: error" in answer
        assert "root:" not in answer
        assert httpx.get(f"{space.url}/gradio_api/file={path}").status_code in (403, 404)


def test_addresses_are_not_fetched(space: RunningSpace) -> None:
    for address in ("http://example.org/texts.txt", "https://127.0.0.1/texts.txt"):
        assert "addresses are not fetched" in batch_of(space, address)


def test_an_upload_over_the_limit_leaves_nothing(space: RunningSpace) -> None:
    before = set(space.files())
    answer = uploaded(space, "large.txt", b"a" * 2_000_001)
    assert answer.status_code == 413
    assert "2000000" in answer.text.replace(",", "")
    left = [path for path in set(space.files()) - before if path.stat().st_size > 100_000]
    assert left == []


def test_a_full_queue_files_that_expire_and_the_end(started: Callable[..., RunningSpace], tmp_path: Path) -> None:
    space = started(KBIOXLM_MAX_QUEUE="2", KBIOXLM_CONCURRENCY="1", KBIOXLM_KEEP_SECONDS="1", KBIOXLM_COMPARE="")
    long = " ".join([ENGLISH] * 200)
    body = json.dumps({"data": [long, "", "en"]}).encode()
    url = f"{space.url}/gradio_api/call/ner"
    with httpx.Client(timeout=60, headers={"content-type": "application/json"}) as session:
        answers = [session.post(url, content=body) for _ in range(12)]
        refused = [answer for answer in answers if answer.status_code == 503]
        assert 0 < len(refused) < 12
        assert all("Queue is full" in answer.text for answer in refused)
        for answer in answers:
            if answer.status_code == 200:
                assert "event: complete" in session.get(f"{url}/{answer.json()['event_id']}").text
    assert "No second model" in called(space, "compare", b'{"data": ["aspirin", "en"]}')[1]
    uploaded(space, "forgotten.txt", b"aspirin")
    assert [path.name for path in space.files()].count("forgotten.txt") == 1
    for _ in range(100):
        if not space.files():
            break
        time.sleep(0.1)
    assert space.files() == []
    uploaded(space, "kept.txt", b"aspirin")
    log = space.stop()
    assert space.process.returncode == 0
    assert list(space.temporary.iterdir()) == []
    assert "aspirin" not in log
    assert "Traceback" not in log
