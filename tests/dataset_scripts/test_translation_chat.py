"""Chat translators against a real HTTP server on this machine."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.translation.cache import AnswerCache
from kbioxlm.dataset_scripts.translation.chat import ChatSettings, ChatTranslator
from kbioxlm.dataset_scripts.translation.run import Patience, translate_all

QUICK = Patience(attempts=3, first_wait=0.001, longest_wait=2.0)
Reply = tuple[int, dict[str, str], bytes]


def names_in(request: dict[str, Any]) -> list[str]:
    """The names that a request asks for, as a server that follows the prompt reads them."""
    lines = request["messages"][1]["content"].splitlines()
    assert [line.split(". ", 1)[0] for line in lines] == [str(number) for number in range(1, len(lines) + 1)]
    return [json.loads(line.split(". ", 1)[1]) for line in lines]


def said(content: Any, finish: str = "stop") -> Reply:
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return 200, {}, json.dumps({"id": "1", "object": "chat.completion", "choices": [choice]}).encode()


class Server:
    """An OpenAI-compatible server. `reply` decides what it says; by default `<name>` in small brackets."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.times: list[float] = []
        self.reply: Callable[[list[str]], Reply] = lambda names: said([f"译{name}" for name in names])
        self.planned: list[Reply] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.requests.append(request)
                server.paths.append(self.path)
                server.headers.append({key.lower(): value for key, value in self.headers.items()})
                server.times.append(time.monotonic())
                status, headers, body = server.planned.pop(0) if server.planned else server.reply(names_in(request))
                try:
                    self.send_response(status)
                    for key, value in {"Content-Type": "application/json", **headers}.items():
                        self.send_header(key, value)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass  # the client has gone away

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def asked(self) -> list[list[str]]:
        return [names_in(request) for request in self.requests]

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where HF_HUB_OFFLINE is set, the Hub's client refuses every server, one on this machine too."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[AnswerCache]:
    with AnswerCache(tmp_path / "answers.sqlite") as opened:
        yield opened


def translator(url: str, **options: Any) -> ChatTranslator:
    return ChatTranslator(
        ChatSettings(
            kind="chat", url=url, model="org/model", **{"texts_per_request": 3, "requests_at_once": 1, **options}
        )
    )


def ask(chat: ChatTranslator, names: list[str], cache: AnswerCache, patience: Patience = QUICK) -> list[str | None]:
    return translate_all(chat, names, "en", "zh", cache, lambda number: None, patience)


def test_a_request_says_what_is_wanted(server: Server) -> None:
    names = ["heart attack", 'a "quoted"\nname', "发热"]
    assert translator(server.url).translate(names, "en", "zh") == [f"译{name}" for name in names]
    (request,) = server.requests
    assert server.paths == ["/v1/chat/completions"]
    assert request["model"] == "org/model"
    assert (request["temperature"], request["seed"], request["max_tokens"]) == (0.0, 0, 4096)
    system = request["messages"][0]
    assert system["role"] == "system"
    assert "from English into Chinese" in system["content"]
    assert "exactly 3 strings" in system["content"]
    assert names_in(request) == names


def test_what_is_null_is_not_sent_and_the_instruction_can_be_replaced(server: Server) -> None:
    chat = translator(
        server.url, seed=None, temperature=None, max_tokens=None, instruction="{source}>{target} {count} {x}"
    )
    chat.translate(["a"], "en", "ja")
    assert not {"seed", "temperature", "max_tokens"} & set(server.requests[0])
    assert server.requests[0]["messages"][0]["content"] == "English>Japanese 1 {x}"


def test_the_token_comes_from_the_environment_and_goes_to_the_server_alone(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "sesame-123")
    chat = translator(server.url, token_variable="SOME_TOKEN")
    chat.translate(["a"], "en", "zh")
    assert server.headers[0]["authorization"] == "Bearer sesame-123"
    assert "sesame" not in chat.identity + str(chat.settings)
    server.planned = [(401, {}, b'{"error": {"message": "Incorrect API key provided: sesame-123"}}')]
    with pytest.raises(InputError, match="status 401") as caught:
        chat.translate(["a"], "en", "zh")
    assert "sesame" not in str(caught.value)
    monkeypatch.delenv("SOME_TOKEN")
    with pytest.raises(InputError, match="SOME_TOKEN: the environment variable of the server's token is not set"):
        translator(server.url, token_variable="SOME_TOKEN")


