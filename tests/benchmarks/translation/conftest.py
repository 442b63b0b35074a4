"""Small annotated data and translators for the tests of benchmark translation."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kbioxlm.dataset_scripts.benchmarks.translation.pieces import INSTRUCTION as TRANSLATE
from kbioxlm.dataset_scripts.benchmarks.translation.settings import one_translator
from kbioxlm.dataset_scripts.translation.lexicon import HEADER
from kbioxlm.dataset_scripts.translation.protocol import Translator

TRAIN = """-DOCSTART-\t1

After\tO
taking\tO
metoclopramide\tB-Drug
she\tO
developed\tO
dyskinesia\tB-ADE
.\tO

-DOCSTART-\t2

Aspirin\tB-Drug
100\tO
mg\tO
was\tO
given\tO
.\tO

-DOCSTART-\t3

No\tO
adverse\tO
event\tO
was\tO
seen\tO
.\tO

-DOCSTART-\t4

Nausea\tB-ADE
after\tO
lithium\tB-Drug
carbonate\tI-Drug
.\tO
"""
TEST = """-DOCSTART-\t9

Aspirin\tB-Drug
caused\tO
nausea\tB-ADE
.\tO
"""
# marked source: marked answer; 2 has another number, 4 has lost an entity
ANSWERS = {
    "After taking <1>metoclopramide</1> she developed <2>dyskinesia</2> .":
        "她服用<1>甲氧氯普胺</1>后出现<2>运动障碍</2>。",
    "<1>Aspirin</1> 100 mg was given .": "给予<1>阿司匹林</1>10毫克。",
    "No adverse event was seen .": "未见不良事件。",
    "<1>Nausea</1> after <2>lithium carbonate</2> .": "锂盐后<1>恶心</1>。",
    "<1>Aspirin</1> caused <2>nausea</2> .": "＜1＞阿司匹林＜/1＞引起<2>恶心</2>。",
}  # fmt: skip


def write_lexicon(path: Path, answers: Mapping[str, str], source: str = "en", target: str = "zh") -> Path:
    """A lexicon of answers, and beside it the YAML file that names it, which is returned."""
    rows = [HEADER, *((source, target, text, answer) for text, answer in answers.items())]
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    settings = path.with_suffix(".yaml")
    settings.write_text(f"translators:\n  - {{kind: lexicon, file: {json.dumps(str(path))}}}\n", encoding="utf-8")
    return settings


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    """Two IOB files of one data set, `ade`."""
    folder = tmp_path / "ade"
    folder.mkdir()
    (folder / "train.txt").write_text(TRAIN, encoding="utf-8")
    (folder / "test.txt").write_text(TEST, encoding="utf-8")
    return [str(folder / "train.txt"), str(folder / "test.txt")]


@pytest.fixture
def answers() -> dict[str, str]:
    """Marked answers to the marked texts of `data`."""
    return dict(ANSWERS)


@pytest.fixture
def lexicon(tmp_path: Path) -> Path:
    """YAML file of a lexicon with ANSWERS."""
    return write_lexicon(tmp_path / "lexicon.tsv", ANSWERS)


@pytest.fixture
def lexicon_of(tmp_path: Path) -> Callable[..., Translator]:
    """Makes translators of given answers, from English into Chinese if not said otherwise."""
    numbers = itertools.count()

    def made(answers: Mapping[str, str], source: str = "en", target: str = "zh") -> Translator:
        path = tmp_path / f"lexicon-{next(numbers)}.tsv"
        return one_translator(write_lexicon(path, answers, source, target), TRANSLATE)

    return made


class ChatServer:
    """An OpenAI-compatible server on this machine. `answer` gives the answers to the texts of one request."""

    def __init__(self) -> None:
        self.instructions: list[str] = []
        self.asked: list[str] = []
        self.answer: Callable[[list[str]], list[str]] = lambda texts: texts
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                system, user = (message["content"] for message in request["messages"])
                texts = [json.loads(line.partition(". ")[2]) for line in user.splitlines()]
                server.instructions.append(system)
                server.asked += texts
                content = json.dumps(server.answer(texts), ensure_ascii=False)
                message = {"role": "assistant", "content": content}
                body = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
                try:
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass  # the client has gone away

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def settings(self, path: Path, **options: Any) -> Path:
        """A YAML file that names the server."""
        one = {"kind": "chat", "url": self.url, "model": "org/model", **options}
        path.write_text(f"translators: [{json.dumps(one)}]\n", encoding="utf-8")
        return path

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def chat_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    """A running server; where HF_HUB_OFFLINE is set, the Hub's client would refuse every one, this too."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    running = ChatServer()
    yield running
    running.close()
