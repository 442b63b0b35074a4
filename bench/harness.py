"""Measuring side by side: ours and the peers in turn, medians, one table and one JSON file a benchmark."""

from __future__ import annotations

import json
import multiprocessing
import platform
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RUNS = Path("runs/bench")


@dataclass(frozen=True)
class Row:
    """One figure beside a peer's.

    Attributes:
        ratio: how many times better ours is (faster, smaller).
        goal: the ratio to reach, None where none was set.
    """

    name: str
    unit: str
    ours: float
    peer: float
    peer_name: str
    ratio: float
    goal: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached."""
        return None if self.goal is None else self.ratio >= self.goal


def more_is_better(name: str, unit: str, ours: float, peer: float, peer_name: str, goal: float | None = None) -> Row:
    """A row of figures such as MB/s."""
    return Row(name, unit, ours, peer, peer_name, ours / peer, goal)


def less_is_better(name: str, unit: str, ours: float, peer: float, peer_name: str, goal: float | None = None) -> Row:
    """A row of figures such as seconds or GB."""
    return Row(name, unit, ours, peer, peer_name, peer / ours, goal)


def in_turn(functions: Mapping[str, Callable[[], object]], rounds: int = 5, turn: float = 0.0) -> dict[str, float]:
    """Median seconds of each function. They take turns, so that a slow minute of the machine falls on all alike.

    Args:
        turn: seconds a turn takes at least; the function is called as often as it needs. Without it a short function
            that follows a long one would pay for the caches and the time slice that the long one has used up.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            calls, start, taken = 0, time.perf_counter(), 0.0
            while not calls or taken < turn:
                function()
                calls += 1
                taken = time.perf_counter() - start
            seconds[name].append(taken / calls)
    return {name: statistics.median(times) for name, times in seconds.items()}


def in_own_process(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """What `function(*arguments)` gives in a fresh process, and the peak resident memory of that process in bytes."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_report, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        result, peak = receiver.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"{function.__name__} died with exit code {process.exitcode}") from None
    process.join()
    return result, peak


def in_turn_apart(
    makers: Mapping[str, tuple[Callable[..., Callable[[], object]], Sequence[Any]]], rounds: int = 5
) -> dict[str, tuple[float, float]]:
    """Median seconds of functions that live in a process of their own each, and the peak memory of that process.

    Args:
        makers: what gives each function, and its arguments. The function is called once before it is measured.

    Returns:
        of each, seconds and bytes.
    """
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for name, (maker, arguments) in makers.items():
        pipes[name], far = context.Pipe()
        processes.append(context.Process(target=_serve, args=(far, maker, arguments)))
        processes[-1].start()
        far.close()
        _answer(pipes[name], name)  # it is ready: they do not start at once
    seconds: dict[str, list[float]] = {name: [] for name in makers}
    for _ in range(rounds):
        for name, pipe in pipes.items():
            pipe.send(True)
            seconds[name].append(_answer(pipe, name))
    results = {}
    for name, pipe in pipes.items():
        pipe.send(False)
        results[name] = (statistics.median(seconds[name]), _answer(pipe, name))
    for process in processes:
        process.join()
    return results


def _answer(pipe: Any, name: str) -> float:
    try:
        return pipe.recv()
    except EOFError:
        raise RuntimeError(f"the process of {name} died") from None


def _serve(pipe: Any, maker: Callable[..., Callable[[], object]], arguments: Sequence[Any]) -> None:
    function = maker(*arguments)
    function()
    pipe.send(0.0)
    while pipe.recv():
        start = time.perf_counter()
        function()
        pipe.send(time.perf_counter() - start)
    pipe.send(_peak())


def _report(sender: Any, function: Callable[..., Any], arguments: Sequence[Any]) -> None:
    result = function(*arguments)
    sender.send((result, _peak()))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def report(name: str, rows: Sequence[Row], notes: Mapping[str, Any] | None = None) -> None:
    """Print `rows` as a table and write them to runs/bench/`name`.json, with the machine and `notes`."""
    RUNS.mkdir(parents=True, exist_ok=True)
    content = {
        "machine": machine(),
        "rows": [{**asdict(row), "met": row.met} for row in rows],
        **({"notes": dict(notes)} if notes else {}),
    }
    path = RUNS / f"{name}.json"
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    header = ("what", "unit", "ours", "peer", "", "ratio", "goal", "met")
    lines = [
        (
            row.name, row.unit, f"{row.ours:.4g}", f"{row.peer:.4g}", row.peer_name, f"{row.ratio:.2f}",
            "" if row.goal is None else f"{row.goal:g}", {None: "", True: "yes", False: "NO"}[row.met],
        )
        for row in rows
    ]  # fmt: skip
    widths = [max(len(line[column]) for line in (header, *lines)) for column in range(len(header))]
    for line in (header, *lines):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    print(f"written to {path}")


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return {"cpu": model, "cores": multiprocessing.cpu_count(), "python": platform.python_version()}
