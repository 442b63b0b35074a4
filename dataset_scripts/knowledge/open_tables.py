"""What the readers of open sources share: rows to lazy tables, language tags, compact ids, one-to-one pairs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import polars as pl

from kbioxlm.common.errors import InputError, shown
from kbioxlm.dataset_scripts.knowledge.languages import ENGLISH_NAMES
from kbioxlm.dataset_scripts.knowledge.sources import NAMES, RELATIONS, SEMANTIC_TYPES

LANGUAGE_TAG = r"^([A-Za-z]{2})(?:[-_][A-Za-z0-9_-]+)?$"  # polars and Python read it alike
LANGUAGE_REMEDY = f"give one of {','.join(sorted(ENGLISH_NAMES))} (a region may follow: zh-CN), or ask for languages"
_LANGUAGE_TAG = re.compile(LANGUAGE_TAG)
_IRI_OF_A_TERM = re.compile(r"https?://\S*[/#]([A-Za-z][A-Za-z0-9.]*)_([A-Za-z0-9]*[0-9][A-Za-z0-9]*)")
_ROWS_A_BATCH = 50_000


class NameRow(NamedTuple):
    """A row of the table of names, without what is the same for a whole source."""

    concept: str
    language: str
    name: str
    term_type: str
    rank: int


def iso_language(tag: str, path: Path, line: int) -> str:
    """The ISO 639-1 code of a language tag: `zh` of `zh-CN` or `zh_Hant`.

    Raises:
        InputError: a tag of another form, or a language that is not known to `knowledge.languages`.
    """
    found = _LANGUAGE_TAG.match(tag)
    if found is None or found[1].lower() not in ENGLISH_NAMES:
        raise InputError(path, f"unknown language {shown(tag)}", LANGUAGE_REMEDY, line=line)
    return found[1].lower()


def wanted_language(tag: str, languages: Collection[str] | None, path: Path, line: int) -> str | None:
    """As `iso_language`, but None for whatever is not among `languages`, if those are given."""
    if languages is None:
        return iso_language(tag, path, line)
    found = _LANGUAGE_TAG.match(tag)
    return found[1].lower() if found is not None and found[1].lower() in languages else None


def compact_id(identifier: str) -> str:
    """`HP:0001250` of `http://purl.obolibrary.org/obo/HP_0001250`; anything else as it is."""
    found = _IRI_OF_A_TERM.fullmatch(identifier)
    return f"{found[1]}:{found[2]}" if found else identifier


def one_to_one(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The pairs whose left and right side occur in no other pair, sorted."""
    distinct = sorted(set(pairs))
    left = Counter(pair[0] for pair in distinct)
    right = Counter(pair[1] for pair in distinct)
    return {here: there for here, there in distinct if left[here] == 1 and right[there] == 1}


def white_space_folded(column: str) -> pl.Expr:
    """The column with every run of Unicode white space made one space, none at the ends."""
    return pl.col(column).str.replace_all(r"\s+", " ").str.strip_chars(" ")


def names_table(rows: Iterable[NameRow], source: str, license_: str) -> pl.LazyFrame:
    """The table of names of a source with one licence, in the order of `rows`; empty names are left out."""
    constants = {"source": pl.lit(source), "license": pl.lit(license_)}
    schema = {column: NAMES[column] for column in NameRow._fields}
    columns = white_space_folded("name"), *(value.alias(column) for column, value in constants.items())
    return _batched(rows, schema).with_columns(*columns).filter(pl.col("name") != "").select(NAMES.names())


def relations_table(rows: Iterable[tuple[str, str, str]], source: str) -> pl.LazyFrame:
    """The table of relations (subject, relation, object) of a source, in the order of `rows`."""
    schema = {column: pl.String() for column in ("subject", "relation", "object")}
    return _batched(rows, schema).with_columns(source=pl.lit(source)).select(RELATIONS.names())


def no_relations() -> pl.LazyFrame:
    """An empty table of relations."""
    return pl.LazyFrame(schema=RELATIONS)


def no_semantic_types() -> pl.LazyFrame:
    """An empty table of semantic types."""
    return pl.LazyFrame(schema=SEMANTIC_TYPES)


def _batched(rows: Iterable[tuple], schema: dict) -> pl.LazyFrame:
    iterator: Iterator[tuple] = iter(rows)
    frames = [pl.DataFrame(schema=schema)]
    while batch := list(islice(iterator, _ROWS_A_BATCH)):
        columns = zip(*batch, strict=True)
        frames.append(pl.DataFrame(dict(zip(schema, columns, strict=True)), schema=schema))
    return pl.concat(frames).lazy()
