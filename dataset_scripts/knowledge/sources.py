"""What every source of knowledge is read into, whatever its format: lazy tables and the terms of their use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import polars as pl

NAMES = pl.Schema(
    {
        "concept": pl.String,
        "language": pl.String,
        "name": pl.String,
        "source": pl.String,
        "term_type": pl.String,
        "license": pl.String,
        "rank": pl.UInt8,
    }
)
RELATIONS = pl.Schema({"subject": pl.String, "relation": pl.String, "object": pl.String, "source": pl.String})
SEMANTIC_TYPES = pl.Schema({"concept": pl.String, "semantic_type": pl.String})


@dataclass(frozen=True)
class Provenance:
    """Where a source of names comes from, and under which terms.

    Attributes:
        source: short name, the value of column `source` ("SNOMEDCT_US", "HP", "babelon:hp-zh").
        license: SPDX id where there is one ("CC0-1.0"), else the terms in a few words.
        title: what people call it.
        version: release or date, "" where the file does not say.
        file: name of the file read, without its folder.
        sha256: of that file; "" for an UMLS release, whose files have gigabytes.
    """

    source: str
    license: str
    title: str = ""
    version: str = ""
    file: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class SourceTables:
    """One source, read.

    Attributes:
        names: columns `NAMES`. Of the names of a concept in one language, that with the smallest `rank` is the
            preferred one; ties go to the first row. Runs of white space are made one space; none is empty.
        relations: columns `RELATIONS`, to be read as the sentence subject, relation, object.
        semantic_types: columns `SEMANTIC_TYPES`.
        same_as: concept of this source → the concept of another source that it is the same as ("HP:0001250" →
            "C0036572"), from cross-references that are one to one.
        provenance: of the names.
        inverses: relation → the relation that says the same with subject and object exchanged.
        rejected: lines that were skipped since they could not be used.
    """

    names: pl.LazyFrame
    relations: pl.LazyFrame
    semantic_types: pl.LazyFrame
    same_as: dict[str, str]
    provenance: tuple[Provenance, ...]
    inverses: dict[str, str] = field(default_factory=dict)
    rejected: int = 0


class KnowledgeSource(Protocol):
    """A file or folder of knowledge."""

    def read(self) -> SourceTables:
        """Its tables.

        Raises:
            InputError: a file that is missing, damaged, or not of the expected form.
        """
        ...
