"""numba's just-in-time compiler, set up so that a read-only installation works."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numba

Number = Any  # a scalar in compiled code
Arrays = Any  # an array, or a tuple of them
# Compiled code here allocates nothing, so it needs no counting of references, which would take half of its time.
_OPTIONS: dict[str, Any] = {"nogil": True, "_nrt": False}
_NEWEST_SOURCE = max(path.stat().st_mtime_ns for path in Path(__file__).parent.glob("*.py"))

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """`function` compiled when it is first called, and kept on disk for the next process.

    numba keeps it beside the module, or in the user's cache folder, or in NUMBA_CACHE_DIR. Where none of them can
    be written, every process compiles for itself.
    """
    try:
        dispatcher = numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:
        return numba.njit(**_OPTIONS)(function)
    _drop_older(Path(dispatcher.stats.cache_path), function)
    return dispatcher


def inlined(function: Function) -> Function:
    """A small `function` compiled into those that call it."""
    return numba.njit(forceinline=True, **_OPTIONS)(function)


def _drop_older(folder: Path, function: Callable[..., object]) -> None:
    """numba looks at the file of `function` alone, and not at those that it calls into."""
    for index in folder.glob(f"{function.__module__.rpartition('.')[2]}.{function.__name__}-*.nbi"):
        with suppress(OSError):
            if index.stat().st_mtime_ns < _NEWEST_SOURCE:
                index.unlink()
