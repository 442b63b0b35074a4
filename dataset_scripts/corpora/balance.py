"""Balancing code-switched rows so that as many entities are replaced into each language (paper, section 3.1.2)."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from kbioxlm.dataset_scripts.corpora.rows import Row, RowWriter, from_table


class BalancedWriter:
    """Collects rows in a scratch folder, and at the end writes those that keep the languages in balance.

    Rows replaced into the language with the fewest replaced entities are all kept; of the others, the first in
    an order that depends on their ids and the seed alone, up to the same number of replaced entities.

    Args:
        folder: of the config to write.
        scratch: a folder that does not exist yet; it is gone after `close`.
        seed: of the order.
    """

    def __init__(self, folder: Path, scratch: Path, seed: int):
        self._folder = folder
        self._scratch = scratch
        self._seed = seed
        self._all = RowWriter(scratch)
        self._order: dict[str, list[tuple[bytes, int, int]]] = {}
        self._number = 0

    def add(self, row: Row) -> None:
        """Append `row`, whose replaced entities are all in one language."""
        languages = [entity.language for entity in row.entities if entity.replaced]
        key = hashlib.blake2b(f"{self._seed} {row.id}".encode(), digest_size=8).digest()
        self._order.setdefault(languages[0], []).append((key, self._number, len(languages)))
        self._number += 1
        self._all.add(row)

    def close(self) -> RowWriter:
        """Write the kept rows, in the order in which they came, and give the writer with their counts."""
        self._all.close()
        kept = self._kept()
        writer = RowWriter(self._folder)
        number = 0
        for shard in sorted(self._scratch.glob("*.parquet")):
            for batch in pq.ParquetFile(shard).iter_batches():
                rows = range(number, number + batch.num_rows)
                mask = pa.array([row in kept for row in rows])
                for row in from_table(pa.Table.from_batches([batch]).filter(mask)):
                    writer.add(row)
                number += batch.num_rows
        writer.close()
        shutil.rmtree(self._scratch)
        return writer

    def _kept(self) -> set[int]:
        totals = Counter({language: sum(row[2] for row in rows) for language, rows in self._order.items()})
        goal = min(totals.values(), default=0)
        kept = set()
        for rows in self._order.values():
            amount = 0
            for _, number, replaced in sorted(rows):
                if amount + replaced <= goal:
                    amount += replaced
                    kept.add(number)
        return kept