def test_the_token_of_the_hub_is_never_sent(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_user")
    translator(server.url).translate(["a"], "en", "zh")
    assert "hf_of_the_user" not in str(server.headers)
    assert server.headers[0]["authorization"] == "Bearer none"


def test_the_identity_is_all_that_decides_the_answers() -> None:
    url = "http://127.0.0.1:1/v1"
    one = translator(url).identity
    assert one.startswith("model#")
    assert one == translator(url, texts_per_request=9, requests_at_once=8, timeout=1.0).identity
    for other in ({"instruction": "Translate."}, {"seed": 1}, {"temperature": 0.5}, {"revision": "int8"}):
        assert translator(url, **other).identity != one
    assert translator("http://127.0.0.1:2/v1").identity != one


@pytest.mark.parametrize("url", ["localhost:80", "ftp://host/v1", "http://me:secret@host/v1", "http:///v1"])
def test_an_url_must_be_one_without_a_password(url: str) -> None:
    with pytest.raises(InputError, match=r"not an http\(s\) URL without user and password") as caught:
        translator(url)
    assert "secret" not in str(caught.value)


def test_retry_after_is_honoured(server: Server, cache: AnswerCache) -> None:
    server.planned = [(429, {"Retry-After": "1"}, b"{}")]
    assert ask(translator(server.url), ["a", "b"], cache) == ["译a", "译b"]
    assert server.asked() == [["a", "b"], ["a", "b"]]
    assert 1.0 <= server.times[1] - server.times[0] < 2.0


def test_retry_after_may_be_a_date(server: Server, cache: AnswerCache) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    server.planned = [(503, {"Retry-After": date}, b"")]
    assert ask(translator(server.url), ["a"], cache) == ["译a"]
    assert 0.9 <= server.times[1] - server.times[0] < 2.5


@pytest.mark.parametrize(
    "first",
    [
        (500, {}, b"Internal Server Error"),
        (502, {"Content-Type": "text/html"}, b"<html>Bad gateway</html>"),
        (408, {}, b"{}"),
        (200, {"Content-Type": "text/html"}, b"<html>Log in</html>"),
        (200, {}, b'{"error": {"message": "overloaded"}}'),
        (200, {}, b"[1]"),
        (200, {}, b'{"choices": []}'),
        (200, {}, b"\xff\xfe"),
    ],
)
def test_a_failure_of_the_moment_is_retried(server: Server, cache: AnswerCache, first: Reply) -> None:
    server.planned = [first]
    assert ask(translator(server.url), ["a"], cache) == ["译a"]
    assert len(server.requests) == 2


def test_a_server_that_keeps_failing_stops_the_run(server: Server, cache: AnswerCache) -> None:
    server.reply = lambda names: said(["译" + names[0]]) if names == ["a"] else (503, {}, b"too many users")
    with pytest.raises(InputError, match=r"model#\w+: no answer after 3 tries \(status 503.*what was answered is kept"):
        ask(translator(server.url, texts_per_request=1), ["a", "bb"], cache)
    assert server.asked() == [["a"], ["bb"], ["bb"], ["bb"]]
    server.reply = lambda names: said([f"译{name}" for name in names])
    assert ask(translator(server.url, texts_per_request=1), ["a", "bb"], cache) == ["译a", "译bb"]
    assert server.asked()[4:] == [["bb"]]


def test_a_silent_server_times_out(server: Server, cache: AnswerCache) -> None:
    def slow_once(names: list[str]) -> Reply:
        if len(server.requests) == 1:
            time.sleep(0.5)
        return said(names)

    server.reply = slow_once
    assert ask(translator(server.url, timeout=0.2), ["a"], cache) == ["a"]
    assert len(server.requests) == 2


def test_no_server_at_all(cache: AnswerCache) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(InputError, match=r"no answer after 3 tries \(ConnectError"):
        ask(translator(url), ["a"], cache)


def test_offline_mode_is_an_error_at_once(server: Server, cache: AnswerCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE: is set, and forbids every request; unset it"):
        ask(translator(server.url), ["a"], cache)
    assert not server.requests


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_a_refusal_is_an_error_at_once(server: Server, cache: AnswerCache, status: int) -> None:
    server.planned = [(status, {}, b'{"error": {"message": "no such model"}}')]
    with pytest.raises(InputError, match=rf"the server refused with status {status} .*check url, model and token"):
        ask(translator(server.url), ["a"], cache)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "bad",
    [
        said(["only one"]),
        said(["one", "two", "three", "four"]),
        said("1. 一\n2. 二\n3. 三"),
        said('["一", "二", '),
        said({"1": "一", "2": "二", "3": "三"}),
        said(["一", 2, "三"]),
        said(["一", None, "三"]),
        said(["一", "二", "三"], finish="length"),
        (200, {}, b'{"choices": [{"index": 0, "message": {"role": "assistant", "content": null}}]}'),
    ],
)
def test_an_answer_that_cannot_be_told_apart_is_asked_one_by_one(
    server: Server, cache: AnswerCache, bad: Reply
) -> None:
    server.planned = [bad]
    assert ask(translator(server.url), ["a", "b", "c"], cache) == ["译a", "译b", "译c"]
    assert server.asked() == [["a", "b", "c"], ["a"], ["b"], ["c"]]


def test_a_name_that_never_gets_a_usable_answer_has_none_and_is_left_alone(server: Server, cache: AnswerCache) -> None:
    server.reply = lambda names: said("I cannot") if "b" in names else said([f"译{name}" for name in names])
    chat = translator(server.url)
    assert ask(chat, ["a", "b", "c"], cache) == ["译a", None, "译c"]
    count = len(server.requests)
    assert ask(chat, ["b", "c"], cache) == [None, "译c"]
    assert len(server.requests) == count


def test_fences_and_thoughts_around_the_list_are_no_mistake(server: Server) -> None:
    chat = translator(server.url)
    server.planned = [said('```json\n["一"]\n```'), said('<think>\nFever is ["发烧"]?\n</think>\n\n["二"]')]
    assert chat.translate(["a"], "en", "zh") == ["一"]
    assert chat.translate(["a"], "en", "zh") == ["二"]


def test_requests_run_at_once_and_the_answers_are_the_same(server: Server, cache: AnswerCache) -> None:
    together = threading.Barrier(4, timeout=5)

    def reply(names: list[str]) -> Reply:
        together.wait()
        return said([f"译{name}" for name in names])

    server.reply = reply
    names = [f"name {number}" for number in range(24)]
    assert ask(translator(server.url, requests_at_once=4), names, cache) == [f"译{name}" for name in names]
    assert Counter(name for batch in server.asked() for name in batch) == Counter(names)


PROGRAM = """
import sys
from kbioxlm.dataset_scripts.translation.cache import AnswerCache
from kbioxlm.dataset_scripts.translation.chat import ChatSettings, ChatTranslator
from kbioxlm.dataset_scripts.translation.run import translate_all
url, path = sys.argv[1:]
chat = ChatTranslator(ChatSettings(kind="chat", url=url, model="m", texts_per_request=5, requests_at_once=2))
with AnswerCache(path) as cache:
    names = [f"name {number:03d}" for number in range(200)]
    print(*translate_all(chat, names, "en", "zh", cache, lambda number: None), sep="\\n")
"""


def test_after_a_kill_nothing_answered_is_asked_again(server: Server, tmp_path: Path) -> None:
    at_twenty = threading.Event()

    def reply(names: list[str]) -> Reply:
        if len(server.requests) > 20:
            at_twenty.set()
            time.sleep(0.2)
        return said([f"译{name}" for name in names])

    server.reply = reply
    path = tmp_path / "answers.sqlite"
    command = [sys.executable, "-c", PROGRAM, server.url, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    assert at_twenty.wait(60)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    time.sleep(0.3)
    before = server.asked()
    with AnswerCache(path) as cache:
        chat = ChatTranslator(ChatSettings(kind="chat", url=server.url, model="m"))
        stored = set(cache.get(chat.identity, "en", "zh", [name for batch in before for name in batch]))
    assert len(stored) >= 5 * (len(before) - 4)  # all but what was under way, two requests and two not yet stored
    server.reply = lambda names: said([f"译{name}" for name in names])
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    again = [name for batch in server.asked()[len(before) :] for name in batch]
    assert not stored & set(again)
    assert len(again) == len(set(again)) == 200 - len(stored)
    assert re.findall(r"译name (\d+)", done.stdout) == [f"{number:03d}" for number in range(200)]
