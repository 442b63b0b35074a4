"""Texts in Parquet: the columns `text` and, where there are, `id` and `lang`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import require_file
from kbioxlm.dataset_scripts.readers.documents import Document
from kbioxlm.dataset_scripts.readers.fields import LANGUAGE_KEYS, document_of, require_language

_ROWS = 1024  # read at a time


def read_parquet(
    path: str | Path, name: str, languages: tuple[str, ...], language: str | None = None
) -> Iterator[Document]:
    """The texts of a Parquet file, a few of its rows in memory at a time. `language` stands in for a missing one.

    Raises:
        InputError: a file that is missing, empty, or not whole Parquet; no column `text` of strings; as
            `document_of`; a language that is not one of `languages`. "Lines" are rows, from 1.
    """
    path = require_file(path)
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            columns = _columns(path, file.schema_arrow)
            for batch in file.iter_batches(batch_size=_ROWS, columns=columns, use_threads=False):
                for row in batch.to_pylist():
                    number += 1
                    yield require_language(document_of(row, path, name, number, language), languages, path, number)
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        found = f"not whole Parquet after row {number} ({shown(str(error))})"
        raise InputError(path, found, "write or fetch the file again") from error


def _columns(path: Path, schema: pa.Schema) -> list[str]:
    if "text" not in schema.names:
        found = f"no column 'text' among {shown(schema.names)}"
        raise InputError(path, found, "name the column of the texts 'text'")
    return [column for column in ("text", "id", *LANGUAGE_KEYS) if column in schema.names]
