"""Tables and arrays of the work folder, on disk."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kbioxlm.dataset_scripts.corpora.work import placed

_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


def write_arrow(path: Path, table: pa.Table) -> None:
    """Write `table` to an Arrow file, whole or not at all."""
    with placed(path) as draft, ipc_writer(draft, table.schema) as writer:
        writer.write_table(table)


def ipc_writer(path: Path, schema: pa.Schema) -> pa.ipc.RecordBatchFileWriter:
    """A writer of an Arrow file."""
    return pa.ipc.new_file(str(path), schema, options=_OPTIONS)


def read_arrow(path: Path) -> pa.Table:
    """The table of an Arrow file."""
    with pa.memory_map(str(path)) as stream:
        return pa.ipc.open_file(stream).read_all()


def write_arrays(path: Path, **arrays: NDArray[Any]) -> None:
    """Write named arrays, whole or not at all."""
    stream = io.BytesIO()  # numpy's own writing to a file forgets the cause of an error
    np.savez(stream, allow_pickle=False, **arrays)
    with placed(path) as draft:
        draft.write_bytes(stream.getbuffer())


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of `write_arrays`."""
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write one array, whole or not at all, for `map_array`."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    with placed(path) as draft:
        draft.write_bytes(stream.getbuffer())


def map_array(path: Path) -> NDArray[Any]:
    """The array of `write_array`, of which only what is used is read."""
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array
