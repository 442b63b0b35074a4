from __future__ import annotations

import gzip
import io
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.benchmarks import origin
from kbioxlm.dataset_scripts.benchmarks.origin import Origin, archive_address, published_origin
from kbioxlm.dataset_scripts.benchmarks.published import read_published

SCRIPT = Path(__file__).parents[2] / "dataset_scripts" / "translated_benchmarks.py"
CUT_OFF = 0  # in place of a status: the connection ends before the announced length
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Server:
    """A host of archives; gives its answers in turn, the last one for ever. An answer is a status and a body."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = []
        self.requests: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests.append(self.path)
                status, body = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
                if self.path == "/moved.tar.gz":
                    self.send_response(302)
                    self.send_header("Location", "/archive.tar.gz")
                    self.end_headers()
                    return
                self.send_response(200 if status == CUT_OFF else status)
                self.send_header("Content-Length", str(len(body) + 10 * (status == CUT_OFF)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(origin, "FIRST_WAIT", 0.001)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


def archive(folder: Path, extra: dict[str, bytes] | None = None, links: dict[str, str] | None = None) -> bytes:
    """`folder` as a host packs it: in one folder, the commit in a header; then members of any other name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT, pax_headers={"comment": COMMIT}) as tar:
        for name, target in (links or {}).items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
        tar.add(folder, arcname="KBioXLM-main")
        for name, data in (extra or {}).items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def test_files_are_fetched_once_and_hold_what_the_repository_holds(
    server: Server, published: Path, tmp_path: Path
) -> None:
    server.answers = [(200, archive(published, {"KBioXLM-main/model/weights.bin": b"x"}))]
    url = f"{server.address}/moved.tar.gz"
    found = published_origin(url, tmp_path / "out.published")
    assert found == Origin(tmp_path / "out.published", url, COMMIT)
    assert [s.sha256 for s in read_published(found.folder)] == [s.sha256 for s in read_published(published)]
    assert {path.name for path in found.folder.iterdir()} == {"NER", "RE", "origin.json"}
    assert server.requests == ["/moved.tar.gz", "/archive.tar.gz"]
    assert published_origin(url, tmp_path / "out.published") == found
    assert len(server.requests) == 2
    other = published_origin(f"{server.address}/other.tar.gz", tmp_path / "out.published")
    assert other.url == f"{server.address}/other.tar.gz"
    assert len(server.requests) == 3


def test_a_folder_is_taken_as_it_is(published: Path, tmp_path: Path) -> None:
    assert published_origin(str(published), tmp_path / "keep") == Origin(published)
    assert not (tmp_path / "keep").exists()


def test_what_may_pass_is_tried_again(server: Server, published: Path, tmp_path: Path) -> None:
    whole = archive(published)
    server.answers = [(503, b""), (429, b""), (CUT_OFF, whole[:100]), (200, whole)]
    assert published_origin(f"{server.address}/a.tar.gz", tmp_path / "keep").commit == COMMIT
    assert len(server.requests) == 4


def test_a_host_that_never_answers(server: Server, tmp_path: Path) -> None:
    server.answers = [(500, b"")]
    url = f"{server.address}/a.tar.gz"
    with pytest.raises(InputError, match=r"no answer after 5 tries \(status 500\); .*give its folder"):
        published_origin(url, tmp_path / "keep")
    assert len(server.requests) == 5
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(InputError, match="no answer after 5 tries"):
        published_origin(url, tmp_path / "keep")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (404, b"", "the server answers 404; check the address"),
        (200, b"<html>", "is not a whole tar.gz archive"),
        (200, gzip.compress(b"x" * 2000), "is not a whole tar.gz archive"),
        (200, b"", "is not a whole tar.gz archive"),
    ],
)
def test_answers_of_no_use_are_not_asked_for_again(
    server: Server, tmp_path: Path, status: int, body: bytes, message: str
) -> None:
    server.answers = [(status, body)]
    with pytest.raises(InputError, match=message):
        published_origin(f"{server.address}/a.tar.gz", tmp_path / "keep")
    assert len(server.requests) == 1
    assert list(tmp_path.iterdir()) == []


def test_archives_that_break_off_or_lack_files(server: Server, published: Path, tmp_path: Path) -> None:
    whole = archive(published)
    server.answers = [(200, whole[: len(whole) // 2])]
    with pytest.raises(InputError, match=r"is not a whole tar\.gz archive"):
        published_origin(f"{server.address}/a.tar.gz", tmp_path / "keep")
    (published / "NER/datasets/ade/eng_to_zh/dev.txt").unlink()
    server.answers = [(200, archive(published))]
    with pytest.raises(InputError, match="1 of 24 files are missing in the archive, the first is NER/datasets/ade/eng"):
        published_origin(f"{server.address}/a.tar.gz", tmp_path / "keep")
    assert not (tmp_path / "keep").exists()


def test_nothing_is_written_outside(server: Server, published: Path, tmp_path: Path) -> None:
    evil = {
        "../../evil.txt": b"x",
        "/evil.txt": b"x",
        "KBioXLM-main/../../evil.txt": b"x",
        "KBioXLM-main/NER/../../evil.txt": b"x",
    }
    # a link in place of a folder that files are then written below
    links = {"KBioXLM-main/NER": str(tmp_path / "elsewhere"), "KBioXLM-main/RE/data": "../../elsewhere"}
    (tmp_path / "elsewhere").mkdir()
    before = set(tmp_path.rglob("*"))
    server.answers = [(200, archive(published, evil, links))]
    folder = published_origin(f"{server.address}/a.tar.gz", tmp_path / "keep").folder
    new = set(tmp_path.rglob("*")) - before
    assert all(path.is_relative_to(folder) for path in new)
    assert len([path for path in new if path.is_file()]) == 25
    assert not any(path.is_symlink() for path in new)
    assert not Path("/evil.txt").exists()


def test_what_stands_in_the_way_is_kept(server: Server, tmp_path: Path) -> None:
    (tmp_path / "keep").mkdir()
    (tmp_path / "keep/mine.txt").write_text("x")
    with pytest.raises(InputError, match="is in the way of the files to fetch"):
        published_origin(f"{server.address}/a.tar.gz", tmp_path / "keep")
    assert (tmp_path / "keep/mine.txt").read_text() == "x"
    assert server.requests == []


def test_addresses() -> None:
    latest = "https://github.com/ngwlh-gl/KBioXLM/archive/HEAD.tar.gz"
    assert archive_address("https://github.com/ngwlh-gl/KBioXLM") == latest
    assert archive_address("https://github.com/ngwlh-gl/KBioXLM.git") == latest
    assert archive_address("https://github.com/ngwlh-gl/KBioXLM/") == latest
    assert archive_address(f"https://github.com/a/b/tree/{COMMIT}") == f"https://github.com/a/b/archive/{COMMIT}.tar.gz"
    assert archive_address("https://host.org/x/b.tar.gz") == "https://host.org/x/b.tar.gz"
    for address in ("https://github.com/a", "https://host.org/a/b", "https://github.com/a/b/blob/main", "http://"):
        with pytest.raises(
            InputError, match=r"no repository on GitHub and no \.tar\.gz archive; give https://github.com"
        ):
            archive_address(address)


def test_command_line_builds_from_an_address(server: Server, published: Path, tmp_path: Path) -> None:
    server.answers = [(200, archive(published))]
    url = f"{server.address}/a.tar.gz"
    done = subprocess.run(
        [sys.executable, SCRIPT, "build", "--source", url, "--output", tmp_path / "out"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"fetched from {url} (commit {COMMIT})" in (tmp_path / "out/README.md").read_text()
