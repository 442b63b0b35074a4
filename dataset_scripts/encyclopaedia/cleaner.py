"""Cleaning wikitext in a process of its own, so that no page can hang or crash a run.

The parser is written in C and takes minutes over some malformed pages (20,000 opened and never closed `<b>`): only
the end of its process stops it. That process is this module run as a program. It reads a JSON line with the markup,
then one with the wikitext of each page, and answers each with a line.
"""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from types import TracebackType
from typing import IO, NamedTuple

from kbioxlm.dataset_scripts.encyclopaedia.wikitext import Markup, clean

PAGE_SECONDS = 30.0
MEMORY = 4 << 30


class Cleaned(NamedTuple):
    """The text of a page, or why there is none."""

    text: str
    failure: str = ""


class Cleaner:
    """A process that cleans the pages of one edition; used as a context manager, by one thread.

    Args:
        seconds: the most that a page may take.
    """

    def __init__(self, markup: Markup, seconds: float = PAGE_SECONDS):
        self._setup = [markup.chinese, sorted(markup.namespaces), markup.simplify, seconds]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Cleaner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._end(self._process)

    def clean(self, wikitext: str) -> Cleaned:
        """The running text of a page. One that takes too long, too much memory, or that ends the process, fails."""
        process = self._process or self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            _send(process.stdin, wikitext)
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        if answer.endswith(b"\n"):
            return Cleaned(*json.loads(answer))
        code = self._end(process)
        if code == -signal.SIGALRM:
            return Cleaned("", f"took more than {self._setup[-1]:g} s")
        if code == 1:
            raise RuntimeError("the cleaning process failed; its error is above")
        return Cleaned("", f"ended its process ({signal.Signals(-code).name if code < 0 else code})")

    def _started(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-m", __spec__.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None
        _send(process.stdin, self._setup)
        self._process = process
        return process

    def _end(self, process: subprocess.Popen[bytes]) -> int:
        self._process = None
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):  # it may be gone, which is why we are here
            process.stdin.close()
        code = process.wait()
        process.stdout.close()
        return code


def _send(stream: IO[bytes], value: object) -> None:
    stream.write(json.dumps(value).encode() + b"\n")
    stream.flush()


def _serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    chinese, namespaces, simplify, seconds = json.loads(requests.readline())
    markup = Markup(chinese, frozenset(namespaces), simplify)
    for line in requests:
        # SIGALRM's default action ends the process, whatever code it is in
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            answer = Cleaned(clean(json.loads(line), markup))
        except (RecursionError, MemoryError) as error:
            answer = Cleaned("", f"{type(error).__name__}: markup nested too deep or too much of it")
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(answers, answer)


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer)
