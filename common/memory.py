"""How the C library keeps memory."""

from __future__ import annotations

import ctypes
import sys

# parameters of mallopt in glibc's malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let the C library keep what this process frees, so that it is used again without a page fault.

    A training step on a CPU frees and allocates the same few hundred megabytes again and again. By default glibc gives
    every block above 32 MB back to the system, which hands it out anew filled with zeros, page by page: a tenth of a
    step and more. The price is that the process never shrinks.

    Returns:
        whether the C library has these settings; others are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST_INT) and mallopt(_M_TRIM_THRESHOLD, _LARGEST_INT))
