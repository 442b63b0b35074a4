"""The cleaned articles of an edition on disk, found by page id without reading the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

SCHEMA = pa.schema([("id", pa.uint32()), ("title", pa.string()), ("text", pa.string())])
_ROWS = 500


class Article(NamedTuple):
    """A cleaned article."""

    id: int
    title: str
    text: str


class ArticleWriter:
    """Writes articles to an Arrow file that can be mapped into memory; a context manager."""

    def __init__(self, path: Path):
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._file, SCHEMA)
        self._rows: list[Article] = []

    def __enter__(self) -> ArticleWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
            self._writer.close()
        self._file.close()

    def write(self, article: Article) -> None:
        self._rows.append(article)
        if len(self._rows) == _ROWS:
            self._flush()

    def _flush(self) -> None:
        columns = [pa.array([row[i] for row in self._rows], field.type) for i, field in enumerate(SCHEMA)]
        self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=SCHEMA))
        self._rows = []


class Articles:
    """Articles of one edition, mapped into memory.

    Args:
        paths: files of `ArticleWriter`. Of an article that is in several, the first counts.

    Attributes:
        ids: page ids, sorted.
    """

    def __init__(self, paths: Iterable[Path]):
        self._batches: list[pa.RecordBatch] = []
        for path in paths:
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            self._batches += [reader.get_batch(i) for i in range(reader.num_record_batches)]
        ids = [batch.column("id").to_numpy() for batch in self._batches]
        batch_of = np.repeat(np.arange(len(ids)), [len(part) for part in ids])
        row_of = np.concatenate([np.arange(len(part)) for part in ids]) if ids else np.empty(0, np.int64)
        found, first = np.unique(np.concatenate(ids) if ids else np.empty(0, np.uint32), return_index=True)
        self.ids: NDArray[np.uint32] = found
        self._places: Sequence[tuple[int, int]] = np.stack([batch_of[first], row_of[first]], axis=1)  # type: ignore[assignment]

    def get(self, page: int) -> Article | None:
        """The article with this page id."""
        at = int(np.searchsorted(self.ids, page))
        if at == len(self.ids) or self.ids[at] != page:
            return None
        batch, row = self._places[at]
        columns = self._batches[int(batch)].columns
        return Article(*(column[int(row)].as_py() for column in columns))
