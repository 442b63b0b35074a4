"""Reading names of two languages out of 2M lines of MRCONSO: ours, polars' own streaming scan, the csv module.

All three give the same names as a table in memory. Ours also checks every line: number of columns, UTF-8, length,
empty names.
"""

from __future__ import annotations

import csv
import os
import sys
import tempfile
from pathlib import Path

import polars as pl
import pyarrow as pa
from harness import in_own_process, in_turn, less_is_better, report

from kbioxlm.dataset_scripts.knowledge.rejects import Rejects
from kbioxlm.dataset_scripts.knowledge.release_files import ReleaseFile
from kbioxlm.dataset_scripts.knowledge.rrf import Names, read_rows
from kbioxlm.dataset_scripts.knowledge.rrf_columns import MRCONSO_COLUMNS

LINES = 2_000_000
READ = ("CUI", "LAT", "TS", "STT", "ISPREF", "SAB", "TTY", "STR", "SRL")


def write_lines(target: Path, source: Path, lines: int = LINES) -> None:
    """The lines of `source` again and again, every time with new concepts."""
    rows = [line.partition("|")[::2] for line in source.read_text(encoding="utf-8").splitlines()]
    places = {concept: place for place, concept in enumerate(dict.fromkeys(concept for concept, _ in rows))}
    with target.open("w", encoding="utf-8") as stream:
        for start in range(0, lines, len(rows)):
            first = start // len(rows) * len(places)
            stream.writelines(f"C{first + places[concept]:07d}|{rest}\n" for concept, rest in rows[: lines - start])


def ours(path: Path) -> int:
    """This package's reader."""
    with Rejects(path.with_suffix(".rejects")) as rejects:
        batches = list(read_rows(ReleaseFile("MRCONSO", path, path), Names(("en", "zh")), rejects))
    return pa.Table.from_batches(batches).num_rows


def polars_scan(path: Path) -> int:
    """A streaming scan; it takes short lines for lines with nulls."""
    columns = dict.fromkeys((*MRCONSO_COLUMNS, "END"), pl.String)
    lines = pl.scan_csv(path, separator="|", has_header=False, quote_char=None, schema=columns)
    kept = lines.filter(pl.col("LAT").is_in(["ENG", "CHI"]) & (pl.col("SUPPRESS") == "N")).select(READ)
    return kept.collect(engine="streaming").height


def csv_module(path: Path) -> int:
    """The standard library's reader."""
    places = [MRCONSO_COLUMNS.index(column) for column in READ]
    lat, suppress = MRCONSO_COLUMNS.index("LAT"), MRCONSO_COLUMNS.index("SUPPRESS")
    with path.open(encoding="utf-8", newline="") as stream:
        rows = csv.reader(stream, delimiter="|", quoting=csv.QUOTE_NONE)
        kept = [
            tuple(row[place] for place in places) for row in rows if row[lat] in ("ENG", "CHI") and row[suppress] == "N"
        ]
    columns = [pa.array(column, pa.string()) for column in zip(*kept, strict=True)]
    return pa.table(columns, names=list(READ)).num_rows


def main() -> None:
    """Measure, print, write runs/bench/knowledge.json."""
    if "KBIOXLM_REAL_DATA" not in os.environ:
        sys.exit("error: KBIOXLM_REAL_DATA is not set; it names the folder with open_knowledge_base/MRCONSO.RRF")
    source = Path(os.environ["KBIOXLM_REAL_DATA"]) / "open_knowledge_base" / "MRCONSO.RRF"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "MRCONSO.RRF"
        print(f"writing {LINES:,} lines", file=sys.stderr)
        write_lines(path, source)
        readers = {"ours": ours, "polars": polars_scan, "csv": csv_module}
        measured = {name: in_own_process(reader, path) for name, reader in readers.items()}
        rows = {name: result for name, (result, _) in measured.items()}
        assert len(set(rows.values())) == 1, rows
        ours(path)  # loads what is compiled
        seconds = in_turn({name: lambda reader=reader: reader(path) for name, reader in readers.items()})
        megabytes = path.stat().st_size / 1e6
    print(f"{rows['ours']:,} names out of {megabytes:.0f} MB", file=sys.stderr)
    memory = {name: peak / 2**30 for name, (_, peak) in measured.items()}
    report(
        "knowledge",
        [
            less_is_better("MRCONSO, 2M lines", "s", seconds["ours"], seconds["polars"], "polars", goal=0.91),
            less_is_better("MRCONSO, 2M lines", "s", seconds["ours"], seconds["csv"], "csv module", goal=12),
            less_is_better("peak memory", "GiB", memory["ours"], memory["polars"], "polars"),
            less_is_better("peak memory", "GiB", memory["ours"], memory["csv"], "csv module"),
        ],
        {"names": rows["ours"], "megabytes": megabytes},
    )


if __name__ == "__main__":
    main()
