"""Millions of strings in two flat arrays, which can be memory-mapped, and the way from a string to its place."""

from __future__ import annotations

import zlib
from itertools import pairwise
from mmap import ACCESS_READ, mmap
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


class StringColumn:
    """Strings one after another in UTF-8.

    Args:
        offsets: (n + 1,) int64; string i is in `data[offsets[i]:offsets[i + 1]]`.
        data: a slice of it must be bytes, which a slice of a memory map is.

    Raises:
        ValueError: `data` is not as long as `offsets` say.
    """

    def __init__(self, offsets: NDArray[np.int64], data: bytes | mmap):
        if not len(offsets) or len(data) != offsets[-1]:
            raise ValueError(f"{len(data)} bytes of strings, not {offsets[-1:].sum()}")
        self.offsets, self.data = offsets, data
        self._offsets = offsets.data

    @classmethod
    def of(cls, values: pa.LargeStringArray) -> StringColumn:
        """The strings of an Arrow array without nulls."""
        if not len(values):
            return cls(np.zeros(1, np.int64), b"")
        _, offsets, data = values.buffers()
        places = np.frombuffer(offsets, np.int64)[values.offset : values.offset + len(values) + 1]
        return cls(places - places[0], data.slice(places[0], places[-1] - places[0]).to_pybytes())

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, index: int) -> str:
        return self.encoded(index).decode()

    def encoded(self, index: int) -> bytes:
        """String `index` in UTF-8."""
        return self.data[self._offsets[index] : self._offsets[index + 1]]

    def between(self, start: int, end: int) -> list[str]:
        """Strings `start` to `end`, exclusive."""
        data = self.data
        return [data[one:other].decode() for one, other in pairwise(self._offsets[start : end + 1].tolist())]

    def arrow(self) -> pa.LargeStringArray:
        """The same memory as an Arrow array."""
        buffers = [None, pa.py_buffer(self.offsets), pa.py_buffer(self.data)]
        return pa.Array.from_buffers(pa.large_string(), len(self), buffers)


class StringIndex:
    """Places of the strings of a column, found by hash.

    Args:
        column: different strings.
        starts: (buckets + 1,) int32, buckets being a power of two; a string is in bucket `crc32(string) % buckets`.
        items: (n,) int32, the places in `column`, bucket by bucket.
    """

    def __init__(self, column: StringColumn, starts: NDArray[np.int32], items: NDArray[np.int32]):
        self._column = column
        self.starts, self.items = starts, items
        self._starts = starts.data
        self._items = items.data
        self._mask = len(starts) - 2

    @classmethod
    def of(cls, column: StringColumn) -> StringIndex:
        """An index of `column`, with about one string a bucket."""
        buckets = 1 << max(1, len(column) - 1).bit_length()
        hashes = np.fromiter(map(zlib.crc32, map(column.encoded, range(len(column)))), np.uint32, len(column))
        bucket = hashes & np.uint32(buckets - 1)
        starts = np.zeros(buckets + 1, np.int32)
        np.cumsum(np.bincount(bucket, minlength=buckets), out=starts[1:])
        return cls(column, starts, np.argsort(bucket, kind="stable").astype(np.int32))

    def find(self, value: str) -> int:
        """The place of `value`, -1 if the column does not have it."""
        encoded = value.encode()
        bucket = zlib.crc32(encoded) & self._mask
        for place in range(self._starts[bucket], self._starts[bucket + 1]):
            item = self._items[place]
            if self._column.encoded(item) == encoded:
                return item
        return -1


def mapped(path: Path) -> bytes | mmap:
    """The bytes of a file, memory-mapped."""
    with path.open("rb") as stream:
        return mmap(stream.fileno(), 0, access=ACCESS_READ) if path.stat().st_size else b""
