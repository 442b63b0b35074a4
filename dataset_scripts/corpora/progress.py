"""One progress bar for a stage, wherever its tasks run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

_SECONDS = 0.5
_SHARE = 20  # looking takes no more than a 20th of the time


@contextmanager
def progress(name: str, results: list[Path]) -> Iterator[None]:
    """Show how many of `results` stand while the block runs."""
    ended = threading.Event()
    with tqdm(total=len(results), desc=name, unit="", mininterval=0) as bar:

        def look() -> None:
            nonlocal results
            start = time.monotonic()
            while not ended.wait(max(_SECONDS, _SHARE * (time.monotonic() - start))):
                start = time.monotonic()
                missing = [result for result in results if not result.exists()]
                bar.update(len(results) - len(missing))
                results = missing

        watcher = threading.Thread(target=look, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()
            bar.update(sum(result.exists() for result in results))
