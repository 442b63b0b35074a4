"""The Hub's upload API on this machine: what `huggingface_hub` asks for when it makes a repository and commits."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_stand_in"
LARGE = (".safetensors", ".onnx")  # what the Hub keeps as large files, whatever their size


@dataclass
class Repository:
    """What was committed.

    Attributes:
        files: content by path; of large files too.
        large: paths that were committed as pointers to large files.
        commits: their messages.
    """

    private: bool
    kind: str
    files: dict[str, bytes] = field(default_factory=dict)
    large: set[str] = field(default_factory=set)
    commits: list[str] = field(default_factory=list)


class HubStandIn:
    """A server that takes models.

    Attributes:
        repositories: by name.
        objects: large files by SHA-256.
        puts: how many of them were sent.
        refuses_large: whether large files are answered with status 403.
        requests: all that was asked for.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.puts = 0
        self.refuses_large = False
        self.requests: list[str] = []
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.answer(*stand_in.post(self.path.partition("?")[0], body, self.headers.get("Authorization")))

            def do_PUT(self) -> None:
                if self.headers.get("Transfer-Encoding") == "chunked":
                    body = b""
                    while size := int(self.rfile.readline(), 16):
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                else:
                    body = self.rfile.read(int(self.headers["Content-Length"]))
                self.answer(*stand_in.put(self.path, body))

            def do_GET(self) -> None:
                self.answer(200, {"id": self.path.removeprefix("/api/models/"), "sha": "0" * 40})

            def answer(self, status: int, content: Any) -> None:
                stand_in.requests.append(f"{self.command} {self.path}")
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Nothing listens from here on."""
        self.http.shutdown()
        self.http.server_close()

    def post(self, path: str, body: bytes, authorization: str | None) -> tuple[int, Any]:
        """Answers to POST, all of which need the token."""
        if authorization != f"Bearer {TOKEN}":
            return 401, {"error": "Invalid username or password."}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            if name in self.repositories:
                return 409, {"error": "You already created this model repo", "url": f"{self.url}/{name}"}
            self.repositories[name] = Repository(asked.get("visibility") == "private", asked["type"])
            return 200, {"url": f"{self.url}/{name}", "name": name, "id": "1"}
        if path.endswith(".git/info/lfs/objects/batch"):
            return 200, {
                "transfer": "basic",
                "objects": [self._instruction(one) for one in json.loads(body)["objects"]],
            }
        owner, name, action = path.removeprefix("/api/models/").split("/")[:3]
        repository = self.repositories[f"{owner}/{name}"]
        if action == "preupload":
            return 200, {"files": [self._mode(repository, one) for one in json.loads(body)["files"]]}
        assert action == "commit", path
        self._commit(repository, [json.loads(line) for line in body.splitlines()])
        address = f"{self.url}/{owner}/{name}/commit/{'0' * 40}"
        return 200, {"commitUrl": address, "commitOid": "0" * 40, "hookOutput": ""}

    def put(self, path: str, body: bytes) -> tuple[int, Any]:
        """A large file arrives; refused where it is not what its address says."""
        oid = path.rpartition("/")[2]
        if self.refuses_large:
            return 403, {"error": "Over the storage limit"}
        if hashlib.sha256(body).hexdigest() != oid:
            return 400, {"error": "not the file that was announced"}
        self.objects[oid] = body
        self.puts += 1
        return 200, {}

    def _instruction(self, asked: dict[str, Any]) -> dict[str, Any]:
        answer = {"oid": asked["oid"], "size": asked["size"]}
        if asked["oid"] not in self.objects:
            answer["actions"] = {"upload": {"href": f"{self.url}/storage/{asked['oid']}"}}
        return answer

    def _mode(self, repository: Repository, asked: dict[str, Any]) -> dict[str, Any]:
        path = asked["path"]
        answer = {"path": path, "uploadMode": "lfs" if path.endswith(LARGE) else "regular", "shouldIgnore": False}
        if path in repository.files:
            content = repository.files[path]
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            answer["oid"] = hashlib.sha256(content).hexdigest() if path in repository.large else blob
        return answer

    def _commit(self, repository: Repository, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                repository.commits.append(value["summary"])
            elif line["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                assert len(self.objects[value["oid"]]) == value["size"]
                repository.files[value["path"]] = self.objects[value["oid"]]
                repository.large.add(value["path"])
            else:
                raise AssertionError(line["key"])
