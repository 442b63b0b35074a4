"""The Space under load: fifty clients at once call /ner for a minute, each anew as soon as it has its answer.

    python bench/space.py [SECONDS]

Memory is measured after ten seconds more, which come first and are not counted, and at the end. The texts are those of
the embedded sample, in both languages, of one to four sentences; every third call has a parallel text.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
from harness import Row, less_is_better, report

ROOT = Path(__file__).resolve().parent.parent
CLIENTS, SECONDS, WARM_UP = 50, 60.0, 10.0
FLAT = 1.1  # memory may grow by a tenth


@dataclass
class Load:
    """What the clients have seen.

    Attributes:
        latencies: seconds from the call to the whole answer, of those that were answered.
        seen: answered, told that the queue is full, or errors by their kind.
    """

    latencies: list[float] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)


def texts() -> list[tuple[str, str]]:
    """Texts of both languages in turn, some with a parallel text."""
    read = [
        [json.loads(line)["text"] for line in (ROOT / "sample" / "text" / f"{language}.jsonl").open(encoding="utf-8")]
        for language in ("en", "zh")
    ]
    found = []
    for number, (english, chinese) in enumerate(zip(*read, strict=True)):
        found += [(english, chinese if number % 3 == 0 else ""), (chinese, english if number % 3 == 1 else "")]
    return found


@contextmanager
def running() -> Iterator[tuple[str, psutil.Process]]:
    """A Space in a process of its own, its address and the process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "spaces" / "app.py")], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        url = f"http://127.0.0.1:{port}"
        try:
            while True:
                if process.poll() is not None:
                    log.seek(0)
                    raise RuntimeError(log.read().decode(errors="replace"))
                try:
                    httpx.get(url + "/config").raise_for_status()
                    break
                except httpx.HTTPError:
                    time.sleep(0.2)
            yield url, psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait()


async def call(session: httpx.AsyncClient, data: tuple[str, str], load: Load) -> None:
    """One call and its answer."""
    start = time.perf_counter()
    try:
        begun = await session.post("/gradio_api/call/ner", json={"data": [*data, "en"]})
        if begun.status_code == 503 and "Queue is full" in begun.text:
            load.seen["told that the queue is full"] += 1
            await asyncio.sleep(1)
            return
        begun.raise_for_status()
        events = (await session.get(f"/gradio_api/call/ner/{begun.json()['event_id']}")).text
    except httpx.HTTPError as error:
        load.seen[f"error: {type(error).__name__}"] += 1
        return
    if "event: complete" not in events:
        load.seen["error: no answer"] += 1
        return
    [answer] = json.loads(events.rpartition("data: ")[2])
    if answer["text"] != data[0]:
        load.seen["error: another text"] += 1
        return
    load.seen["answered"] += 1
    load.latencies.append(time.perf_counter() - start)


async def under_load(url: str, process: psutil.Process, seconds: float) -> tuple[Load, list[int]]:
    """What `CLIENTS` clients see in `seconds`, and the resident memory of the Space over that time."""
    given, load, memory = texts(), Load(), []
    sessions = [httpx.AsyncClient(base_url=url, timeout=120) for _ in range(CLIENTS)]

    async def client(number: int, deadline: float, load: Load) -> None:
        place = number
        while time.perf_counter() < deadline:
            await call(sessions[number], given[place % len(given)], load)
            place += CLIENTS

    async def watch(deadline: float) -> None:
        while time.perf_counter() < deadline:
            memory.append(process.memory_info().rss)
            await asyncio.sleep(1)

    for length, seen in ((WARM_UP, Load()), (seconds, load)):
        memory.clear()
        deadline = time.perf_counter() + length
        await asyncio.gather(watch(deadline), *(client(number, deadline, seen) for number in range(CLIENTS)))
    memory.append(process.memory_info().rss)
    for session in sessions:
        await session.aclose()
    return load, memory


def main(seconds: float = SECONDS) -> int:
    """Measure, and report; exit code 1 where a client saw an error."""
    with running() as (url, process):
        load, memory = asyncio.run(under_load(url, process, seconds))
    errors = sum(count for kind, count in load.seen.items() if kind.startswith("error"))
    rows = [Row("errors", "", float(errors), 0.0, "the bar", 0.0 if errors else 1.0, 1.0)]
    start, end = memory[0] / 1e6, memory[-1] / 1e6
    rows.append(less_is_better("resident memory at the end", "MB", end, start, "after the warm-up", 1 / FLAT))
    quantiles = statistics.quantiles(load.latencies, n=20) if len(load.latencies) > 1 else [float("nan")] * 19
    notes = {
        "clients": CLIENTS, "seconds": seconds, **load.seen,
        "answers a second": round(load.seen["answered"] / seconds, 1),
        "latency, median": f"{quantiles[9]:.2f} s", "latency, p95": f"{quantiles[18]:.2f} s",
        "latency, longest": f"{max(load.latencies, default=float('nan')):.2f} s",
        "resident memory, most": f"{max(memory) / 1e6:.0f} MB",
    }  # fmt: skip
    report("space", rows, notes)
    for note, value in notes.items():
        print(f"{note}: {value}")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(*map(float, sys.argv[1:])))
